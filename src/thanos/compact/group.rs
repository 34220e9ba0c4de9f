//! Blocks that belong together: those with the same external labels and resolution.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tsdb::Ulid;
use tsdb::meta::Meta;
use xxhash_rust::xxh64::Xxh64;

use super::plan::{Block, first_overlapping};

/// Blocks that are compacted with each other.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Also the name of its working folder.
    pub(super) key: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) resolution: i64,
    /// In the order of their beginnings.
    pub(super) blocks: Vec<Block>,
}

/// External labels as Thanos's `labels.Labels` hashes them.
fn hash(labels: &BTreeMap<String, String>) -> u64 {
    let mut hash = Xxh64::new(0);
    for (name, value) in labels {
        for text in [name, value] {
            hash.update(text.as_bytes());
            hash.update(&[0xff]);
        }
    }
    hash.digest()
}

/// The groups of blocks, by key.
pub(super) fn groups<'b>(blocks: impl Iterator<Item = &'b Block>) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for block in blocks {
        let thanos = block.thanos.clone().unwrap_or_default();
        let resolution = thanos.downsample.resolution;
        let key = format!("{resolution}@{}", hash(&thanos.labels));
        let group = groups.entry(key.clone()).or_insert_with(|| Group {
            key,
            labels: thanos.labels,
            resolution,
            blocks: Vec::new(),
        });
        group.blocks.push(block.clone());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.sort();
    }
    groups
}

impl Group {
    fn sort(&mut self) {
        self.blocks
            .sort_by_key(|block| (block.min_time, block.ulid));
    }

    /// As people read it.
    pub(super) fn title(&self) -> String {
        let label = |(name, value): (&String, &String)| format!("{name}={value:?}");
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        format!("{}@{{{}}}", self.resolution, labels.join(", "))
    }

    /// What overlaps among its blocks, `without` some and with another one.
    pub(super) fn overlaps(&self, without: &[Block], with: Option<&Meta>) -> Option<String> {
        let gone = |id: Ulid| without.iter().any(|block| block.ulid == id);
        let mut blocks: Vec<Block> = self
            .blocks
            .iter()
            .filter(|block| !gone(block.ulid))
            .cloned()
            .chain(with.map(|meta| Arc::new(meta.clone())))
            .collect();
        blocks.sort_by_key(|block| (block.min_time, block.ulid));
        let overlapping = first_overlapping(&blocks);
        if overlapping.is_empty() {
            return None;
        }
        let shown = overlapping.iter().map(|block| {
            let (from, to) = (time(block.min_time), time(block.max_time));
            format!("{} ({from} to {to})", block.ulid)
        });
        let shown: Vec<String> = shown.collect();
        Some(format!(
            "overlaps found while gathering blocks: {}",
            shown.join(", ")
        ))
    }

    /// Extensions that all blocks have.
    pub(super) fn extensions(&self) -> Option<Value> {
        let mut common: Option<Map<String, Value>> = None;
        for block in &self.blocks {
            let extensions = block.thanos.as_ref().and_then(|thanos| {
                let extensions = thanos.extensions.as_ref()?;
                extensions.as_object()
            });
            let Some(extensions) = extensions else {
                continue;
            };
            match &mut common {
                None => common = Some(extensions.clone()),
                Some(common) => common.retain(|key, _| extensions.contains_key(key)),
            }
        }
        common.map(Value::Object)
    }

    /// Replaces blocks by the one that they become: how a plan is followed without doing it.
    pub(super) fn simulate(&mut self, plan: &[Block]) {
        let metas: Vec<Meta> = plan.iter().map(|block| (**block).clone()).collect();
        self.blocks
            .retain(|block| !plan.iter().any(|planned| planned.ulid == block.ulid));
        let mut meta = tsdb::compact::combined(Ulid::from(u128::from(u64::MAX)), &metas);
        meta.thanos = metas.into_iter().next().and_then(|meta| meta.thanos);
        self.blocks.push(Arc::new(meta));
        self.sort();
    }
}

/// A time as people read it.
pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tsdb::meta::ThanosMeta;

    fn block(id: u128, min_time: i64, resolution: i64, extensions: Value) -> Block {
        let mut meta = Meta::new(Ulid::from(id), min_time, min_time + 10);
        let mut thanos = ThanosMeta {
            labels: [("cluster".to_owned(), "eu".to_owned())].into(),
            extensions: Some(extensions),
            ..ThanosMeta::default()
        };
        thanos.downsample.resolution = resolution;
        meta.thanos = Some(thanos);
        Arc::new(meta)
    }

    #[test]
    fn blocks_of_one_resolution_belong_together() {
        let blocks = [
            block(1, 10, 0, json!({"a": 1, "b": 1})),
            block(2, 0, 0, json!({"a": 1})),
            block(3, 0, 300_000, json!(null)),
        ];
        let groups = groups(blocks.iter());
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].key, format!("0@{}", hash(&groups[0].labels)));
        assert_eq!(groups[0].blocks[0].ulid, Ulid::from(2u128));
        assert_eq!(groups[0].extensions(), Some(json!({"a": 1})));
        assert_eq!(groups[1].extensions(), None);
    }

    #[test]
    fn overlaps_are_named() {
        let blocks = [block(1, 0, 0, json!({})), block(2, 5, 0, json!({}))];
        let group = &groups(blocks.iter())[0];
        let text = group.overlaps(&[], None).expect("they overlap");
        assert!(text.contains(&blocks[1].ulid.to_string()), "{text}");
        assert_eq!(group.overlaps(&blocks[..1], None), None);
        assert!(group.overlaps(&blocks[..1], Some(&blocks[0])).is_some());
    }
}

//! Whether the blocks of a bucket are sound: Thanos's checks (`index_known_issues`, `overlapped_blocks`,
//! `duplicated_compaction`), and one that it lacks, every chunk decoded (`chunks`).

use std::collections::BTreeMap;
use std::path::Path;

use objstore::Bucket;
use tsdb::Ulid;
use tsdb::compact::Health;

use super::Block;
use crate::bucket::download;

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verify {
    Index,
    Overlaps,
    Duplicates,
    Chunks,
}

impl Verify {
    /// By Thanos's names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "index_known_issues" => Self::Index,
            "overlapped_blocks" => Self::Overlaps,
            "duplicated_compaction" => Self::Duplicates,
            "chunks" => Self::Chunks,
            _ => return None,
        })
    }

    /// As Thanos calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index_known_issues",
            Self::Overlaps => "overlapped_blocks",
            Self::Duplicates => "duplicated_compaction",
            Self::Chunks => "chunks",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub check: Verify,
    pub blocks: Vec<Ulid>,
    pub what: String,
}

/// Checks blocks; those that are marked for deletion do not count. `folder` is used to fetch them, `done` is called after each
/// that was.
///
/// # Errors
/// [`objstore::Error`] when the bucket does not answer.
pub async fn verify(
    bucket: &Bucket,
    blocks: &[Block],
    checks: &[Verify],
    folder: &Path,
    done: impl Fn(),
) -> Result<Vec<Issue>, crate::bucket::DownloadError> {
    let stay: Vec<&Block> = blocks
        .iter()
        .filter(|block| block.deletion.is_none())
        .collect();
    let mut issues = Vec::new();
    if checks.contains(&Verify::Overlaps) {
        issues.extend(overlaps(&stay));
    }
    if checks.contains(&Verify::Duplicates) {
        issues.extend(duplicates(&stay));
    }
    let deep = checks.contains(&Verify::Chunks);
    if !deep && !checks.contains(&Verify::Index) {
        return Ok(issues);
    }
    for block in stay {
        let id = block.meta.ulid;
        let path = folder.join(id.to_string());
        if deep {
            download(bucket, id, &path, 4).await?;
        } else {
            fetch_index(bucket, id, &path).await?;
        }
        let (mint, maxt) = (block.meta.min_time, block.meta.max_time);
        let found = tokio::task::spawn_blocking({
            let path = path.clone();
            move || look(&path, (mint, maxt), deep)
        });
        for (check, what) in found.await.unwrap_or_default() {
            issues.push(Issue {
                check,
                blocks: vec![id],
                what,
            });
        }
        let _ = tokio::fs::remove_dir_all(&path).await;
        done();
    }
    Ok(issues)
}

async fn fetch_index(
    bucket: &Bucket,
    id: Ulid,
    path: &Path,
) -> Result<(), crate::bucket::DownloadError> {
    // All of the block is not needed to walk its index.
    crate::bucket::fetch(bucket, &format!("{id}/index"), &path.join("index")).await
}

fn look(path: &Path, (mint, maxt): (i64, i64), deep: bool) -> Vec<(Verify, String)> {
    let mut found = Vec::new();
    match Health::of_index(path, mint, maxt) {
        Ok(health) => found.extend(
            health
                .first_issue()
                .map(|issue| (Verify::Index, issue.to_string())),
        ),
        Err(error) => found.push((Verify::Index, net::log::chain(&error))),
    }
    if !deep {
        return found;
    }
    let verified = tsdb::block::Block::open(path).and_then(|block| tsdb::block::verify(&block));
    match verified {
        Ok(verified) => {
            let told = verified.findings.iter().map(ToString::to_string);
            found.extend(told.map(|what| (Verify::Chunks, what)));
        }
        Err(error) => found.push((Verify::Chunks, net::log::chain(&error))),
    }
    found
}

/// Blocks of one group by what tells groups apart.
fn grouped<'b>(blocks: &[&'b Block]) -> Vec<Vec<&'b Block>> {
    let mut groups: BTreeMap<_, Vec<&Block>> = BTreeMap::new();
    for block in blocks {
        let labels = block.meta.thanos.as_ref().map(|thanos| &thanos.labels);
        groups
            .entry((block.resolution(), labels))
            .or_default()
            .push(block);
    }
    groups.into_values().collect()
}

fn overlaps(blocks: &[&Block]) -> Vec<Issue> {
    let mut issues = Vec::new();
    for group in grouped(blocks) {
        for pair in group.windows(2) {
            if pair[1].meta.min_time < pair[0].meta.max_time {
                issues.push(Issue {
                    check: Verify::Overlaps,
                    blocks: pair.iter().map(|block| block.meta.ulid).collect(),
                    what: format!(
                        "blocks overlap: one ends at {} and the next begins at {}",
                        pair[0].meta.max_time, pair[1].meta.min_time
                    ),
                });
            }
        }
    }
    issues
}

fn duplicates(blocks: &[&Block]) -> Vec<Issue> {
    let mut issues = Vec::new();
    for group in grouped(blocks) {
        let mut seen: BTreeMap<&Vec<Ulid>, Ulid> = BTreeMap::new();
        for block in group {
            let id = block.meta.ulid;
            if let Some(before) = seen.insert(&block.meta.compaction.sources, id) {
                issues.push(Issue {
                    check: Verify::Duplicates,
                    blocks: vec![before, id],
                    what: "blocks were made of the same sources".to_owned(),
                });
            }
        }
    }
    issues
}

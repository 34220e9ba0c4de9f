//! A bucket in a folder, and what is in it, without what differs from run to run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tsdb::Ulid;
use tsdb::meta::{DeletionMark, IndexStats, Mark as _, Meta, Stats};

/// A bucket that ends with the test.
pub(crate) struct Bucket(tempfile::TempDir);

/// A block, without the ids of those that it was made of on the way.
#[derive(Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) resolution: i64,
    pub(crate) times: (i64, i64),
    level: i64,
    sources: Vec<Ulid>,
    parents: Vec<(i64, i64)>,
    labels: BTreeMap<String, String>,
    source: String,
    stats: Stats,
    index_stats: IndexStats,
    /// Of index and segments: name, size and checksum.
    files: Vec<(String, u64, u32)>,
    pub(crate) id: Anything<String>,
    pub(crate) meta: Anything<Meta>,
}

/// Something that is not compared.
#[derive(Debug)]
pub(crate) struct Anything<T>(T);

impl<T> PartialEq for Anything<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> std::ops::Deref for Anything<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Summary {
    /// What tells it from others.
    pub(crate) fn short(&self) -> String {
        let hours = |ms: i64| ms / 3_600_000;
        let (from, to) = self.times;
        format!(
            "{} ms, {} h to {} h, level {}, {} sources, {} series, {} samples",
            self.resolution,
            hours(from),
            hours(to),
            self.level,
            self.sources.len(),
            self.stats.num_series,
            self.stats.num_samples
        )
    }
}

impl Bucket {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// The blocks of these archives.
    pub(crate) fn unpacked(golden: &Path, archives: &[&str]) -> Self {
        let bucket = Self::empty();
        for archive in archives {
            let archive = golden.join(format!("{archive}.tar.zst"));
            let mut tar = Command::new("tar");
            tar.arg("--zstd").arg("-xf").arg(&archive);
            let unpacked = tar.arg("-C").arg(bucket.0.path()).status();
            assert!(
                unpacked.expect("tar is there").success(),
                "{}",
                archive.display()
            );
        }
        bucket.flatten();
        bucket
    }

    /// Archives may hold the blocks in a folder.
    fn flatten(&self) {
        for folder in self.folders() {
            if folder.join(Meta::FILE).is_file() {
                continue;
            }
            for inner in fs::read_dir(&folder).expect("listed").flatten() {
                if inner.path().join(Meta::FILE).is_file() {
                    fs::rename(inner.path(), self.0.path().join(inner.file_name())).expect("moved");
                }
            }
            let _ = fs::remove_dir_all(&folder);
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).expect("listed").flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.is_dir()).collect()
    }

    /// The file of its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        let file = self.0.path().join("bucket.yaml");
        let folder = self.0.path().display();
        let text = format!("type: FILESYSTEM\nconfig: {{ directory: {folder} }}\n");
        fs::write(&file, text).expect("written");
        file
    }

    pub(crate) fn copy(&self) -> Self {
        let copy = Self::empty();
        for folder in self.folders() {
            let mut cp = Command::new("cp");
            let copied = cp.arg("-r").arg(&folder).arg(copy.0.path()).status();
            assert!(copied.expect("cp is there").success());
        }
        copy
    }

    /// Its blocks that are not to go, by resolution and time.
    pub(crate) fn blocks(&self) -> Vec<Summary> {
        let folders = self.folders().into_iter();
        let whole = folders.filter(|folder| folder.join(Meta::FILE).is_file());
        let stays = whole.filter(|folder| !folder.join(DeletionMark::FILE).is_file());
        let mut blocks: Vec<Summary> = stays.map(|folder| summary(&folder)).collect();
        blocks.sort_by(|a, b| {
            let key = |s: &Summary| (s.resolution, s.times, s.sources.clone());
            key(a).cmp(&key(b))
        });
        blocks
    }
}

fn summary(folder: &Path) -> Summary {
    let meta = Meta::read(folder).expect("a meta");
    let thanos = meta.thanos.clone().expect("a section of Thanos");
    let mut names = tsdb::segment::names(folder).expect("segments");
    names = names.iter().map(|name| format!("chunks/{name}")).collect();
    names.push("index".to_owned());
    let file = |name: String| {
        let bytes = fs::read(folder.join(&name)).expect("read");
        (name, bytes.len() as u64, crc(&bytes))
    };
    let parents = meta.compaction.parents.iter();
    Summary {
        resolution: thanos.downsample.resolution,
        times: (meta.min_time, meta.max_time),
        level: meta.compaction.level,
        sources: meta.compaction.sources.clone(),
        parents: parents.map(|p| (p.min_time, p.max_time)).collect(),
        labels: thanos.labels,
        source: thanos.source,
        stats: meta.stats.clone(),
        index_stats: thanos.index_stats,
        files: names.into_iter().map(file).collect(),
        id: Anything(meta.ulid.to_string()),
        meta: Anything(meta),
    }
}

/// Any checksum will do.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

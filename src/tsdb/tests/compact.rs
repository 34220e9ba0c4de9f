//! Blocks that real Thanos compacted, downsampled and deduplicated, made again out of the same raw blocks. With `TKS_GOLDEN` (a
//! folder with archives such as `raw-replica0.tar.zst`, or what is in them, in folders of the same names) only.

#![allow(clippy::print_stdout, reason = "a test says what it leaves out")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use model::Cancel;
use tsdb::Ulid;
use tsdb::block::{Block, verify};
use tsdb::compact::{Merge, Options, compact, downsample};
use tsdb::meta::Meta;

struct Golden {
    folder: PathBuf,
    _unpacked: tempfile::TempDir,
}

/// `None`, and a line, where there is no golden data.
fn golden(name: &str) -> Option<Golden> {
    let Some(golden) = std::env::var_os("TKS_GOLDEN").map(PathBuf::from) else {
        println!("left out: TKS_GOLDEN names no folder with golden blocks");
        return None;
    };
    let unpacked = tempfile::tempdir().expect("a folder");
    let mut folder = golden.join(name);
    if !folder.is_dir() {
        let archive = golden.join(format!("{name}.tar.zst"));
        let tar = Command::new("tar")
            .arg("--zstd")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(unpacked.path())
            .status();
        assert!(
            tar.expect("tar is there").success(),
            "{}",
            archive.display()
        );
        folder = unpacked.path().to_owned();
    }
    Some(Golden {
        folder,
        _unpacked: unpacked,
    })
}

/// Blocks below a folder, by id.
fn blocks(folder: &Path) -> HashMap<Ulid, (PathBuf, Meta)> {
    fn walk(folder: &Path, found: &mut HashMap<Ulid, (PathBuf, Meta)>) {
        for entry in std::fs::read_dir(folder).expect("listed").flatten() {
            let path = entry.path();
            if path.join(Meta::FILE).is_file() {
                let meta = Meta::read(&path).expect("a meta");
                found.insert(meta.ulid, (path, meta));
            } else if path.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = HashMap::new();
    walk(folder, &mut found);
    assert!(!found.is_empty(), "no blocks in {}", folder.display());
    found
}

fn resolution(meta: &Meta) -> i64 {
    meta.thanos
        .as_ref()
        .map_or(0, |thanos| thanos.downsample.resolution)
}

fn options(merge: Merge) -> Options {
    Options {
        merge,
        ..Options::default()
    }
}

/// All files but the meta have the same bytes, and the metas tell the same.
fn assert_same(made: &Path, wanted: &Path) {
    let name = wanted.display();
    let (is, was) = (
        Meta::read(made).expect("a meta"),
        Meta::read(wanted).expect("a meta"),
    );
    assert_eq!(
        (is.min_time, is.max_time, &is.stats),
        (was.min_time, was.max_time, &was.stats),
        "{name}"
    );
    let sources = |meta: &Meta| meta.compaction.sources.clone();
    assert_eq!(sources(&is), sources(&was), "{name}");
    let files = |folder: &Path| {
        let mut names = tsdb::segment::names(folder).expect("segments");
        names = names.iter().map(|n| format!("chunks/{n}")).collect();
        names.push("index".to_owned());
        names
    };
    assert_eq!(files(made), files(wanted), "{name}");
    for file in files(wanted) {
        let read = |folder: &Path| std::fs::read(folder.join(&file)).expect("read");
        let (is, was) = (read(made), read(wanted));
        let differs = is.iter().zip(&was).position(|(a, b)| a != b);
        assert!(
            is == was,
            "{name}/{file}: {} bytes, {} wanted, the first that differs is {differs:?}",
            is.len(),
            was.len()
        );
    }
    let stats = |meta: &Meta| meta.thanos.as_ref().map(|thanos| thanos.index_stats);
    assert_eq!(stats(&is), stats(&was), "{name}");
    let block = Block::open(made).expect("opened");
    assert_eq!(verify(&block).expect("verified").findings, [], "{name}");
}

fn made(sources: &[PathBuf], parent: &Path, merge: Merge) -> PathBuf {
    let id = Ulid::generate();
    let meta = compact(sources, parent, id, &options(merge), &Cancel::new());
    meta.expect("compacted").expect("not empty");
    parent.join(id.to_string())
}

/// Downsampled blocks, out of the finer ones beside them.
fn check_downsampled(compacted: &HashMap<Ulid, (PathBuf, Meta)>) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let mut checked = 0;
    for (wanted, meta) in compacted.values() {
        let from = match resolution(meta) {
            0 => continue,
            300_000 => 0,
            _ => 300_000,
        };
        let same = |other: &&(PathBuf, Meta)| {
            resolution(&other.1) == from && other.1.compaction.sources == meta.compaction.sources
        };
        let (source, _) = compacted.values().find(same).expect("the finer block");
        let id = Ulid::generate();
        let to = resolution(meta);
        let options = Options::default();
        let made = downsample(source, folder.path(), id, to, &options, &Cancel::new());
        made.expect("downsampled").expect("not empty");
        assert_same(&folder.path().join(id.to_string()), wanted);
        checked += 1;
    }
    checked
}

#[test]
fn blocks_that_follow_each_other_become_the_block_that_thanos_made() {
    let (Some(raw), Some(compacted)) = (golden("raw-replica0"), golden("thanos-compacted")) else {
        return;
    };
    let (raw, compacted) = (blocks(&raw.folder), blocks(&compacted.folder));
    let folder = tempfile::tempdir().expect("a folder");
    let mut checked = 0;
    for (wanted, meta) in compacted.values() {
        if resolution(meta) > 0 || meta.compaction.level == 1 {
            continue;
        }
        let sources = meta.compaction.sources.iter().map(|id| &raw[id]);
        let mut sources: Vec<_> = sources.collect();
        sources.sort_by_key(|(_, meta)| meta.min_time);
        let sources: Vec<PathBuf> = sources.into_iter().map(|(path, _)| path.clone()).collect();
        assert_same(&made(&sources, folder.path(), Merge::OneToOne), wanted);
        checked += 1;
    }
    println!(
        "{checked} compacted blocks, {} downsampled ones",
        check_downsampled(&compacted)
    );
    assert!(checked > 0);
}

#[test]
fn replicas_become_the_block_that_thanos_made() {
    let names = ["raw-replica0", "raw-replica1", "thanos-deduplicated"];
    let [Some(a), Some(b), Some(wanted)] = names.map(golden) else {
        return;
    };
    let mut raw = blocks(&a.folder);
    raw.extend(blocks(&b.folder));
    let wanted = blocks(&wanted.folder);
    let folder = tempfile::tempdir().expect("a folder");
    let mut checked = 0;
    for (path, meta) in wanted.values() {
        if resolution(meta) > 0 || meta.compaction.level == 1 {
            continue;
        }
        // First the replicas of the same hours, then the hours.
        let mut hours: BTreeMap<i64, Vec<(Ulid, PathBuf)>> = BTreeMap::new();
        for id in &meta.compaction.sources {
            let (path, meta) = &raw[id];
            hours
                .entry(meta.min_time)
                .or_default()
                .push((*id, path.clone()));
        }
        let order = |id: &Ulid| {
            let parents = &meta.compaction.parents;
            parents.iter().position(|parent| parent.ulid == *id)
        };
        let deduplicated: Vec<PathBuf> = hours
            .into_values()
            .map(|mut replicas| {
                replicas.sort_by_key(|(id, _)| order(id));
                let paths: Vec<PathBuf> = replicas.into_iter().map(|(_, path)| path).collect();
                match paths.as_slice() {
                    [only] => only.clone(),
                    _ => made(&paths, folder.path(), Merge::Penalty),
                }
            })
            .collect();
        let whole = match deduplicated.as_slice() {
            [only] => only.clone(),
            _ => made(&deduplicated, folder.path(), Merge::Penalty),
        };
        assert_same(&whole, path);
        checked += 1;
    }
    println!(
        "{checked} deduplicated blocks, {} downsampled ones",
        check_downsampled(&wanted)
    );
    assert!(checked > 0);
}

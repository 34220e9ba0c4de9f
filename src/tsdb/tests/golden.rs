//! Blocks that the real Prometheus and Thanos wrote: one that lies in `testdata`, and with `TKS_GOLDEN` (a folder with
//! archives such as `raw-replica0.tar.zst`, or what is in them, in folders of the same names) hundreds of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use tsdb::block::{Block, verify};
use tsdb::header::{self, IndexHeader};
use tsdb::index::{IndexWriter, SeriesEntry};
use tsdb::meta::Meta;
use tsdb::postings::Postings;

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Reads every series of an index and writes them again.
fn rewritten(index: &Bytes) -> Vec<u8> {
    let header = header::build(index).expect("built");
    let header = IndexHeader::from_bytes(&header).expect("a header");
    let symbols: Vec<&str> = header.symbols().map(|s| s.expect("text")).collect();
    let mut writer = IndexWriter::new(Vec::new(), symbols.iter().copied()).expect("symbols");
    let all = header.all_postings().expect("a table").expect("there");
    let list = index.slice(all.start as usize..all.end as usize);
    let list = Postings::parse(&list, all.start).expect("postings");
    let mut entry = SeriesEntry::default();
    for series in list.iter() {
        let at = header.series_offset(series);
        entry.read(&index[at as usize..], at).expect("a series");
        let labels = entry
            .labels
            .iter()
            .map(|(n, v)| (symbols[*n as usize], symbols[*v as usize]));
        writer.add(labels, &entry.chunks).expect("written");
    }
    writer.finish().expect("finished").0
}

fn check(folder: &Path) {
    let block =
        Block::open(folder).unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)));
    let verified = verify(&block).expect("verified");
    assert_eq!(verified.findings, [], "{}", folder.display());
    let meta = block.meta();
    assert_eq!(verified.stats.num_samples, meta.stats.num_samples);
    let index = Bytes::from(std::fs::read(folder.join("index")).expect("read"));
    assert!(
        rewritten(&index) == index,
        "the index of {} is not written the same",
        folder.display()
    );
    // The small block's generator sorts the keys.
    let json = std::fs::read_to_string(folder.join(Meta::FILE)).expect("read");
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let (was, is) = (parse(&json), parse(&meta.to_json()));
    let keys = |v: &serde_json::Value| {
        v.as_object()
            .map(|m| m.keys().cloned().collect::<BTreeSet<_>>())
    };
    assert_eq!(keys(&was), keys(&is));
    assert_eq!(
        (&was["stats"], &was["compaction"]),
        (&is["stats"], &is["compaction"])
    );
}

#[test]
fn a_block_of_prometheus_is_sound_and_its_index_is_written_the_same() {
    check(&testdata().join("block"));
}

#[test]
fn a_header_is_what_thanos_makes_of_the_same_index() {
    let index = std::fs::read(testdata().join("block/index")).expect("read");
    let wanted = std::fs::read(testdata().join("index-header")).expect("read");
    assert!(header::build(&Bytes::from(index)).expect("built") == wanted);
    IndexHeader::from_bytes(&wanted.into()).expect("readable");
}

fn blocks_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("listed").flatten() {
        let path = entry.path();
        if path.join(Meta::FILE).is_file() {
            found.push(path);
        } else if path.is_dir() {
            blocks_below(&path, found);
        }
    }
}

#[test]
fn golden_blocks_are_sound_and_their_indices_are_written_the_same() {
    let Some(golden) = std::env::var_os("TKS_GOLDEN").map(PathBuf::from) else {
        println!("left out: TKS_GOLDEN names no folder with golden blocks");
        return;
    };
    for name in ["raw-replica0", "thanos-compacted"] {
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
                "cannot unpack {}",
                archive.display()
            );
            folder = unpacked.path().to_owned();
        }
        let mut blocks = Vec::new();
        blocks_below(&folder, &mut blocks);
        assert!(!blocks.is_empty(), "no blocks in {}", folder.display());
        blocks.iter().for_each(|block| check(block));
        println!("{name}: {} blocks", blocks.len());
    }
}

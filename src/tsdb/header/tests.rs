use super::*;
use crate::index::{ChunkMeta, ChunkRef, IndexWriter};
use crate::postings::Postings;
use crate::range::RangeRead;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// An index of series that have one value of each label at most.
fn index(series: &BTreeSet<Vec<(String, String)>>) -> Bytes {
    let pairs = series.iter().flatten();
    let symbols: BTreeSet<&str> = pairs.flat_map(|(n, v)| [n.as_str(), v.as_str()]).collect();
    let mut writer = IndexWriter::new(Vec::new(), symbols).expect("symbols");
    for (at, labels) in series.iter().enumerate() {
        let labels = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let chunk = ChunkRef::new(0, 8 + at as u32);
        let chunks = [ChunkMeta {
            mint: 1,
            maxt: 2,
            chunk,
        }];
        writer.add(labels, &chunks).expect("a series");
    }
    writer.finish().expect("an index").0.into()
}

fn pods(count: usize) -> BTreeSet<Vec<(String, String)>> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    (0..count)
        .map(|n| {
            vec![
                pair("__name__", "up".into()),
                pair("pod", format!("pod-{n:04}")),
            ]
        })
        .collect()
}

#[test]
fn every_value_is_found_between_the_samples() {
    for count in [1, 31, 32, 33, 64, 100] {
        let index = index(&pods(count));
        let header = IndexHeader::from_bytes(&build(&index).expect("built")).expect("a header");
        assert_eq!(
            header.label_names().collect::<Vec<_>>(),
            ["__name__", "pod"]
        );
        let values: Vec<_> = header
            .label_values("pod")
            .map(|v| v.expect("a value"))
            .collect();
        assert_eq!(values.len(), count);
        for (at, (value, range)) in values.into_iter().enumerate() {
            assert_eq!(value, format!("pod-{at:04}"));
            assert_eq!(header.postings("pod", value), Ok(Some(range.clone())));
            let list = Postings::parse(
                &index.slice(range.start as usize..range.end as usize),
                range.start,
            );
            assert_eq!(list.expect("postings").len(), 1);
        }
        for missing in ["", "pod", "pod-0000x", "pod-9999", "z"] {
            assert_eq!(header.postings("pod", missing), Ok(None));
        }
        assert_eq!(header.postings("nothing", "x"), Ok(None));
        assert!(header.label_values("nothing").next().is_none());
        let all = header.all_postings().expect("a table").expect("there");
        let all = index
            .read(all.clone())
            .map(|b| Postings::parse(&b, all.start));
        assert_eq!(all.expect("read").expect("postings").len(), count);
    }
}

#[test]
fn symbols_are_found_between_the_samples() {
    let index = index(&pods(100));
    let header = IndexHeader::from_bytes(&build(&index).expect("built")).expect("a header");
    let all: Vec<&str> = header.symbols().map(|s| s.expect("text")).collect();
    assert_eq!(all.len(), 103);
    for (ordinal, text) in all.iter().enumerate() {
        assert_eq!(header.symbol(ordinal as u32), Ok(*text));
    }
    assert!(header.symbol(103).is_err());
    assert!(header.symbol(u32::MAX).is_err());
    assert!(header.heap_bytes() < 1000);
}

#[test]
fn a_written_header_is_mapped_and_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index-header");
    let index = index(&pods(40));
    write(&index, &path).expect("written");
    assert_eq!(
        std::fs::read(&path).expect("read"),
        build(&index).expect("built")
    );
    let header = IndexHeader::open(&path).expect("mapped");
    assert_eq!(header.label_values("pod").count(), 40);
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("listed").collect();
    assert_eq!(names.len(), 1, "the temporary file is gone");
    std::fs::write(folder.path().join("empty"), b"").expect("written");
    let error = IndexHeader::open(&folder.path().join("empty")).expect_err("empty");
    assert!(matches!(error, HeaderError::Corrupt(_)));
}

#[test]
fn pieces_may_come_in_any_sizes_but_must_be_whole() {
    let index = index(&pods(40));
    let size = index.size();
    let pieces = IndexPieces::parse(&index[..5], &index[(size - Toc::LEN) as usize..], size)
        .expect("an index");
    let wanted: Vec<u8> = pieces
        .ranges()
        .into_iter()
        .flat_map(|r| index[r.start as usize..r.end as usize].to_vec())
        .collect();
    let path = Path::new("memory");
    let mut build = Build::new(Vec::new(), &pieces).expect("begun");
    wanted
        .chunks(7)
        .for_each(|piece| build.push(piece).expect("pushed"));
    let header = build.finish(path).expect("whole");
    assert_eq!(header, super::build(&index).expect("built"));
    let mut short = Build::new(Vec::new(), &pieces).expect("begun");
    short.push(&wanted[1..]).expect("pushed");
    assert!(matches!(
        short.finish(path),
        Err(HeaderError::Pieces { .. })
    ));
}

#[test]
fn damage_is_seen() {
    let good = build(&index(&pods(40))).expect("built");
    for len in 0..good.len() {
        assert!(
            IndexHeader::from_bytes(&good.slice(..len)).is_err(),
            "{len}"
        );
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        if let Ok(header) = IndexHeader::from_bytes(&bad.into()) {
            // Only the version of the index has no checksum: it changes how the tables are read.
            assert_eq!((bit / 8, header.version()), (5, Version::V1));
        }
    }
}

/// Replaces a section's content and gives it a right checksum.
fn with_table(header: &Bytes, content: &[u8]) -> Bytes {
    let toc = OwnToc::parse(header).expect("a header");
    let end = header.len() - TAIL - Toc::LEN as usize;
    let mut out = header[..toc.offsets].to_vec();
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
    out.extend_from_slice(&crc32c::crc32c(content).to_be_bytes());
    out.extend_from_slice(&header[end..]);
    out.into()
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = IndexHeader::from_bytes(&bytes.into());
    }

    #[test]
    fn a_table_that_lies_never_panics(content in prop::collection::vec(any::<u8>(), 0..60), count in 0u32..5) {
        let good = build(&index(&pods(3))).expect("built");
        let mut table = count.to_be_bytes().to_vec();
        table.extend_from_slice(&content);
        if let Ok(header) = IndexHeader::from_bytes(&with_table(&good, &table)) {
            for name in header.label_names() {
                header.label_values(name).for_each(drop);
                let _ = header.postings(name, "x");
            }
        }
    }

    #[test]
    fn every_label_of_every_series_is_found(series in prop::collection::btree_set(prop::collection::btree_map("[a-c]", "[a-z]{1,2}", 1..3), 1..60)) {
        let series: BTreeSet<Vec<(String, String)>> = series.into_iter().map(|labels| labels.into_iter().collect()).collect();
        let index = index(&series);
        let header = IndexHeader::from_bytes(&build(&index).expect("built")).expect("a header");
        let mut wanted: BTreeMap<&(String, String), usize> = BTreeMap::new();
        series.iter().flatten().for_each(|pair| *wanted.entry(pair).or_default() += 1);
        let mut found = 0;
        for name in header.label_names() {
            for value in header.label_values(name) {
                let (value, range) = value.expect("a value");
                let list = Postings::parse(&index.slice(range.start as usize..range.end as usize), 0).expect("postings");
                prop_assert_eq!(wanted.get(&(name.to_owned(), value.to_owned())), Some(&list.len()));
                found += 1;
            }
        }
        prop_assert_eq!(found, wanted.len());
    }
}

/// An index of version 1, by hand: symbols are places in the file, references too, and the table is in no order.
fn version_1() -> Bytes {
    let mut out = crate::index::MAGIC.to_be_bytes().to_vec();
    out.push(1);
    let section = |out: &mut Vec<u8>, content: &[u8]| {
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(content);
        out.extend_from_slice(&crc32c::crc32c(content).to_be_bytes());
    };
    // a=13, b=15, x=17
    section(&mut out, b"\0\0\0\x03\x01a\x01b\x01x");
    let series = out.len() as u64;
    let entry = crate::index::SeriesEntry {
        labels: vec![(13, 17), (15, 17)],
        chunks: vec![ChunkMeta {
            mint: 1,
            maxt: 2,
            chunk: ChunkRef(8),
        }],
    };
    entry.encode(&mut out);
    let postings = out.len() as u64;
    let reference = series as u32;
    let places = [0; 3].map(|_| {
        let place = out.len() as u8;
        Postings::encode([reference].into_iter(), &mut out);
        place
    });
    let postings_offset_table = out.len() as u64;
    let mut table = b"\0\0\0\x03".to_vec();
    for (name, value, place) in [
        ("b", "x", places[2]),
        ("", "", places[0]),
        ("a", "x", places[1]),
    ] {
        table.push(2);
        for text in [name, value] {
            table.push(text.len() as u8);
            table.extend_from_slice(text.as_bytes());
        }
        table.push(place);
    }
    section(&mut out, &table);
    let toc = Toc {
        symbols: 5,
        series,
        label_indices: postings,
        label_offset_table: postings_offset_table,
        postings,
        postings_offset_table,
    };
    out.extend_from_slice(&toc.encode());
    out.into()
}

#[test]
fn version_1_is_read() {
    let index = version_1();
    let header = IndexHeader::from_bytes(&build(&index).expect("built")).expect("a header");
    assert_eq!(header.version(), Version::V1);
    assert_eq!(header.label_names().collect::<Vec<_>>(), ["a", "b"]);
    let range = header.postings("a", "x").expect("a table").expect("there");
    let list =
        Postings::parse(&index.read(range.clone()).expect("read"), range.start).expect("postings");
    let at = header.series_offset(list.iter().next().expect("a series"));
    let mut entry = crate::index::SeriesEntry::default();
    entry.read(&index[at as usize..], at).expect("a series");
    let texts: Vec<_> = entry
        .labels
        .iter()
        .map(|(n, v)| (header.symbol(*n), header.symbol(*v)))
        .collect();
    assert_eq!(texts, [(Ok("a"), Ok("x")), (Ok("b"), Ok("x"))]);
    assert!(header.symbol(4).is_err() && header.symbol(900).is_err());
}

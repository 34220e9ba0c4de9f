use super::*;

/// As a compactor of Thanos 0.43 wrote it, a field that nobody knows added in each place.
const COMPACTED: &str = include_str!("../testdata/compacted.json");

#[test]
fn what_thanos_wrote_is_written_the_same() {
    let meta = Meta::parse(COMPACTED.as_bytes()).expect("a meta");
    assert_eq!(meta.to_json(), COMPACTED);
    let thanos = meta.thanos.as_ref().expect("a thanos section");
    assert_eq!(thanos.index_stats.chunk_max_size, 1021);
    assert!(thanos.upload_time.is_some());
    assert_eq!(
        (meta.compaction.sources.len(), meta.stats.num_chunks),
        (4, 684)
    );
    for other in [
        &meta.other,
        &meta.stats.other,
        &meta.compaction.other,
        &thanos.other,
    ] {
        assert!(other.contains_key("fromTheFuture"));
    }
}

#[test]
fn a_block_of_prometheus_has_no_thanos_section() {
    let json = r#"{"ulid":"01M81PCQFH0MPS8XJENQJFS72X","minTime":1,"maxTime":2,"compaction":{"level":1,"sources":null},"version":1}"#;
    let meta = Meta::parse(json.as_bytes()).expect("a meta");
    assert_eq!((meta.thanos, meta.stats), (None, Stats::default()));
}

#[test]
fn labels_that_are_null_are_none_and_zero_time_is_never() {
    let json = r#"{"ulid":"01M81PCQFH0MPS8XJENQJFS72X","minTime":1,"maxTime":2,"compaction":{"level":1},"version":1,
        "thanos":{"labels":null,"downsample":{"resolution":300000},"source":"sidecar"}}"#;
    let meta = Meta::parse(json.as_bytes()).expect("a meta");
    let thanos = meta.thanos.as_ref().expect("a thanos section");
    assert!(thanos.labels.is_empty());
    assert_eq!(
        (thanos.downsample.resolution, thanos.upload_time),
        (300_000, None)
    );
    let written = meta.to_json();
    assert!(
        written.contains("\"upload_time\": \"0001-01-01T00:00:00Z\""),
        "{written}"
    );
    assert!(written.contains("\"index_stats\": {}"), "{written}");
}

#[test]
fn other_versions_and_half_documents_are_errors() {
    let two = COMPACTED.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(
        Meta::parse(two.as_bytes())
            .expect_err("version 2")
            .to_string(),
        "unexpected version 2 of meta.json"
    );
    for len in 0..COMPACTED.trim_end().len() {
        assert!(Meta::parse(&COMPACTED.as_bytes()[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_new_meta_is_written_whole_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut meta = Meta::new(Ulid::from_parts(1, 2), 10, 20);
    meta.thanos = Some(ThanosMeta {
        version: 1,
        labels: BTreeMap::from([("a<b".into(), "&".into())]),
        ..ThanosMeta::default()
    });
    meta.write(folder.path()).expect("written");
    assert_eq!(Meta::read(folder.path()).expect("read"), meta);
    let missing = Meta::read(&folder.path().join("nowhere")).expect_err("missing");
    assert!(missing.to_string().ends_with("nowhere/meta.json"));
}

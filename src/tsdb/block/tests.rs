use super::*;
use std::collections::BTreeMap;

use model::{
    Cancel, Cancelled, Columns, MatchKind, Matcher, Queryable, Select, SelectError, Symbols,
};
use proptest::prelude::*;

use crate::tombstone::Interval;

type Pairs = Vec<(String, String)>;
type Written = BTreeMap<Pairs, Vec<(i64, f64)>>;

fn pairs(labels: &[(&str, &str)]) -> Pairs {
    labels
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

/// Writes a block into `parent`.
fn write(parent: &Path, id: u128, series: &Written) -> Block {
    let id = Ulid::from(id);
    let mut writer = BlockWriter::create(parent, id).expect("created");
    for (labels, samples) in series {
        let labels = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        writer.add_floats(labels, samples).expect("added");
    }
    writer.finish().expect("finished");
    Block::open(&parent.join(id.to_string())).expect("opened")
}

fn request(matchers: Vec<Matcher>) -> Select {
    Select::new(Arc::new(Symbols::new()), matchers, i64::MIN, i64::MAX)
}

fn everything() -> Vec<Matcher> {
    vec![Matcher::equal("nowhere", "")]
}

/// All that a select gives; series must come in label order.
fn read(source: &dyn Queryable, select: &Select) -> Result<Written, SelectError> {
    let mut stream = source.select(select, &Cancel::new())?;
    let mut all = Written::new();
    let mut last = None;
    while let Some(batch) = stream.next()? {
        assert!(!batch.is_empty() && batch.len() <= model::MAX_BATCH);
        for series in batch {
            let mut columns = Columns::default();
            series.samples.read(&mut columns)?;
            let texts = series.labels.iter(&select.symbols);
            let labels: Pairs = texts.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert!(
                last.as_ref().is_none_or(|last| *last < labels),
                "{labels:?}"
            );
            last = Some(labels.clone());
            let samples = columns.t.into_iter().zip(columns.v).collect();
            assert!(all.insert(labels, samples).is_none());
        }
    }
    Ok(all)
}

fn samples(range: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    range.map(|n| (n * 1000, n as f64)).collect()
}

fn three() -> Written {
    Written::from([
        (pairs(&[("__name__", "up"), ("job", "a")]), samples(0..300)),
        (pairs(&[("__name__", "up"), ("job", "b")]), samples(10..20)),
        (
            pairs(&[("__name__", "up"), ("job", "b"), ("pod", "x")]),
            samples(5..250),
        ),
    ])
}

#[test]
fn what_is_written_is_read_and_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let block = write(folder.path(), 1, &three());
    assert_eq!(read(&block, &request(everything())), Ok(three()));
    let meta = block.meta();
    assert_eq!((meta.min_time, meta.max_time), (0, 299_001));
    assert_eq!(
        (meta.stats.num_series, meta.stats.num_chunks),
        (3, 3 + 1 + 3)
    );
    assert_eq!(meta.stats.num_samples, 300 + 10 + 245);
    let verified = verify(&block).expect("verified");
    assert_eq!(verified.findings, []);
    assert_eq!(verified.stats, meta.stats);
}

#[test]
fn only_what_was_asked_for_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let block = write(folder.path(), 1, &three());
    let jobs = |matcher: Matcher| {
        let found = read(&block, &request(vec![matcher])).expect("read");
        found
            .into_keys()
            .map(|labels| labels[1].1.clone() + &labels.len().to_string())
            .collect::<Vec<_>>()
    };
    let matcher = |kind, name, value| Matcher::new(kind, name, value).expect("a matcher");
    use MatchKind::{Equal, NotEqual, NotRegex, Regex};
    assert_eq!(jobs(matcher(Equal, "pod", "")), ["a2", "b2"]);
    assert_eq!(jobs(matcher(NotEqual, "pod", "")), ["b3"]);
    assert_eq!(jobs(matcher(Regex, "job", "a|c")), ["a2"]);
    assert_eq!(jobs(matcher(NotRegex, "job", "a|c")), ["b2", "b3"]);
    assert_eq!(jobs(matcher(Regex, "pod", "x?")), ["a2", "b2", "b3"]);
    assert_eq!(jobs(matcher(NotRegex, "pod", ".+")), ["a2", "b2"]);
    assert!(jobs(matcher(Equal, "job", "z")).is_empty());
    let late = Select {
        mint: 260_000,
        ..request(everything())
    };
    assert_eq!(read(&block, &late).expect("read").len(), 1);
    let before = Select {
        maxt: -1,
        ..request(everything())
    };
    assert!(read(&block, &before).expect("read").is_empty());
    let two = Select {
        limit: 2,
        ..request(everything())
    };
    assert_eq!(read(&block, &two).expect("read").len(), 2);
    let labels_only = Select {
        skip_samples: true,
        ..request(everything())
    };
    assert!(
        read(&block, &labels_only)
            .expect("read")
            .into_values()
            .all(|s| s.is_empty())
    );
}

#[test]
fn blocks_are_one_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = |name, range| Written::from([(pairs(&[("__name__", name)]), samples(range))]);
    let mut early = one("up", 0..100);
    early.extend(one("only_early", 0..5));
    write(folder.path(), 1, &early);
    write(folder.path(), 2, &one("up", 100..200));
    // Overlaps both.
    write(folder.path(), 3, &one("up", 50..150));
    std::fs::create_dir(folder.path().join("not-a-block")).expect("made");
    let blocks = Blocks::open(folder.path()).expect("opened");
    assert_eq!(blocks.iter().len(), 3);
    let mut wanted = one("up", 0..200);
    wanted.extend(one("only_early", 0..5));
    assert_eq!(read(&blocks, &request(everything())), Ok(wanted));
}

#[test]
fn what_is_deleted_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let block = write(folder.path(), 1, &three());
    let range = block
        .header()
        .postings("job", "a")
        .expect("read")
        .expect("there");
    let series = block
        .0
        .postings(range)
        .expect("read")
        .iter()
        .next()
        .expect("a series");
    let mut tombstones = Tombstones::default();
    // The first chunk and a part of the second.
    tombstones.add(
        series.into(),
        Interval {
            mint: 0,
            maxt: 130_000,
        },
    );
    let path = folder.path().join(block.id().to_string());
    std::fs::write(path.join("tombstones"), tombstones.encode()).expect("written");
    let block = Block::open(&path).expect("opened");
    let mut wanted = three();
    wanted.insert(
        pairs(&[("__name__", "up"), ("job", "a")]),
        samples(131..300),
    );
    assert_eq!(read(&block, &request(everything())), Ok(wanted));
}

#[test]
fn a_raised_flag_ends_the_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let block = write(folder.path(), 1, &three());
    let cancel = Cancel::new();
    let mut stream = block
        .select(&request(everything()), &cancel)
        .expect("a stream");
    cancel.cancel(Cancelled::TimedOut);
    assert_eq!(
        stream.next().expect_err("raised"),
        Cancelled::TimedOut.into()
    );
}

#[test]
fn series_out_of_order_leave_no_block_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = BlockWriter::create(folder.path(), Ulid::nil()).expect("created");
    writer.add_floats([("a", "2")], &[(1, 1.0)]).expect("added");
    writer.add_floats([("a", "1")], &[(1, 1.0)]).expect("added");
    let error = writer.finish().expect_err("out of order");
    assert!(
        error
            .to_string()
            .starts_with("cannot write the index of block "),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
}

/// Changes one byte of one file of a block, opens and reads it all.
fn with_damage(folder: &Path, file: &str, at: usize, bit: u8) -> Result<Written, String> {
    let path = folder.join(file);
    let good = std::fs::read(&path).expect("read");
    let mut bad = good.clone();
    bad[at] ^= 1 << bit;
    std::fs::write(&path, &bad).expect("written");
    let text = |error: SelectError| error.to_string();
    let outcome = Block::open(folder)
        .map_err(|error| text(error.into()))
        .and_then(|block| read(&block, &request(everything())).map_err(text));
    std::fs::write(&path, good).expect("written");
    outcome
}

#[test]
fn no_flipped_bit_gives_a_wrong_sample() {
    let folder = tempfile::tempdir().expect("a folder");
    let series = Written::from([
        (pairs(&[("__name__", "up"), ("job", "a")]), samples(0..130)),
        (pairs(&[("__name__", "up"), ("job", "b")]), samples(0..3)),
    ]);
    let block = write(folder.path(), 1, &series);
    let path = folder.path().join(block.id().to_string());
    let mut unseen = 0;
    for file in ["index", "chunks/000001"] {
        let size = std::fs::read(path.join(file)).expect("read").len();
        for at in 0..size {
            match with_damage(&path, file, at, (at % 8) as u8) {
                // Padding, and what this selection does not touch.
                Ok(read) => {
                    assert_eq!(read, series, "byte {at} of {file}");
                    unseen += 1;
                }
                Err(text) => assert!(text.contains(file), "byte {at} of {file}: {text}"),
            }
        }
    }
    assert!(unseen < 200, "{unseen} flipped bits were not seen");
}

#[test]
fn no_cut_gives_a_wrong_sample() {
    let folder = tempfile::tempdir().expect("a folder");
    let series = Written::from([(pairs(&[("__name__", "up")]), samples(0..130))]);
    let block = write(folder.path(), 1, &series);
    let path = folder.path().join(block.id().to_string());
    for file in ["index", "chunks/000001", "tombstones", "meta.json"] {
        let good = std::fs::read(path.join(file)).expect("read");
        let whole = good.trim_ascii_end().len();
        for len in (0..whole).filter(|len| file != "meta.json" || *len < whole) {
            std::fs::write(path.join(file), &good[..len]).expect("written");
            let outcome = Block::open(&path)
                .map_err(SelectError::from)
                .and_then(|block| read(&block, &request(everything())));
            let error = outcome.expect_err("cut off").to_string();
            assert!(
                error.contains(&block.id().to_string()),
                "{file} {len}: {error}"
            );
        }
        std::fs::write(path.join(file), good).expect("written");
    }
}

#[test]
fn references_that_lie_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let series = Written::from([(pairs(&[("__name__", "up")]), samples(0..130))]);
    let block = write(folder.path(), 1, &series);
    let path = folder.path().join(block.id().to_string());
    let good = |offset| crate::index::ChunkMeta {
        mint: offset,
        maxt: offset,
        chunk: crate::index::ChunkRef(8 + offset as u64),
    };
    for lie in [1, 3000, 20_000, 1 << 31, 1 << 32, 1 << 60] {
        let mut index =
            crate::index::IndexWriter::new(Vec::new(), ["__name__", "up"]).expect("symbols");
        let labels = [("__name__", "up")];
        index
            .add(labels.into_iter(), &[good(0), good(lie)])
            .expect("added");
        std::fs::write(path.join("index"), index.finish().expect("finished").0).expect("written");
        let block = Block::open(&path).expect("opened");
        let error = read(&block, &request(everything()))
            .expect_err("a lie")
            .to_string();
        assert!(error.contains("chunks/"), "{lie}: {error}");
        assert!(verify(&block).is_ok_and(|verified| !verified.is_sound()));
    }
}

fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]", 1 => "[é-ö]{1,3}", 1 => "[a-z]{20,40}"]
}

fn written() -> impl Strategy<Value = Written> {
    let labels = prop::collection::btree_map("[a-d]", label_value(), 1..4);
    let samples = prop::collection::vec((1i64..100_000, any::<f64>()), 1..300);
    prop::collection::btree_map(labels, samples, 1..20).prop_map(|series| {
        let one = |(labels, steps): (BTreeMap<String, String>, Vec<(i64, f64)>)| {
            let mut t = 0;
            let samples = steps.into_iter().map(|(step, v)| {
                t += step;
                (t, v)
            });
            (labels.into_iter().collect(), samples.collect())
        };
        series.into_iter().map(one).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_series_come_back(series in written(), name in "[a-d]", pattern in prop::sample::select(vec!["a", "a|b", "", ".*", ".+", "a?", "[a-c]", "[^a]"])) {
        let folder = tempfile::tempdir().expect("a folder");
        let block = write(folder.path(), 1, &series);
        prop_assert_eq!(read(&block, &request(everything())), Ok(series.clone()));
        prop_assert_eq!(verify(&block).expect("verified").findings, vec![]);
        // Matchers, against looking at every series.
        for kind in [MatchKind::Equal, MatchKind::NotEqual, MatchKind::Regex, MatchKind::NotRegex] {
            let matcher = Matcher::new(kind, name.clone(), pattern).expect("a matcher");
            let value = |labels: &Pairs| labels.iter().find(|(n, _)| *n == name).map_or(String::new(), |(_, v)| v.clone());
            let wanted: Written = series.clone().into_iter().filter(|(labels, _)| matcher.matches(&value(labels))).collect();
            prop_assert_eq!(read(&block, &request(vec![matcher])), Ok(wanted));
        }
    }
}

//! Buckets with random blocks: 3 days in blocks of 2 hours, with what makes compaction hard: series that come and go, resets of
//! counters, stale markers, gaps, jitter, and a second replica on request.

use tsdb::Ulid;
use tsdb::block::BlockWriter;
use tsdb::meta::ThanosMeta;

use super::bucket::Bucket;

const HOUR: i64 = 3_600_000;
const BLOCK: i64 = 2 * HOUR;
/// 2026-01-01, where a range of 14 days begins.
const START: i64 = 1_767_225_600_000;
const BLOCKS: i64 = 36;
const SERIES: u64 = 40;

/// Numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One series: its life, and what it counts.
struct Series {
    labels: Vec<(String, String)>,
    begins: i64,
    ends: i64,
    counter: bool,
    value: f64,
}

pub(crate) fn bucket(seed: u64, replicas: bool) -> Bucket {
    let bucket = Bucket::empty();
    let names: &[&str] = if replicas { &["a", "b"] } else { &["a"] };
    for (at, replica) in names.iter().enumerate() {
        // Replicas see the same series, at other moments.
        let mut all = series(&mut Random(seed));
        let mut random = Random(seed ^ (at as u64 + 1) << 32);
        for number in 0..BLOCKS {
            // Every twentieth block or so is missing.
            if random.below(20) != 0 || number == 0 {
                block(&bucket, &mut random, &mut all, (number, at as u64), replica);
            }
        }
    }
    bucket
}

fn series(random: &mut Random) -> Vec<Series> {
    let mut all: Vec<Series> = (0..SERIES)
        .map(|number| {
            let pod = ("pod".to_owned(), format!("pod-{}", random.below(SERIES)));
            let name = ["requests_total", "memory_bytes", "up"][number as usize % 3];
            let begins =
                START + random.below(BLOCKS as u64) as i64 * BLOCK * (number as i64 % 4).min(1);
            Series {
                labels: vec![
                    ("__name__".to_owned(), name.to_owned()),
                    ("number".to_owned(), number.to_string()),
                    pod,
                ],
                begins,
                ends: begins + (random.below(40) as i64 + 1) * BLOCK,
                counter: number % 3 == 0,
                value: 0.0,
            }
        })
        .collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn block(
    bucket: &Bucket,
    random: &mut Random,
    all: &mut [Series],
    (number, replica): (i64, u64),
    name: &str,
) {
    let (from, to) = (START + number * BLOCK, START + (number + 1) * BLOCK);
    // Ids sort as the blocks do.
    let id = Ulid::from_parts(
        u64::try_from(from).expect("after 1970") + replica,
        u128::from(random.next()),
    );
    let mut writer = BlockWriter::create(bucket.path(), id).expect("created");
    for series in all {
        let samples = samples(random, series, from, to);
        if !samples.is_empty() {
            let labels = series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            writer.add_floats(labels, &samples).expect("added");
        }
    }
    let meta = writer.meta_mut();
    meta.thanos = Some(ThanosMeta {
        version: 1,
        labels: [
            ("cluster".to_owned(), "eu".to_owned()),
            ("prometheus_replica".to_owned(), name.to_owned()),
        ]
        .into(),
        source: "sidecar".to_owned(),
        ..ThanosMeta::default()
    });
    let mut meta = writer.finish().expect("finished");
    (meta.min_time, meta.max_time) = (from, to);
    let folder = bucket.path().join(id.to_string());
    meta.write(&folder).expect("written");
    std::fs::remove_file(folder.join("tombstones")).expect("no sidecar uploads it");
}

fn samples(random: &mut Random, series: &mut Series, from: i64, to: i64) -> Vec<(i64, f64)> {
    let mut samples = Vec::new();
    if series.begins >= to || series.ends <= from {
        return samples;
    }
    let mut scrape = from + random.below(15_000) as i64;
    while scrape < to - 2_000 {
        let t = scrape + random.below(20) as i64;
        scrape += 30_000;
        match random.below(400) {
            // Some scrapes fail, some targets restart, some go away for a while.
            0 => scrape += random.below(20) as i64 * 60_000,
            1 => series.value = 0.0,
            2 => {
                samples.push((t, model::stale_nan()));
                continue;
            }
            _ => {}
        }
        if series.counter {
            series.value += random.below(1000) as f64 / 8.0;
            samples.push((t, series.value));
        } else {
            samples.push((t, random.below(1_000_000) as f64 / 3.0));
        }
    }
    samples
}

use model::{Columns, CounterReset, FloatHistogram, Histogram};
use proptest::prelude::*;

use super::append::Appender;
use super::cell::Kind;
use super::*;
use crate::chunk::Encoding;

/// Random samples, each as a chunk of its own, and the chunks that Prometheus v0.315.0 makes of them in a row.
const APPENDED: &str = include_str!("testdata/chunks.txt");
const REAL: &str = include_str!("testdata/real.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Appends in a row; returns the chunks.
fn append_all<K: Kind>(samples: Vec<(i64, K)>) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut current: Option<Appender<K>> = None;
    for (t, h) in samples {
        match &mut current {
            None => current = Some(Appender::begin(t, &h, None)),
            Some(chunk) => {
                if let Appended::Next(next) = chunk.append(t, &h) {
                    chunks.push(std::mem::replace(chunk, *next).finish());
                }
            }
        }
    }
    chunks.extend(current.map(Appender::finish));
    chunks
}

fn appended<K: Kind>(samples: &str, with_reset: impl Fn(&mut K, CounterReset)) -> Vec<String> {
    let read = |text: &str| {
        let data = bytes(text);
        let (t, mut h) = decode::samples::<K>(&data).unwrap().remove(0);
        with_reset(&mut h, counter_reset(&data).unwrap());
        (t, h)
    };
    let chunks = append_all(samples.split(' ').map(read).collect());
    chunks.iter().map(|chunk| hex(chunk)).collect()
}

#[test]
fn samples_in_a_row_become_prometheus_s_chunks() {
    for (line, text) in (1..).zip(APPENDED.lines()) {
        let (input, expected) = text.split_once(" > ").unwrap();
        let (kind, samples) = input.split_once(' ').unwrap();
        let actual = match kind {
            "integer" => appended(samples, |h: &mut Histogram, reset| h.counter_reset = reset),
            _ => appended(samples, |h: &mut FloatHistogram, reset| {
                h.counter_reset = reset;
            }),
        };
        assert_eq!(actual.join(" "), expected, "line {line}");
    }
}

fn real() -> impl Iterator<Item = (usize, i64, f64, Vec<u8>)> {
    REAL.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let sum = f64::from_bits(u64::from_str_radix(fields[3], 16).unwrap());
            let (samples, last) = (fields[1].parse().unwrap(), fields[2].parse().unwrap());
            (samples, last, sum, bytes(fields[4]))
        })
}

#[test]
fn real_chunks_are_read_into_columns() {
    for (samples, last, sum, data) in real() {
        let mut columns = Columns::default();
        assert_eq!(
            crate::chunk::decode(Encoding::Histogram, &data, &mut columns),
            Ok(samples)
        );
        assert_eq!((columns.len(), columns.t.last()), (samples, Some(&last)));
        let sums = columns.h.iter().map(|h| h.sum).filter(|sum| !sum.is_nan());
        assert_eq!(sums.sum::<f64>(), sum);
        let first = columns.h.first().map(|h| h.counter_reset);
        assert_eq!(first, Some(CounterReset::Unknown));
        for h in columns.h.iter().filter(|h| !h.is_stale()) {
            let buckets: f64 = h.all().map(|bucket| bucket.count).sum();
            assert_eq!(buckets, h.count);
        }
    }
}

/// The first half of a chunk, and then the series is gone.
fn ended(data: &[u8]) -> Vec<u8> {
    let mut samples = integer_samples(data).unwrap();
    let end = samples.len() / 2;
    samples.truncate(end + 1);
    samples[end].1 = Histogram::stale();
    append_all(samples).remove(0)
}

proptest! {
    #[test]
    fn a_reader_of_windows_sees_the_ends_of_each(
        steps in 1i64..40,
        step in 1i64..400,
        range in 1i64..400,
        offset in -500i64..500,
    ) {
        for data in real().flat_map(|(.., data)| [ended(&data), data]) {
            let mut whole = Columns::default();
            crate::chunk::decode(Encoding::Histogram, &data, &mut whole).unwrap();
            let first_end = whole.t[0] + offset * 1000;
            let edges = model::Edges {
                first_end,
                last_end: first_end + steps * step * 1000,
                step: step * 1000,
                range: range * 1000,
            };
            let until = edges.last_end;
            let mut seen = Columns::for_reader(model::Need { until, edges: Some(edges) });
            crate::chunk::decode(Encoding::Histogram, &data, &mut seen).unwrap();
            let last = whole.t.partition_point(|t| *t <= until).min(whole.len() - 1);
            prop_assert_eq!(&seen.t[..], &whole.t[..=last]);
            prop_assert_eq!(seen.runs.iter().map(|run| run.len).sum::<usize>(), last + 1);
            let same = |at: usize| seen.h[at].same_data(&whole.h[at]);
            for end in (0..=steps).map(|at| first_end + at * edges.step) {
                let after = |t: i64| whole.t.partition_point(|it| *it <= t);
                let (from, to) = (after(end - edges.range), after(end));
                prop_assert!(from == to || same(from) && same(to - 1), "{edges:?} at {end}");
            }
            prop_assert!(same(0) && (whole.t[last] > until || same(last)));
            for at in 1..=last {
                // Nobody sees a stale marker, and so its neighbours may be ends.
                prop_assert!(!whole.h[at].is_stale() || same(at) && same(at - 1));
                prop_assert!(same(at) || std::sync::Arc::ptr_eq(&seen.h[at], &seen.h[at - 1]));
            }
        }
    }
}

#[test]
fn real_chunks_are_written_again_byte_for_byte() {
    for (.., data) in real() {
        let mut samples = integer_samples(&data).unwrap();
        for (_, h) in &mut samples {
            h.counter_reset = CounterReset::Unknown;
        }
        let mut again = append_all(samples).remove(0);
        // What came before the chunk is not in it.
        again[2] = data[2];
        assert_eq!(hex(&again), hex(&data));
    }
}

#[test]
fn whole_and_float_counts_are_read_alike() {
    for (.., data) in real() {
        let floats: Vec<_> = integer_samples(&data)
            .unwrap()
            .into_iter()
            .map(|(t, h)| (t, h.to_float()))
            .collect();
        let mut expected = Columns::default();
        crate::chunk::decode(Encoding::Histogram, &data, &mut expected).unwrap();
        let mut actual = Columns::default();
        for chunk in append_all(floats) {
            crate::chunk::decode(Encoding::FloatHistogram, &chunk, &mut actual).unwrap();
        }
        let text = |columns: &Columns| {
            columns
                .h
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!((&actual.t, text(&actual)), (&expected.t, text(&expected)));
    }
}

#[test]
fn a_failed_read_leaves_the_columns_as_they_were() {
    let data = real().next().unwrap().3;
    let mut columns = Columns::default();
    columns.push_float(1, 2.0);
    let before = columns.clone();
    for length in 0..data.len() {
        let error = crate::chunk::decode(Encoding::Histogram, &data[..length], &mut columns);
        assert!(error.is_err(), "{length} of {} bytes", data.len());
        assert_eq!(columns, before);
    }
}

#[test]
fn an_unknown_schema_is_named() {
    let mut out = crate::chunk::bits::BitWriter::after(vec![0, 1, 0]);
    layout::Layout {
        schema: 77,
        ..layout::Layout::default()
    }
    .write(&mut out);
    out.write(0, 64);
    out.write(0, 64);
    let error = crate::chunk::decode(
        Encoding::Histogram,
        &out.into_bytes(),
        &mut Columns::default(),
    );
    assert_eq!(error, Err(ChunkError::UnknownSchema(77)));
}

#[test]
fn schemas_too_fine_to_calculate_with_are_reduced() {
    let fine = FloatHistogram {
        schema: 10,
        count: 3.0,
        sum: 3.0,
        positive_spans: vec![model::Span {
            offset: 1,
            length: 8,
        }]
        .into(),
        positive_buckets: vec![1.0; 8],
        ..FloatHistogram::default()
    };
    let data = Appender::begin(1, &fine, None).finish();
    let mut columns = Columns::default();
    crate::chunk::decode(Encoding::FloatHistogram, &data, &mut columns).unwrap();
    assert_eq!(
        (columns.h[0].schema, &columns.h[0].positive_buckets),
        (8, &vec![4.0, 4.0])
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..300), whole: bool) {
        let encoding = if whole { Encoding::Histogram } else { Encoding::FloatHistogram };
        let _ = crate::chunk::decode(encoding, &data, &mut Columns::default());
    }

    #[test]
    fn flipped_bits_never_panic(chunk in 0usize..8, flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..5)) {
        let mut data = real().nth(chunk).unwrap().3;
        for (at, bit) in flips {
            let at = at.index(data.len());
            data[at] ^= 1 << bit;
        }
        let mut columns = Columns::default();
        if crate::chunk::decode(Encoding::Histogram, &data, &mut columns).is_ok() {
            prop_assert_eq!(columns.t.len(), columns.h.len());
        }
        let _ = crate::chunk::decode(Encoding::FloatHistogram, &data, &mut columns);
        if let Ok(samples) = integer_samples(&data) {
            append_all(samples);
        }
    }
}

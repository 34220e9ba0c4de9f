use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Random histograms, and what Prometheus v0.315.0 made of them (Go 1.26, amd64): an operation, its operands, its
/// results. Floats are bits in hexadecimal.
const ARITHMETIC: &str = include_str!("testdata/arithmetic.txt");

fn float(text: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(text, 16).unwrap())
}

fn list<T>(text: &str, read: impl Fn(&str) -> T) -> Vec<T> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(read)
        .collect()
}

fn span(text: &str) -> Span {
    let (offset, length) = text.split_once(':').unwrap();
    Span {
        offset: offset.parse().unwrap(),
        length: length.parse().unwrap(),
    }
}

fn histogram(text: &str) -> FloatHistogram {
    let fields: Vec<_> = text.split(';').collect();
    FloatHistogram {
        counter_reset: match fields[0] {
            "0" => CounterReset::Unknown,
            "1" => CounterReset::Reset,
            "2" => CounterReset::NotReset,
            _ => CounterReset::Gauge,
        },
        schema: fields[1].parse().unwrap(),
        zero_threshold: float(fields[2]),
        zero_count: float(fields[3]),
        count: float(fields[4]),
        sum: float(fields[5]),
        positive_spans: list(fields[6], span).into(),
        positive_buckets: list(fields[7], float),
        negative_spans: list(fields[8], span).into(),
        negative_buckets: list(fields[9], float),
        custom_values: list(fields[10], float).into(),
    }
}

fn same(actual: &FloatHistogram, expected: &str, line: usize) {
    let expected = histogram(expected);
    let equal = actual.same_data(&expected)
        || (actual.sum.is_nan() && expected.sum.is_nan() && {
            let plain = |h: &FloatHistogram| FloatHistogram {
                sum: 0.0,
                ..h.clone()
            };
            plain(actual).same_data(&plain(&expected))
        });
    assert!(equal, "line {line}:\n  got {actual:?}\n want {expected:?}");
    assert_eq!(actual.counter_reset, expected.counter_reset, "line {line}");
}

fn same_float(actual: f64, expected: &str, line: usize) {
    let expected = float(expected);
    let equal = actual.to_bits() == expected.to_bits() || (actual.is_nan() && expected.is_nan());
    assert!(equal, "line {line}: got {actual}, want {expected}");
}

#[test]
fn arithmetic_is_prometheus_s_to_the_last_bit() {
    for (line, text) in (1..).zip(ARITHMETIC.lines().filter(|l| !l.starts_with('#'))) {
        let (question, answer) = text.split_once(" > ").unwrap();
        let question: Vec<_> = question.split(' ').collect();
        let answer: Vec<_> = answer.split(' ').collect();
        let mut a = histogram(question[1]);
        let other = || histogram(question[2]);
        match question[0] {
            op @ ("add" | "sub") => {
                let b = other();
                let joined = if op == "add" { a.add(&b) } else { a.sub(&b) }.unwrap();
                a.compact();
                same(&a, answer[0], line);
                assert_eq!(joined.reset_collision.to_string(), answer[1], "line {line}");
                assert_eq!(
                    joined.bounds_reconciled.to_string(),
                    answer[2],
                    "line {line}"
                );
            }
            "sum" => {
                let mut sum = Sum::new(a);
                for part in &question[2..] {
                    sum.add(&histogram(part)).unwrap();
                }
                let mut total = sum.total();
                total.compact();
                same(&total, answer[0], line);
            }
            "reset" => assert_eq!(
                a.is_reset_after(&other()).to_string(),
                answer[0],
                "line {line}"
            ),
            "string" => assert_eq!(a.to_string().replace(' ', "_"), answer[0], "line {line}"),
            "quantile" => {
                let quantile = a.quantile(float(question[2]));
                same_float(quantile.value, answer[0], line);
                let notes = usize::from(quantile.nan != SkippedNan::None);
                assert_eq!(notes.to_string(), answer[1], "line {line}");
            }
            "fraction" => {
                let fraction = a.fraction(float(question[2]), float(question[3]));
                same_float(fraction.value, answer[0], line);
                let notes = usize::from(fraction.has_nan);
                assert_eq!(notes.to_string(), answer[1], "line {line}");
            }
            "trim" => {
                let keep = if question[3] == "true" {
                    Keep::Below
                } else {
                    Keep::Above
                };
                a.trim(float(question[2]), keep);
                same(&a, answer[0], line);
            }
            "compact" => {
                a.compact_with(question[2].parse().unwrap());
                same(&a, answer[0], line);
            }
            op => panic!("line {line}: unknown operation {op}"),
        }
    }
}

fn side(cells: &[(u8, u16)]) -> (Arc<[Span]>, Vec<f64>) {
    let mut index = -4;
    let buckets = cells.iter().map(|(gap, count)| {
        index += 1 + i32::from(*gap);
        (index, f64::from(*count))
    });
    let layout: layout::Layout<f64> = buckets.collect();
    (layout.spans.into(), layout.cells)
}

prop_compose! {
    fn exponential()(
        schema in -2i32..4,
        zero in 0u32..100,
        positive in prop::collection::vec((0u8..4, 0u16..50), 0..12),
        negative in prop::collection::vec((0u8..4, 0u16..50), 0..12),
    ) -> FloatHistogram {
        let (positive_spans, positive_buckets) = side(&positive);
        let (negative_spans, negative_buckets) = side(&negative);
        let count = f64::from(zero)
            + positive_buckets.iter().sum::<f64>()
            + negative_buckets.iter().sum::<f64>();
        FloatHistogram {
            schema,
            zero_threshold: 1e-9,
            zero_count: f64::from(zero),
            count,
            sum: count * 2.0,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            ..FloatHistogram::default()
        }
    }
}

proptest! {
    #[test]
    fn addition_commutes_and_subtraction_undoes_it(a in exponential(), b in exponential()) {
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.add(&b).unwrap();
        ba.add(&a).unwrap();
        ab.compact();
        ba.compact();
        prop_assert!(ab.same_data(&ba));
        let mut back = ab;
        back.sub(&b).unwrap();
        back.compact();
        let mut coarse = a.reduced_to(a.schema.min(b.schema));
        coarse.compact();
        prop_assert!(back.same_data(&coarse), "{} {}", back, coarse);
    }

    #[test]
    fn buckets_come_backwards_as_forwards(h in exponential()) {
        let mut backwards: Vec<_> = h.all_reverse().collect();
        backwards.reverse();
        let forwards: Vec<_> = h.all().collect();
        prop_assert!(forwards.windows(2).all(|pair| pair[0].upper <= pair[1].lower));
        prop_assert_eq!(forwards, backwards);
    }

    #[test]
    fn compaction_and_coarser_buckets_lose_no_observation(h in exponential(), coarser in 0i32..4, gap in 0u32..5) {
        let total = |h: &FloatHistogram| h.all().map(|b| b.count).sum::<f64>();
        let mut compact = h.clone();
        compact.compact_with(gap);
        prop_assert_eq!(total(&compact), h.count);
        prop_assert_eq!(total(&h.reduced_to(h.schema - coarser)), h.count);
    }

    #[test]
    fn a_quantile_s_fraction_is_its_rank(h in exponential(), q in 0.0f64..1.0) {
        prop_assume!(h.count > 0.0);
        let quantile = h.quantile(q).value;
        let fraction = h.fraction(f64::NEG_INFINITY, quantile).value;
        // A gap between buckets has the same rank everywhere; rounding at its ends may fall to either side.
        prop_assert!((fraction - q).abs() < 1e-6 || h.all().any(|b| (b.upper - quantile).abs() < 1e-9 * quantile.abs().max(1e-9)
            || (b.lower - quantile).abs() < 1e-9 * quantile.abs().max(1e-9)), "{} {} {}", quantile, fraction, q);
    }

    #[test]
    fn growing_counters_are_no_reset_and_shrinking_ones_are(h in exponential(), at in 0usize..12) {
        let mut grown = h.clone();
        grown.mul(2.0);
        prop_assert!(!grown.is_reset_after(&h));
        if let Some(bucket) = grown.positive_buckets.get_mut(at) {
            *bucket = -1.0;
            prop_assert!(grown.is_reset_after(&h));
        }
    }

    #[test]
    fn spans_of_any_kind_do_not_panic(
        spans in prop::collection::vec((any::<i32>(), 0u32..5), 0..6),
        counts in prop::collection::vec(any::<f64>(), 0..12),
        custom: bool,
        schema in -9i32..9,
        other in exponential(),
    ) {
        let spans: Arc<[Span]> = spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect();
        let mut h = FloatHistogram {
            schema: if custom { CUSTOM_BUCKETS } else { schema },
            count: 5.0,
            positive_spans: spans.clone(),
            positive_buckets: counts.clone(),
            negative_spans: spans,
            negative_buckets: counts,
            custom_values: vec![1.0, 2.0].into(),
            ..FloatHistogram::default()
        };
        let _ = (h.quantile(0.3), h.quantile(0.9), h.fraction(0.0, 1.0), h.variance(), h.to_string());
        let _ = (h.is_reset_after(&other), other.is_reset_after(&h));
        let before = h.clone();
        let _ = h.add(&other);
        let _ = h.add(&before);
        h.trim(1.0, Keep::Above);
        h.compact();
    }
}

#[test]
fn a_division_by_zero_leaves_no_buckets() {
    let mut h = histogram("0;0;0;0;4000000000000000;4008000000000000;0:1;4000000000000000;;;");
    h.div(0.0);
    assert!(h.count.is_infinite() && h.positive_buckets.is_empty() && h.positive_spans.is_empty());
}

#[test]
fn what_is_unlike_is_not_added() {
    let custom = FloatHistogram {
        schema: CUSTOM_BUCKETS,
        ..FloatHistogram::default()
    };
    assert_eq!(FloatHistogram::default().add(&custom), Err(Incompatible));
}

#[test]
fn the_literal_of_the_test_language_names_what_is_set() {
    let h = histogram(
        "3;1;3f50624dd2f1a9fc;4000000000000000;4014000000000000;c008000000000000;1:2;3ff0000000000000,4000000000000000;-1:1;4000000000000000;",
    );
    assert_eq!(
        h.test_expression(),
        "{{schema:1 count:5 sum:-3 z_bucket:2 z_bucket_w:0.001 counter_reset_hint:gauge offset:1 buckets:[1 2] n_offset:-1 n_buckets:[2]}}"
    );
}

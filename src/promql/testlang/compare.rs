//! When two values count as the same.

use std::collections::BTreeMap;

use model::{CounterReset, FloatHistogram, Span, is_stale};

/// Schema of histograms with custom buckets.
const CUSTOM: i32 = -53;
/// The relative error that Prometheus's tests allow.
const EPSILON: f64 = 1e-6;

/// Whether `a` and `b` are almost the same; NaN is NaN, and a stale marker only itself.
pub(super) fn close(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

/// Whether two histograms are almost the same; the hint counts if `with_hint`.
pub(super) fn same_histogram(
    expected: &FloatHistogram,
    got: &FloatHistogram,
    with_hint: bool,
) -> bool {
    let exact = expected.schema == got.schema
        && expected.zero_threshold == got.zero_threshold
        && (expected.schema != CUSTOM || expected.custom_values == got.custom_values)
        && (!with_hint || expected.counter_reset == got.counter_reset);
    exact
        && close(expected.count, got.count)
        && close(expected.sum, got.sum)
        && close(expected.zero_count, got.zero_count)
        && same_buckets(&positive(expected), &positive(got))
        && same_buckets(&negative(expected), &negative(got))
}

/// Counts by bucket index; empty buckets are left out.
type Buckets = BTreeMap<i32, f64>;

fn same_buckets(a: &Buckets, b: &Buckets) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((i, a), (j, b))| i == j && close(*a, *b))
}

fn positive(h: &FloatHistogram) -> Buckets {
    buckets(&h.positive_spans, &h.positive_buckets)
}

fn negative(h: &FloatHistogram) -> Buckets {
    buckets(&h.negative_spans, &h.negative_buckets)
}

fn buckets(spans: &[Span], counts: &[f64]) -> Buckets {
    let mut counts = counts.iter();
    let mut found = Buckets::new();
    let mut index = 0i32;
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            match counts.next() {
                Some(count) if *count != 0.0 => {
                    found.insert(index, *count);
                }
                Some(_) => {}
                None => return found,
            }
            index = index.wrapping_add(1);
        }
    }
    found
}

/// Whether `next` can follow `before` in a chunk: no counter reset, and the same layout.
pub(super) fn continues(before: &FloatHistogram, next: &FloatHistogram) -> bool {
    if (before.counter_reset == CounterReset::Gauge) || next.counter_reset == CounterReset::Reset {
        return false;
    }
    if is_stale(next.sum) {
        return true;
    }
    !is_stale(before.sum)
        && next.count >= before.count
        && next.schema == before.schema
        && next.zero_threshold == before.zero_threshold
        && (next.schema != CUSTOM || next.custom_values == before.custom_values)
        && next.zero_count >= before.zero_count
        && grows(&positive(before), &positive(next))
        && grows(&negative(before), &negative(next))
}

fn grows(before: &Buckets, next: &Buckets) -> bool {
    before
        .iter()
        .all(|(index, count)| next.get(index).is_some_and(|next| next >= count))
}

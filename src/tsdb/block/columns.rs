//! Cutting and filtering columns, whose floats and histograms lie apart.

use std::sync::Arc;

use model::{Columns, FloatHistogram, Kind, Timestamp};

/// A sample taken out of its columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// The samples of columns, one by one.
pub(super) fn samples(columns: Columns) -> Vec<(Timestamp, Value)> {
    let kinds = columns
        .runs
        .iter()
        .flat_map(|run| std::iter::repeat_n(run.kind, run.len));
    let (mut floats, mut histograms) = (columns.v.into_iter(), columns.h.into_iter());
    let value = |kind| match kind {
        Kind::Float => floats.next().map(Value::Float),
        Kind::Histogram => histograms.next().map(Value::Histogram),
    };
    let values: Vec<Option<Value>> = kinds.map(value).collect();
    let pairs = columns.t.into_iter().zip(values);
    pairs.filter_map(|(t, value)| Some((t, value?))).collect()
}

/// Appends a sample.
pub(super) fn push(columns: &mut Columns, t: Timestamp, value: Value) {
    match value {
        Value::Float(v) => columns.push_float(t, v),
        Value::Histogram(h) => columns.push_histogram(t, h),
    }
}

/// Takes the samples from `at` on.
pub(super) fn split_off(columns: &mut Columns, at: usize) -> Columns {
    let mut tail = Columns {
        t: columns.t.split_off(at),
        ..Columns::default()
    };
    let (mut floats, mut histograms, mut seen) = (0, 0, 0);
    let mut kept = Vec::with_capacity(columns.runs.len());
    for run in &columns.runs {
        let keep = run.len.min(at.saturating_sub(seen));
        seen += run.len;
        match run.kind {
            Kind::Float => floats += keep,
            Kind::Histogram => histograms += keep,
        }
        if keep > 0 {
            kept.push(model::KindRun { len: keep, ..*run });
        }
        tail.extend_run(run.kind, run.len - keep);
    }
    columns.runs = kept;
    tail.v = columns.v.split_off(floats);
    tail.h = columns.h.split_off(histograms);
    tail
}

/// Keeps of the samples from `start` on those whose time passes.
pub(super) fn retain(columns: &mut Columns, start: usize, keep: impl Fn(Timestamp) -> bool) {
    if columns.t[start..].iter().all(|t| keep(*t)) {
        return;
    }
    for (t, value) in samples(split_off(columns, start)) {
        if keep(t) {
            push(columns, t, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn columns(kinds: &[bool]) -> Columns {
        let mut out = Columns::default();
        for (t, is_float) in kinds.iter().enumerate() {
            if *is_float {
                out.push_float(t as i64, t as f64);
            } else {
                let count = t as f64;
                let h = FloatHistogram {
                    count,
                    ..FloatHistogram::default()
                };
                out.push_histogram(t as i64, h);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn two_halves_are_the_whole(kinds in prop::collection::vec(any::<bool>(), 0..30), part in 0usize..31) {
            let whole = columns(&kinds);
            let mut head = whole.clone();
            let tail = split_off(&mut head, part.min(kinds.len()));
            prop_assert_eq!(head.len(), part.min(kinds.len()));
            for (t, value) in samples(tail) {
                push(&mut head, t, value);
            }
            prop_assert_eq!(head, whole);
        }

        #[test]
        fn what_is_kept_is_as_if_the_rest_never_was(kinds in prop::collection::vec(any::<bool>(), 1..30), step in 1i64..4) {
            let mut filtered = columns(&kinds);
            retain(&mut filtered, 1, |t| t % step == 0);
            let mut wanted = Columns::default();
            for (t, value) in samples(columns(&kinds)) {
                if t == 0 || t % step == 0 {
                    push(&mut wanted, t, value);
                }
            }
            prop_assert_eq!(filtered, wanted);
        }
    }
}

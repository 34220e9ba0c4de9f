//! One series out of several sources that may overlap: samples in time order, each time once (as the chained iterator of
//! Prometheus's `storage/merge.go`). It stays with a source as long as that has the next sample; where it changes, nothing is
//! known of counter resets of histograms.

use std::sync::Arc;

use model::{Columns, CounterReset, FloatHistogram, Timestamp};

use super::columns::{Value, push, samples};

/// Appends the samples of `parts`.
pub(super) fn chain(parts: Vec<Columns>, out: &mut Columns) {
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let apart = parts.windows(2).all(|pair| match pair {
        [a, b] => a.t.last() < b.t.first(),
        _ => true,
    });
    if apart {
        parts.into_iter().for_each(|part| append(part, out));
    } else {
        interleave(parts, out);
    }
}

/// Appends a part that begins after the last sample.
fn append(mut part: Columns, out: &mut Columns) {
    let begins_with_histogram = part
        .runs
        .first()
        .is_some_and(|r| r.kind == model::Kind::Histogram);
    if let (true, Some(first)) = (begins_with_histogram, part.h.first_mut()) {
        forget_reset(first);
    }
    out.t.append(&mut part.t);
    out.v.append(&mut part.v);
    out.h.append(&mut part.h);
    for run in part.runs {
        out.extend_run(run.kind, run.len);
    }
}

pub(super) fn forget_reset(h: &mut Arc<FloatHistogram>) {
    if matches!(
        h.counter_reset,
        CounterReset::Reset | CounterReset::NotReset
    ) {
        Arc::make_mut(h).counter_reset = CounterReset::Unknown;
    }
}

/// A source, and what of it is still to come.
struct Source(std::iter::Peekable<std::vec::IntoIter<(Timestamp, Value)>>);

impl Source {
    fn time(&mut self) -> Option<Timestamp> {
        self.0.peek().map(|(t, _)| *t)
    }
}

fn interleave(parts: Vec<Columns>, out: &mut Columns) {
    let mut sources: Vec<Source> = parts
        .into_iter()
        .map(|part| Source(samples(part).into_iter().peekable()))
        .collect();
    let (mut current, mut last, mut changed) = (0, None, true);
    loop {
        let time = sources[current].time();
        if time.is_some() && time == last {
            sources[current].0.next();
            continue;
        }
        let others = (0..sources.len()).filter(|at| *at != current);
        let other = others
            .filter_map(|at| Some((sources[at].time()?, at)))
            .min();
        match (time, other) {
            (None, None) => return,
            (Some(t), None) => last = Some(t),
            (Some(t), Some((next, _))) if t < next => last = Some(t),
            (_, Some((next, at))) => {
                (current, changed) = (at, true);
                if Some(next) == last {
                    continue;
                }
                last = Some(next);
            }
        }
        if let Some((t, mut value)) = sources[current].0.next() {
            if let (true, Value::Histogram(h)) = (changed, &mut value) {
                forget_reset(h);
            }
            push(out, t, value);
        }
        changed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::FloatHistogram;
    use std::collections::BTreeSet;

    fn floats(samples: &[(i64, f64)]) -> Columns {
        let mut out = Columns::default();
        samples.iter().for_each(|(t, v)| out.push_float(*t, *v));
        out
    }

    fn chained(parts: Vec<Columns>) -> Columns {
        let mut out = Columns::default();
        chain(parts, &mut out);
        out
    }

    #[test]
    fn parts_that_follow_each_other_are_joined() {
        let parts = vec![
            floats(&[(1, 1.0), (2, 2.0)]),
            Columns::default(),
            floats(&[(3, 3.0)]),
        ];
        assert_eq!(chained(parts), floats(&[(1, 1.0), (2, 2.0), (3, 3.0)]));
    }

    #[test]
    fn parts_that_overlap_give_each_time_once() {
        let parts: Vec<Columns> = (1..5i64)
            .map(|step| floats(&(0..60).map(|n| (n * step, 0.0)).collect::<Vec<_>>()))
            .collect();
        let wanted: BTreeSet<i64> = parts.iter().flat_map(|part| part.t.clone()).collect();
        assert_eq!(chained(parts).t, wanted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn where_the_source_changes_nothing_is_known_of_resets() {
        let histograms = |times: &[i64], hint| {
            let mut out = Columns::default();
            for t in times {
                let h = FloatHistogram {
                    counter_reset: hint,
                    ..FloatHistogram::default()
                };
                out.push_histogram(*t, h);
            }
            out
        };
        let hints = |c: &Columns| c.h.iter().map(|h| h.counter_reset).collect::<Vec<_>>();
        let known = CounterReset::NotReset;
        let joined = chained(vec![histograms(&[1, 2], known), histograms(&[3, 4], known)]);
        let unknown = CounterReset::Unknown;
        assert_eq!(hints(&joined), [unknown, known, unknown, known]);
        let woven = chained(vec![
            histograms(&[1, 2, 5], known),
            histograms(&[3, 4], known),
        ]);
        assert_eq!(hints(&woven), [unknown, known, unknown, known, unknown]);
        let gauge = CounterReset::Gauge;
        let joined = chained(vec![histograms(&[1], gauge), histograms(&[2], gauge)]);
        assert_eq!(hints(&joined), [gauge, gauge]);
    }
}

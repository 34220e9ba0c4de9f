//! `topk`, `bottomk`, `limitk`, `limit_ratio`: some of the series of each group, as they are. The heaps move their
//! elements as Go's `container/heap` does, so that of equal values the same series are kept.

use std::collections::HashMap;

use model::{Hints, Labels, Symbols};

use super::aggregate::{Key, Limits};
use super::annotations::format_general;
use super::arithmetic::Scalar;
use super::evaluate::{Evaluation, Held, Sink};
use super::points::{Points, Seen};
use super::{Evaluated, QueryError};
use crate::Span;
use crate::parser::ast::{Aggregate, AggregateOp};

/// A candidate: the series' row and its value.
#[derive(Clone, Copy, Debug)]
struct Entry {
    row: usize,
    v: f64,
}

impl Evaluation<'_> {
    pub(super) fn ranked(
        &self,
        aggregate: &Aggregate,
        span: Span,
        hints: &Hints,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let param = match &aggregate.param {
            Some(param) => self.scalar(param)?,
            None => Scalar::Constant(0.0),
        };
        let held = self.rows(&aggregate.expr, hints)?;
        if self.allows(aggregate, &param)? {
            self.rank(aggregate, span, &param, &held, sink)?;
        }
        self.query.release(held.weight);
        Ok(())
    }

    /// Checks the parameter; whether there can be a result at all.
    fn allows(&self, aggregate: &Aggregate, param: &Scalar) -> Evaluated<bool> {
        let limits = Limits::of(param.values());
        let refuse = |text: String| Err(QueryError::Execution(text));
        if aggregate.op == AggregateOp::LimitRatio {
            if limits.greatest == 0.0 && limits.least == 0.0 {
                return Ok(false);
            }
            if limits.any_nan {
                return refuse("Ratio value is NaN".to_owned());
            }
            let span = aggregate
                .param
                .as_ref()
                .map_or_else(Span::default, |p| p.unwrap_parens().span);
            for (outside, v, to) in [
                (limits.greatest > 1.0, limits.greatest, "1"),
                (limits.least < -1.0, limits.least, "-1"),
            ] {
                if outside {
                    let text = format!(
                        "ratio value should be between -1 and 1, got {}, capping to {to}",
                        format_general(v)
                    );
                    self.query.annotations.warn(span, text);
                }
            }
            return Ok(true);
        }
        if limits.greatest < 1.0 {
            return Ok(false);
        }
        if limits.any_nan {
            return refuse("Parameter value is NaN".to_owned());
        }
        if limits.least <= i64::MIN as f64 {
            return refuse(format!(
                "Scalar value {} underflows int64",
                format_general(limits.least)
            ));
        }
        if limits.greatest >= i64::MAX as f64 {
            return refuse(format!(
                "Scalar value {} overflows int64",
                format_general(limits.greatest)
            ));
        }
        Ok(true)
    }

    fn rank(
        &self,
        aggregate: &Aggregate,
        span: Span,
        param: &Scalar,
        held: &Held,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let rows = &held.rows;
        let (groups, count) = self.groups_of(aggregate, held);
        let offsets: Vec<f64> = match aggregate.op {
            AggregateOp::LimitRatio => {
                let symbols = &self.query.symbols;
                rows.iter()
                    .map(|row| sampling_offset(&row.head.labels, symbols))
                    .collect()
            }
            _ => Vec::new(),
        };
        let mut cursors: Vec<_> = rows.iter().map(|row| row.points.iter()).collect();
        let mut heaps: Vec<Heap> = (0..count).map(|_| Heap::new(aggregate.op)).collect();
        let mut out: Vec<Points> = vec![Points::default(); rows.len()];
        let mut order = Vec::new();
        for step in self.steps.all() {
            self.query.cancel.check()?;
            let k = param.at(step);
            heaps.iter_mut().for_each(|heap| heap.entries.clear());
            for (row, cursor) in cursors.iter_mut().enumerate() {
                let Some(seen) = cursor.take_at(step) else {
                    continue;
                };
                let heap = &mut heaps[groups[row]];
                let v = match (seen, aggregate.op) {
                    (Seen::Float(v), _) => v,
                    (_, AggregateOp::Topk | AggregateOp::Bottomk) => {
                        if k >= 1.0 {
                            let op = aggregate.op.as_str();
                            let text = format!("ignored histogram in {op} aggregation");
                            self.query.annotations.info(span, text);
                        }
                        continue;
                    }
                    (Seen::Histogram(_), _) => 0.0,
                };
                let takes = match aggregate.op {
                    AggregateOp::LimitRatio => within_ratio(k, offsets[row]),
                    _ => k >= 1.0,
                };
                if takes {
                    heap.offer(Entry { row, v }, k.min(rows.len() as f64) as usize);
                }
            }
            for heap in &mut heaps {
                for entry in heap.ranked() {
                    let seen = rows[entry.row].points.at(step);
                    if let Some(seen) = seen {
                        out[entry.row].push(step, seen.to_value());
                    }
                    if self.is_instant() {
                        order.push(entry.row);
                    }
                }
            }
        }
        if !self.is_instant() {
            order.extend(0..rows.len());
        }
        for row in order {
            if !out[row].is_empty() {
                sink(rows[row].head.clone(), &mut out[row])?;
            }
        }
        Ok(())
    }

    /// The group of each row, and how many groups there are.
    fn groups_of(&self, aggregate: &Aggregate, held: &Held) -> (Vec<usize>, usize) {
        let key = Key::new(&aggregate.grouping, &self.query.symbols);
        let mut ids: HashMap<Labels, usize> = HashMap::new();
        let mut groups = Vec::with_capacity(held.rows.len());
        for row in &held.rows {
            let next = ids.len();
            groups.push(*ids.entry(key.of(row.head.labels.clone())).or_insert(next));
        }
        (groups, ids.len())
    }
}

/// The candidates of one group at one step.
#[derive(Debug)]
struct Heap {
    op: AggregateOp,
    entries: Vec<Entry>,
}

impl Heap {
    fn new(op: AggregateOp) -> Self {
        Self {
            op,
            entries: Vec::new(),
        }
    }

    /// Whether the entry at `a` goes before the one at `b`, the first of all being the next to be thrown out.
    fn less(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.entries[a].v, self.entries[b].v);
        match self.op {
            AggregateOp::Bottomk => a.is_nan() || a > b,
            _ => a.is_nan() || a < b,
        }
    }

    fn offer(&mut self, entry: Entry, most: usize) {
        if matches!(self.op, AggregateOp::LimitRatio) || self.entries.len() < most {
            self.entries.push(entry);
            self.up(self.entries.len() - 1);
            return;
        }
        let Some(worst) = self.entries.first_mut() else {
            return;
        };
        let (v, worst_v) = (entry.v, worst.v);
        let better = match self.op {
            AggregateOp::Topk => worst_v < v || worst_v.is_nan() && !v.is_nan(),
            AggregateOp::Bottomk => worst_v > v || worst_v.is_nan() && !v.is_nan(),
            _ => false,
        };
        if better {
            *worst = entry;
            self.down();
        }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(at, parent) {
                break;
            }
            self.entries.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let (mut at, len) = (0, self.entries.len());
        loop {
            let left = 2 * at + 1;
            if left >= len {
                break;
            }
            let right = left + 1;
            let child = if right < len && self.less(right, left) {
                right
            } else {
                left
            };
            if !self.less(child, at) {
                break;
            }
            self.entries.swap(at, child);
            at = child;
        }
    }

    /// What is kept: the best first; for limits in the order of the heap.
    fn ranked(&mut self) -> &[Entry] {
        if matches!(self.op, AggregateOp::Topk | AggregateOp::Bottomk) {
            let descending = self.op == AggregateOp::Topk;
            self.entries
                .sort_by(|a, b| match (a.v.is_nan(), b.v.is_nan()) {
                    (false, false) if descending => b.v.total_cmp(&a.v),
                    (false, false) => a.v.total_cmp(&b.v),
                    (a, b) => a.cmp(&b),
                });
        }
        &self.entries
    }
}

/// Whether a series of this offset is in the part `ratio` of all; a negative ratio is the other part.
fn within_ratio(ratio: f64, offset: f64) -> bool {
    if ratio == 0.0 {
        return false;
    }
    let ratio = ratio.clamp(-1.0, 1.0);
    (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}

/// Where a label set falls between 0 and 1: by the hash that Prometheus has for it (xxHash64 over names and values
/// with their lengths before them).
fn sampling_offset(labels: &Labels, symbols: &Symbols) -> f64 {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter(symbols) {
        push_sized(&mut bytes, name);
        push_sized(&mut bytes, value);
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0) as f64 / u64::MAX as f64
}

fn push_sized(bytes: &mut Vec<u8>, text: &str) {
    let len = text.len();
    match u8::try_from(len) {
        Ok(len) if len < u8::MAX => bytes.push(len),
        _ => bytes.extend([u8::MAX, len as u8, (len >> 8) as u8, (len >> 16) as u8]),
    }
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_its_complement_make_the_whole() {
        for offset in [0.0, 0.3, 0.4, 0.99] {
            assert!(
                within_ratio(0.4, offset) != within_ratio(-0.6, offset),
                "{offset}"
            );
            assert!(within_ratio(7.0, offset) && within_ratio(-7.0, offset));
            assert!(!within_ratio(0.0, offset));
        }
    }

    #[test]
    fn the_worst_is_thrown_out_and_nan_first_of_all() {
        let kept = |op, values: &[f64]| -> Vec<usize> {
            let mut heap = Heap::new(op);
            for (row, v) in values.iter().enumerate() {
                heap.offer(Entry { row, v: *v }, 2);
            }
            heap.ranked().iter().map(|entry| entry.row).collect()
        };
        assert_eq!(kept(AggregateOp::Topk, &[1.0, f64::NAN, 3.0, 2.0]), [2, 3]);
        assert_eq!(
            kept(AggregateOp::Bottomk, &[1.0, f64::NAN, 3.0, 2.0]),
            [0, 3]
        );
        assert_eq!(kept(AggregateOp::Topk, &[f64::NAN, 1.0]), [1, 0]);
        assert_eq!(kept(AggregateOp::Limitk, &[1.0, 2.0, 3.0]), [0, 1]);
    }
}

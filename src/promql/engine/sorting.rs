//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant query's answer.

use std::cmp::Ordering;

use model::Labels;

use super::Evaluated;
use super::evaluate::{Evaluation, Sink};
use super::points::Row;
use crate::Span;
use crate::functions::natural;
use crate::parser::ast::{Call, Expr, ExprKind};

/// Up to here Go sorts by insertion, which keeps the order of what has none.
const BY_INSERTION: usize = 12;

impl Evaluation<'_> {
    pub(super) fn sorted(&self, call: &Call, span: Span, sink: &mut Sink<'_>) -> Evaluated {
        let by_value = matches!(call.function.name, "sort" | "sort_desc");
        let descending = call.function.name.ends_with("_desc");
        let (arg, hints) = (&call.args[0], self.function_hints(call));
        if !self.is_instant() {
            let text =
                "sort is ineffective for range queries since results are always ordered by labels";
            self.query.annotations.warn(span, text);
            return self.vector(arg, &hints, &mut |head, points| {
                if by_value {
                    points.histograms.clear();
                }
                sink(head, points)
            });
        }
        let mut held = self.rows(arg, &hints)?;
        if by_value {
            held.rows.retain(|row| !row.points.floats.is_empty());
            held.rows
                .sort_by(|a, b| by_values(value(a), value(b), descending));
        } else {
            let labels: Vec<&str> = call.args[1..].iter().filter_map(text).collect();
            self.sort_by_labels(&mut held.rows, &labels, descending);
        }
        self.send(held.rows, sink)?;
        self.query.release(held.weight);
        Ok(())
    }

    fn sort_by_labels(&self, rows: &mut [Row], labels: &[&str], descending: bool) {
        let order = |a: &Row, b: &Row| {
            let order = self.natural_order(&a.head.labels, &b.head.labels, labels);
            if descending { order.reverse() } else { order }
        };
        if rows.len() > BY_INSERTION {
            // An empty value precedes nothing and nothing precedes it: no order for a faster sort. It comes last here.
            let empty = |row: &Row| {
                labels
                    .iter()
                    .any(|label| self.get(&row.head.labels, label).is_empty())
            };
            rows.sort_by(|a, b| match (empty(a), empty(b)) {
                (false, false) => order(a, b),
                (a_empty, b_empty) => a_empty
                    .cmp(&b_empty)
                    .then_with(|| a.head.labels.compare(&b.head.labels, &self.query.symbols)),
            });
            return;
        }
        for end in 1..rows.len() {
            let mut at = end;
            while at > 0 && order(&rows[at], &rows[at - 1]) == Ordering::Less {
                rows.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn natural_order(&self, a: &Labels, b: &Labels, labels: &[&str]) -> Ordering {
        for label in labels {
            let (a, b) = (self.get(a, label), self.get(b, label));
            if a != b {
                return match natural::precedes(a, b) {
                    true => Ordering::Less,
                    false => Ordering::Greater,
                };
            }
        }
        a.compare(b, &self.query.symbols)
    }

    fn get<'s>(&'s self, labels: &Labels, name: &str) -> &'s str {
        labels.get(name, &self.query.symbols).unwrap_or_default()
    }
}

fn value(row: &Row) -> f64 {
    row.points.floats.first().map_or(f64::NAN, |point| point.v)
}

/// NaN comes last both ways.
fn by_values(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

/// The text of a literal.
pub(super) fn text(expr: &Expr) -> Option<&str> {
    match &expr.unwrap_parens().kind {
        ExprKind::String(text) => Some(text),
        _ => None,
    }
}

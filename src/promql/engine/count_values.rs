//! `count_values`: how many series of a group have a value, for each value that is there.

use std::collections::{BTreeMap, HashMap};

use model::{Grouping, Hints, Labels};

use super::aggregate::Key;
use super::evaluate::{Evaluation, Sink};
use super::points::{Head, Point, Points, Seen};
use super::relabel::is_label_name;
use super::sorting::text;
use super::{Evaluated, QueryError};
use crate::lexer::text::quote;
use crate::parser::ast::Aggregate;

impl Evaluation<'_> {
    pub(super) fn count_values(
        &self,
        aggregate: &Aggregate,
        hints: &Hints,
        sink: &mut Sink<'_>,
    ) -> Evaluated {
        let label = aggregate
            .param
            .as_deref()
            .and_then(text)
            .unwrap_or_default();
        if !is_label_name(label) {
            let message = format!("invalid label name {}", quote(label));
            return Err(QueryError::Execution(message));
        }
        let key = Key::new(&with_label(&aggregate.grouping, label), &self.query.symbols);
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut groups: Vec<(Labels, BTreeMap<u32, f64>)> = Vec::new();
        let mut held = 0;
        self.vector(&aggregate.expr, hints, &mut |head, points| {
            // Mostly a series keeps its value for a while.
            let mut last: Option<(u64, usize)> = None;
            for (step, seen) in points.iter() {
                let bits = match seen {
                    Seen::Float(v) => Some(v.to_bits()),
                    Seen::Histogram(_) => None,
                };
                let place = match last.filter(|last| bits == Some(last.0)) {
                    Some((_, place)) => place,
                    None => {
                        let mut labels = head.labels.clone();
                        labels.set(label, &value_text(seen), &self.query.symbols);
                        let labels = key.of(labels);
                        *places.entry(labels).or_insert_with_key(|labels| {
                            groups.push((labels.clone(), BTreeMap::new()));
                            groups.len() - 1
                        })
                    }
                };
                last = bits.map(|bits| (bits, place));
                let counts = &mut groups[place].1;
                let before = counts.len();
                *counts.entry(step).or_default() += 1.0;
                held += counts.len() - before;
                self.query.hold(counts.len() - before)?;
            }
            Ok(())
        })?;
        for (labels, counts) in groups {
            let floats = counts.into_iter().map(|(step, v)| Point { step, v });
            let mut points = Points {
                floats: floats.collect(),
                ..Points::default()
            };
            sink(Head::from(labels), &mut points)?;
        }
        self.query.release(held);
        Ok(())
    }
}

/// The grouping with the label for the value in it.
fn with_label(grouping: &Grouping, label: &str) -> Grouping {
    let mut grouping = grouping.clone();
    if !grouping.without {
        grouping.labels.push(label.to_owned());
    }
    grouping
}

fn value_text(seen: Seen<'_>) -> String {
    match seen {
        Seen::Float(v) => crate::number::format_plain(v),
        Seen::Histogram(h) => super::histograms::text(h),
    }
}

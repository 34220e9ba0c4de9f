//! `absent` and `absent_over_time`: 1 where nothing is, with the labels that the selector pins down.

use model::{Labels, METRIC_NAME, MatchKind, Matcher};

use super::Evaluated;
use super::evaluate::{Evaluation, Sink};
use super::points::{Head, Point, Points};
use crate::parser::ast::{Call, Expr, ExprKind};

impl Evaluation<'_> {
    pub(super) fn absent(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let mut present = vec![false; self.steps.count as usize];
        let arg = &call.args[0];
        self.vector(arg, &self.function_hints(call), &mut |_, points| {
            for (step, _) in points.iter() {
                mark(&mut present, step);
            }
            Ok(())
        })?;
        self.send_absent(arg, &present, sink)
    }

    pub(super) fn absent_over_time(&self, call: &Call, sink: &mut Sink<'_>) -> Evaluated {
        let mut present = vec![false; self.steps.count as usize];
        let arg = &call.args[0];
        let ranged = self.ranged(arg, self.function_hints(call))?;
        let windows = *ranged.windows();
        super::range::refuse_absent(windows.borders)?;
        self.each_ranged(&ranged, &mut |_, samples| {
            windows.each(samples, |window| {
                if !window.is_empty() {
                    mark(&mut present, window.step);
                }
            });
            Ok(())
        })?;
        self.send_absent(arg, &present, sink)
    }

    fn send_absent(&self, arg: &Expr, present: &[bool], sink: &mut Sink<'_>) -> Evaluated {
        let absent = |step: &u32| !present.get(*step as usize).copied().unwrap_or(true);
        let steps = self.steps.all().filter(absent);
        let mut points = Points {
            floats: steps.map(|step| Point { step, v: 1.0 }).collect(),
            ..Points::default()
        };
        if points.is_empty() {
            return Ok(());
        }
        sink(Head::from(self.pinned_labels(arg)), &mut points)
    }

    /// The labels that a selector matches exactly, and only once.
    fn pinned_labels(&self, arg: &Expr) -> Labels {
        let matchers: &[Matcher] = match &arg.unwrap_parens().kind {
            ExprKind::Selector(selector) => &selector.matchers,
            ExprKind::Range(range) => &range.selector.matchers,
            _ => &[],
        };
        let mut labels = Labels::default();
        for (at, matcher) in matchers.iter().enumerate() {
            let name = matcher.name.as_str();
            let mut others = matchers.iter().enumerate();
            let once = !others.any(|(other, m)| other != at && m.name == name);
            if name != METRIC_NAME && matcher.kind == MatchKind::Equal && once {
                labels.set(name, &matcher.value, &self.query.symbols);
            }
        }
        labels
    }
}

fn mark(present: &mut [bool], step: u32) {
    if let Some(there) = present.get_mut(step as usize) {
        *there = true;
    }
}

//! What range functions read: series of a selector, or what a subquery computes at steps of its own.

use model::Hints;

use super::evaluate::{Evaluation, unsupported};
use super::points::Head;
use super::samples::{Borders, Samples, Windows};
use super::selector::samples_of;
use super::steps::Steps;
use super::{Evaluated, QueryError};
use crate::parser::ast::{Expr, ExprKind, RangeSelector, Subquery, TimeShift};

/// A range vector.
pub(super) enum Ranged<'e> {
    Selector {
        range: &'e RangeSelector,
        windows: Windows,
        hints: Hints,
    },
    Subquery {
        subquery: &'e Subquery,
        windows: Windows,
        /// The steps of the subquery.
        steps: Steps,
        /// What stands around it, which sources hear of as if it were around what is inside.
        function: String,
    },
}

impl Ranged<'_> {
    pub(super) fn windows(&self) -> &Windows {
        match self {
            Self::Selector { windows, .. } | Self::Subquery { windows, .. } => windows,
        }
    }
}

impl Evaluation<'_> {
    /// The instants that `shift` looks at.
    pub(super) fn shifted(&self, shift: TimeShift) -> Steps {
        self.steps.shifted(shift, &self.query.steps)
    }

    /// Where the range vector `expr` looks.
    pub(super) fn ranged<'e>(&self, expr: &'e Expr, hints: Hints) -> Evaluated<Ranged<'e>> {
        let windows = |shift, range, borders| Windows {
            steps: self.steps,
            ends: self.shifted(shift),
            range,
            borders,
            lookback: self.query.options.lookback,
            lead: self.lead_at(shift),
        };
        match &expr.unwrap_parens().kind {
            ExprKind::Range(range) => {
                let selector = &range.selector;
                Ok(Ranged::Selector {
                    range,
                    windows: windows(selector.shift, range.range, selector.borders()),
                    hints: Hints {
                        range: range.range,
                        ..hints
                    },
                })
            }
            ExprKind::Subquery(subquery) => {
                let windows = windows(subquery.shift, subquery.range, Borders::Plain);
                Ok(Ranged::Subquery {
                    subquery,
                    steps: self.steps_of(subquery, &windows)?,
                    windows,
                    function: hints.function,
                })
            }
            _ => unsupported(expr.span, "this range vector"),
        }
    }

    /// The multiples of the subquery's step inside of its windows.
    fn steps_of(&self, subquery: &Subquery, windows: &Windows) -> Evaluated<Steps> {
        let step = match subquery.step {
            Some(step) if step > 0 => step,
            _ => self.query.options.subquery_step,
        };
        if step <= 0 {
            let message = "the step of subqueries without one must be greater than 0";
            return Err(QueryError::Invalid(message.to_owned()));
        }
        let after = windows.ends.start.saturating_sub(subquery.range);
        let mut start = after / step * step;
        if start <= after {
            start = start.saturating_add(step);
        }
        let last = windows.ends.count.saturating_sub(1);
        Steps::range(
            start,
            windows.ends.time(last),
            step,
            self.query.options.max_samples,
        )
    }

    /// Inside of the subquery `expr`.
    pub(super) fn within(&self, expr: &Expr) -> Evaluated<Self> {
        match self.ranged(expr, self.hints())? {
            Ranged::Subquery { windows, steps, .. } => Ok(self.inside(&windows, steps)),
            Ranged::Selector { windows, .. } => Ok(self.at(windows.steps)),
        }
    }

    /// Reads the series of a range vector, one by one, without stale markers.
    pub(super) fn each_ranged(
        &self,
        ranged: &Ranged<'_>,
        visit: &mut dyn FnMut(Head, &Samples) -> Evaluated,
    ) -> Evaluated {
        match ranged {
            Ranged::Selector {
                range,
                windows,
                hints,
            } => {
                let times = (windows.first_time(), windows.last_time());
                let select = self.select(&range.selector, times, hints.clone());
                let stream = self.query.open_shared(&select, &range.selector)?;
                self.query.each_series(stream, &mut |labels, samples| {
                    samples.drop_stale();
                    if self.query.counts_only.has(&range.selector) {
                        super::histograms::drop_buckets(samples, select.mint);
                    }
                    visit(Head::from(labels), samples)
                })
            }
            Ranged::Subquery {
                subquery,
                windows,
                steps,
                function,
            } => {
                let child = self.inside(windows, *steps);
                let hints = Hints {
                    function: function.clone(),
                    ..child.hints()
                };
                let mut samples = Samples::default();
                child.vector(&subquery.expr, &hints, &mut |head, points| {
                    self.query.check_limit(points.weight())?;
                    let head = samples_of((head, points), *steps, &mut samples);
                    samples.drop_stale();
                    visit(head, &samples)
                })
            }
        }
    }
}

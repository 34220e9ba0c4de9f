//! Sums and means of native histograms, over windows and over groups of series.

use std::collections::HashMap;
use std::sync::Arc;

use model::histogram::{Incompatible, Joined, Mean, Sum};
use model::{CounterReset, FloatHistogram};

use super::notes::{Calculation, Notes};
use crate::Span;
use crate::engine::Evaluated;
use crate::engine::annotations::Annotations;
use crate::engine::points::weight_of;
use crate::parser::ast::AggregateOp;

/// What was noticed while histograms were folded.
#[derive(Clone, Copy, Debug, Default)]
struct Noticed {
    reset: bool,
    no_reset: bool,
    reconciled: bool,
}

impl Noticed {
    fn look_at(&mut self, h: &FloatHistogram) {
        self.reset |= h.counter_reset == CounterReset::Reset;
        self.no_reset |= h.counter_reset == CounterReset::NotReset;
    }

    fn tell(self, notes: &Notes<'_>) {
        if self.reset && self.no_reset {
            notes.collision(Calculation::Aggregation);
        }
        if self.reconciled {
            notes.reconciled(Calculation::Aggregation);
        }
    }
}

/// A sum or a mean.
#[derive(Clone, Debug)]
enum Total {
    Sum(Sum),
    Mean(Mean),
}

impl Total {
    fn new(mean: bool, first: FloatHistogram) -> Self {
        match mean {
            true => Self::Mean(Mean::new(first)),
            false => Self::Sum(Sum::new(first)),
        }
    }

    fn add(&mut self, h: &FloatHistogram) -> Result<Joined, Incompatible> {
        match self {
            Self::Sum(sum) => sum.add(h),
            Self::Mean(mean) => mean.add(h),
        }
    }

    fn finish(self) -> FloatHistogram {
        match self {
            Self::Sum(sum) => sum.total(),
            Self::Mean(mean) => mean.total(),
        }
    }
}

/// `sum_over_time`, or `avg_over_time`.
pub(super) fn over_window(
    h: &[Arc<FloatHistogram>],
    mean: bool,
    notes: &Notes<'_>,
) -> Option<FloatHistogram> {
    let (first, rest) = h.split_first()?;
    let mut noticed = Noticed::default();
    noticed.look_at(first);
    let mut total = Total::new(mean, FloatHistogram::clone(first));
    for h in rest {
        noticed.look_at(h);
        match total.add(h) {
            Ok(joined) => noticed.reconciled |= joined.bounds_reconciled,
            Err(Incompatible) => {
                notes.mixed_schemas();
                return None;
            }
        }
    }
    noticed.tell(notes);
    Some(total.finish())
}

/// The sums and means of histograms, by group and step.
pub(in crate::engine) struct HistogramFolds {
    op: AggregateOp,
    folds: HashMap<(usize, u32), HistogramFold>,
    weight: usize,
}

/// A group's sum or mean at a step.
pub(in crate::engine) struct HistogramFold {
    /// None once something came that cannot be added.
    total: Option<Total>,
    noticed: Noticed,
}

impl HistogramFolds {
    pub(in crate::engine) fn new(op: AggregateOp) -> Self {
        Self {
            op,
            folds: HashMap::new(),
            weight: 0,
        }
    }

    /// What is held, in samples.
    pub(in crate::engine) fn weight(&self) -> usize {
        self.weight
    }

    /// Folds `h` into a group at a step. `place` is the metric's name and where the aggregated expression stands.
    pub(in crate::engine) fn add(
        &mut self,
        at: (usize, u32),
        h: &Arc<FloatHistogram>,
        (name, span): (&str, Span),
        all: &Annotations,
    ) -> Evaluated {
        let Some(fold) = self.folds.get_mut(&at) else {
            let mut noticed = Noticed::default();
            noticed.look_at(h);
            let mean = self.op == AggregateOp::Avg;
            let total = Some(Total::new(mean, FloatHistogram::clone(h)));
            self.weight += weight_of(h);
            self.folds.insert(at, HistogramFold { total, noticed });
            return Ok(());
        };
        let Some(total) = &mut fold.total else {
            return Ok(());
        };
        fold.noticed.look_at(h);
        match total.add(h) {
            Ok(joined) => fold.noticed.reconciled |= joined.bounds_reconciled,
            Err(Incompatible) => {
                Notes { name, span, all }.mixed_schemas();
                fold.total = None;
            }
        }
        Ok(())
    }

    /// The fold of a group at a step, if there were histograms.
    pub(in crate::engine) fn take(&mut self, group: usize, step: u32) -> Option<HistogramFold> {
        if self.folds.is_empty() {
            return None;
        }
        self.folds.remove(&(group, step))
    }
}

impl HistogramFold {
    /// The result, or none if the histograms did not fit each other.
    pub(in crate::engine) fn finish(
        mut self,
        span: Span,
        all: &Annotations,
    ) -> Option<Arc<FloatHistogram>> {
        let Some(total) = self.total else {
            self.noticed.reset = false;
            self.noticed.tell(&Notes {
                name: "",
                span,
                all,
            });
            return None;
        };
        self.noticed.tell(&Notes {
            name: "",
            span,
            all,
        });
        let mut total = total.finish();
        total.compact();
        Some(Arc::new(total))
    }
}

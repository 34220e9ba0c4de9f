//! Selectors of which only counts and sums are read, under `histogram_count` and its like: their buckets are dropped as
//! soon as they have told resets. (Prometheus does so too, and it shows: the resets found are what other functions then
//! take for known.)

use std::collections::HashSet;
use std::sync::Arc;

use model::{CounterReset, FloatHistogram, Timestamp};

use crate::engine::samples::Samples;
use crate::parser::ast::{BinaryOp, Expr, ExprKind, VectorSelector};

/// The selectors of a query whose buckets nobody reads, by where they lie in the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountsOnly(HashSet<usize>);

impl CountsOnly {
    pub(in crate::engine) fn of(expr: &Expr) -> Self {
        let mut found = Self::default();
        found.find(expr, false);
        found
    }

    /// Whether nobody reads the buckets of `selector`.
    pub(in crate::engine) fn has(&self, selector: &VectorSelector) -> bool {
        self.0.contains(&std::ptr::from_ref(selector).addr())
    }

    /// `counted`: a function of counts stands above.
    fn find(&mut self, expr: &Expr, mut counted: bool) {
        match &expr.kind {
            ExprKind::Selector(selector) if counted => {
                self.0.insert(std::ptr::from_ref(selector).addr());
            }
            ExprKind::Range(range) if counted => {
                self.0.insert(std::ptr::from_ref(&range.selector).addr());
            }
            // A subquery needs the buckets to tell resets.
            ExprKind::Subquery(_) => return,
            ExprKind::Binary(binary)
                if matches!(binary.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) =>
            {
                return;
            }
            ExprKind::Call(call) => match call.function.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => counted = true,
                name if name.starts_with("histogram_") => return,
                _ => {}
            },
            _ => {}
        }
        for child in expr.kind.children() {
            self.find(child, counted);
        }
    }
}

/// Drops the buckets of the histograms from `mint` on.
pub(in crate::engine) fn drop_buckets(samples: &mut Samples, mint: Timestamp) {
    let first = samples.ht.partition_point(|t| *t < mint);
    let mut last: Option<Arc<FloatHistogram>> = None;
    for h in samples.h[first..].iter_mut().filter(|h| !h.is_stale()) {
        let counts = FloatHistogram {
            counter_reset: reset(h, last.as_deref()),
            schema: h.schema,
            count: h.count,
            sum: h.sum,
            ..FloatHistogram::default()
        };
        last = Some(std::mem::replace(h, Arc::new(counts)));
    }
}

/// What is known, or what the sample before tells.
fn reset(h: &FloatHistogram, last: Option<&FloatHistogram>) -> CounterReset {
    match (h.counter_reset, last) {
        (CounterReset::Unknown, Some(last)) if h.is_reset_after(last) => CounterReset::Reset,
        (CounterReset::Unknown, Some(_)) => CounterReset::NotReset,
        (known, _) => known,
    }
}

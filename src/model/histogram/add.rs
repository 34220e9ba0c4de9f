//! Addition and subtraction, plain and compensated. Histograms of different resolution meet in the coarser schema and
//! with the wider zero bucket; custom bounds that differ meet in those that both have.

use std::sync::Arc;

use super::bounds::exponential_bound;
use super::buckets::Indexed;
use super::layout::{Layout, merge, reduce};
use super::{CUSTOM_BUCKETS, Compensated, CounterReset, FloatHistogram, Span};

/// One histogram has exponential buckets and the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct Incompatible;

/// What was noticed while two histograms were joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// One is known to follow a reset, the other not to.
    pub reset_collision: bool,
    /// The custom bounds differed: the result has those of both only.
    pub bounds_reconciled: bool,
}

/// What rounding took from each part of a histogram, bucket by bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Compensation {
    pub(super) zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) positive: Vec<f64>,
    pub(super) negative: Vec<f64>,
}

impl Compensation {
    pub(super) fn of(histogram: &FloatHistogram) -> Self {
        Self {
            positive: vec![0.0; histogram.positive_buckets.len()],
            negative: vec![0.0; histogram.negative_buckets.len()],
            ..Self::default()
        }
    }

    pub(super) fn map(&mut self, change: impl Fn(f64) -> f64) {
        let totals = [&mut self.zero_count, &mut self.count, &mut self.sum];
        for v in totals
            .into_iter()
            .chain(&mut self.positive)
            .chain(&mut self.negative)
        {
            *v = change(*v);
        }
    }

    /// As a histogram in the layout of `of`.
    pub(super) fn in_layout(self, of: &FloatHistogram) -> FloatHistogram {
        FloatHistogram {
            counter_reset: of.counter_reset,
            schema: of.schema,
            zero_threshold: of.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: of.positive_spans.clone(),
            negative_spans: of.negative_spans.clone(),
            positive_buckets: self.positive,
            negative_buckets: self.negative,
            custom_values: of.custom_values.clone(),
        }
    }
}

impl FloatHistogram {
    /// Adds `other`. Buckets may become empty or adjacent: [`Self::compact`] tidies up.
    ///
    /// # Errors
    /// [`Incompatible`]; the histogram is as it was then.
    pub fn add(&mut self, other: &Self) -> Result<Joined, Incompatible> {
        self.join(other, |a, b| a + b, |b| b, false)
    }

    /// Subtracts `other`, otherwise as [`Self::add`].
    ///
    /// # Errors
    /// [`Incompatible`]; the histogram is as it was then.
    pub fn sub(&mut self, other: &Self) -> Result<Joined, Incompatible> {
        self.join(other, |a, b| a - b, |b| -b, true)
    }

    fn join(
        &mut self,
        other: &Self,
        both: impl Fn(f64, f64) -> f64 + Copy,
        only_other: impl Fn(f64) -> f64 + Copy,
        negative: bool,
    ) -> Result<Joined, Incompatible> {
        let mut joined = self.begin(other)?;
        if !self.has_custom_buckets() {
            let zero = self.reconcile_zero(other, &mut None);
            self.zero_count = both(self.zero_count, zero.sum);
        }
        self.count = both(self.count, other.count);
        self.sum = both(self.sum, other.sum);
        if self.has_custom_buckets() && self.custom_values != other.custom_values {
            joined.bounds_reconciled = true;
            self.join_bounds(other, negative, &mut None);
            return Ok(joined);
        }

        let schemas = self.meet(other);
        for positive in [true, false] {
            let (spans, counts) = self.side_mut(positive);
            let (other_spans, other_counts) = other.side(positive);
            if schemas.same() && same_layout(spans, other_spans, counts, other_counts) {
                if schemas.nothing_below(spans) {
                    for (a, b) in counts.iter_mut().zip(other_counts) {
                        *a = both(*a, *b);
                    }
                    continue;
                }
            } else if other_spans.is_empty() && !schemas.coarsens_self() {
                continue;
            }
            let a = schemas.of_self(Indexed::new(spans, counts), |a, b| *a += b);
            let b = schemas.of_other(Indexed::new(other_spans, other_counts), |a, b| *a += b);
            let layout = merge(a.iter(), schemas.above(b.iter()), only_other, both);
            (*spans, *counts) = (layout.spans.into(), layout.cells);
        }
        self.schema = schemas.target;
        Ok(joined)
    }

    /// As [`Self::add`], with what rounding takes away kept in `compensation`.
    pub(super) fn add_compensated(
        &mut self,
        other: &Self,
        compensation: &mut Option<Compensation>,
    ) -> Result<Joined, Incompatible> {
        let mut joined = self.begin(other)?;
        if compensation.is_none() {
            *compensation = Some(Compensation::of(self));
        }
        let mut zero = Compensated::default();
        if !self.has_custom_buckets() {
            zero = self.reconcile_zero(other, compensation);
        }
        let c = compensation.get_or_insert_default();
        if !self.has_custom_buckets() {
            add_to(&mut self.zero_count, &mut c.zero_count, zero.sum);
            add_to(&mut self.zero_count, &mut c.zero_count, zero.lost);
        }
        add_to(&mut self.count, &mut c.count, other.count);
        add_to(&mut self.sum, &mut c.sum, other.sum);
        if self.has_custom_buckets() && self.custom_values != other.custom_values {
            joined.bounds_reconciled = true;
            self.join_bounds(other, false, &mut Some(c));
            return Ok(joined);
        }

        let schemas = self.meet(other);
        for positive in [true, false] {
            let (spans, counts) = self.side_mut(positive);
            let lost = if positive {
                &mut c.positive
            } else {
                &mut c.negative
            };
            let (other_spans, other_counts) = other.side(positive);
            if schemas.same()
                && same_layout(spans, other_spans, counts, other_counts)
                && schemas.nothing_below(spans)
            {
                for ((sum, lost), v) in counts.iter_mut().zip(lost).zip(other_counts) {
                    add_to(sum, lost, *v);
                }
                continue;
            }
            let a = compensated(Indexed::new(spans, counts), lost);
            let b = compensated(Indexed::new(other_spans, other_counts), &[]);
            let (a, b) = (
                schemas.of_self(a, absorb_all),
                schemas.of_other(b, absorb_all),
            );
            let layout = merge(a.iter(), schemas.above(b.iter()), |b| b, absorb);
            *spans = layout.spans.into();
            *counts = layout.cells.iter().map(|cell| cell.sum).collect();
            *lost = layout.cells.iter().map(|cell| cell.lost).collect();
        }
        self.schema = schemas.target;
        Ok(joined)
    }

    /// What every join begins with.
    fn begin(&mut self, other: &Self) -> Result<Joined, Incompatible> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(Incompatible);
        }
        Ok(Joined {
            reset_collision: self.adjust_reset(other.counter_reset),
            bounds_reconciled: false,
        })
    }

    /// A gauge makes a gauge, what is unknown stays so. Returns whether both are known and contradict.
    fn adjust_reset(&mut self, other: CounterReset) -> bool {
        use CounterReset::{Gauge, Unknown};
        let (joined, collision) = match (self.counter_reset, other) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.counter_reset = joined;
        collision
    }

    pub(super) fn side(&self, positive: bool) -> (&Arc<[Span]>, &[f64]) {
        if positive {
            (&self.positive_spans, &self.positive_buckets)
        } else {
            (&self.negative_spans, &self.negative_buckets)
        }
    }

    fn side_mut(&mut self, positive: bool) -> (&mut Arc<[Span]>, &mut Vec<f64>) {
        if positive {
            (&mut self.positive_spans, &mut self.positive_buckets)
        } else {
            (&mut self.negative_spans, &mut self.negative_buckets)
        }
    }

    fn meet(&self, other: &Self) -> Schemas {
        Schemas {
            own: self.schema,
            other: other.schema,
            target: self.schema.min(other.schema),
            zero_threshold: self.zero_threshold,
        }
    }

    /// Joins histograms of different custom bounds: both go into the buckets between the bounds they share.
    fn join_bounds(
        &mut self,
        other: &Self,
        negative: bool,
        compensation: &mut Option<&mut Compensation>,
    ) {
        let shared = shared_bounds(&self.custom_values, &other.custom_values);
        let mut cells = vec![Compensated::default(); shared.len() + 1];
        let lost = compensation.as_ref().map(|c| c.positive.as_slice());
        let own = self.positive_indexed().enumerate();
        let mut place = Place::new(&self.custom_values, &shared);
        for (at, (index, count)) in own {
            let cell = &mut cells[place.of(index)];
            cell.add(count);
            if let Some(lost) = lost {
                cell.add(lost.get(at).copied().unwrap_or_default());
            }
        }
        let mut place = Place::new(&other.custom_values, &shared);
        for (index, count) in other.positive_indexed() {
            cells[place.of(index)].add(if negative { -count } else { count });
        }
        let nothing = Compensated::default();
        let filled = (0..).zip(cells).filter(|(_, cell)| *cell != nothing);
        let layout: Layout<Compensated> = filled.collect();
        self.positive_spans = layout.spans.into();
        self.positive_buckets = layout.cells.iter().map(|cell| cell.sum).collect();
        if let Some(c) = compensation {
            c.positive = layout.cells.iter().map(|cell| cell.lost).collect();
        }
        self.custom_values = shared.into();
    }
}

/// The schemas of two histograms and the one they meet in.
#[derive(Clone, Copy)]
struct Schemas {
    own: i32,
    other: i32,
    target: i32,
    zero_threshold: f64,
}

impl Schemas {
    fn same(self) -> bool {
        self.own == self.other
    }

    fn coarsens_self(self) -> bool {
        self.own != self.target
    }

    fn of_self<T>(
        self,
        buckets: impl Iterator<Item = (i32, T)>,
        join: impl Fn(&mut T, T),
    ) -> Layout<T> {
        Self::convert(buckets, self.own, self.target, join)
    }

    fn of_other<T>(
        self,
        buckets: impl Iterator<Item = (i32, T)>,
        join: impl Fn(&mut T, T),
    ) -> Layout<T> {
        Self::convert(buckets, self.other, self.target, join)
    }

    fn convert<T>(
        buckets: impl Iterator<Item = (i32, T)>,
        from: i32,
        to: i32,
        join: impl Fn(&mut T, T),
    ) -> Layout<T> {
        if from == to {
            buckets.collect()
        } else {
            reduce(buckets, (from, to), join)
        }
    }

    /// The buckets from the first that ends above the zero threshold.
    fn above<T>(self, buckets: impl Iterator<Item = (i32, T)>) -> impl Iterator<Item = (i32, T)> {
        buckets.skip_while(move |(index, _)| self.is_below(*index))
    }

    fn is_below(self, index: i32) -> bool {
        self.target != CUSTOM_BUCKETS
            && exponential_bound(index, self.target) <= self.zero_threshold
    }

    fn nothing_below(self, spans: &[Span]) -> bool {
        let first = spans.iter().find(|span| span.length > 0);
        first.is_none()
            || spans
                .first()
                .is_some_and(|span| span.length > 0 && !self.is_below(span.offset))
    }
}

impl<T: Copy> Layout<T> {
    fn iter(&self) -> impl Iterator<Item = (i32, T)> {
        let mut cells = self.cells.iter();
        let mut end = 0i32;
        self.spans
            .iter()
            .flat_map(move |span| {
                let start = end.wrapping_add(span.offset);
                end = start.wrapping_add(span.length.cast_signed());
                (0..span.length).map(move |at| start.wrapping_add(at.cast_signed()))
            })
            .map_while(move |index| Some((index, *cells.next()?)))
    }
}

fn same_layout(a: &Arc<[Span]>, b: &Arc<[Span]>, counts: &[f64], others: &[f64]) -> bool {
    counts.len() == others.len() && (Arc::ptr_eq(a, b) || a == b)
}

fn add_to(sum: &mut f64, lost: &mut f64, v: f64) {
    let mut cell = Compensated {
        sum: *sum,
        lost: *lost,
    };
    cell.add(v);
    (*sum, *lost) = (cell.sum, cell.lost);
}

fn compensated(buckets: Indexed<'_>, lost: &[f64]) -> impl Iterator<Item = (i32, Compensated)> {
    let mut lost = lost.iter().copied();
    buckets.map(move |(index, sum)| {
        let lost = lost.next().unwrap_or_default();
        (index, Compensated { sum, lost })
    })
}

/// Adds a cell's sum, and its compensation if there is any.
fn absorb(mut cell: Compensated, other: Compensated) -> Compensated {
    cell.add(other.sum);
    if other.lost != 0.0 {
        cell.add(other.lost);
    }
    cell
}

/// Adds a cell's sum and its compensation.
fn absorb_all(cell: &mut Compensated, other: Compensated) {
    cell.add(other.sum);
    cell.add(other.lost);
}

/// The bounds of both, ascending.
fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut b = b.iter().peekable();
    let mut shared = Vec::new();
    for bound in a {
        while b.next_if(|other| **other < *bound).is_some() {}
        if b.next_if(|other| **other == *bound).is_some() {
            shared.push(*bound);
        }
    }
    shared
}

/// Finds the shared bucket of ascending indices.
struct Place<'a> {
    bounds: &'a [f64],
    shared: &'a [f64],
    at: usize,
}

impl<'a> Place<'a> {
    fn new(bounds: &'a [f64], shared: &'a [f64]) -> Self {
        Self {
            bounds,
            shared,
            at: 0,
        }
    }

    /// The last one for what lies above all bounds.
    fn of(&mut self, index: i32) -> usize {
        let index = usize::try_from(index).unwrap_or_default();
        let Some(bound) = self.bounds.get(index) else {
            return self.shared.len();
        };
        let below = self.shared[self.at..].iter().take_while(|s| **s < *bound);
        self.at += below.count();
        self.at
    }
}

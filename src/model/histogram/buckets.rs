//! The buckets of a histogram, one by one, with their bounds.

use super::bounds::{bound, coarser, exponential_bound};
use super::{FloatHistogram, Span};

/// One bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
    /// Its place in the schema; of no meaning for the zero bucket.
    pub index: i32,
}

impl Bucket {
    /// The share of the bucket's width at or below `v`, which lies inside: linear, or on a logarithmic scale.
    pub(super) fn share_below(&self, v: f64, linear: bool) -> f64 {
        use crate::exact::log2;
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let (low, high) = (log2(self.lower.abs()), log2(self.upper.abs()));
        let at = log2(v.abs());
        if v > 0.0 {
            (at - low) / (high - low)
        } else {
            1.0 - ((at - high) / (low - high))
        }
    }

    /// Whether the bucket contains zero, between its bounds or as one of them.
    pub(super) fn spans_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }

    /// Bounds that lie inside of the zero bucket give way to it.
    fn clipped(mut self, threshold: f64) -> Self {
        if self.upper < 0.0 && self.upper > -threshold {
            self.upper = -threshold;
        } else if self.lower > 0.0 && self.lower < threshold {
            self.lower = threshold;
        }
        self
    }
}

/// Counts with their indices, ascending. Spans that promise more than there is end early.
#[derive(Clone, Debug)]
pub(super) struct Indexed<'a> {
    spans: &'a [Span],
    counts: &'a [f64],
    index: i32,
    left: u32,
}

impl<'a> Indexed<'a> {
    pub(super) fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        Self {
            spans,
            counts,
            index: 0,
            left: 0,
        }
    }
}

impl Iterator for Indexed<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 {
            let (span, rest) = self.spans.split_first()?;
            self.spans = rest;
            self.index = self.index.wrapping_add(span.offset);
            self.left = span.length;
        }
        let (count, rest) = self.counts.split_first()?;
        self.counts = rest;
        let index = self.index;
        self.index = index.wrapping_add(1);
        self.left -= 1;
        Some((index, *count))
    }
}

/// As [`Indexed`] from the end.
struct IndexedBack<'a> {
    spans: &'a [Span],
    counts: &'a [f64],
    /// One more than the index of the next bucket.
    end: i32,
    left: u32,
    gap: i32,
}

impl<'a> IndexedBack<'a> {
    fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        let end = spans.iter().fold(0i32, |end, span| {
            let length = span.length.cast_signed();
            end.wrapping_add(span.offset).wrapping_add(length)
        });
        Self {
            spans,
            counts,
            end,
            left: 0,
            gap: 0,
        }
    }
}

impl Iterator for IndexedBack<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 {
            let (span, rest) = self.spans.split_last()?;
            self.spans = rest;
            self.end = self.end.wrapping_sub(self.gap);
            (self.gap, self.left) = (span.offset, span.length);
        }
        let (count, rest) = self.counts.split_last()?;
        self.counts = rest;
        self.end = self.end.wrapping_sub(1);
        self.left -= 1;
        Some((self.end, *count))
    }
}

/// [`Indexed`] in a coarser schema: what falls into one bucket is added up.
pub(super) struct Coarser<'a> {
    from: std::iter::Peekable<Indexed<'a>>,
    schema: i32,
    target: i32,
}

impl Iterator for Coarser<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<Self::Item> {
        let (index, mut count) = self.from.next()?;
        if self.schema == self.target {
            return Some((index, count));
        }
        let (schema, target) = (self.schema, self.target);
        let here = coarser(index, schema, target);
        // Zero first, as a bucket of -0 would otherwise stay one.
        count += 0.0;
        while let Some((_, more)) = self
            .from
            .next_if(|(index, _)| coarser(*index, schema, target) == here)
        {
            count += more;
        }
        Some((here, count))
    }
}

impl FloatHistogram {
    pub(super) fn positive_indexed(&self) -> Indexed<'_> {
        Indexed::new(&self.positive_spans, &self.positive_buckets)
    }

    pub(super) fn negative_indexed(&self) -> Indexed<'_> {
        Indexed::new(&self.negative_spans, &self.negative_buckets)
    }

    /// Buckets of one side in schema `target`; of an exponential one only from the first that ends above `start`.
    pub(super) fn coarser_from(
        &self,
        positive: bool,
        start: f64,
        target: i32,
    ) -> impl Iterator<Item = (i32, f64)> {
        let from = if positive {
            self.positive_indexed()
        } else {
            self.negative_indexed()
        };
        let buckets = Coarser {
            from: from.peekable(),
            schema: self.schema,
            target,
        };
        let skips = start != 0.0 && target != super::CUSTOM_BUCKETS;
        buckets.skip_while(move |(index, _)| skips && exponential_bound(*index, target) <= start)
    }

    fn bucket(&self, positive: bool, (index, count): (i32, f64)) -> Bucket {
        let at = |index| bound(index, self.schema, &self.custom_values);
        let (near, far) = (at(index.wrapping_sub(1)), at(index));
        let (lower, upper) = if positive { (near, far) } else { (-far, -near) };
        let (lower_inclusive, upper_inclusive) = if self.has_custom_buckets() {
            (index == 0, true)
        } else {
            (lower < 0.0, upper > 0.0)
        };
        Bucket {
            lower,
            upper,
            lower_inclusive,
            upper_inclusive,
            count,
            index,
        }
    }

    /// The positive buckets, from zero up.
    pub fn positive(&self) -> impl Iterator<Item = Bucket> {
        self.positive_indexed().map(|at| self.bucket(true, at))
    }

    /// The negative buckets, from zero down.
    pub fn negative(&self) -> impl Iterator<Item = Bucket> {
        self.negative_indexed().map(|at| self.bucket(false, at))
    }

    /// The positive buckets, from the highest down.
    pub fn positive_reverse(&self) -> impl Iterator<Item = Bucket> {
        IndexedBack::new(&self.positive_spans, &self.positive_buckets)
            .map(|at| self.bucket(true, at))
    }

    /// The negative buckets, from the lowest up.
    pub fn negative_reverse(&self) -> impl Iterator<Item = Bucket> {
        IndexedBack::new(&self.negative_spans, &self.negative_buckets)
            .map(|at| self.bucket(false, at))
    }

    /// The bucket around zero.
    #[must_use]
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    fn populated_zero(&self) -> Option<Bucket> {
        (self.zero_count > 0.0).then(|| self.zero_bucket())
    }

    /// All buckets, from the lowest up. Those next to zero end where the zero bucket begins.
    pub fn all(&self) -> impl Iterator<Item = Bucket> {
        let clip = |bucket: Bucket| bucket.clipped(self.zero_threshold);
        self.negative_reverse()
            .map(clip)
            .chain(self.populated_zero())
            .chain(self.positive().map(clip))
    }

    /// As [`Self::all`], from the highest down.
    pub fn all_reverse(&self) -> impl Iterator<Item = Bucket> {
        let clip = |bucket: Bucket| bucket.clipped(self.zero_threshold);
        self.positive_reverse()
            .map(clip)
            .chain(self.populated_zero())
            .chain(self.negative().map(clip))
    }
}

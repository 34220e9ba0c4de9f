//! Layouts: buckets as ordered sequences of (index, cell) and the spans that describe them. A cell is a count, or a
//! count with its compensation.

use std::cmp::Ordering;

use super::bounds::coarser;
use super::{FloatHistogram, Span};

/// Buckets being put together in the order of their indices.
#[derive(Debug)]
pub(super) struct Layout<T> {
    pub(super) spans: Vec<Span>,
    pub(super) cells: Vec<T>,
    /// One more than the index of the last bucket.
    end: i32,
}

impl<T> Layout<T> {
    pub(super) fn with_capacity(buckets: usize) -> Self {
        Self {
            spans: Vec::new(),
            cells: Vec::with_capacity(buckets),
            end: 0,
        }
    }

    pub(super) fn push(&mut self, index: i32, cell: T) {
        self.cells.push(cell);
        let offset = index.wrapping_sub(self.end);
        self.end = index.wrapping_add(1);
        match self.spans.last_mut() {
            Some(span) if offset == 0 => span.length += 1,
            _ => self.spans.push(Span { offset, length: 1 }),
        }
    }
}

impl<T> FromIterator<(i32, T)> for Layout<T> {
    fn from_iter<I: IntoIterator<Item = (i32, T)>>(buckets: I) -> Self {
        let buckets = buckets.into_iter();
        let mut layout = Self::with_capacity(buckets.size_hint().0);
        for (index, cell) in buckets {
            layout.push(index, cell);
        }
        layout
    }
}

/// The buckets of both sequences.
pub(super) fn merge<T: Copy>(
    a: impl Iterator<Item = (i32, T)>,
    b: impl Iterator<Item = (i32, T)>,
    only_b: impl Fn(T) -> T,
    both: impl Fn(T, T) -> T,
) -> Layout<T> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut layout = Layout::with_capacity(a.size_hint().0);
    loop {
        let order = match (a.peek(), b.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return layout,
        };
        let from_a = if order.is_le() { a.next() } else { None };
        let from_b = if order.is_ge() { b.next() } else { None };
        match (from_a, from_b) {
            (Some((index, a)), Some((_, b))) => layout.push(index, both(a, b)),
            (Some((index, a)), None) => layout.push(index, a),
            (None, Some((index, b))) => layout.push(index, only_b(b)),
            (None, None) => {}
        }
    }
}

/// The buckets in the coarser schema `to`.
pub(super) fn reduce<T>(
    buckets: impl Iterator<Item = (i32, T)>,
    (from, to): (i32, i32),
    join: impl Fn(&mut T, T),
) -> Layout<T> {
    let mut layout = Layout::with_capacity(0);
    for (index, cell) in buckets {
        let index = coarser(index, from, to);
        match layout.cells.last_mut() {
            Some(last) if layout.end.wrapping_sub(1) == index => join(last, cell),
            _ => layout.push(index, cell),
        }
    }
    layout
}

/// Whether two descriptions place the same buckets. Empty spans do not matter.
pub(super) fn same_spans(a: &[Span], b: &[Span]) -> bool {
    a == b || places(a).eq(places(b))
}

/// Spans without the empty ones, whose offsets go to the next.
fn places(spans: &[Span]) -> impl Iterator<Item = Span> {
    let mut skipped = 0i32;
    spans.iter().filter_map(move |span| {
        let offset = skipped.wrapping_add(span.offset);
        if span.length == 0 {
            skipped = offset;
            return None;
        }
        skipped = 0;
        let length = span.length;
        Some(Span { offset, length })
    })
}

/// The populated buckets, and empty ones where they are no more than `most_empty` in a row between those.
pub(super) fn compacted<T: Copy>(
    buckets: impl Iterator<Item = (i32, T)>,
    is_empty: impl Fn(&T) -> bool,
    most_empty: u32,
    empty: T,
) -> Layout<T> {
    let mut layout = Layout::with_capacity(0);
    for (index, cell) in buckets.filter(|(_, cell)| !is_empty(cell)) {
        let gap = index.wrapping_sub(layout.end);
        if !layout.spans.is_empty() && u32::try_from(gap).is_ok_and(|gap| gap <= most_empty) {
            for between in layout.end..index {
                layout.push(between, empty);
            }
        }
        layout.push(index, cell);
    }
    layout
}

impl FloatHistogram {
    /// Drops empty buckets and joins adjacent spans.
    pub fn compact(&mut self) {
        self.compact_with(0);
    }

    /// Drops empty buckets, except runs of at most `most_empty` between populated ones.
    pub fn compact_with(&mut self, most_empty: u32) {
        let sides = [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ];
        for (spans, counts) in sides {
            if is_compact(spans, counts, most_empty) {
                continue;
            }
            let buckets = super::buckets::Indexed::new(spans, counts);
            let layout = compacted(buckets, |count| *count == 0.0, most_empty, 0.0);
            (*spans, *counts) = (layout.spans.into(), layout.cells);
        }
    }

    /// The same histogram in a coarser schema. Custom buckets have none, and stay.
    #[must_use]
    pub fn reduced_to(&self, schema: i32) -> Self {
        if schema >= self.schema || self.has_custom_buckets() || schema == super::CUSTOM_BUCKETS {
            return self.clone();
        }
        let schemas = (self.schema, schema);
        let positive = reduce(self.positive_indexed(), schemas, |a, b| *a += b);
        let negative = reduce(self.negative_indexed(), schemas, |a, b| *a += b);
        Self {
            counter_reset: self.counter_reset,
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: positive.spans.into(),
            negative_spans: negative.spans.into(),
            positive_buckets: positive.cells,
            negative_buckets: negative.cells,
            custom_values: self.custom_values.clone(),
        }
    }
}

fn is_compact(spans: &[Span], counts: &[f64], most_empty: u32) -> bool {
    let apart = |span: &Span| i64::from(span.offset) > i64::from(most_empty) && span.length > 0;
    let first = spans.first().is_none_or(|span| span.length > 0);
    first && spans.iter().skip(1).all(apart) && !counts.contains(&0.0)
}

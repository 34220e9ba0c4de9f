//! What flows through the engine: a series' labels and its points, floats and native histograms apart. At one step a
//! series has a float or a histogram or nothing, so the two lists interleave by step and never share one.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

/// A float at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) step: u32,
    pub(crate) v: f64,
}

/// A histogram at a step. Shared, because a sample stays the current one for many steps; whoever changes it copies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistogramPoint {
    pub(crate) step: u32,
    pub(crate) h: Arc<FloatHistogram>,
}

/// The value of a series at a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// A value that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Seen<'_> {
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Float(v) => Value::Float(v),
            Self::Histogram(h) => Value::Histogram(Arc::clone(h)),
        }
    }
}

/// The points of a series, each list in step order. The buffers are reused from series to series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Points {
    pub(crate) floats: Vec<Point>,
    pub(crate) histograms: Vec<HistogramPoint>,
}

impl Points {
    pub(crate) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }

    /// The points in memory of their own; the buffers stay.
    pub(crate) fn take(&mut self) -> Self {
        let taken = Self {
            floats: self.floats.as_slice().to_vec(),
            histograms: self.histograms.drain(..).collect(),
        };
        self.floats.clear();
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// At how many steps there is a value.
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// What the points count for against the limit of samples: a histogram weighs as many floats as fit its memory.
    pub(crate) fn weight(&self) -> usize {
        let histograms = self.histograms.iter().map(|point| weight_of(&point.h));
        self.floats.len() + histograms.sum::<usize>()
    }

    pub(crate) fn push(&mut self, step: u32, value: Value) {
        match value {
            Value::Float(v) => self.floats.push(Point { step, v }),
            Value::Histogram(h) => self.histograms.push(HistogramPoint { step, h }),
        }
    }

    /// The value at `step`, by search.
    pub(crate) fn at(&self, step: u32) -> Option<Seen<'_>> {
        let floats = self.floats.binary_search_by_key(&step, |point| point.step);
        if let Ok(at) = floats {
            return Some(Seen::Float(self.floats[at].v));
        }
        let histograms = self
            .histograms
            .binary_search_by_key(&step, |point| point.step);
        Some(Seen::Histogram(&self.histograms[histograms.ok()?].h))
    }

    /// Both kinds in step order.
    pub(crate) fn iter(&self) -> Interleaved<'_> {
        Interleaved {
            floats: &self.floats,
            histograms: &self.histograms,
        }
    }
}

/// Samples of 16 bytes that a histogram takes the room of, as Prometheus counts them.
pub(crate) fn weight_of(h: &FloatHistogram) -> usize {
    let buckets = h.positive_buckets.len() + h.negative_buckets.len();
    let spans = h.positive_spans.len() + h.negative_spans.len();
    (8 * (buckets + spans + h.custom_values.len()) + FIXED_HISTOGRAM_BYTES + 8) / 16
}

const FIXED_HISTOGRAM_BYTES: usize = 168;

/// See [`Points::iter`].
#[derive(Clone, Debug)]
pub(crate) struct Interleaved<'a> {
    floats: &'a [Point],
    histograms: &'a [HistogramPoint],
}

impl<'a> Interleaved<'a> {
    /// The value at `step`, if the points go on with it; the points before are over then.
    pub(crate) fn take_at(&mut self, step: u32) -> Option<Seen<'a>> {
        if let [point, rest @ ..] = self.floats
            && point.step == step
        {
            self.floats = rest;
            return Some(Seen::Float(point.v));
        }
        if let [point, rest @ ..] = self.histograms
            && point.step == step
        {
            self.histograms = rest;
            return Some(Seen::Histogram(&point.h));
        }
        None
    }
}

impl<'a> Iterator for Interleaved<'a> {
    type Item = (u32, Seen<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let float = self.floats.first().map(|point| point.step);
        let histogram = self.histograms.first().map(|point| point.step);
        let step = match (float, histogram) {
            (Some(float), Some(histogram)) => float.min(histogram),
            (one, other) => one.or(other)?,
        };
        self.take_at(step).map(|seen| (step, seen))
    }
}

/// Which series points belong to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    pub(crate) labels: Labels,
    /// The name no longer says what the points are. With delayed removal it stays until the end.
    pub(crate) drop_name: bool,
}

impl From<Labels> for Head {
    fn from(labels: Labels) -> Self {
        Self {
            labels,
            drop_name: false,
        }
    }
}

/// A series that is held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) head: Head,
    pub(crate) points: Points,
}

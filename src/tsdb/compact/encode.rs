//! Samples to chunks, as Prometheus encodes merged ones (`storage/series.go`): cut where the kind of sample changes, after
//! 120 samples, and where a histogram does not fit the chunk.

use std::borrow::Cow;

use model::{Columns, FloatHistogram, Histogram};

use crate::chunk::histogram::{
    Appended, FloatHistogramAppender, HistogramAppender, float_samples, integer_samples,
};
use crate::chunk::{self, Encoding, XorAppender};

use super::error::MergeError;
use super::piece::Piece;

/// Samples of a chunk.
const MOST: usize = 120;

/// The samples of a chunk, times and values apart. All have one kind.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Floats(Vec<f64>),
    Integers(Vec<Histogram>),
    FloatHistograms(Vec<FloatHistogram>),
}

/// A decoded chunk.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    pub(super) t: Vec<i64>,
    pub(super) values: Values,
}

impl Decoded {
    pub(super) fn of(piece: &Piece<'_>) -> Result<Self, MergeError> {
        Ok(match piece.encoding()? {
            Encoding::Histogram => {
                let (t, h) = integer_samples(&piece.data)?.into_iter().unzip();
                let values = Values::Integers(h);
                Self { t, values }
            }
            Encoding::FloatHistogram => {
                let (t, h) = float_samples(&piece.data)?.into_iter().unzip();
                let values = Values::FloatHistograms(h);
                Self { t, values }
            }
            encoding => {
                let mut columns = Columns::default();
                chunk::decode(encoding, &piece.data, &mut columns)?;
                if !columns.h.is_empty() {
                    let encoding = piece.encoding;
                    return Err(MergeError::NotMergeable { encoding });
                }
                let (t, values) = (columns.t, Values::Floats(columns.v));
                Self { t, values }
            }
        })
    }

    #[cfg(test)]
    pub(super) fn floats(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Floats(v) => Some(v),
            _ => None,
        }
    }
}

enum Open {
    Nothing,
    Floats(XorAppender),
    Integers(Box<HistogramAppender>),
    FloatHistograms(Box<FloatHistogramAppender>),
}

/// Takes samples in time order, and gives chunks.
pub(super) struct Encoder<'a> {
    done: Vec<Piece<'a>>,
    open: Open,
    mint: i64,
    maxt: i64,
    samples: usize,
    most: usize,
}

impl<'a> Encoder<'a> {
    pub(super) fn new() -> Self {
        Self {
            done: Vec::new(),
            open: Open::Nothing,
            mint: 0,
            maxt: 0,
            samples: 0,
            most: MOST,
        }
    }

    /// Cuts nowhere but where the kind of sample changes.
    pub(super) fn without_cuts() -> Self {
        Self {
            most: usize::MAX,
            ..Self::new()
        }
    }

    fn begin(&mut self, t: i64) {
        self.close();
        (self.mint, self.samples) = (t, 0);
    }

    /// Ends the open chunk.
    fn close(&mut self) {
        let (encoding, data) = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Floats(chunk) => (Encoding::Xor, chunk.finish()),
            Open::Integers(chunk) => (Encoding::Histogram, chunk.finish()),
            Open::FloatHistograms(chunk) => (Encoding::FloatHistogram, chunk.finish()),
        };
        self.done.push(Piece {
            mint: self.mint,
            maxt: self.maxt,
            encoding: encoding.as_byte(),
            data: Cow::Owned(data),
            frame: None,
        });
    }

    fn is_full(&self) -> bool {
        self.samples >= self.most
    }

    pub(super) fn push_float(&mut self, t: i64, v: f64) {
        if self.is_full() || !matches!(self.open, Open::Floats(_)) {
            self.begin(t);
            self.open = Open::Floats(XorAppender::new());
        }
        if let Open::Floats(chunk) = &mut self.open {
            chunk.push(t, v);
        }
        self.pushed(t);
    }

    fn pushed(&mut self, t: i64) {
        self.maxt = t;
        self.samples += 1;
    }

    pub(super) fn push_integer(&mut self, t: i64, h: &Histogram) {
        let next = match &mut self.open {
            Open::Integers(chunk) if self.samples < self.most => match chunk.append(t, h) {
                Appended::Next(next) => Some(next),
                Appended::Here | Appended::Recoded => None,
            },
            _ => Some(Box::new(HistogramAppender::begin(t, h, None))),
        };
        if let Some(next) = next {
            self.begin(t);
            self.open = Open::Integers(next);
        }
        self.pushed(t);
    }

    pub(super) fn push_float_histogram(&mut self, t: i64, h: &FloatHistogram) {
        let next = match &mut self.open {
            Open::FloatHistograms(chunk) if self.samples < self.most => match chunk.append(t, h) {
                Appended::Next(next) => Some(next),
                Appended::Here | Appended::Recoded => None,
            },
            _ => Some(Box::new(FloatHistogramAppender::begin(t, h, None))),
        };
        if let Some(next) = next {
            self.begin(t);
            self.open = Open::FloatHistograms(next);
        }
        self.pushed(t);
    }

    /// Appends sample `at` of a decoded chunk; where it does not follow the sample before in its own chunk, nothing is known
    /// of a counter reset in between.
    pub(super) fn push(&mut self, from: &Decoded, at: usize, follows: bool) {
        let t = from.t[at];
        match &from.values {
            Values::Floats(v) => self.push_float(t, v[at]),
            Values::Integers(h) if follows || h[at].counter_reset == model::CounterReset::Gauge => {
                self.push_integer(t, &h[at]);
            }
            Values::Integers(h) => {
                let mut h = h[at].clone();
                h.counter_reset = model::CounterReset::Unknown;
                self.push_integer(t, &h);
            }
            Values::FloatHistograms(h)
                if follows || h[at].counter_reset == model::CounterReset::Gauge =>
            {
                self.push_float_histogram(t, &h[at]);
            }
            Values::FloatHistograms(h) => {
                let mut h = h[at].clone();
                h.counter_reset = model::CounterReset::Unknown;
                self.push_float_histogram(t, &h);
            }
        }
    }

    pub(super) fn finish(mut self) -> Vec<Piece<'a>> {
        self.close();
        self.done
    }
}

//! The data contract of the metrics tower: who has series is a [`Queryable`]; it answers a [`Select`] with a
//! [`SeriesStream`] of batches in label order; a [`Series`] carries its samples *encoded*, and decodes them on
//! the thread of the caller, into [`Columns`] that the caller reuses.

use std::sync::Arc;

use crate::{Cancel, Cancelled, Columns, Labels, Matcher, Symbols, Timestamp};

/// The most series in one batch.
pub const MAX_BATCH: usize = 256;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Select {
    /// The request's table: the labels of every series that comes back are over it.
    pub symbols: Arc<Symbols>,
    pub matchers: Vec<Matcher>,
    /// First timestamp wanted, inclusive.
    pub mint: Timestamp,
    /// Last timestamp wanted, inclusive.
    pub maxt: Timestamp,
    pub hints: Hints,
    pub shard: Option<Shard>,
    /// Whether series must come in label order (always asked for by an engine that merges).
    pub sorted: bool,
    /// Labels only: samples are not needed.
    pub skip_samples: bool,
    /// At most this many series; 0 is no limit.
    pub limit: usize,
}

impl Select {
    /// All samples from `mint` to `maxt` of what `matchers` match, in label order.
    #[must_use]
    pub fn new(
        symbols: Arc<Symbols>,
        matchers: Vec<Matcher>,
        mint: Timestamp,
        maxt: Timestamp,
    ) -> Self {
        Self {
            symbols,
            matchers,
            mint,
            maxt,
            hints: Hints::default(),
            shard: None,
            sorted: true,
            skip_samples: false,
            limit: 0,
        }
    }
}

/// What the engine will do with the series; a source may use it to send less. All optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// The function or aggregation right around the selector, such as `rate`; empty if none.
    pub function: String,
    /// Milliseconds; 0 for an instant query.
    pub step: i64,
    /// Milliseconds of the range selector; 0 if there is none.
    pub range: i64,
    pub grouping: Option<Grouping>,
    /// The only labels that anybody reads; `None` when all are read. Without the others, series may look the same.
    pub projection: Option<Vec<String>>,
}

/// `by (…)` or `without (…)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

/// The part of all series whose label hash falls to `index` of `total`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub index: u64,
    pub total: u64,
    /// Hash these labels (`by`), or all but these.
    pub by: bool,
    pub labels: Vec<String>,
}

/// Why a select failed. The text is for people and names the source (endpoint, block, series).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// More than a limit allows; the text names the limit.
    #[error("{0}")]
    Limit(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Rejected(String),
    /// The source failed, or sent what cannot be read.
    #[error("{0}")]
    Source(String),
}

/// Has series.
pub trait Queryable: Send + Sync {
    /// Starts the request. It may block; call it on a compute thread, never on an async worker.
    ///
    /// # Errors
    /// [`SelectError`], when not even a stream can be had.
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError>;

    /// Whether the samples of a series hang on where a selection begins, as they do where replicas are put together: then one
    /// selection cannot serve for another that begins later.
    fn start_matters(&self) -> bool {
        false
    }
}

/// Series in batches. Blocks until a batch is there.
pub trait SeriesStream: Send {
    /// The next batch, at most [`MAX_BATCH`] series, or `None` at the end. A label set comes once.
    ///
    /// # Errors
    /// [`SelectError`]; the stream is over then.
    fn next(&mut self) -> Result<Option<Batch>, SelectError>;

    /// What went wrong on the way without failing the request (partial response). Complete after the end.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Up to [`MAX_BATCH`] series.
pub type Batch = Vec<Series>;

/// Labels, and samples still encoded.
pub struct Series {
    pub labels: Labels,
    pub samples: Box<dyn Samples>,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// Encoded samples of one series.
pub trait Samples: Send + Sync {
    /// Decodes all samples, in time order, timestamps strictly ascending, and appends them to `out`. Samples outside of the
    /// selected range may come too; whoever reads them looks at the timestamps.
    ///
    /// # Errors
    /// [`SelectError::Source`] for bytes that are no samples.
    fn read(&self, out: &mut Columns) -> Result<(), SelectError>;

    /// About how many bytes are held as long as these samples are.
    fn bytes(&self) -> usize;
}

/// Samples that are decoded already (tests, computed series).
impl Samples for Columns {
    fn read(&self, out: &mut Columns) -> Result<(), SelectError> {
        if !self.st.is_empty() {
            out.st.resize(out.t.len(), 0);
            out.st.extend_from_slice(&self.st);
        }
        out.t.extend_from_slice(&self.t);
        out.v.extend_from_slice(&self.v);
        out.h.extend_from_slice(&self.h);
        for run in &self.runs {
            out.extend_run(run.kind, run.len);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let histogram = |h: &Arc<crate::FloatHistogram>| {
            let buckets = h.positive_buckets.len() + h.negative_buckets.len();
            size_of::<crate::FloatHistogram>() + 8 * buckets
        };
        8 * (self.t.len() + self.v.len() + self.st.len())
            + self.h.iter().map(histogram).sum::<usize>()
    }
}

//! The nouns of Prometheus: labels, matchers, samples, histograms, time; and the one contract by which
//! series travel through the tower ([`Queryable`], [`SeriesStream`], [`Columns`]).
//!
//! Synchronous and free of IO.

mod cancel;
mod columns;
mod duration;
pub mod exact;
pub mod histogram;
mod labels;
mod matcher;
mod select;
mod symbols;

pub use cancel::{Cancel, Cancelled};
pub use columns::{Columns, Edges, Kind, KindRun, Need, STALE_NAN_BITS, is_stale, stale_nan};
pub use duration::{DurationError, format_duration, parse_duration};
pub use histogram::{Bucket, CounterReset, FloatHistogram, Histogram, Span};
pub use labels::{Labels, METRIC_NAME};
pub use matcher::{MatchKind, Matcher, MatcherError, anchored_regex};
pub use select::{
    Batch, Grouping, Hints, MAX_BATCH, Queryable, Samples, Select, SelectError, Series,
    SeriesStream, Shard,
};
pub use symbols::Symbols;

/// Milliseconds since 1970-01-01T00:00:00Z, as Prometheus counts time.
pub type Timestamp = i64;

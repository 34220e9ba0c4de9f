//! Native histograms with float counts (Prometheus `model/histogram/float_histogram.go` names the fields).

/// What is known of a counter reset before this histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterReset {
    /// Nothing is known: compare with the sample before.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Gap to the end of the run before; for the first run, the index of its first bucket.
    pub offset: i32,
    /// How many buckets the run has.
    pub length: u32,
}

/// A native histogram: exponential buckets of `schema`, or custom bounds where the schema is -53.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    pub counter_reset: CounterReset,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    /// Absolute counts, one for each bucket of `positive_spans`.
    pub positive_buckets: Vec<f64>,
    /// Absolute counts, one for each bucket of `negative_spans`.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, ascending.
    pub custom_values: Vec<f64>,
}

//! Values of PromQL as series of the wire, and back.

use model::{CounterReset, FloatHistogram, Labels, Span, Symbols, Timestamp};
use promql::{AnswerValue, InstantSample, RangeSeries};
use proto::prometheus::histogram::{Count, ResetHint, ZeroCount};
use proto::prometheus::{BucketSpan, Histogram, Label, Sample, TimeSeries};

/// The series of a value: one for each, one without labels for a scalar, none for a string.
pub(super) fn series(value: &AnswerValue, symbols: &Symbols) -> Vec<TimeSeries> {
    match value {
        AnswerValue::Scalar(t, v) => vec![TimeSeries {
            samples: vec![sample(*t, *v)],
            ..TimeSeries::default()
        }],
        AnswerValue::String(..) => Vec::new(),
        AnswerValue::Vector(samples) => samples.iter().map(|one| of_sample(one, symbols)).collect(),
        AnswerValue::Matrix(series) => series.iter().map(|one| of_range(one, symbols)).collect(),
    }
}

fn of_sample(one: &InstantSample, symbols: &Symbols) -> TimeSeries {
    let labels = labels(&one.labels, symbols);
    let (samples, histograms) = match &one.histogram {
        None => (vec![sample(one.t, one.v)], Vec::new()),
        Some(h) => (Vec::new(), vec![histogram(one.t, h)]),
    };
    TimeSeries {
        labels,
        samples,
        histograms,
        ..TimeSeries::default()
    }
}

fn of_range(one: &RangeSeries, symbols: &Symbols) -> TimeSeries {
    TimeSeries {
        labels: labels(&one.labels, symbols),
        samples: one.points.iter().map(|(t, v)| sample(*t, *v)).collect(),
        histograms: one
            .histograms
            .iter()
            .map(|(t, h)| histogram(*t, h))
            .collect(),
        ..TimeSeries::default()
    }
}

fn labels(labels: &Labels, symbols: &Symbols) -> Vec<Label> {
    let label = |(name, value): (&str, &str)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    labels.iter(symbols).map(label).collect()
}

fn sample(timestamp: Timestamp, value: f64) -> Sample {
    Sample { value, timestamp }
}

fn histogram(timestamp: Timestamp, h: &FloatHistogram) -> Histogram {
    let spans = |spans: &[Span]| {
        let span = |span: &Span| BucketSpan {
            offset: span.offset,
            length: span.length,
        };
        spans.iter().map(span).collect()
    };
    let reset_hint = match h.counter_reset {
        CounterReset::Unknown => ResetHint::Unknown,
        CounterReset::Reset => ResetHint::Yes,
        CounterReset::NotReset => ResetHint::No,
        CounterReset::Gauge => ResetHint::Gauge,
    };
    Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans: spans(&h.negative_spans),
        negative_counts: h.negative_buckets.clone(),
        positive_spans: spans(&h.positive_spans),
        positive_counts: h.positive_buckets.clone(),
        reset_hint: reset_hint.into(),
        timestamp,
        custom_values: h.custom_values.to_vec(),
        count: Some(Count::CountFloat(h.count)),
        zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
        ..Histogram::default()
    }
}

/// A histogram of the wire, with absolute counts.
pub(super) fn histogram_of(h: &Histogram) -> FloatHistogram {
    let spans = |spans: &[BucketSpan]| {
        let span = |span: &BucketSpan| Span {
            offset: span.offset,
            length: span.length,
        };
        spans.iter().map(span).collect()
    };
    // Integer histograms have differences instead of counts.
    let counts = |counts: &[f64], deltas: &[i64]| match deltas {
        [] => counts.to_vec(),
        deltas => {
            let mut last = 0_i64;
            let next = |delta: &i64| {
                last = last.wrapping_add(*delta);
                last as f64
            };
            deltas.iter().map(next).collect()
        }
    };
    FloatHistogram {
        counter_reset: match ResetHint::try_from(h.reset_hint) {
            Ok(ResetHint::Yes) => CounterReset::Reset,
            Ok(ResetHint::No) => CounterReset::NotReset,
            Ok(ResetHint::Gauge) => CounterReset::Gauge,
            _ => CounterReset::Unknown,
        },
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: match h.zero_count {
            Some(ZeroCount::ZeroCountInt(count)) => count as f64,
            Some(ZeroCount::ZeroCountFloat(count)) => count,
            None => 0.0,
        },
        count: match h.count {
            Some(Count::CountInt(count)) => count as f64,
            Some(Count::CountFloat(count)) => count,
            None => 0.0,
        },
        sum: h.sum,
        positive_spans: spans(&h.positive_spans),
        negative_spans: spans(&h.negative_spans),
        positive_buckets: counts(&h.positive_counts, &h.positive_deltas),
        negative_buckets: counts(&h.negative_counts, &h.negative_deltas),
        custom_values: h.custom_values.as_slice().into(),
    }
}

//! Histograms as text: as Prometheus prints them in answers, and as the test language writes them.

use std::fmt::{self, Display, Write as _};

use super::{Bucket, CounterReset, FloatHistogram};

/// A literal has one span: gaps between buckets are written as empty buckets, up to this many.
const LONGEST_GAP: u32 = 1 << 20;

/// A float as Go's `%g`: the shortest digits, with an exponent below 1e-4 and from a million on.
#[must_use]
pub fn format_short(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if v == 0.0 || v.is_nan() || (1e-4..1e6).contains(&v.abs()) {
        return v.to_string();
    }
    let text = format!("{v:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = (
            if self.lower_inclusive { '[' } else { '(' },
            if self.upper_inclusive { ']' } else { ')' },
        );
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(format_short);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

impl Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, sum) = (format_short(self.count), format_short(self.sum));
        write!(f, "{{count:{count}, sum:{sum}")?;
        let negative: Vec<_> = self.negative().filter(|b| b.count != 0.0).collect();
        for bucket in negative.iter().rev() {
            write!(f, ", {bucket}")?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.positive().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_char('}')
    }
}

impl FloatHistogram {
    /// The literal of the test language, `{{schema:1 count:5 …}}`.
    #[must_use]
    pub fn test_expression(&self) -> String {
        let mut compact = self.clone();
        compact.compact_with(LONGEST_GAP);
        let mut parts = Vec::new();
        if self.schema != 0 {
            parts.push(format!("schema:{}", self.schema));
        }
        let numbers = [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ];
        let set = numbers.iter().filter(|(_, v)| *v != 0.0);
        parts.extend(set.map(|(name, v)| format!("{name}:{}", format_short(*v))));
        if self.has_custom_buckets() {
            parts.push(format!("custom_values:{}", list(&self.custom_values)));
        }
        parts.extend(match self.counter_reset {
            CounterReset::Unknown => None,
            CounterReset::Reset => Some("counter_reset_hint:reset".to_owned()),
            CounterReset::NotReset => Some("counter_reset_hint:not_reset".to_owned()),
            CounterReset::Gauge => Some("counter_reset_hint:gauge".to_owned()),
        });
        let sides = [
            ("", &compact.positive_spans, &compact.positive_buckets),
            ("n_", &compact.negative_spans, &compact.negative_buckets),
        ];
        for (prefix, spans, counts) in sides {
            if let Some(span) = spans.first().filter(|span| span.offset != 0) {
                parts.push(format!("{prefix}offset:{}", span.offset));
            }
            if !counts.is_empty() {
                parts.push(format!("{prefix}buckets:{}", list(counts)));
            }
        }
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

fn list(values: &[f64]) -> String {
    let values: Vec<_> = values.iter().map(|v| format_short(*v)).collect();
    format!("[{}]", values.join(" "))
}

//! Descriptions of series: a metric, and values separated by blanks.
//!
//! | item | means |
//! |---|---|
//! | `_`, `_x3` | nothing at one place, at three |
//! | `1.5`, `-Inf`, `stale` | one value |
//! | `1x3` | four times one |
//! | `1+2x3`, `1-2x3` | 1 and three more, each 2 more (less) |
//! | `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3` | the same with native histograms |

use model::{FloatHistogram, METRIC_NAME, MatchKind};

use super::histogram;
use crate::ParseError;
use crate::number::parse_number;

/// The most values one item may stand for.
const MAX_REPEAT: u64 = 1_000_000;

/// What a series has at one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Omitted,
    Float(f64),
    Histogram {
        histogram: Box<FloatHistogram>,
        /// Whether the text says something about counter resets; else an expectation does not care.
        hint_given: bool,
    },
}

/// A line of the language: `metric{labels} values`.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesLine {
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    pub values: Vec<Value>,
}

/// Why a text describes no series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    #[error(transparent)]
    Metric(#[from] ParseError),
    #[error("a series has labels, not matchers: {0:?}")]
    NoLabel(String),
    #[error("{0:?} is no value of a series")]
    Value(String),
    #[error("in native histogram {text:?}: {why}")]
    Histogram { text: String, why: String },
}

/// Reads `metric{labels} values`.
///
/// # Errors
/// [`SeriesError`].
pub fn parse_series(line: &str) -> Result<SeriesLine, SeriesError> {
    let (metric, values) = line.split_at(metric_end(line));
    Ok(SeriesLine {
        labels: parse_labels(metric)?,
        values: parse_values(values)?,
    })
}

/// Where the metric ends: after its braces, or at the first blank if it has none.
pub(super) fn metric_end(line: &str) -> usize {
    let mut quote = None;
    let mut in_braces = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') if in_braces => quote = Some(c),
            (None, '{') => in_braces = true,
            (None, '}') => return at + 1,
            (None, ' ' | '\t') if !in_braces => return at,
            _ => {}
        }
    }
    line.len()
}

/// The labels of a metric, sorted by name.
pub(super) fn parse_labels(metric: &str) -> Result<Vec<(String, String)>, SeriesError> {
    let matchers = crate::parse_selector(metric)?;
    let mut labels: Vec<(String, String)> = Vec::new();
    for matcher in matchers {
        if matcher.kind != MatchKind::Equal {
            return Err(SeriesError::NoLabel(matcher.to_string()));
        }
        labels.retain(|(name, _)| *name != matcher.name || *name != METRIC_NAME);
        labels.push((matcher.name, matcher.value));
    }
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    Ok(labels)
}

/// Reads the values of a series.
///
/// # Errors
/// [`SeriesError`].
pub fn parse_values(text: &str) -> Result<Vec<Value>, SeriesError> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = item_end(rest);
        parse_item(&rest[..end], &mut values)?;
        rest = rest[end..].trim_start();
    }
    Ok(values)
}

/// Items end at blanks outside of `{{ }}`.
fn item_end(text: &str) -> usize {
    let mut open = false;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open = true,
            '}' => open = false,
            ' ' | '\t' if !open => return at,
            _ => {}
        }
    }
    text.len()
}

fn parse_item(item: &str, values: &mut Vec<Value>) -> Result<(), SeriesError> {
    let wrong = || SeriesError::Value(item.to_owned());
    if item.starts_with("{{") {
        return histogram::parse_item(item, values);
    }
    if let Some(rest) = item.strip_prefix('_') {
        let times = match rest.strip_prefix('x') {
            Some(times) => parse_times(times).ok_or_else(wrong)?,
            None if rest.is_empty() => 1,
            None => return Err(wrong()),
        };
        values.extend((0..times).map(|_| Value::Omitted));
        return Ok(());
    }
    if item == "stale" {
        values.push(Value::Float(model::stale_nan()));
        return Ok(());
    }
    let (first, rest) = scan_number(item).ok_or_else(wrong)?;
    let (step, rest) = match rest.starts_with(['+', '-']) {
        true => scan_number(rest).ok_or_else(wrong)?,
        false => (0.0, rest),
    };
    let times = match rest.strip_prefix('x') {
        Some(times) => parse_times(times).ok_or_else(wrong)?,
        None if rest.is_empty() && step == 0.0 => 0,
        None => return Err(wrong()),
    };
    let mut value = first;
    for _ in 0..=times {
        values.push(Value::Float(value));
        value += step;
    }
    Ok(())
}

pub(super) fn parse_times(text: &str) -> Option<u64> {
    text.parse().ok().filter(|times| *times <= MAX_REPEAT)
}

/// A number with a sign or without at the beginning of `text`, and what follows it.
pub(super) fn scan_number(text: &str) -> Option<(f64, &str)> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let end = number_end(unsigned);
    let value = parse_number(&unsigned[..end]).ok()?;
    Some((if negative { -value } else { value }, &unsigned[end..]))
}

/// A sign belongs to a number right after an exponent's `e`; `x` never does.
fn number_end(text: &str) -> usize {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let sign_of_exponent = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && at > 1;
        let part = c.is_ascii_alphanumeric() && c != 'x' || matches!(c, '.' | '_');
        if !part && !sign_of_exponent {
            return at;
        }
        before = c;
    }
    text.len()
}

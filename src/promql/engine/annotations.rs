//! What a query's author should know about an answer (Prometheus `util/annotations`): warnings and infos, each text
//! once, with the place in the query that it is about.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::Span;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Warning,
    Info,
}

/// One note.
#[derive(Clone, Debug)]
struct Annotation {
    severity: Severity,
    span: Span,
    monotonicity: Option<Monotonicity>,
    /// How often, if that is told.
    occurrences: u64,
}

/// By how much the buckets of classic histograms had to be made monotonic, over all samples of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Monotonicity {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) least_bucket: f64,
    pub(crate) greatest_bucket: f64,
    pub(crate) greatest_difference: f64,
    pub(crate) samples: u64,
}

impl Monotonicity {
    fn merge(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            least_bucket: self.least_bucket.min(other.least_bucket),
            greatest_bucket: self.greatest_bucket.max(other.greatest_bucket),
            greatest_difference: self.greatest_difference.max(other.greatest_difference),
            samples: self.samples + other.samples,
        }
    }

    fn text(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_general(self.least_bucket),
            format_general(self.greatest_bucket),
            two_digits(self.greatest_difference),
            self.samples,
            rfc3339(self.first),
            rfc3339(self.last),
        )
    }
}

/// The notes of a query in the order of their first occurrence. The last occurrence gives the place, as in Prometheus.
#[derive(Debug, Default)]
pub(crate) struct Annotations(RefCell<Noted>);

#[derive(Debug, Default)]
struct Noted {
    order: Vec<String>,
    notes: HashMap<String, Annotation>,
}

impl Annotations {
    /// `text` comes without the words "PromQL warning".
    pub(crate) fn warn(&self, span: Span, text: impl AsRef<str>) {
        self.add(Severity::Warning, span, text.as_ref(), None);
    }

    /// [`Self::warn`], with how often it was.
    pub(crate) fn warn_counted(&self, span: Span, text: &str) {
        self.warn(span, text);
        if let Some(note) = self.0.borrow_mut().notes.get_mut(text) {
            note.occurrences += 1;
        }
    }

    /// `text` comes without the words "PromQL info".
    pub(crate) fn info(&self, span: Span, text: impl AsRef<str>) {
        self.add(Severity::Info, span, text.as_ref(), None);
    }

    /// Buckets were not monotonic.
    pub(crate) fn forced_monotonicity(&self, span: Span, text: &str, forced: Monotonicity) {
        self.add(Severity::Info, span, text, Some(forced));
    }

    fn add(&self, severity: Severity, span: Span, text: &str, monotonicity: Option<Monotonicity>) {
        let mut noted = self.0.borrow_mut();
        if let Some(note) = noted.notes.get_mut(text) {
            note.span = span;
            note.monotonicity = match (note.monotonicity, monotonicity) {
                (Some(before), Some(now)) => Some(before.merge(now)),
                (before, now) => now.or(before),
            };
            return;
        }
        noted.order.push(text.to_owned());
        let note = Annotation {
            severity,
            span,
            monotonicity,
            occurrences: 0,
        };
        noted.notes.insert(text.to_owned(), note);
    }

    /// Adds what was noted later.
    pub(crate) fn append(&self, later: Self) {
        let Noted { order, mut notes } = later.0.into_inner();
        for text in order {
            if let Some(note) = notes.remove(&text) {
                self.add(note.severity, note.span, &text, note.monotonicity);
                if let Some(here) = self.0.borrow_mut().notes.get_mut(&text) {
                    here.occurrences += note.occurrences;
                }
            }
        }
    }

    /// All warnings and all infos as the API shows them.
    pub(crate) fn into_texts(self) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        let Noted { order, notes } = self.0.into_inner();
        for text in order {
            let Some(note) = notes.get(&text) else {
                continue;
            };
            let mut detail = note.monotonicity.map_or_else(String::new, |m| m.text());
            if note.occurrences > 1 {
                detail = format!("{detail} ({} occurrences)", note.occurrences);
            }
            let span = note.span;
            match note.severity {
                Severity::Warning => {
                    warnings.push(format!("PromQL warning: {text}{detail} ({span})"));
                }
                Severity::Info => infos.push(format!("PromQL info: {text}{detail} ({span})")),
            }
        }
        (warnings, infos)
    }
}

/// As Go's `%g` prints: shortest digits, an exponent below 1e-4 and from 1e6 on.
pub(crate) fn format_general(v: f64) -> String {
    let text = format!("{v:e}");
    if v == 0.0 || !v.is_finite() || (-4..6).contains(&exponent(&text)) {
        return crate::number::format_plain(v);
    }
    go_exponent(&text)
}

fn exponent(text: &str) -> i32 {
    let exponent = text.split_once('e').and_then(|(_, e)| e.parse().ok());
    exponent.unwrap_or(0)
}

/// `1e5` as `1e+05`.
fn go_exponent(text: &str) -> String {
    let Some((digits, exponent)) = text.split_once('e') else {
        return text.to_owned();
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// As Go's `%.2g`.
fn two_digits(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return crate::number::format_plain(v);
    }
    let text = format!("{v:.1e}");
    let exponent = exponent(&text);
    if (-4..2).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        let plain = format!("{v:.decimals$}");
        return match plain.contains('.') {
            true => plain.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => plain,
        };
    }
    go_exponent(&text.replace(".0e", "e"))
}

/// `2006-01-02T15:04:05Z` of a time in milliseconds.
fn rfc3339(t: i64) -> String {
    use crate::functions::date::Date;
    let date = Date::of_seconds(t / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        date.hour(),
        date.minute(),
        date.second(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_once_with_its_last_place() {
        let notes = Annotations::default();
        let at = |column| Span {
            line: 1,
            column,
            ..Span::default()
        };
        notes.warn(at(1), "quantile value should be between 0 and 1, got 2");
        notes.info(at(5), "ignored histogram in max aggregation");
        notes.warn(at(9), "quantile value should be between 0 and 1, got 2");
        let (warnings, infos) = notes.into_texts();
        assert_eq!(
            warnings,
            ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:9)"]
        );
        assert_eq!(
            infos,
            ["PromQL info: ignored histogram in max aggregation (1:5)"]
        );
    }

    #[test]
    fn numbers_in_texts_are_as_go_prints_them() {
        for (v, general, two) in [
            (2.0, "2", "2"),
            (-0.5, "-0.5", "-0.5"),
            (0.00001234, "1.234e-05", "1.2e-05"),
            (1234.0, "1234", "1.2e+03"),
            (123_456_789.0, "1.23456789e+08", "1.2e+08"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (0.1, "0.1", "0.1"),
        ] {
            assert_eq!(
                (format_general(v).as_str(), two_digits(v).as_str()),
                (general, two)
            );
        }
    }
}

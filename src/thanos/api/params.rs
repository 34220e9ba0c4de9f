//! Parameters of a request: from the query string and, with POST, from a form in the body, which wins.
//! Their names, readings and complaints are those of Thanos's querier API.

use std::time::Duration;

use axum::extract::{FromRequest, Query, Request};
use axum::{Form, RequestExt as _};
use http::{HeaderMap, Method, header};
use model::{Matcher, Timestamp};

use super::error::ApiError;

/// The longest query text taken, in bytes.
const MAX_QUERY: usize = 1 << 20;

type Pairs = Vec<(String, String)>;

/// All parameters of a request, in order, and its headers.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Pairs, HeaderMap);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, _state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let query = request.extract_parts::<Query<Pairs>>().await;
        let Query(query) = query.map_err(|error| ApiError::bad_data(error.body_text()))?;
        let mut pairs = if has_form(&request) {
            form(request).await?
        } else {
            Pairs::new()
        };
        pairs.extend(query);
        Ok(Self(pairs, headers))
    }
}

fn has_form(request: &Request) -> bool {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_form = |kind: &str| kind.starts_with("application/x-www-form-urlencoded");
    request.method() == Method::POST && kind.is_some_and(is_form)
}

async fn form(request: Request) -> Result<Pairs, ApiError> {
    let Form(pairs) = Form::<Pairs>::from_request(request, &())
        .await
        .map_err(|error| ApiError::bad_data(format!("parse form: {}", error.body_text())))?;
    Ok(pairs)
}

impl Params {
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.1
    }

    /// The first value of `name`; empty if there is none, which counts as not given.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The text of the query.
    pub(super) fn query(&self) -> Result<&str, ApiError> {
        let text = self.get("query");
        if text.len() > MAX_QUERY {
            let message = format!("query of {} bytes is longer than {MAX_QUERY}", text.len());
            return Err(ApiError::bad_data(message));
        }
        Ok(text)
    }

    /// A time that must be there.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, ApiError> {
        parse_time(self.get(name)).map_err(ApiError::bad_data)
    }

    /// A time with a default.
    pub(super) fn time_or(&self, name: &str, default: Timestamp) -> Result<Timestamp, ApiError> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text).map_err(|why| {
                ApiError::bad_data(format!("Invalid time value for '{name}': {why}"))
            }),
        }
    }

    /// A duration in milliseconds, if given.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => match parse_duration(text) {
                Ok(ms) => Ok(Some(ms)),
                Err(why) => Err(ApiError::bad_data(format!("'{name}' parameter: {why}"))),
            },
        }
    }

    /// The time that the request may take: the parameter `timeout`, at most `most`.
    pub(super) fn timeout(&self, most: Duration) -> Result<Duration, ApiError> {
        let text = self.get("timeout");
        if text.is_empty() {
            return Ok(most);
        }
        let ms = parse_duration(text).map_err(ApiError::bad_data)?;
        Ok(most.min(Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
    }

    /// A boolean with a default.
    pub(super) fn boolean(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.get(name) {
            "" => Ok(default),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            text => Err(ApiError::bad_data(format!(
                "'{name}' parameter: strconv.ParseBool: parsing {text:?}: invalid syntax"
            ))),
        }
    }

    /// The parameter `limit`; 0 is no limit.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let limit: i64 = text
            .parse()
            .map_err(|_| ApiError::bad_data(format!("cannot parse {text:?} to a valid limit")))?;
        usize::try_from(limit).map_err(|_| ApiError::bad_data("limit must be non-negative"))
    }

    /// Every value of `name` as a selector.
    pub(super) fn selectors(&self, name: &str) -> Result<Vec<Vec<Matcher>>, ApiError> {
        self.all(name)
            .map(|text| promql::parse_selector(text).map_err(ApiError::from))
            .collect()
    }

    /// `start` and `end` of a request for metadata.
    pub(super) fn metadata_range(
        &self,
        default: (Timestamp, Timestamp),
    ) -> Result<(Timestamp, Timestamp), ApiError> {
        let range = (
            self.time_or("start", default.0)?,
            self.time_or("end", default.1)?,
        );
        if range.1 < range.0 {
            return Err(ApiError::bad_data(
                "end timestamp must not be before start time",
            ));
        }
        Ok(range)
    }

    /// What a query over a range asks for. `default_step` is in milliseconds.
    pub(super) fn steps(&self, default_step: i64) -> Result<Steps, ApiError> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        if end < start {
            return Err(ApiError::bad_data(
                "end timestamp must not be before start time",
            ));
        }
        let range = end.saturating_sub(start);
        let step = match self.duration("step")? {
            Some(step) => step,
            // 250 points, in whole seconds: what fills a graph.
            None => (range / 250_000 * 1_000).max(default_step),
        };
        if step <= 0 {
            return Err(ApiError::bad_data(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if range / step > MAX_POINTS {
            return Err(ApiError::bad_data(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            ));
        }
        Ok(Steps { start, end, step })
    }
}

/// One series never gets more points than this from a range query.
const MAX_POINTS: i64 = 11_000;

/// The steps of a range query, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) step: i64,
}

/// Unix seconds with a fraction, or RFC 3339.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_unix(text)
        .or_else(|| parse_rfc3339(text))
        .ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

fn parse_unix(text: &str) -> Option<Timestamp> {
    let seconds: f64 = text.parse().ok()?;
    let ms = seconds.trunc() * 1e3 + (seconds.fract() * 1e3).round();
    in_range(ms)
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    // The parser takes a space or a small t for the T too.
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}

/// Seconds with a fraction, or a Prometheus duration; to milliseconds.
fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("cannot parse {text:?} to a valid duration");
    let Ok(seconds) = text.parse::<f64>() else {
        return model::parse_duration(text).map_err(|_| invalid());
    };
    if seconds.is_nan() {
        return Err(invalid());
    }
    // Durations are nanoseconds in 64 bits on the other side.
    if (seconds * 1e9).abs() > i64::MAX as f64 {
        return Err(format!("{}. It overflows int64", invalid()));
    }
    in_range((seconds * 1e3).round()).ok_or_else(invalid)
}

fn in_range(ms: f64) -> Option<i64> {
    (ms.abs() < i64::MAX as f64).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ErrorType;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            HeaderMap::new(),
        )
    }

    fn complaint<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
        let error = result.expect_err("a complaint");
        assert_eq!(error.kind, ErrorType::BadData);
        error.message
    }

    #[test]
    fn times_are_unix_seconds_or_rfc3339() {
        for (text, ms) in [
            ("1700000000", 1_700_000_000_000),
            ("1700000000.123", 1_700_000_000_123),
            ("1.7e9", 1_700_000_000_000),
            ("-1.5", -1_500),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "abc",
            "NaN",
            "inf",
            "1e300",
            "2023-11-14",
            "2023-11-14 22:13:20Z",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_prometheus_durations() {
        for (text, ms) in [
            ("15", 15_000),
            ("0.5", 500),
            ("1.001", 1_001),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        assert!(parse_duration("1e10").is_err_and(|why| why.ends_with("It overflows int64")));
        for text in ["", "x", "5 m", "NaN"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn complaints_are_worded_as_the_querier_words_them() {
        let wrong = params(&[
            ("time", "x"),
            ("dedup", "x"),
            ("step", "x"),
            ("limit", "-1"),
        ]);
        assert_eq!(
            complaint(wrong.time_or("time", 0)),
            r#"Invalid time value for 'time': cannot parse "x" to a valid timestamp"#
        );
        assert_eq!(
            complaint(wrong.time("start")),
            r#"cannot parse "" to a valid timestamp"#
        );
        assert_eq!(
            complaint(wrong.boolean("dedup", true)),
            r#"'dedup' parameter: strconv.ParseBool: parsing "x": invalid syntax"#
        );
        assert_eq!(
            complaint(wrong.duration("step")),
            r#"'step' parameter: cannot parse "x" to a valid duration"#
        );
        assert_eq!(complaint(wrong.limit()), "limit must be non-negative");
        assert_eq!(
            complaint(params(&[("limit", "x")]).limit()),
            r#"cannot parse "x" to a valid limit"#
        );
    }

    #[test]
    fn a_range_without_a_step_gets_250_points() {
        let steps = |pairs: &[(&str, &str)]| params(pairs).steps(1_000);
        assert_eq!(
            steps(&[("start", "0"), ("end", "3600")]),
            Ok(Steps {
                start: 0,
                end: 3_600_000,
                step: 14_000
            })
        );
        assert_eq!(
            steps(&[("start", "0"), ("end", "10")]).map(|s| s.step),
            Ok(1_000)
        );
    }

    #[test]
    fn ranges_that_cannot_be_answered_are_refused() {
        let refuse = |end: &str, step: &str| {
            complaint(params(&[("start", "1000"), ("end", end), ("step", step)]).steps(1_000))
        };
        assert!(refuse("999", "1").contains("end timestamp must not be before start"));
        assert!(refuse("2000", "0").contains("zero or negative query resolution"));
        assert!(refuse("2000", "-5").contains("zero or negative query resolution"));
        assert!(refuse("12001", "1").contains("exceeded maximum resolution of 11,000 points"));
        let most = params(&[("start", "1000"), ("end", "12000"), ("step", "1")]).steps(1_000);
        assert!(most.is_ok(), "11,000 steps are allowed");
    }

    #[test]
    fn a_timeout_never_exceeds_the_configured_one() {
        let most = Duration::from_secs(120);
        let timeout = |text: &str| params(&[("timeout", text)]).timeout(most);
        assert_eq!(timeout("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(timeout("1h"), Ok(most));
        assert_eq!(timeout(""), Ok(most));
        assert_eq!(timeout("-1"), Ok(Duration::ZERO));
        assert!(timeout("soon").is_err());
    }
}

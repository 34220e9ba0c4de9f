//! The YAML of a test file.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use model::Timestamp;

/// Why a test file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("{0}")]
    Yaml(String),
    #[error("group name repeated in evaluation order: {0}")]
    RepeatedGroup(String),
}

/// A file of unit tests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Patterns of paths, relative to the file.
    #[serde(default, deserialize_with = "or_default")]
    pub rule_files: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) evaluation_interval: Interval,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) group_eval_order: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tests: Vec<TestGroup>,
    #[serde(default)]
    pub(super) fuzzy_compare: bool,
}

/// Input series, and what is asked about them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestGroup {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) interval: Interval,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) input_series: Vec<InputSeries>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) alert_rule_test: Vec<AlertTest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) promql_expr_test: Vec<ExprTest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) external_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) external_url: String,
    #[serde(default, deserialize_with = "start")]
    pub(super) start_timestamp: Timestamp,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputSeries {
    pub(super) series: String,
    #[serde(default)]
    pub(super) values: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertTest {
    #[serde(default)]
    pub(super) eval_time: Interval,
    #[serde(default)]
    pub(super) alertname: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExprTest {
    pub(super) expr: String,
    #[serde(default)]
    pub(super) eval_time: Interval,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_samples: Vec<ExpectedSample>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedSample {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) labels: String,
    #[serde(default)]
    pub(super) value: f64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) histogram: String,
}

/// Milliseconds, written as a duration; 0 where nothing is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval(pub(super) i64);

impl Interval {
    pub(super) fn or(self, other: Self) -> Self {
        if self.0 == 0 { other } else { self }
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let ms = model::parse_duration(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(ms))
    }
}

/// An empty value is as none.
pub(super) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// RFC 3339, or seconds.
fn start<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok((seconds * 1000.0).round() as i64);
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    let wrong = || serde::de::Error::custom(format!("cannot parse {text:?} to a valid timestamp"));
    Ok(time.map_err(|_| wrong())?.as_millisecond())
}

/// Reads YAML into `T`.
pub(super) fn read_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

impl TestFile {
    /// Reads a test file; unknown keys are mistakes.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let mut file: Self = read_yaml(text).map_err(FileError::Yaml)?;
        file.evaluation_interval = file.evaluation_interval.or(Interval(60_000));
        for (at, name) in file.group_eval_order.iter().enumerate() {
            if file.group_eval_order[..at].contains(name) {
                return Err(FileError::RepeatedGroup(name.clone()));
            }
        }
        Ok(file)
    }
}

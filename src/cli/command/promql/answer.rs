//! An answer in the shape of Prometheus's HTTP API, read for tables and plots.

use model::Timestamp;
use serde_json::Value as Json;

use super::time::seconds;

/// A value at a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Float(f64),
    /// `count`, `sum` and `buckets` of the HTTP API.
    Histogram(Json),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// Sorted by name.
    pub(super) labels: Vec<(String, String)>,
    /// By time.
    pub(super) points: Vec<(Timestamp, Value)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Scalar(Timestamp, f64),
    Text(String),
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
}

impl Data {
    /// Reads the field `data`; `None` if it is no answer of a query.
    pub(super) fn read(data: &Json) -> Option<Self> {
        let result = &data["result"];
        Some(match data["resultType"].as_str()? {
            "scalar" => {
                let (t, value) = point(result)?;
                Self::Scalar(t, value)
            }
            "string" => Self::Text(result[1].as_str()?.to_owned()),
            "vector" => Self::Vector(all_series(result)?),
            "matrix" => Self::Matrix(all_series(result)?),
            _ => return None,
        })
    }
}

fn all_series(result: &Json) -> Option<Vec<Series>> {
    result.as_array()?.iter().map(series).collect()
}

fn series(json: &Json) -> Option<Series> {
    let label = |(name, value): (&String, &Json)| Some((name.clone(), value.as_str()?.to_owned()));
    let mut labels: Vec<_> = json["metric"]
        .as_object()?
        .iter()
        .map(label)
        .collect::<Option<_>>()?;
    labels.sort();
    let several = |name: &str| json[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |name: &str| json.get(name).map(std::slice::from_ref).unwrap_or_default();
    let mut points = Vec::new();
    for pair in several("values").iter().chain(one("value")) {
        let (t, v) = point(pair)?;
        points.push((t, Value::Float(v)));
    }
    for pair in several("histograms").iter().chain(one("histogram")) {
        points.push((time(&pair[0])?, Value::Histogram(pair[1].clone())));
    }
    points.sort_by_key(|(t, _)| *t);
    Some(Series { labels, points })
}

/// `[seconds, "value"]`.
fn point(pair: &Json) -> Option<(Timestamp, f64)> {
    Some((time(&pair[0])?, number(pair[1].as_str()?)?))
}

fn time(json: &Json) -> Option<Timestamp> {
    Some((json.as_f64()? * 1000.0).round() as Timestamp)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

impl Value {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Float(v) => promql::format_float(*v),
            Self::Histogram(histogram) => {
                let text = |name: &str| histogram[name].as_str().unwrap_or("?").to_owned();
                format!("{{count:{}, sum:{}}}", text("count"), text("sum"))
            }
        }
    }
}

impl Series {
    /// As PromQL would select it: `up{job="api"}`.
    pub(super) fn name(&self) -> String {
        let metric = self
            .labels
            .iter()
            .find(|(name, _)| name == model::METRIC_NAME);
        let metric = metric.map_or("", |(_, value)| value);
        let others = self
            .labels
            .iter()
            .filter(|(name, _)| name != model::METRIC_NAME);
        let others: Vec<String> = others
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        match (metric, others.is_empty()) {
            ("", _) | (_, false) => format!("{metric}{{{}}}", others.join(", ")),
            (_, true) => metric.to_owned(),
        }
    }
}

/// `[seconds, "value"]` for an answer of our own.
pub(super) fn point_json(t: Timestamp, v: f64) -> Json {
    Json::Array(vec![time_json(t), Json::String(promql::format_float(v))])
}

/// Seconds as a number with its milliseconds.
pub(super) fn time_json(t: Timestamp) -> Json {
    match t % 1000 {
        0 => Json::from(t / 1000),
        _ => seconds(t).parse::<f64>().map_or(Json::Null, Json::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_answer_is_read() {
        let read = |json: Json| Data::read(&json);
        let scalar = serde_json::json!({ "resultType": "scalar", "result": [1.5, "NaN"] });
        assert!(matches!(read(scalar), Some(Data::Scalar(1500, v)) if v.is_nan()));
        let text = serde_json::json!({ "resultType": "string", "result": [1, "a"] });
        assert_eq!(read(text), Some(Data::Text("a".to_owned())));
        let matrix = serde_json::json!({ "resultType": "matrix", "result": [{
            "metric": { "b": "1", "__name__": "a" },
            "values": [[3, "+Inf"]],
            "histograms": [[2, { "count": "4", "sum": "5" }]],
        }]});
        let Some(Data::Matrix(series)) = read(matrix) else {
            panic!("a matrix");
        };
        assert_eq!(series[0].name(), r#"a{b="1"}"#);
        let texts: Vec<_> = series[0]
            .points
            .iter()
            .map(|(t, v)| (*t, v.text()))
            .collect();
        let wanted = [
            (2000, "{count:4, sum:5}".to_owned()),
            (3000, "+Inf".to_owned()),
        ];
        assert_eq!(texts, wanted);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for json in [
            serde_json::json!(null),
            serde_json::json!({ "resultType": "vector", "result": 1 }),
            serde_json::json!({ "resultType": "vector", "result": [{ "metric": {}, "value": [1, 2] }] }),
            serde_json::json!({ "resultType": "other", "result": [] }),
        ] {
            assert_eq!(Data::read(&json), None, "{json}");
        }
    }
}

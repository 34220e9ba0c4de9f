//! Whether two answers are the same.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// What two floats may differ by, relatively.
const TOLERANCE: f64 = 1e-12;

/// Where answers of the HTTP API differ, whatever the order of their series.
pub(crate) fn difference(ours: &Json, theirs: &Json) -> Option<String> {
    let (ours, theirs) = (&ours["data"], &theirs["data"]);
    if ours.is_array() {
        return (ours != theirs).then(|| format!("{ours} is not {theirs}"));
    }
    let (ours, theirs) = (by_metric(ours), by_metric(theirs));
    if !ours.keys().eq(theirs.keys()) {
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.keys().collect(), theirs.keys().collect());
        return Some(format!("the series {ours:?}, not {theirs:?}"));
    }
    ours.iter()
        .zip(theirs.values())
        .find(|((_, ours), theirs)| !same(ours, theirs))
        .map(|((metric, ours), theirs)| format!("{metric}: {ours} is not {theirs}"))
}

/// Points by labels.
fn by_metric(data: &Json) -> BTreeMap<String, Json> {
    let series = data["result"].as_array().into_iter().flatten();
    series
        .map(|series| {
            let mut points = series.clone();
            let labels = points.as_object_mut().and_then(|s| s.remove("metric"));
            let labels = labels.unwrap_or_default();
            let labels: BTreeMap<_, _> = labels.as_object().into_iter().flatten().collect();
            (format!("{labels:?}"), points)
        })
        .collect()
}

fn same(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Object(ours), Json::Object(theirs)) => {
            let in_theirs =
                |(name, value)| theirs.get(name).is_some_and(|other| same(value, other));
            ours.len() == theirs.len() && ours.iter().all(in_theirs)
        }
        (Json::Array(ours), Json::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
        }
        (Json::String(ours), Json::String(theirs)) => ours == theirs || close(ours, theirs),
        (ours, theirs) => ours.is_number() && ours.as_f64() == theirs.as_f64(),
    }
}

fn close(ours: &str, theirs: &str) -> bool {
    let (Ok(a), Ok(b)) = (ours.parse::<f64>(), theirs.parse::<f64>()) else {
        return false;
    };
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

//! Values as JSON. Plain values are plain JSON; what JSON lacks is a map with one reserved key: `{"$sealed": base64}` for a
//! secret, `{"$unknown": [names]}`, `{"$float": text}` for what is no JSON number, and `{"$map": {…}}` for a map that looks
//! like one of these.

use serde_json::{Map, Value as Json};
use stack::{Attributes, Secret, Unknown, Value};

use crate::key::{Key, KeyError};

const SEALED: &str = "$sealed";
const UNKNOWN: &str = "$unknown";
const FLOAT: &str = "$float";
const MAP: &str = "$map";

/// JSON that stands for no value, or a secret without its key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("`{0}` has no meaning here")]
    Meaningless(String),
}

/// Attributes as a JSON object; secrets are sealed with `key`.
pub(crate) fn encode(attributes: &Attributes, key: Option<&Key>) -> Result<Json, KeyError> {
    let pairs = attributes
        .iter()
        .map(|(name, value)| Ok((name.clone(), value_to_json(value, key)?)));
    pairs.collect::<Result<Map<_, _>, _>>().map(Json::Object)
}

/// What [`encode`] wrote.
pub(crate) fn decode(json: &Json, key: Option<&Key>) -> Result<Attributes, CodecError> {
    let Json::Object(pairs) = json else {
        return Err(CodecError::Meaningless(json.to_string()));
    };
    pairs
        .iter()
        .map(|(name, json)| Ok((name.clone(), json_to_value(json, key)?)))
        .collect()
}

/// One value as JSON.
pub(crate) fn value_to_json(value: &Value, key: Option<&Key>) -> Result<Json, KeyError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) if value.is_finite() => Json::from(*value),
        Value::Float(value) => marked(FLOAT, Json::from(value.to_string())),
        Value::String(text) => Json::from(text.as_str()),
        Value::List(list) => Json::Array(
            list.iter()
                .map(|value| value_to_json(value, key))
                .collect::<Result<_, _>>()?,
        ),
        Value::Map(map) => {
            let json = encode(map, key)?;
            if looks_marked(map) {
                marked(MAP, json)
            } else {
                json
            }
        }
        Value::Secret(secret) => marked(
            SEALED,
            Json::from(key.ok_or(KeyError::NotYet)?.seal(secret.reveal())?),
        ),
        Value::Unknown(unknown) => marked(UNKNOWN, unknown.of.iter().map(String::as_str).collect()),
    })
}

/// What [`value_to_json`] wrote.
pub(crate) fn json_to_value(json: &Json, key: Option<&Key>) -> Result<Value, CodecError> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::Float(value),
            (None, None) => return Err(CodecError::Meaningless(number.to_string())),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) => Value::List(
            list.iter()
                .map(|json| json_to_value(json, key))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(map) => object_to_value(map, json, key)?,
    })
}

fn object_to_value(
    map: &Map<String, Json>,
    json: &Json,
    key: Option<&Key>,
) -> Result<Value, CodecError> {
    let meaningless = || CodecError::Meaningless(json.to_string());
    let only = if map.len() == 1 {
        map.iter().next()
    } else {
        None
    };
    match only.map(|(name, json)| (name.as_str(), json)) {
        Some((SEALED, Json::String(sealed))) => {
            let text = key.ok_or(KeyError::DoesNotOpen)?.open(sealed)?;
            Ok(Value::Secret(Secret::new(text)))
        }
        Some((UNKNOWN, Json::Array(of))) => {
            let of = of
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<_>>();
            Ok(Value::Unknown(Unknown {
                of: of.ok_or_else(meaningless)?,
            }))
        }
        Some((FLOAT, Json::String(text))) => {
            text.parse().map(Value::Float).map_err(|_| meaningless())
        }
        Some((MAP, json)) => decode(json, key).map(Value::Map),
        Some((SEALED | UNKNOWN | FLOAT, _)) => Err(meaningless()),
        _ => decode(json, key).map(Value::Map),
    }
}

fn looks_marked(map: &Attributes) -> bool {
    map.len() == 1
        && map
            .keys()
            .any(|key| [SEALED, UNKNOWN, FLOAT, MAP].contains(&key.as_str()))
}

fn marked(mark: &str, json: Json) -> Json {
    Json::Object(Map::from_iter([(mark.to_owned(), json)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let ring = crate::key::Keyring::new(crate::KeySource::default(), dir.path());
        let key = ring.or_make(false).unwrap();
        let marked = |mark: &str| Value::Map(Attributes::from([(mark.to_owned(), "x".into())]));
        let values = [
            Value::Null,
            Value::Int(i64::MIN),
            Value::Float(1.0),
            Value::Float(f64::INFINITY),
            Value::Secret(Secret::new("s")),
            Value::unknown("a.b"),
            Value::List(vec![
                marked("$sealed"),
                marked("$unknown"),
                marked("$map"),
                marked("plain"),
            ]),
        ];
        for value in values {
            let json = value_to_json(&value, Some(key)).unwrap();
            assert_eq!(json_to_value(&json, Some(key)).unwrap(), value, "{json}");
        }
        assert!(matches!(
            value_to_json(&Value::Secret(Secret::new("s")), None),
            Err(KeyError::NotYet)
        ));
    }
}

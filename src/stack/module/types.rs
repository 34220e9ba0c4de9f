//! The types of inputs and outputs: `string`, `bool`, `int`, `number`, `duration`, `list(T)`, `map(T)`, `any`, and the named ones
//! `bucket` (name, region, endpoint, dir), `address` (`host:port`) and `cluster` (one of the fleet).

use std::fmt;

use crate::diagnostic::closest;
use crate::expr::{Kind, Term};
use crate::{Diagnostic, Node, Position, Value};

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Bool,
    Int,
    Number,
    Duration,
    Any,
    Bucket,
    Address,
    Cluster,
    List(Box<Type>),
    Map(Box<Type>),
}

const NAMED: [(&str, Type); 9] = [
    ("string", Type::String),
    ("bool", Type::Bool),
    ("int", Type::Int),
    ("number", Type::Number),
    ("duration", Type::Duration),
    ("any", Type::Any),
    ("bucket", Type::Bucket),
    ("address", Type::Address),
    ("cluster", Type::Cluster),
];

const BUCKET_FIELDS: [&str; 4] = ["name", "region", "endpoint", "dir"];

impl Type {
    /// Reads a type as a module writes it.
    pub(crate) fn parse(node: &Node) -> Result<Self, Diagnostic> {
        let wrong = |message: String| {
            Diagnostic::at(node.position.clone(), message).help(
                "types are string, bool, int, number, duration, list(T), map(T), any, bucket, \
                 address and cluster",
            )
        };
        let Some(text) = node.as_str() else {
            return Err(wrong(format!("a type is a name, not {}", node.type_name())));
        };
        Self::read(text.trim()).ok_or_else(|| {
            let mut mistake = wrong(format!("unknown type `{text}`"));
            mistake.candidates = closest(text, NAMED.iter().map(|(name, _)| *name));
            mistake
        })
    }

    fn read(text: &str) -> Option<Self> {
        let inner = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
        if let Some(inner) = inner("list(") {
            return Some(Self::List(Box::new(Self::read(inner.trim())?)));
        }
        if let Some(inner) = inner("map(") {
            return Some(Self::Map(Box::new(Self::read(inner.trim())?)));
        }
        NAMED
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, known)| known.clone())
    }

    /// Checks a value, and points into `term`, from which it came, as deep as it is written out there. Null and what is unknown pass.
    pub(crate) fn check(&self, value: &Value, term: &Term, mistakes: &mut Vec<Diagnostic>) {
        match (self, value) {
            (_, Value::Null | Value::Unknown(_)) | (Self::Any, _) => {}
            (Self::List(inner), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    inner.check(item, element(term, index), mistakes);
                }
            }
            (Self::Map(inner), Value::Map(map)) => {
                for (key, value) in map {
                    inner.check(value, term.get(key).unwrap_or(term), mistakes);
                }
            }
            (Self::Bucket, Value::Map(map)) => check_bucket(map.keys(), term, mistakes),
            _ if self.accepts(value) => {}
            _ => mistakes.push(self.mismatch(value, &term.position)),
        }
    }

    /// Whether a scalar (or a cluster) is of this type.
    fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::String => value.as_text().is_some(),
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Number => matches!(value, Value::Int(_) | Value::Float(_)),
            Self::Duration => value.as_text().is_some_and(is_duration),
            Self::Address => value.as_text().is_some_and(is_address),
            Self::Cluster => value.as_map().is_some_and(|map| map.contains_key("id")),
            _ => false,
        }
    }

    fn mismatch(&self, value: &Value, position: &Position) -> Diagnostic {
        let found = match value {
            Value::String(text) => format!("`{text}`"),
            Value::Int(number) => format!("`{number}`"),
            other => other.type_name().to_owned(),
        };
        let mistake = Diagnostic::at(
            position.clone(),
            format!("{found} is not {}", self.article()),
        )
        .label(format!("not {}", self.article()));
        match self {
            Self::Duration => {
                mistake.help("write a number and a unit (s, m, h, d, w, y), for example `30d`")
            }
            Self::Address => mistake.help("write host and port, for example `example.com:443`"),
            Self::String => mistake.help("put it in quotes"),
            Self::Bool => mistake.help("write true or false"),
            _ => mistake,
        }
    }

    fn article(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Int => "a whole number".to_owned(),
            Self::Address => "an address".to_owned(),
            Self::Any => "anything".to_owned(),
            other => format!("a {other}"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(inner) => write!(f, "list({inner})"),
            Self::Map(inner) => write!(f, "map({inner})"),
            named => {
                let name = NAMED
                    .iter()
                    .find(|(_, known)| known == named)
                    .map_or("", |(n, _)| *n);
                f.write_str(name)
            }
        }
    }
}

fn element(term: &Term, index: usize) -> &Term {
    match &term.kind {
        Kind::List(items) => items.get(index).unwrap_or(term),
        _ => term,
    }
}

fn check_bucket<'k>(
    keys: impl Iterator<Item = &'k String> + Clone,
    term: &Term,
    mistakes: &mut Vec<Diagnostic>,
) {
    if !keys.clone().any(|key| key == "name") {
        mistakes.push(Diagnostic::at(
            term.position.clone(),
            "a bucket needs a name",
        ));
    }
    for key in keys.filter(|key| !BUCKET_FIELDS.contains(&key.as_str())) {
        let place = term.get(key).unwrap_or(term).position.clone();
        let mut mistake = Diagnostic::at(place, format!("a bucket has no `{key}`"))
            .help(format!("a bucket has: {}", BUCKET_FIELDS.join(", ")));
        mistake.candidates = closest(key, BUCKET_FIELDS);
        mistakes.push(mistake);
    }
}

/// Prometheus's durations: `1h30m`, units from large to small, each at most once; or `0`.
fn is_duration(text: &str) -> bool {
    if text == "0" {
        return true;
    }
    let mut rest = text;
    for unit in ["y", "w", "d", "h", "m", "s", "ms"] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Some(behind) = rest[digits..].strip_prefix(unit) else {
            continue;
        };
        let minutes_of_ms = unit == "m" && behind.starts_with('s');
        if digits > 0 && !minutes_of_ms {
            rest = behind;
        }
    }
    rest.is_empty() && !text.is_empty()
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        for good in ["0", "5s", "30d", "1h30m", "1y2w3d4h5m6s7ms", "100ms"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "30", "30dd", "1m1h", "-5s", "1.5h", "h"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn types_read_back_as_they_are_written() {
        for text in [
            "string",
            "list(string)",
            "map(list(duration))",
            "bucket",
            "any",
        ] {
            assert_eq!(Type::read(text).expect(text).to_string(), text);
        }
        for bad in ["str", "list", "list()", "map(x)", "list(string"] {
            assert_eq!(Type::read(bad), None, "{bad}");
        }
    }
}

//! Reading what a module wrote, with errors that name the property.
//!
//! Absent, null and unknown all read as `None`; what is required is an error only when it is absent or null, because what is
//! unknown now is checked again when it is known, at apply.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use plan::{Kind, ProviderError};
use stack::{Attributes, Value};

/// The properties of one resource.
#[derive(Clone, Copy)]
pub(crate) struct Properties<'a>(pub(crate) &'a Attributes);

/// A scalar of a map or list: its text, `None` while it is unknown.
pub(crate) type Scalar = Option<String>;

impl<'a> Properties<'a> {
    /// The value as written; null counts as absent.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| **value != Value::Null)
    }

    /// Whether it is written, and not known yet.
    pub(crate) fn waits(self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_known())
    }

    /// A string or a secret.
    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, ProviderError> {
        match self.get(name) {
            None | Some(Value::Unknown(_)) => Ok(None),
            Some(value) => value
                .as_text()
                .map(Some)
                .ok_or_else(|| wrong(name, "a string", value)),
        }
    }

    /// As [`Self::text`], an error when absent or empty.
    pub(crate) fn required(self, name: &str) -> Result<Option<&'a str>, ProviderError> {
        if self.get(name).is_none() {
            return Err(ProviderError::new(format!("`{name}` is missing")).property(name));
        }
        match self.text(name)? {
            Some("") => Err(ProviderError::new(format!("`{name}` is empty")).property(name)),
            text => Ok(text),
        }
    }

    pub(crate) fn boolean(self, name: &str, default: bool) -> Result<bool, ProviderError> {
        match self.get(name) {
            None | Some(Value::Unknown(_)) => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(value) => Err(wrong(name, "a boolean", value)),
        }
    }

    /// A number that can be a port.
    pub(crate) fn port(self, name: &str) -> Result<Option<u16>, ProviderError> {
        match self.get(name) {
            None | Some(Value::Unknown(_)) => Ok(None),
            Some(value) => port(name, value).map(Some),
        }
    }

    /// A list of scalars; empty when absent, `None` while the list itself is unknown.
    pub(crate) fn scalars(self, name: &str) -> Result<Option<Vec<Scalar>>, ProviderError> {
        match self.get(name) {
            None => Ok(Some(Vec::new())),
            Some(Value::Unknown(_)) => Ok(None),
            Some(Value::List(list)) => list
                .iter()
                .map(|value| scalar(name, value))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(value) => Err(wrong(name, "a list", value)),
        }
    }

    /// A list of strings, wholly known or `None`; empty when absent.
    pub(crate) fn texts(self, name: &str) -> Result<Option<Vec<String>>, ProviderError> {
        Ok(self
            .scalars(name)?
            .and_then(|list| list.into_iter().collect()))
    }

    /// A map; empty when absent, `None` while it is unknown.
    pub(crate) fn map(self, name: &str) -> Result<Option<BTreeMap<String, Value>>, ProviderError> {
        match self.get(name) {
            None => Ok(Some(BTreeMap::new())),
            Some(Value::Unknown(_)) => Ok(None),
            Some(Value::Map(map)) => Ok(Some(map.clone())),
            Some(value) => Err(wrong(name, "a map", value)),
        }
    }
}

/// The text of a string, number, boolean or secret; `None` while unknown.
pub(crate) fn scalar(name: &str, value: &Value) -> Result<Scalar, ProviderError> {
    match value {
        Value::Unknown(_) => Ok(None),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Int(value) => Ok(Some(value.to_string())),
        Value::Float(value) => Ok(Some(value.to_string())),
        value => match value.as_text() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(wrong(name, "a string, a number or a boolean", value)),
        },
    }
}

/// `value` as the number of a port.
pub(crate) fn port(name: &str, value: &Value) -> Result<u16, ProviderError> {
    let Value::Int(number) = value else {
        return Err(wrong(name, "a port's number", value));
    };
    u16::try_from(*number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| {
            ProviderError::new(format!("`{name}` is {number}, and ports are 1 to 65535"))
                .property(name)
        })
}

/// The property is of another type. Never shows the value, which may be secret.
pub(crate) fn wrong(name: &str, wanted: &str, value: &Value) -> ProviderError {
    let found = value.type_name();
    ProviderError::new(format!("`{name}` must be {wanted}, and is {found}")).property(name)
}

/// Refuses properties that the kind does not have.
pub(crate) fn refuse_strange(kind: &Kind, properties: &Attributes) -> Result<(), ProviderError> {
    match properties
        .keys()
        .find(|name| !kind.properties.contains(&name.as_str()))
    {
        None => Ok(()),
        Some(name) => Err(
            ProviderError::new(format!("{} has no property `{name}`", kind.name))
                .property(name)
                .help(format!("it has {}", kind.properties.join(", "))),
        ),
    }
}

/// Refuses to act while something that the module wrote is unknown.
pub(crate) fn refuse_unknown(kind: &Kind, planned: &Attributes) -> Result<(), ProviderError> {
    let unknown = kind.properties.iter().find_map(|name| {
        let value = planned.get(*name).filter(|value| !value.is_known())?;
        Some((
            name,
            value.waits_for().into_iter().collect::<Vec<_>>().join(", "),
        ))
    });
    match unknown {
        None => Ok(()),
        Some((name, of)) => {
            Err(ProviderError::new(format!("`{name}` still waits for {of}")).property(*name))
        }
    }
}

/// A name that can be (a part of) a file's name and of a pod's: letters, digits, `-` and `_`, and inside also `.` if `dots`.
pub(crate) fn check_name(property: &str, name: &str, dots: bool) -> Result<(), ProviderError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (dots && c == '.');
    if !name.is_empty() && name.chars().all(fits) && !name.starts_with('.') {
        return Ok(());
    }
    let dot = if dots { ", dots" } else { "" };
    let message = format!("`{property}` is {name:?}: write letters, digits{dot} and dashes");
    Err(ProviderError::new(message).property(property))
}

/// SHA-256 in lowercase hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_an_error_and_what_is_unknown_is_not() {
        let attributes = Attributes::from([
            ("b".into(), Value::unknown("x")),
            ("c".into(), Value::Int(3)),
        ]);
        let properties = Properties(&attributes);
        let error = properties.required("a").unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.property.as_deref()),
            ("`a` is missing", Some("a"))
        );
        assert_eq!(properties.required("b").unwrap(), None);
        let error = properties.text("c").unwrap_err();
        assert_eq!(error.message, "`c` must be a string, and is a number");
    }

    #[test]
    fn ports_are_sixteen_bits_and_not_zero() {
        assert_eq!(port("p", &Value::Int(65_535)).unwrap(), 65_535);
        for number in [0, -1, 65_536] {
            assert!(port("p", &Value::Int(number)).is_err(), "{number}");
        }
    }

    #[test]
    fn names_cannot_leave_their_folder() {
        for name in ["", ".", "..", "a/b", ".hidden", "a b"] {
            assert!(check_name("name", name, true).is_err(), "{name:?}");
        }
        assert!(check_name("name", "a.b-c_1", true).is_ok());
        assert!(check_name("name", "a.b", false).is_err());
    }
}

//! Typed values, which may be unknown until apply or secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Properties or attributes of a resource, inputs or outputs of a unit: name to value.
pub type Attributes = BTreeMap<String, Value>;

/// A value of the tree, of a property, or of an attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// A text that is never shown and never stored in clear.
    Secret(Secret),
    /// Known only after apply.
    Unknown(Unknown),
}

/// A secret text. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the one place that must have it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A value that nobody knows before apply, and what it waits for: texts such as
/// `local/eu-west-1/observer/pki:tls.ca.ca.cert_pem`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    pub of: BTreeSet<String>,
}

impl Value {
    /// Unknown until `of` (an attribute's full name) is known.
    pub fn unknown(of: impl Into<String>) -> Self {
        Self::Unknown(Unknown {
            of: BTreeSet::from([of.into()]),
        })
    }

    /// The text, of a string or a secret.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Secret(secret) => Some(secret.reveal()),
            _ => None,
        }
    }

    /// The map behind a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Map(map) = self {
            Some(map)
        } else {
            None
        }
    }

    /// The list behind a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self {
            Some(list)
        } else {
            None
        }
    }

    /// What all unknowns in here wait for; empty when the value is wholly known.
    #[must_use]
    pub fn waits_for(&self) -> BTreeSet<String> {
        let mut of = BTreeSet::new();
        self.visit(&mut |value| {
            if let Self::Unknown(unknown) = value {
                of.extend(unknown.of.iter().cloned());
            }
        });
        of
    }

    /// Whether no part is unknown.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let mut known = true;
        self.visit(&mut |value| known &= !matches!(value, Self::Unknown(_)));
        known
    }

    /// Calls `see` for this value and every value inside.
    pub fn visit(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        match self {
            Self::List(list) => list.iter().for_each(|value| value.visit(see)),
            Self::Map(map) => map.values().for_each(|value| value.visit(see)),
            _ => {}
        }
    }

    /// The field's name of this value's type, for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Secret(_) => "a secret",
            Self::Unknown(_) => "a value known after apply",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl<V: Into<Self>> FromIterator<V> for Value {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

//! Secrets are known by their text, not by where they came from: what a provider hands back with a secret's text in it is
//! a secret too.

use stack::{Attributes, Secret, Value};

/// Shorter texts are covered only where they are the whole value: `x` occurs everywhere.
const DISTINCT: usize = 8;

/// Covers the secrets of one resource.
#[derive(Debug, Default)]
pub(crate) struct Shroud {
    texts: Vec<Secret>,
}

impl Shroud {
    /// All secrets in some attributes.
    pub(crate) fn of<'a>(attributes: impl IntoIterator<Item = &'a Attributes>) -> Self {
        let mut texts = Vec::new();
        for value in attributes.into_iter().flat_map(Attributes::values) {
            value.visit(&mut |value| {
                if let Value::Secret(secret) = value
                    && !secret.reveal().is_empty()
                {
                    texts.push(secret.clone());
                }
            });
        }
        Self { texts }
    }

    /// The same attributes, every text with a secret in it a secret.
    pub(crate) fn cover(&self, mut attributes: Attributes) -> Attributes {
        if !self.texts.is_empty() {
            attributes
                .values_mut()
                .for_each(|value| self.cover_value(value));
        }
        attributes
    }

    /// A message without the secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        let distinct = self
            .texts
            .iter()
            .filter(|secret| secret.reveal().len() >= DISTINCT);
        distinct.fold(text.to_owned(), |text, secret| {
            text.replace(secret.reveal(), "(secret)")
        })
    }

    fn cover_value(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.tells(text) => {
                *value = Value::Secret(Secret::new(std::mem::take(text)));
            }
            Value::List(list) => list.iter_mut().for_each(|value| self.cover_value(value)),
            Value::Map(map) => map.values_mut().for_each(|value| self.cover_value(value)),
            _ => {}
        }
    }

    fn tells(&self, text: &str) -> bool {
        self.texts
            .iter()
            .map(Secret::reveal)
            .any(|secret| text == secret || (secret.len() >= DISTINCT && text.contains(secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_text_is_covered_wherever_it_appears() {
        let given = Attributes::from([
            ("short".to_owned(), Value::Secret(Secret::new("x"))),
            (
                "long".to_owned(),
                Value::Secret(Secret::new("hunter2hunter2")),
            ),
        ]);
        let told = Attributes::from([
            ("whole".to_owned(), "x".into()),
            ("text".to_owned(), "prefix".into()),
            (
                "list".to_owned(),
                ["password: hunter2hunter2"].into_iter().collect(),
            ),
        ]);
        let shroud = Shroud::of([&given]);
        let covered = shroud.cover(told);
        assert!(matches!(covered["whole"], Value::Secret(_)));
        assert_eq!(covered["text"], "prefix".into());
        assert!(matches!(
            covered["list"].as_list(),
            Some([Value::Secret(_)])
        ));
        assert_eq!(shroud.redact("bad hunter2hunter2"), "bad (secret)");
    }
}

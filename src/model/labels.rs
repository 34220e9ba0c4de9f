//! Label sets as ids over a request's [`Symbols`].

use std::cmp::Ordering;
use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::Symbols;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A label set: (name, value) ids, sorted by name, names unique, no empty values. It means nothing without
/// the [`Symbols`] it was made with; equality and hashing by ids are exact within one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(SmallVec<[(u32, u32); 8]>);

impl Labels {
    /// Interns `pairs`. Later pairs win over earlier ones of the same name; an empty value removes the label.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        symbols: &Symbols,
    ) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            labels.set(name, value, symbols);
        }
        labels
    }

    /// Takes ids as they are: sorted by name, unique, values not empty (what [`Self::iter_ids`] gives, filtered).
    pub fn from_sorted_ids(ids: impl IntoIterator<Item = (u32, u32)>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str, symbols: &Symbols) {
        let place = self.0.binary_search_by(|(n, _)| symbols.get(*n).cmp(name));
        match (place, value.is_empty()) {
            (Ok(at), true) => {
                self.0.remove(at);
            }
            (Ok(at), false) => self.0[at].1 = symbols.intern(value),
            (Err(_), true) => {}
            (Err(at), false) => self
                .0
                .insert(at, (symbols.intern(name), symbols.intern(value))),
        }
    }

    /// The value of `name`, if the set has it.
    #[must_use]
    pub fn get<'s>(&self, name: &str, symbols: &'s Symbols) -> Option<&'s str> {
        let at = self
            .0
            .binary_search_by(|(n, _)| symbols.get(*n).cmp(name))
            .ok()?;
        Some(symbols.get(self.0[at].1))
    }

    /// Keeps the labels for which `keep(name id, value id)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, u32) -> bool) {
        self.0.retain(|(name, value)| keep(*name, *value));
    }

    /// (name, value) in name order.
    pub fn iter<'s>(
        &'s self,
        symbols: &'s Symbols,
    ) -> impl ExactSizeIterator<Item = (&'s str, &'s str)> {
        self.0
            .iter()
            .map(|(name, value)| (symbols.get(*name), symbols.get(*value)))
    }

    /// (name id, value id) in name order.
    pub fn iter_ids(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }

    /// The label at a place in name order; the ids of nothing behind the last.
    #[must_use]
    pub fn at(&self, place: usize) -> (u32, u32) {
        self.0.get(place).copied().unwrap_or((u32::MAX, u32::MAX))
    }

    /// How many labels the set has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set has no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prometheus's order (`labels.Compare`): pair by pair, name then value; a proper prefix is smaller.
    #[must_use]
    pub fn compare(&self, other: &Self, symbols: &Symbols) -> Ordering {
        let text = |a: u32, b: u32| {
            if a == b {
                Ordering::Equal
            } else {
                symbols.get(a).cmp(symbols.get(b))
            }
        };
        for (a, b) in self.0.iter().zip(&other.0) {
            let order = text(a.0, b.0).then_with(|| text(a.1, b.1));
            if order != Ordering::Equal {
                return order;
            }
        }
        self.0.len().cmp(&other.0.len())
    }

    /// As Prometheus prints a set: `{a="b", c="d"}`.
    #[must_use]
    pub fn display(&self, symbols: &Symbols) -> String {
        let mut text = String::from("{");
        for (at, (name, value)) in self.iter(symbols).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{name}={value:?}");
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_unique_and_never_empty() {
        let s = Symbols::new();
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")], &s);
        assert_eq!(labels.display(&s), r#"{a="2", b="3"}"#);
        assert_eq!(labels.get("b", &s), Some("3"));
        assert_eq!(labels.get("c", &s), None);
    }

    #[test]
    fn order_is_by_text_and_a_prefix_is_smaller() {
        let s = Symbols::new();
        let z = Labels::from_pairs([("a", "z")], &s);
        let b = Labels::from_pairs([("a", "b"), ("x", "y")], &s);
        let prefix = Labels::from_pairs([("a", "b")], &s);
        assert_eq!(b.compare(&z, &s), Ordering::Less);
        assert_eq!(prefix.compare(&b, &s), Ordering::Less);
        assert_eq!(b.compare(&b.clone(), &s), Ordering::Equal);
    }
}

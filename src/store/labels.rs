//! Label sets as they travel on the wire: pairs of strings, sorted by name.
//!
//! Order is Prometheus's `labels.Compare`: pair by pair, name then value, a proper prefix is smaller.

use std::cmp::Ordering;
use std::fmt::Write as _;

use model::{Labels, Symbols};
use proto::thanos::{Label, Series};

/// A label of the wire.
#[must_use]
pub fn label(name: impl Into<String>, value: impl Into<String>) -> Label {
    Label {
        name: name.into(),
        value: value.into(),
    }
}

/// Prometheus's order of two label sets that are sorted by name.
#[must_use]
pub fn compare(a: &[Label], b: &[Label]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = a.name.cmp(&b.name).then_with(|| a.value.cmp(&b.value));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Makes a set what the rest relies on: sorted by name, names unique (the first wins), no empty values.
/// Sets that are so already cost one pass.
pub fn normalise(labels: &mut Vec<Label>) {
    if !labels.windows(2).all(|pair| pair[0].name < pair[1].name) {
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.dedup_by(|later, kept| later.name == kept.name);
    }
    if labels.iter().any(|label| label.value.is_empty()) {
        labels.retain(|label| !label.value.is_empty());
    }
}

/// Removes the labels called `names`.
pub fn remove(labels: &mut Vec<Label>, names: &[String]) {
    labels.retain(|label| !names.contains(&label.name));
}

/// Lays `external` over a sorted set: external labels win over labels of the same name.
pub fn overlay(labels: &mut Vec<Label>, external: &[Label]) {
    for extra in external {
        match labels.binary_search_by(|label| label.name.cmp(&extra.name)) {
            Ok(at) => labels[at].value.clone_from(&extra.value),
            Err(at) => labels.insert(at, extra.clone()),
        }
    }
}

/// Sorts whole series by their label sets; series of one label set keep their order.
pub fn sort_series(series: &mut [Series]) {
    series.sort_by(|a, b| compare(&a.labels, &b.labels));
}

/// The value of `name`, empty if the set has none.
#[must_use]
pub fn value<'l>(labels: &'l [Label], name: &str) -> &'l str {
    labels
        .iter()
        .find(|label| label.name == name)
        .map_or("", |label| &label.value)
}

/// Interns a set.
#[must_use]
pub fn intern(labels: &[Label], symbols: &Symbols) -> Labels {
    let sorted = labels.windows(2).all(|pair| pair[0].name < pair[1].name);
    if sorted && labels.iter().all(|label| !label.value.is_empty()) {
        let id = |label: &Label| (symbols.intern(&label.name), symbols.intern(&label.value));
        return Labels::from_sorted_ids(labels.iter().map(id));
    }
    Labels::from_pairs(
        labels.iter().map(|l| (l.name.as_str(), l.value.as_str())),
        symbols,
    )
}

/// `{a="b", c="d"}`, as Prometheus prints a set.
#[must_use]
pub fn display(labels: &[Label]) -> String {
    let mut text = String::from("{");
    for (at, label) in labels.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{}={:?}", label.name, label.value);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Vec<Label> {
        pairs
            .iter()
            .map(|(name, value)| label(*name, *value))
            .collect()
    }

    #[test]
    fn external_labels_win_and_land_in_name_order() {
        let mut labels = set(&[("a", "1"), ("c", "3")]);
        overlay(&mut labels, &set(&[("b", "2"), ("c", "x")]));
        assert_eq!(labels, set(&[("a", "1"), ("b", "2"), ("c", "x")]));
    }

    #[test]
    fn a_prefix_can_change_places_when_a_label_is_added() {
        let (mut short, mut long) = (set(&[("a", "1")]), set(&[("a", "1"), ("b", "1")]));
        assert_eq!(compare(&short, &long), Ordering::Less);
        overlay(&mut short, &set(&[("z", "1")]));
        overlay(&mut long, &set(&[("z", "1")]));
        assert_eq!(compare(&short, &long), Ordering::Greater);
    }

    #[test]
    fn what_a_careless_peer_sends_is_put_in_order() {
        let mut labels = set(&[("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        normalise(&mut labels);
        assert_eq!(labels, set(&[("a", "2"), ("b", "1")]));
        let symbols = Symbols::new();
        assert_eq!(
            intern(&labels, &symbols).display(&symbols),
            display(&labels)
        );
    }
}

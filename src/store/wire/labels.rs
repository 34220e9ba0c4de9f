//! Encoded label sets: one after the other the fields `labels` of a series.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::field;

/// The key of a label in a series.
pub(super) const LABEL: u8 = 0x0a;
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;
/// Bytes that are compared at a time.
const STRIDE: usize = 16;

/// A label set in plain form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels<'b>(pub(super) &'b [u8]);

impl<'b> Labels<'b> {
    /// Cuts the labels off the front of a series.
    pub(super) fn cut(series: &mut &'b [u8]) -> Option<Self> {
        let all = *series;
        let mut last = None;
        while let Some(label) = field::bytes(series, LABEL)? {
            let (name, value) = split(label)?;
            if value.is_empty() || last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
        }
        let labels = Self(&all[..all.len() - series.len()]);
        labels.is_text().then_some(labels)
    }

    /// What [`Self::encoded`] gave, or [`Self::without`] left.
    pub(crate) fn of(kept: &'b [u8]) -> Self {
        Self(kept)
    }

    /// As it travels.
    pub(crate) fn encoded(self) -> &'b [u8] {
        self.0
    }

    /// Appends the labels that are not called so, encoded.
    pub(crate) fn without(self, names: &[String], kept: &mut Vec<u8>) {
        let mut rest = self.0;
        loop {
            let before = rest;
            let Some(Some(label)) = field::bytes(&mut rest, LABEL) else {
                return;
            };
            let (name, _) = split(label).unwrap_or_default();
            if !names.iter().any(|other| other.as_bytes() == name) {
                kept.extend_from_slice(&before[..before.len() - rest.len()]);
            }
        }
    }

    fn is_text(self) -> bool {
        let is_utf8 = |text: &[u8]| std::str::from_utf8(text).is_ok();
        self.0.is_ascii()
            || self
                .pairs()
                .all(|(name, value)| is_utf8(name) && is_utf8(value))
    }

    /// The labels, each still encoded.
    pub(crate) fn each(self) -> impl Iterator<Item = &'b [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || field::bytes(&mut rest, LABEL)?)
    }

    /// Names and values.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        self.each().map(|label| split(label).unwrap_or_default())
    }

    /// Names and values as the texts that they are.
    pub(crate) fn texts(self) -> impl Iterator<Item = (&'b str, &'b str)> {
        self.pairs().map(|(name, value)| (text(name), text(value)))
    }

    /// Prometheus's order: pair by pair, name then value, a proper prefix is smaller.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        let (mut a, mut b) = (self.0, other.0);
        let common = common_prefix(a, b);
        if common == a.len() || common == b.len() {
            return a.len().cmp(&b.len());
        }
        // Labels that end within what both have in common are equal.
        loop {
            let (left, right) = (field::bytes(&mut a, LABEL), field::bytes(&mut b, LABEL));
            let (Some(Some(left)), Some(Some(right))) = (left, right) else {
                return a.len().cmp(&b.len());
            };
            if self.0.len() - a.len() > common {
                return split(left).cmp(&split(right));
            }
        }
    }

    /// `{a="b", c="d"}`, as Prometheus prints a set.
    pub(crate) fn display(self) -> String {
        let mut out = String::from("{");
        for (at, (name, value)) in self.texts().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(out, "{comma}{name}={value:?}");
        }
        out.push('}');
        out
    }
}

/// The name and the value of an encoded label.
#[inline]
pub(crate) fn split(mut label: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = field::bytes(&mut label, NAME)?.unwrap_or_default();
    let value = field::bytes(&mut label, VALUE)?.unwrap_or_default();
    label.is_empty().then_some((name, value))
}

/// It was checked before.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// How many bytes at the front are the same.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let strides = a.chunks_exact(STRIDE).zip(b.chunks_exact(STRIDE));
    let whole = strides.take_while(|(a, b)| a == b).count() * STRIDE;
    let rest = a[whole..].iter().zip(&b[whole..]);
    whole + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use proto::thanos;

    use super::*;

    fn set() -> impl Strategy<Value = Vec<thanos::Label>> {
        let text = |text| prop_oneof![3 => text, 1 => "[a-c]{120,140}".prop_map(String::from)];
        let value = text("[abü]{1,3}".boxed());
        prop::collection::btree_map("[a-c]{1,2}", value, 0..5).prop_map(|set| {
            set.into_iter()
                .map(|(name, value)| crate::labels::label(name, value))
                .collect()
        })
    }

    fn encoded(labels: &[thanos::Label]) -> Vec<u8> {
        let labels = labels.to_vec();
        let chunks = Vec::new();
        thanos::Series { labels, chunks }.encode_to_vec()
    }

    proptest! {
        #[test]
        fn encoded_sets_are_in_the_order_of_decoded_ones(a in set(), b in set(), keep in 0usize..5) {
            // Sets that begin alike are the rule.
            let mut c = a.clone();
            c.truncate(keep);
            c.extend(b.iter().filter(|l| c.last().is_none_or(|last| last.name < l.name)).cloned().collect::<Vec<_>>());
            for (left, right) in [(&a, &b), (&a, &c), (&c, &a), (&a, &a)] {
                let (one, other) = (encoded(left), encoded(right));
                let order = Labels(&one).compare(Labels(&other));
                prop_assert_eq!(order, crate::labels::compare(left, right));
            }
        }

        #[test]
        fn a_set_is_cut_off_as_it_was_encoded(set in set()) {
            let encoded = encoded(&set);
            let mut rest = encoded.as_slice();
            let labels = Labels::cut(&mut rest).expect("plain");
            prop_assert!(rest.is_empty());
            prop_assert_eq!(labels.display(), crate::labels::display(&set));
        }
    }

    #[test]
    fn what_has_to_be_put_right_is_not_plain() {
        let label = crate::labels::label;
        for odd in [
            vec![label("b", "1"), label("a", "1")],
            vec![label("a", "1"), label("a", "2")],
            vec![label("a", "")],
        ] {
            assert_eq!(Labels::cut(&mut encoded(&odd).as_slice()), None, "{odd:?}");
        }
        let not_text = [LABEL, 6, NAME, 1, b'a', VALUE, 1, 0xff];
        assert_eq!(Labels::cut(&mut not_text.as_slice()), None);
    }
}

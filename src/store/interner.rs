//! Label sets of the wire as ids.

use std::sync::Arc;

use model::Symbols;

use crate::wire::{self, split, text};

/// Interns the label sets of one stream. In label order most of a set is as in the set before, and is not looked up again.
#[derive(Debug)]
pub(crate) struct Interner {
    symbols: Arc<Symbols>,
    /// The labels that are read, if not all are.
    projection: Option<Vec<String>>,
    before: Vec<Known>,
}

/// A label of the set before.
#[derive(Debug, Default)]
struct Known {
    encoded: Vec<u8>,
    name: Vec<u8>,
    /// Nobody reads it where there is none.
    name_id: Option<u32>,
    value_id: u32,
}

impl Interner {
    pub(crate) fn new(symbols: Arc<Symbols>, projection: Option<Vec<String>>) -> Self {
        Self {
            symbols,
            projection,
            before: Vec::new(),
        }
    }

    pub(crate) fn intern(&mut self, labels: wire::Labels<'_>) -> model::Labels {
        let ids = labels.each().enumerate();
        model::Labels::from_sorted_ids(ids.filter_map(|(at, label)| self.ids(at, label)))
    }

    /// The ids of the label at a place of a set, if it is read.
    fn ids(&mut self, at: usize, label: &[u8]) -> Option<(u32, u32)> {
        if at == self.before.len() {
            self.before.push(Known::default());
        }
        let known = self.before.get_mut(at)?;
        if known.encoded != label {
            let (name, value) = split(label).unwrap_or_default();
            if known.encoded.is_empty() || known.name != name {
                let is_read = |names: &Vec<String>| names.iter().any(|n| n.as_bytes() == name);
                let read = self.projection.as_ref().is_none_or(is_read);
                known.name_id = read.then(|| self.symbols.intern(text(name)));
                name.clone_into(&mut known.name);
            }
            if known.name_id.is_some() {
                known.value_id = self.symbols.intern(text(value));
            }
            label.clone_into(&mut known.encoded);
        }
        Some((known.name_id?, known.value_id))
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use proptest::prelude::*;

    use super::*;
    use crate::labels;
    use crate::wire::Batch;

    proptest! {
        #[test]
        fn whatever_came_before_a_set_is_interned_as_it_is(
            sets in prop::collection::vec(prop::collection::btree_map("[a-c]{0,1}", "[xy]{1,2}", 0..4), 0..8),
            projection in prop::option::of(Just(vec!["a".to_owned(), "c".to_owned()])),
        ) {
            let symbols = Arc::new(Symbols::new());
            let mut interner = Interner::new(symbols.clone(), projection.clone());
            for set in sets {
                let label = |(name, value): (&String, &String)| labels::label(name, value);
                let series = proto::thanos::Series {
                    labels: set.iter().map(label).collect(),
                    chunks: Vec::new(),
                };
                let batch = Batch::of([series]).expect("plain");
                let interned = interner.intern(batch.labels(0).expect("one"));
                let is_read = |name: &str| projection.as_ref().is_none_or(|p| p.iter().any(|n| n == name));
                let pairs = set.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                let expected = Labels::from_pairs(pairs.filter(|(name, _)| is_read(name)), &symbols);
                prop_assert_eq!(interned, expected);
            }
        }
    }
}

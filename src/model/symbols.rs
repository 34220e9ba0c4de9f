//! The strings of one request, each stored once.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An append-only table of strings, one per request; [`crate::Labels`] hold its ids. Reading takes no
/// lock; adding takes a short one.
#[derive(Debug, Default)]
pub struct Symbols {
    strings: boxcar::Vec<Box<str>>,
    ids: Mutex<hashbrown::HashTable<u32>>,
    hasher: foldhash::fast::RandomState,
}

impl Symbols {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of `text`, which is added if it is new. Equal texts have equal ids.
    pub fn intern(&self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let mut ids = self.ids();
        if let Some(id) = ids.find(hash, |id| self.get(*id) == text) {
            return *id;
        }
        let id = u32::try_from(self.strings.push(text.into())).unwrap_or(u32::MAX);
        ids.insert_unique(hash, id, |id| self.hasher.hash_one(self.get(*id)));
        id
    }

    /// The id of `text` if the table holds it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.ids().find(hash, |id| self.get(*id) == text).copied()
    }

    /// The text behind `id`; empty for an id of another table.
    #[must_use]
    pub fn get(&self, id: u32) -> &str {
        self.strings.get(id as usize).map_or("", |text| text)
    }

    /// How many strings the table holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.strings.count()
    }

    /// Whether the table holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn ids(&self) -> MutexGuard<'_, hashbrown::HashTable<u32>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_an_id() {
        let symbols = Symbols::new();
        let ids: Vec<u32> = ["up", "job", "up", ""]
            .iter()
            .map(|s| symbols.intern(s))
            .collect();
        assert_eq!(ids[0], ids[2]);
        assert_eq!(symbols.len(), 3);
        assert_eq!(symbols.get(ids[1]), "job");
        assert_eq!(symbols.find("nothing"), None);
        assert_eq!(symbols.find(""), Some(ids[3]));
    }
}

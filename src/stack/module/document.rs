//! Strict reading of a document: what is unknown or of the wrong type is a mistake at its place, and reading goes on.

use crate::diagnostic::closest;
use crate::{Diagnostic, Key, Node};

/// Collects the mistakes of a document while it is read.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) mistakes: Vec<Diagnostic>,
}

impl Document {
    pub(crate) fn mistake(&mut self, mistake: Diagnostic) {
        self.mistakes.push(mistake);
    }

    /// The entries of a map; null is an empty one.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        if let Some(entries) = node.as_map() {
            return entries;
        }
        if !node.is_null() {
            self.wrong_type(node, what, "a map");
        }
        &[]
    }

    /// The entries of a map that may have `keys` only.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, what: &str, keys: &[&str]) -> Fields<'n> {
        let entries = self.map(node, what);
        for (key, _) in entries {
            if !keys.contains(&key.name.as_str()) {
                let message = format!("unknown key `{}` in {what}", key.name);
                let mut mistake = Diagnostic::at(key.position.clone(), message)
                    .help(format!("{what} may have: {}", keys.join(", ")));
                mistake.candidates = closest(&key.name, keys.iter().copied());
                self.mistake(mistake);
            }
        }
        Fields(entries)
    }

    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = node.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(node, what, "a string");
        }
        text
    }

    pub(crate) fn boolean(&mut self, node: Option<&Node>, what: &str) -> bool {
        let Some(node) = node else { return false };
        node.as_bool().unwrap_or_else(|| {
            self.wrong_type(node, what, "true or false");
            false
        })
    }

    /// A list of names, each with its place.
    pub(crate) fn names<'n>(&mut self, node: Option<&'n Node>, what: &str) -> Vec<&'n Node> {
        let Some(node) = node else { return Vec::new() };
        let Some(items) = node.as_list() else {
            self.wrong_type(node, what, "a list of names");
            return Vec::new();
        };
        items
            .iter()
            .filter(|item| self.text(item, what).is_some())
            .collect()
    }

    fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, not {}", node.type_name());
        self.mistake(Diagnostic::at(node.position.clone(), message).label(format!("not {wanted}")));
    }
}

/// The entries of a map whose keys have been checked.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n>(&'n [(Key, Node)]);

impl<'n> Fields<'n> {
    pub(crate) fn get(self, name: &str) -> Option<&'n Node> {
        self.0
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }
}

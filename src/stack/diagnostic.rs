//! What is wrong with a tree, where, and what to do. Words and carets are drawn in `cli`.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file of the tree or in a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// As the user would type it: relative to the working folder where possible; built-in files are
    /// `<built-in>/modules/…`.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The byte range in the file, for the excerpt.
    pub offset: usize,
    pub len: usize,
}

impl Position {
    /// The first character of `file`, for what is wrong with the file as a whole.
    #[must_use]
    pub fn start(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            line: 1,
            column: 1,
            offset: 0,
            len: 0,
        }
    }
}

/// `file:line:column`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One mistake. Independent mistakes are collected, not returned one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Lowercase, no full stop: `unknown key `retenton``.
    pub message: String,
    pub position: Option<Position>,
    /// Under the caret: `not a duration`.
    pub label: Option<String>,
    /// What to do: `write a number and a unit (s, m, h, d, w, y), for example `30d``.
    pub help: Option<String>,
    /// Names that were probably meant, best first; the words "did you mean" are added in `cli`.
    pub candidates: Vec<String>,
    /// Other places that belong to it (the other of two duplicates), each with a text.
    pub related: Vec<(Position, String)>,
}

impl Diagnostic {
    /// A mistake at `position`.
    pub fn at(position: Position, message: impl Into<String>) -> Self {
        Self {
            position: Some(position),
            ..Self::new(message)
        }
    }

    /// A mistake that is nowhere in particular.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            position: None,
            label: None,
            help: None,
            candidates: Vec::new(),
            related: Vec::new(),
        }
    }

    /// Adds the text under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds those of `known` that `word` probably meant.
    #[must_use]
    pub fn meant<'a>(mut self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.candidates = closest(word, known);
        self
    }

    /// Adds another place that belongs to it.
    #[must_use]
    pub fn related(mut self, position: Position, text: impl Into<String>) -> Self {
        self.related.push((position, text.into()));
        self
    }
}

/// The names among `known` that are a slip of the finger away from `word` or begin with it, best first, at most three.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let word = word.to_lowercase();
    let reach = (word.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&word, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| {
            let slip = *distance <= reach && *distance < name.chars().count();
            slip || word.len() >= 3 && name.starts_with(&word)
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// The label of a reference that closes a cycle. A cycle is one mistake, at whichever reference it is found.
pub(crate) const CLOSES_CYCLE: &str = "comes back to itself";

/// All mistakes found in one run, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{} in the live tree", count(.0.len()))]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a mistake, unless it is there already: a file that several clusters share is checked once for each.
    pub fn push(&mut self, mistake: Diagnostic) {
        let cycle = mistake.label.as_deref() == Some(CLOSES_CYCLE);
        let told =
            |known: &Diagnostic| *known == mistake || (cycle && known.message == mistake.message);
        if !self.0.iter().any(told) {
            self.0.push(mistake);
        }
    }

    /// Adds all mistakes of `other`.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|mistake| self.push(mistake));
    }

    /// `value` if nothing is wrong.
    ///
    /// # Errors
    /// These mistakes, if any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(mistake: Diagnostic) -> Self {
        Self(vec![mistake])
    }
}

fn count(mistakes: usize) -> String {
    if mistakes == 1 {
        "1 mistake".to_owned()
    } else {
        format!("{mistakes} mistakes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_best_first() {
        let known = ["observer", "observee", "prefix"];
        assert_eq!(closest("obsrver", known), ["observer", "observee"]);
        assert_eq!(
            closest("clutser.yaml", ["cluster.yaml", "region.yaml"]),
            ["cluster.yaml"]
        );
        assert_eq!(closest("skip", ["skip_verify", "ca"]), ["skip_verify"]);
        assert!(closest("grafana", known).is_empty());
    }

    #[test]
    fn the_same_mistake_is_told_once() {
        let mut mistakes = Diagnostics::default();
        mistakes.push(Diagnostic::new("x"));
        mistakes.push(Diagnostic::new("x"));
        assert_eq!(mistakes.to_string(), "1 mistake in the live tree");
    }
}

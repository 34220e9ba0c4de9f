//! What was read to make a unit: the files, and a digest of what they said. Who keeps both can tell later which units are
//! no longer what they were, without git and without asking any service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::{UnitPath, Value};

/// SHA-256.
pub(crate) type Digest = [u8; 32];

/// What one unit was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub unit: UnitPath,
    /// Relative to the fleet's folder, with `/`; built-in ones are `<built-in>/…`. Sorted.
    pub files: Vec<String>,
    /// Files that are not there and would be read if they were: levels of the tree without a document, modules and
    /// templates that nobody overrides. Sorted.
    pub absent: Vec<String>,
    /// Hexadecimal. Of the files' contents, and of what inputs and properties are before anything is applied: also a
    /// `--set` and another cluster's name count.
    pub digest: String,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadFile {
    /// Absolute, or `<built-in>/…`.
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
}

impl ReadFile {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let mut sum = Digest::default();
        sum.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self {
            path: path.to_owned(),
            digest: sum,
        }
    }
}

/// The documents of one cluster, on the way from the fleet's folder to its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) read: Vec<ReadFile>,
    pub(crate) absent: Vec<PathBuf>,
}

/// Collects what one unit read.
pub(crate) struct Reader<'a> {
    dir: &'a Path,
    files: BTreeMap<String, Digest>,
    absent: BTreeSet<String>,
    said: Context,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(dir: &'a Path) -> Self {
        Self {
            dir,
            files: BTreeMap::new(),
            absent: BTreeSet::new(),
            said: Context::new(&SHA256),
        }
    }

    pub(crate) fn chain(&mut self, chain: &Chain) {
        for file in &chain.read {
            self.file(file);
        }
        for path in &chain.absent {
            self.absent(path);
        }
    }

    pub(crate) fn file(&mut self, file: &ReadFile) {
        self.files
            .insert(relative(self.dir, &file.path), file.digest);
    }

    pub(crate) fn absent(&mut self, path: &Path) {
        self.absent.insert(relative(self.dir, path));
    }

    /// A word of what the unit says. Words do not run together.
    pub(crate) fn word(&mut self, word: &str) {
        self.said.update(&(word.len() as u64).to_le_bytes());
        self.said.update(word.as_bytes());
    }

    /// A value that the unit says. Secrets count as being there: their digest would tell them to who can guess.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.word("null"),
            Value::Bool(value) => self.word(if *value { "true" } else { "false" }),
            Value::Int(value) => self.word(&format!("i{value}")),
            Value::Float(value) => self.word(&format!("f{value}")),
            Value::String(text) => {
                self.word("s");
                self.word(text);
            }
            Value::Secret(_) => self.word("secret"),
            Value::Unknown(unknown) => {
                self.word("unknown");
                unknown.of.iter().for_each(|of| self.word(of));
            }
            Value::List(values) => {
                self.word(&format!("l{}", values.len()));
                values.iter().for_each(|value| self.value(value));
            }
            Value::Map(map) => {
                self.word(&format!("m{}", map.len()));
                for (key, value) in map {
                    self.word(key);
                    self.value(value);
                }
            }
        }
    }

    pub(crate) fn finish(mut self, unit: UnitPath) -> Reading {
        for (path, sum) in &self.files {
            self.said.update(path.as_bytes());
            self.said.update(sum);
        }
        let digest = self.said.finish();
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        self.absent.retain(|path| !self.files.contains_key(path));
        Reading {
            unit,
            files: self.files.into_keys().collect(),
            absent: self.absent.into_iter().collect(),
            digest: hex.collect(),
        }
    }
}

/// `path` from `dir`, with `..` where it lies beside it. A built-in file stays what it is.
pub(crate) fn relative(dir: &Path, path: &Path) -> String {
    if !path.is_absolute() {
        return path.to_string_lossy().into_owned();
    }
    let mut up = String::new();
    for folder in dir.ancestors() {
        if let Ok(rest) = path.strip_prefix(folder) {
            return format!("{up}{}", rest.to_string_lossy());
        }
        up.push_str("../");
    }
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_the_fleets_folder() {
        let told = |path: &str| relative(Path::new("/x/live/f"), Path::new(path));
        assert_eq!(told("/x/live/f/fleet.yaml"), "fleet.yaml");
        assert_eq!(
            told("/x/modules/a/module.yaml"),
            "../../modules/a/module.yaml"
        );
        assert_eq!(
            told("<built-in>/modules/a.yaml"),
            "<built-in>/modules/a.yaml"
        );
    }

    #[test]
    fn words_do_not_run_together_and_secrets_do_not_show() {
        let of = |words: &[&str]| {
            let mut reader = Reader::new(Path::new("/x"));
            words.iter().for_each(|word| reader.value(&(*word).into()));
            reader.finish("a/b/c/d".parse().expect("a unit")).digest
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        let secret = |text: &str| {
            let mut reader = Reader::new(Path::new("/x"));
            reader.value(&Value::Secret(crate::Secret::new(text)));
            reader.finish("a/b/c/d".parse().expect("a unit")).digest
        };
        assert_eq!(secret("one"), secret("two"));
    }
}

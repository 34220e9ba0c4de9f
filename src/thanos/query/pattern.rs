//! Paths whose file name may be a pattern: `*` is any text, `?` any character.

use std::path::{Path, PathBuf};

/// One path, or all files of a folder whose names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(PathBuf);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(PathBuf::from(text))
    }

    /// Whether files may come and go.
    pub(super) fn is_glob(&self) -> bool {
        self.name().contains(['*', '?'])
    }

    /// The files, sorted; a path without wildcards is always there.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        if !self.is_glob() {
            return vec![self.0.clone()];
        }
        let (folder, name) = (self.folder(), self.name());
        // A folder that cannot be read has no files yet.
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let matching = entries.filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|file| matches(name.as_bytes(), file.as_bytes()))
        });
        let mut files: Vec<_> = matching
            .map(|entry| folder.join(entry.file_name()))
            .collect();
        files.sort();
        files
    }

    /// What must be watched to see changes of these files, and new ones: the folder's own stamp changes when
    /// a file comes or goes, and the pattern, taken as a file, has its folder watched.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        let mut paths = self.files();
        if self.is_glob() {
            paths.extend([self.folder(), self.0.clone()]);
        }
        paths
    }

    fn folder(&self) -> PathBuf {
        match self.0.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    fn name(&self) -> &str {
        self.0
            .file_name()
            .and_then(std::ffi::OsStr::to_str)
            .unwrap_or_default()
    }
}

/// Greedy matching: on a mismatch, the last `*` takes one more byte. A pattern that does not begin with a dot
/// does not match a hidden file.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                (p, n) = (p + 1, n + 1);
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match() {
        for (pattern, name, matched) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", false),
            ("*.yaml", "a.yaml.swp", false),
            ("sd-?.y*ml", "sd-1.yml", true),
            ("sd-?.y*ml", "sd-12.yml", false),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("*", "", true),
            (".*", ".hidden", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                matched,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_lists_its_files_in_order() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b.yaml", "a.yaml", "c.txt"] {
            std::fs::write(at(name), "").expect("written");
        }
        let pattern = Pattern::new(at("*.yaml").to_str().expect("UTF-8"));
        assert_eq!(pattern.files(), [at("a.yaml"), at("b.yaml")]);
        assert!(pattern.watched().contains(&folder.path().to_owned()));
        let path = Pattern::new("/nowhere/x.yaml");
        assert_eq!(path.files(), [PathBuf::from("/nowhere/x.yaml")]);
    }
}

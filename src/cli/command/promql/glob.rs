//! Paths that match a pattern, as Go's `filepath.Glob` finds them: `*`, `?` and `[a-z]` within a name, `\` before what
//! stands for itself.

use std::path::{Component, Path, PathBuf};

/// The paths that match, sorted. A pattern without special characters matches the path itself, if it is there.
pub(super) fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let is_plain =
            !matches!(component, Component::Normal(_)) || !name.contains(['*', '?', '[', '\\']);
        found = match is_plain {
            true => found.into_iter().map(|path| path.join(component)).collect(),
            false => found
                .iter()
                .flat_map(|folder| matching(folder, &name))
                .collect(),
        };
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let shown = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(listing) = std::fs::read_dir(shown) else {
        return Vec::new();
    };
    let pattern: Vec<char> = pattern.chars().collect();
    let names = listing.filter_map(|entry| Some(entry.ok()?.file_name()));
    let matches = names.filter(|name| {
        let name: Vec<char> = name.to_string_lossy().chars().collect();
        is_match(&pattern, &name)
    });
    matches.map(|name| folder.join(name)).collect()
}

/// Each star takes as little as it can; when that fails, the last one takes one more.
fn is_match(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        match one(&pattern[p..], name[n]) {
            Some(length) => (p, n) = (p + length, n + 1),
            None => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of `pattern` matches `c`.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', rest @ ..] => class(rest, c).map(|length| length + 1),
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

/// `a-z]`, `^abc]`: its length, if `c` is in it.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let negated = pattern.first() == Some(&'^');
    let mut at = usize::from(negated);
    let mut is_in = false;
    while *pattern.get(at)? != ']' {
        let low = *pattern.get(at)?;
        let high = match pattern.get(at + 1) {
            Some('-') => *pattern.get(at + 2)?,
            _ => low,
        };
        at += if pattern.get(at + 1) == Some(&'-') {
            3
        } else {
            1
        };
        is_in |= (low..=high).contains(&c);
    }
    (is_in != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        let is = |pattern: &str, name: &str| {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            is_match(&chars(pattern), &chars(name))
        };
        for (pattern, name) in [
            ("*.yml", "a.yml"),
            ("a?c", "abc"),
            ("[a-c]*", "bx"),
            ("[^a]", "b"),
            ("a\\*", "a*"),
            ("*a*b*", "xaab"),
        ] {
            assert!(is(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.yml", "a.yaml"),
            ("a?c", "ac"),
            ("[a-c]", "d"),
            ("[^a]", "a"),
            ("a\\*", "ab"),
            ("[a", "a"),
            ("*b", "ba"),
        ] {
            assert!(!is(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn folders_are_searched_level_by_level() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["a/1.yml", "b/2.yml", "b/3.txt"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let found = glob(&dir.path().join("*/*.yml"));
        assert_eq!(
            found,
            [dir.path().join("a/1.yml"), dir.path().join("b/2.yml")]
        );
        assert_eq!(glob(&dir.path().join("b/3.txt")).len(), 1);
        assert!(glob(&dir.path().join("c/3.txt")).is_empty());
    }
}

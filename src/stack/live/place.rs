//! Paths as people type them, and as the machine needs them.

use std::path::{Component, Path, PathBuf};

/// `path`, seen from `working_dir`, absolute and without `.` and `..`; symbolic links stay as they are.
pub(crate) fn absolute(working_dir: &Path, path: &Path) -> PathBuf {
    let joined = working_dir.join(path);
    let joined = std::path::absolute(&joined).unwrap_or(joined);
    let mut plain = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// `path` (absolute) as one would type it in `working_dir`: relative, unless that takes more than three steps up.
pub(crate) fn shown(working_dir: &Path, path: &Path) -> PathBuf {
    let from = absolute(working_dir, Path::new(""));
    let mut up = PathBuf::new();
    for folder in from.ancestors().take(4) {
        if let Ok(rest) = path.strip_prefix(folder)
            && (up.as_os_str().is_empty() || folder.parent().is_some())
        {
            let relative = up.join(rest);
            let here = relative.as_os_str().is_empty();
            return if here { PathBuf::from(".") } else { relative };
        }
        up.push("..");
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_typed() {
        let show = |path: &str| shown(Path::new("/home/x/live"), Path::new(path));
        assert_eq!(
            show("/home/x/live/demo/fleet.yaml"),
            Path::new("demo/fleet.yaml")
        );
        assert_eq!(
            show("/home/x/other/fleet.yaml"),
            Path::new("../other/fleet.yaml")
        );
        assert_eq!(show("/srv/fleet.yaml"), Path::new("/srv/fleet.yaml"));
        assert_eq!(show("/home/x/live"), Path::new("."));
        assert_eq!(
            absolute(Path::new("/a/b"), Path::new("../c/./d")),
            Path::new("/a/c/d")
        );
    }
}

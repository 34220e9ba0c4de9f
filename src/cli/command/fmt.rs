//! `tks fmt`: YAML in one style. Comments, the order of keys and block texts stay.

use std::fs;
use std::path::{Path, PathBuf};

use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};
use similar::TextDiff;
use stack::{Node, NodeValue};

use crate::Exit;
use crate::args::FmtArgs;
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

/// The longest line that is not broken.
const WIDTH: usize = 120;

pub(crate) fn run(args: &FmtArgs, printer: &Printer) -> Result<Exit> {
    let mut mistakes = Vec::new();
    let mut exit = Exit::Done;
    for file in files(&args.paths)? {
        let text = fs::read_to_string(&file)
            .map_err(|error| Failure::io(format!("cannot read {}", file.display()), &error))?;
        let formatted = match formatted(&file, &text) {
            Ok(formatted) => formatted,
            Err(mut failure) => {
                mistakes.append(&mut failure.problems);
                continue;
            }
        };
        if formatted == text {
            continue;
        }
        if args.diff {
            printer.out(difference(&file, &text, &formatted).trim_end())?;
        } else {
            printer.out(&file.display().to_string())?;
        }
        if args.check || args.diff {
            exit = if args.check { Exit::Changes } else { exit };
        } else {
            write(&file, &formatted)?;
        }
    }
    if mistakes.is_empty() {
        Ok(exit)
    } else {
        Err(Failure::of(mistakes))
    }
}

fn difference(file: &Path, old: &str, new: &str) -> String {
    let name = file.display().to_string();
    TextDiff::from_lines(old, new)
        .unified_diff()
        .header(&name, &name)
        .to_string()
}

/// Through a name of its own, so that an interrupted one leaves the file whole.
fn write(file: &Path, text: &str) -> Result<()> {
    let failed =
        |error: &std::io::Error| Failure::io(format!("cannot write {}", file.display()), error);
    // What a link points to is what is written.
    let target = fs::canonicalize(file).map_err(|error| failed(&error))?;
    let mut name = target.clone().into_os_string();
    name.push(".tks-fmt");
    let whole = fs::metadata(&target)
        .and_then(|meta| {
            fs::write(&name, text)?;
            fs::set_permissions(&name, meta.permissions())
        })
        .and_then(|()| fs::rename(&name, &target));
    whole.map_err(|error| {
        let _ = fs::remove_file(&name);
        failed(&error)
    })
}

/// The text in the one style; refused if it is no YAML, or if it would mean something else.
fn formatted(file: &Path, text: &str) -> Result<String> {
    let before = stack::parse(file, text).map_err(|mistake| Failure::of(vec![mistake]))?;
    let options = FormatOptions {
        layout: LayoutOptions {
            print_width: WIDTH,
            ..LayoutOptions::default()
        },
        language: LanguageOptions {
            trailing_comma: false,
            prefer_single_line: true,
            ..LanguageOptions::default()
        },
    };
    let shown = file.display();
    let formatted = pretty_yaml::format_text(text, &options).map_err(|error| {
        Failure::new(format!("cannot bring {shown} into style: {error}"))
            .help("tks reads it; it stays as it is")
    })?;
    let after = stack::parse(file, &formatted);
    if after.is_ok_and(|after| same(&before, &after)) {
        return Ok(formatted);
    }
    Err(
        Failure::new(format!("{shown} would mean something else in one style"))
            .help("it stays as it is; please report it with the file"),
    )
}

/// Whether two nodes say the same, wherever they stand.
fn same(left: &Node, right: &Node) -> bool {
    match (&left.value, &right.value) {
        (NodeValue::List(left), NodeValue::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (NodeValue::Map(left), NodeValue::Map(right)) => {
            let pairs = left.iter().zip(right);
            let mut alike = pairs.map(|((a, x), (b, y))| a.name == b.name && same(x, y));
            left.len() == right.len() && alike.all(|alike| alike)
        }
        (left, right) => left == right,
    }
}

/// The YAML files that `paths` mean, in order. Without paths: those of the nearest fleet upward, else of `./live`.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut files)?;
        } else if path.is_file() {
            files.push(path.clone());
        } else {
            return Err(Failure::new(format!("`{}` does not exist", path.display())));
        }
    }
    if paths.is_empty() {
        let here = std::env::current_dir()
            .map_err(|error| Failure::io("cannot tell the working folder", &error))?;
        for dir in stack::live::discover(None, &here)? {
            let dir = dir.strip_prefix(&here).map(Path::to_owned).unwrap_or(dir);
            let dir = if dir.as_os_str().is_empty() {
                ".".into()
            } else {
                dir
            };
            below(&dir, &mut files)?;
        }
    }
    Ok(files)
}

fn below(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error| Failure::io(format!("cannot read {}", dir.display()), &error);
    let entries = fs::read_dir(dir).map_err(failed)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            below(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(text: &str, wanted: &str) {
        let once = formatted(Path::new("x.yaml"), text).expect("formatted");
        assert_eq!(once, wanted);
        let twice = formatted(Path::new("x.yaml"), &once).expect("formatted");
        assert_eq!(twice, once, "not the same the second time");
    }

    #[test]
    fn comments_stay_and_spaces_go() {
        becomes(
            "# head\nrole:   observee   # why\n\n\n\nprometheus: {scrape_interval:  15s}\n# tail\n",
            "# head\nrole: observee # why\n\nprometheus: { scrape_interval: 15s }\n# tail\n",
        );
    }

    #[test]
    fn texts_and_expressions_stay() {
        let text = "a: |\n  one\n    two\nb: \"${x ?? \\\"y\\\"}\"\nc: \"1\"\nd+: [1, 2]\n";
        becomes(text, text);
    }

    #[test]
    fn the_files_of_this_repository_stay_what_they_mean() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut all = Vec::new();
        for folder in ["live", "modules"] {
            below(&root.join(folder), &mut all).expect("read");
        }
        assert!(all.len() > 20);
        for file in all {
            let text = fs::read_to_string(&file).expect("read");
            let once = formatted(&file, &text).expect("formatted");
            let twice = formatted(&file, &once).expect("formatted");
            assert_eq!(once, twice, "{}", file.display());
        }
    }
}

//! `tks promql test`: unit tests of rules, with the verdicts and exit codes of `promtool test rules`.

use std::path::{Path, PathBuf};

use promql::unittest::{Failure as Difference, RuleError, RuleFile, TestFile};
use regex::Regex;
use similar::{ChangeTag, TextDiff};

use super::glob::glob;
use super::mistake;
use crate::Exit;
use crate::args::TestArgs;
use crate::diagnostic::{Failure, Result};
use crate::term::{Paint, Printer};

pub(super) fn run(args: &TestArgs, printer: &Printer) -> Result<Exit> {
    let selected = selected(&args.run)?;
    let mut exit = Exit::Done;
    for file in &args.files {
        printer.out(&format!("Unit Testing:  {}", file.display()))?;
        match test(file, args, selected.as_ref(), printer) {
            Ok(failures) if failures.is_empty() => printer.out("  SUCCESS\n")?,
            Ok(failures) => {
                exit = Exit::Error;
                printer.note(&format!("  FAILED:\n{}\n", failures.join("\n")));
            }
            Err(failure) => {
                exit = Exit::Error;
                printer.note("  FAILED:");
                printer.failure(&failure);
            }
        }
    }
    Ok(exit)
}

fn selected(patterns: &[String]) -> Result<Option<Regex>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let regex = Regex::new(&patterns.join("|"));
    let wrong = |error: regex::Error| Failure::new(format!("--run: {error}")).exit(Exit::Usage);
    regex.map(Some).map_err(wrong)
}

/// What is not as expected, one text each.
fn test(
    file: &Path,
    args: &TestArgs,
    selected: Option<&Regex>,
    printer: &Printer,
) -> Result<Vec<String>> {
    let of_file =
        |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", file.display()));
    let tests = TestFile::parse(&read(file)?).map_err(|error| of_file(&error))?;
    let features = args.features.features();
    let mut rules = Vec::new();
    for path in rule_files(file, &tests.rule_files, printer) {
        let parsed = RuleFile::parse(&read(&path)?, features);
        rules.push(parsed.map_err(|errors| mistakes(&path, &errors))?);
    }
    let outcomes = tests.run(&rules, features, selected);
    let failures = outcomes.iter().flat_map(|outcome| {
        let text = |failure| shown(&outcome.name, failure, printer.colours_stderr());
        outcome.failures.iter().map(text)
    });
    Ok(failures.collect())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|e| Failure::io(format!("cannot read {}", path.display()), &e))
}

/// What the patterns of a test file match, relative to its folder.
fn rule_files(file: &Path, patterns: &[String], printer: &Printer) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for pattern in patterns {
        let pattern = folder.join(pattern);
        let found = glob(&pattern);
        if found.is_empty() {
            printer.note(&format!(
                "  WARNING: no file match pattern {}",
                pattern.display()
            ));
        }
        files.extend(found);
    }
    files
}

/// All mistakes of a rule file; an expression is shown with its place if it is the only one.
fn mistakes(path: &Path, errors: &[RuleError]) -> Failure {
    let problem =
        |error: &RuleError| stack::Diagnostic::new(format!("{}: {error}", path.display()));
    if let [
        RuleError::Expression {
            text,
            source,
            group,
            name,
            ..
        },
    ] = errors
    {
        let mut failure = mistake(text, source);
        if let Some(problem) = failure.problems.first_mut() {
            problem.message = format!("{}: group {group:?}, {name:?}: parse error", path.display());
        }
        return failure;
    }
    Failure::of(errors.iter().map(problem).collect())
}

fn shown(name: &str, failure: &Difference, colour: bool) -> String {
    match failure {
        Difference::Error(why) => format!("    name: {name},\n    {why}"),
        Difference::Alerts {
            alertname,
            time,
            expected,
            got,
        } => {
            let diff = diff(expected, got, colour);
            format!("    name: {name},\n    alertname: {alertname}, time: {time},\n{diff}")
        }
        Difference::Samples {
            expr,
            time,
            expected,
            got,
        } => {
            let diff = diff(expected, got, colour);
            format!("    name: {name},\n    expr: {expr:?}, time: {time},\n{diff}")
        }
    }
}

/// Lines that were expected (`-`) and that came (`+`).
fn diff(expected: &[String], got: &[String], colour: bool) -> String {
    let paint = |paint: Paint, line: &str| paint.on(line, colour);
    let mut lines = vec![
        paint(Paint::Delete, "        - expected"),
        paint(Paint::Create, "        + got"),
    ];
    let (expected, got) = (joined(expected), joined(got));
    for change in TextDiff::from_lines(&expected, &got).iter_all_changes() {
        let line = change.value().trim_end_matches('\n');
        lines.push(match change.tag() {
            ChangeTag::Equal => format!("            {line}"),
            ChangeTag::Delete => paint(Paint::Delete, &format!("          - {line}")),
            ChangeTag::Insert => paint(Paint::Create, &format!("          + {line}")),
        });
    }
    lines.join("\n")
}

fn joined(lines: &[String]) -> String {
    match lines {
        [] => "(nothing)\n".to_owned(),
        lines => lines.iter().map(|line| format!("{line}\n")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_was_expected_and_what_came() {
        let failure = Difference::Samples {
            expr: "up".to_owned(),
            time: "5m".to_owned(),
            expected: vec!["a 1".to_owned(), "b 2".to_owned()],
            got: vec!["a 1".to_owned()],
        };
        let text = shown("t", &failure, false);
        for line in [
            "    expr: \"up\", time: 5m,",
            "            a 1",
            "          - b 2",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line:?} is missing in\n{text}"
            );
        }
        assert!(!text.contains("+ a 1"));
    }
}

//! The only place where errors become words: message, excerpt with carets, causes, hints.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use serde_json::{Value as Json, json};
use stack::{Catalog, Diagnostic, Diagnostics};

use crate::Exit;

/// How many mistakes are shown in one run.
const SHOWN: usize = 20;

/// Why a command failed, and with which exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) problems: Vec<Diagnostic>,
    /// Innermost last; for a failure of one problem.
    pub(crate) causes: Vec<String>,
    /// A text that is in no file, and the name that positions in it have.
    source_text: Option<(PathBuf, String)>,
    broken_pipe: bool,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// One problem without a place.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::of(vec![Diagnostic::new(message)])
    }

    pub(crate) fn of(problems: Vec<Diagnostic>) -> Self {
        Self {
            exit: Exit::Error,
            problems,
            causes: Vec::new(),
            source_text: None,
            broken_pipe: false,
        }
    }

    /// `error` with its causes.
    pub(crate) fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self {
            causes,
            ..Self::new(error.to_string())
        }
    }

    pub(crate) fn io(what: impl Into<String>, error: &std::io::Error) -> Self {
        let broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self {
            causes: vec![error.to_string()],
            broken_pipe,
            ..Self::new(what)
        }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(problem) = self.problems.first_mut() {
            problem.help = Some(help.into());
        }
        self
    }

    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Positions in `name` are places in `text`.
    #[must_use]
    pub(crate) fn source_text(mut self, name: PathBuf, text: &str) -> Self {
        self.source_text = Some((name, text.to_owned()));
        self
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// Terraform's diagnostics, as `validate --json` gives them.
    pub(crate) fn to_json(&self) -> Vec<Json> {
        self.problems.iter().map(diagnostic_json).collect()
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::of(diagnostics.0)
    }
}

fn diagnostic_json(problem: &Diagnostic) -> Json {
    let range = problem.position.as_ref().map(|at| {
        json!({
            "filename": at.file,
            "start": { "line": at.line, "column": at.column, "byte": at.offset },
            "end": { "line": at.line, "column": at.column + at.len, "byte": at.offset + at.len },
        })
    });
    json!({ "severity": "error", "summary": problem.message, "detail": hint(problem), "range": range })
}

/// What to do, in one text.
fn hint(problem: &Diagnostic) -> Option<String> {
    let meant = did_you_mean(&problem.candidates);
    match (meant, &problem.help) {
        (Some(meant), Some(help)) => Some(format!("{meant}\n{help}")),
        (Some(meant), None) => Some(meant),
        (None, help) => help.clone(),
    }
}

fn did_you_mean(candidates: &[String]) -> Option<String> {
    let names: Vec<String> = candidates
        .iter()
        .take(3)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {one}?")),
        [most @ .., last] => Some(format!("did you mean {} or {last}?", most.join(", "))),
    }
}

/// Draws `failure` for a person.
pub(crate) fn render(failure: &Failure, colour: bool) -> String {
    let mut sources = Sources::default();
    if let Some((name, text)) = &failure.source_text {
        sources.0.insert(name.clone(), Some(text.clone()));
    }
    let mut text = String::new();
    for problem in failure.problems.iter().take(SHOWN) {
        text.push_str(&render_problem(problem, &mut sources, colour));
    }
    for cause in &failure.causes {
        let _ = writeln!(text, "  caused by: {cause}");
    }
    let left = failure.problems.len().saturating_sub(SHOWN);
    if left > 0 {
        let _ = writeln!(text, "… and {left} more mistakes");
    }
    text
}

fn render_problem(problem: &Diagnostic, sources: &mut Sources, colour: bool) -> String {
    let mut report = MietteDiagnostic::new(problem.message.clone());
    if let Some(help) = hint(problem) {
        report = report.with_help(help);
    }
    let Some(at) = &problem.position else {
        return draw(report.into(), colour);
    };
    let Some(source) = sources.read(&at.file) else {
        let place = format!("{}:{}:{}", at.file.display(), at.line, at.column);
        return format!("{}  at {place}\n", draw(report.into(), colour));
    };
    let mut labels = vec![LabeledSpan::new(
        problem.label.clone(),
        at.offset,
        at.len.max(1),
    )];
    let here = problem
        .related
        .iter()
        .filter(|(other, _)| other.file == at.file);
    labels.extend(here.map(|(p, t)| LabeledSpan::new(Some(t.clone()), p.offset, p.len.max(1))));
    report = report.with_labels(labels);
    let named = NamedSource::new(at.file.display().to_string(), source);
    let mut text = draw(miette::Report::new(report).with_source_code(named), colour);
    for (other, what) in problem
        .related
        .iter()
        .filter(|(other, _)| other.file != at.file)
    {
        let place = format!("{}:{}:{}", other.file.display(), other.line, other.column);
        let _ = writeln!(text, "  {what}: {place}");
    }
    text
}

fn draw(report: miette::Report, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(false);
    let mut text = String::new();
    let _ = handler.render_report(&mut text, report.as_ref());
    text
}

/// The texts that excerpts are cut from, each read once.
#[derive(Default)]
struct Sources(HashMap<PathBuf, Option<String>>);

impl Sources {
    fn read(&mut self, file: &Path) -> Option<String> {
        let read = || Catalog::built_in_text(file).or_else(|| std::fs::read_to_string(file).ok());
        self.0.entry(file.to_owned()).or_insert_with(read).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_become_a_question() {
        let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(did_you_mean(&names(&[])), None);
        assert_eq!(
            did_you_mean(&names(&["a"])).as_deref(),
            Some("did you mean `a`?")
        );
        assert_eq!(
            did_you_mean(&names(&["a", "b"])).as_deref(),
            Some("did you mean `a` or `b`?")
        );
    }

    #[test]
    fn an_excerpt_shows_the_place_and_what_to_do() {
        let dir = tempfile::tempdir().expect("temp folder");
        let file = dir.path().join("cluster.yaml");
        std::fs::write(&file, "role: observee\nretention: 30dd\n").expect("written");
        let at = stack::Position {
            file,
            line: 2,
            column: 12,
            offset: 26,
            len: 4,
        };
        let problem = Diagnostic::at(at, "bad duration")
            .label("not a duration")
            .help("write `30d`");
        let text = render(&Failure::of(vec![problem]), false);
        for part in [
            "bad duration",
            "cluster.yaml:2:12",
            "30dd",
            "not a duration",
            "write `30d`",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}

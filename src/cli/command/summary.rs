//! `--summary-file`: counts and results per unit, as JSON, or as JUnit for what shows test reports.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use plan::{Applied, Counts, Plan, PlanMode};
use serde_json::{Value as Json, json};
use stack::UnitPath;

use crate::diagnostic::{Failure, Result};

/// One fleet's part of a summary.
pub(crate) struct Summary {
    fleet: String,
    command: &'static str,
    units: BTreeMap<UnitPath, Unit>,
    /// Why there is no plan, or why nothing was begun.
    error: Option<String>,
}

#[derive(Default)]
struct Unit {
    planned: Counts,
    failed: Vec<String>,
    left_out: Vec<String>,
}

impl Summary {
    /// Of a plan.
    pub(crate) fn planned(plan: &Plan) -> Self {
        let units = plan.counts_by_unit().into_iter().map(|(unit, planned)| {
            let unit_summary = Unit {
                planned,
                ..Unit::default()
            };
            (unit.clone(), unit_summary)
        });
        Self {
            fleet: plan.fleet.name.clone(),
            command: "plan",
            units: units.collect(),
            error: None,
        }
    }

    /// Of a plan that was applied.
    pub(crate) fn applied(plan: &Plan, applied: &Applied) -> Self {
        let mut summary = Self::planned(plan);
        summary.command = if plan.mode == PlanMode::Destroy {
            "destroy"
        } else {
            "apply"
        };
        for failed in &applied.failed {
            let text = format!("{}: {}", failed.address, failed.error);
            summary.unit(&failed.address.unit).failed.push(text);
        }
        for left in &applied.skipped {
            let text = format!("{}: because {} failed", left.address, left.because);
            summary.unit(&left.address.unit).left_out.push(text);
        }
        for (address, _) in &applied.not_started {
            let text = format!("{address}: not begun");
            summary.unit(&address.unit).left_out.push(text);
        }
        summary
    }

    /// Of a fleet that failed as a whole.
    pub(crate) fn failed(fleet: &str, command: &'static str, failure: &Failure) -> Self {
        let messages = failure.problems.iter().map(|it| it.message.as_str());
        Self {
            fleet: fleet.to_owned(),
            command,
            units: BTreeMap::new(),
            error: Some(messages.collect::<Vec<_>>().join("; ")),
        }
    }

    fn unit(&mut self, unit: &UnitPath) -> &mut Unit {
        self.units.entry(unit.clone()).or_default()
    }

    fn json(&self) -> Json {
        let unit = |(path, unit): (&UnitPath, &Unit)| {
            json!({
                "unit": path.to_string(),
                "result": unit.result(self.command),
                "add": unit.planned.to_add(),
                "change": unit.planned.to_change(),
                "destroy": unit.planned.to_destroy(),
                "forget": unit.planned.forget,
                "unchanged": unit.planned.unchanged,
                "failed": unit.failed,
                "left_out": unit.left_out,
            })
        };
        json!({
            "fleet": self.fleet,
            "command": self.command,
            "error": self.error,
            "units": self.units.iter().map(unit).collect::<Vec<_>>(),
        })
    }

    fn junit(&self) -> String {
        let failures = self.units.values().filter(|it| !it.failed.is_empty());
        let failures = failures.count() + usize::from(self.error.is_some());
        let skipped = self.units.values().filter(|it| it.is_left_out()).count();
        let cases = self.units.len() + usize::from(self.error.is_some());
        let mut text = format!(
            "  <testsuite name=\"{}\" tests=\"{cases}\" failures=\"{failures}\" skipped=\"{skipped}\">\n",
            xml(&format!("{} {}", self.command, self.fleet))
        );
        if let Some(error) = &self.error {
            let fleet = xml(&self.fleet);
            let _ = writeln!(
                text,
                "    <testcase classname=\"{fleet}\" name=\"{fleet}\"><failure message=\"{}\"/></testcase>",
                xml(error)
            );
        }
        for (path, unit) in &self.units {
            unit.junit(path, &mut text);
        }
        text.push_str("  </testsuite>\n");
        text
    }
}

impl Unit {
    fn result(&self, command: &str) -> &'static str {
        match (self.failed.is_empty(), self.left_out.is_empty(), command) {
            (false, _, _) => "failed",
            (true, false, _) => "left out",
            (true, true, "plan") => "planned",
            (true, true, _) => "succeeded",
        }
    }

    fn is_left_out(&self) -> bool {
        self.failed.is_empty() && !self.left_out.is_empty()
    }

    fn junit(&self, path: &UnitPath, text: &mut String) {
        let (cluster, name) = (xml(&path.cluster.to_string()), xml(&path.unit));
        let _ = write!(
            text,
            "    <testcase classname=\"{cluster}\" name=\"{name}\">"
        );
        if !self.failed.is_empty() {
            let message = xml(&self.failed.join("; "));
            let _ = write!(text, "<failure message=\"{message}\"/>");
        } else if self.is_left_out() {
            let message = xml(&self.left_out.join("; "));
            let _ = write!(text, "<skipped message=\"{message}\"/>");
        }
        let counts = &self.planned;
        let _ = writeln!(
            text,
            "<system-out>{} to add, {} to change, {} to destroy</system-out></testcase>",
            counts.to_add(),
            counts.to_change(),
            counts.to_destroy()
        );
    }
}

/// Writes the summaries of all fleets of a command, if a file is asked for.
pub(crate) fn write(file: Option<&Path>, summaries: &[Summary]) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let is_xml = file
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("xml"));
    let text = if is_xml {
        let suites: String = summaries.iter().map(Summary::junit).collect();
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n")
    } else {
        let fleets: Vec<Json> = summaries.iter().map(Summary::json).collect();
        format!(
            "{:#}\n",
            json!({ "format_version": "1.0", "fleets": fleets })
        )
    };
    std::fs::write(file, text)
        .map_err(|e| Failure::io(format!("cannot write {}", file.display()), &e))
}

/// What XML gives a meaning to, and what it forbids.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_counts_failures_and_escapes_what_xml_would_read() {
        let unit: UnitPath = "a/r/c/u".parse().expect("a unit");
        let failed = Unit {
            failed: vec!["a & \"b\" <c>\u{1b}".to_owned()],
            ..Unit::default()
        };
        let summary = Summary {
            fleet: "f".to_owned(),
            command: "apply",
            units: BTreeMap::from([(unit, failed)]),
            error: None,
        };
        let text = summary.junit();
        assert!(
            text.contains("tests=\"1\" failures=\"1\" skipped=\"0\""),
            "{text}"
        );
        let message = "message=\"a &amp; &quot;b&quot; &lt;c&gt;\u{fffd}\"";
        assert!(text.contains(message), "{text}");
        assert_eq!(summary.json()["units"][0]["result"], "failed");
    }
}

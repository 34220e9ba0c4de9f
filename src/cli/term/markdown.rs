//! A plan as Markdown for a comment on a pull request, within a size: what is destroyed and the counts come first and go last.

use std::fmt::Write as _;

use plan::{Action, Counts, Plan};
use stack::UnitPath;

use super::plan::{NO_CHANGES, counted, endings, partial, unit_changes};

/// Kept free for what says that something was left out.
const RESERVE: usize = 200;

/// The plan in at most about `limit` bytes.
pub(crate) fn render(plan: &Plan, limit: usize) -> String {
    let mut page = Page {
        text: String::new(),
        room: limit.saturating_sub(RESERVE),
    };
    let title = &plan.fleet.name;
    if plan.is_empty() {
        page.put(&format!("### {title}: no changes\n\n{NO_CHANGES}\n"));
        page.note(plan);
        return page.text;
    }
    page.put(&format!("### {title}: {}\n", counted(&plan.counts())));
    page.note(plan);
    page.endings(plan);
    let units: Vec<(&UnitPath, Counts)> = plan
        .counts_by_unit()
        .into_iter()
        .filter(|(_, counts)| is_change(counts))
        .collect();
    page.table(&units);
    page.details(plan, &units);
    page.text
}

fn is_change(counts: &Counts) -> bool {
    let nothing = Counts {
        unchanged: counts.unchanged,
        skipped: counts.skipped,
        ..Counts::default()
    };
    *counts != nothing
}

struct Page {
    text: String,
    room: usize,
}

impl Page {
    /// Whether it fitted.
    fn put(&mut self, text: &str) -> bool {
        let fits = self.text.len() + text.len() <= self.room;
        if fits {
            self.text.push_str(text);
        }
        fits
    }

    /// Lines as long as they fit; then how many did not.
    fn lines(&mut self, lines: &[String], what: &str) {
        for (at, line) in lines.iter().enumerate() {
            if !self.put(line) {
                let left = lines.len() - at;
                let _ = writeln!(self.text, "\n… and {left} more {what}");
                return;
            }
        }
    }

    fn note(&mut self, plan: &Plan) {
        if let Some(selection) = &plan.selection {
            self.put(&format!("\n> {}\n", partial(selection)));
        }
    }

    fn endings(&mut self, plan: &Plan) {
        let line = |change: &plan::Change| {
            let verb = match change.action {
                Action::Replace => "replaced",
                _ => "destroyed",
            };
            format!("- {verb}: `{}`\n", change.address)
        };
        let lines: Vec<String> = endings(plan).map(line).collect();
        if !lines.is_empty() && self.put("\n**Destroyed or replaced**\n\n") {
            self.lines(&lines, "of them");
        }
    }

    fn table(&mut self, units: &[(&UnitPath, Counts)]) {
        let head = "\n| unit | add | change | destroy |\n|---|--:|--:|--:|\n";
        let row = |(unit, counts): &(&UnitPath, Counts)| {
            let (add, change) = (counts.to_add(), counts.to_change());
            format!(
                "| `{unit}` | {add} | {change} | {} |\n",
                counts.to_destroy()
            )
        };
        let rows: Vec<String> = units.iter().map(row).collect();
        if self.put(head) {
            self.lines(&rows, "units");
        }
    }

    fn details(&mut self, plan: &Plan, units: &[(&UnitPath, Counts)]) {
        let details: Vec<String> = units
            .iter()
            .map(|(unit, counts)| detail(plan, unit, counts))
            .collect();
        self.lines(&details, "units in detail");
    }
}

fn detail(plan: &Plan, unit: &UnitPath, counts: &Counts) -> String {
    let changes = unit_changes(plan, unit);
    let fence = fence(&changes);
    format!(
        "\n<details><summary><code>{unit}</code>: {}</summary>\n\n{fence}\n{}\n{fence}\n\n</details>\n",
        counted(counts),
        changes.trim_matches('\n')
    )
}

/// Longer than every run of backticks inside.
fn fence(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for char in text.chars() {
        run = if char == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat(longest.max(2) + 1)
}

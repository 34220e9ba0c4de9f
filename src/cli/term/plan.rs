//! A plan as Terraform users know it: symbols, a verdict per resource, attributes, one summary line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use plan::{Action, Change, Counts, Diff, Drift, Plan, PlanMode, Reason};
use similar::{ChangeTag, TextDiff};
use stack::{UnitPath, Value};

use super::Paint;

/// What stands for a plan without changes: the one line.
pub(crate) const NO_CHANGES: &str = "No changes. What is there is what the tree says.";

/// The whole plan of one fleet.
pub(crate) fn render(plan: &Plan, colour: bool) -> String {
    let mut text = String::new();
    let view = View { colour };
    if plan.is_empty() {
        text.push_str(&view.drift_note(plan));
        text.push_str(&view.partial_note(plan));
        text.push_str(NO_CHANGES);
        return text;
    }
    if plan.mode == PlanMode::RefreshOnly {
        return view.accepted(plan);
    }
    text.push_str(&view.drift_note(plan));
    text.push_str(&view.legend(plan));
    text.push_str(&view.partial_note(plan));
    for cluster in plan.removed_clusters() {
        let _ = writeln!(text, "\n  cluster {cluster} is no longer in the tree");
    }
    for (unit, counts) in plan.counts_by_unit() {
        text.push_str(&view.unit(plan, unit, &counts));
    }
    if !plan.outputs.is_empty() {
        let count: usize = plan.outputs.iter().map(|unit| unit.diffs.len()).sum();
        let _ = writeln!(
            text,
            "\nChanges to outputs: {count} (`tks output` shows them after apply)"
        );
    }
    text.push_str(&view.endings(plan));
    let _ = write!(text, "\n{}", view.summary(plan));
    if let Some(selection) = &plan.selection {
        let _ = write!(text, "\n{}", partial(selection));
    }
    text
}

/// Said before and after a plan of a part.
pub(super) fn partial(selection: &str) -> String {
    format!(
        "Warning: this plan is for a part of the fleet ({selection}); the rest stays as it is recorded."
    )
}

/// What is destroyed or replaced.
pub(super) fn endings(plan: &Plan) -> impl Iterator<Item = &Change> {
    let ends = |change: &&Change| matches!(change.action, Action::Delete | Action::Replace);
    plan.changes.iter().filter(ends)
}

/// The changes of one unit, without colour, for other renderings.
pub(super) fn unit_changes(plan: &Plan, unit: &UnitPath) -> String {
    View { colour: false }.changes(plan, unit)
}

/// `2 to add, 1 to change, 0 to destroy`.
pub(super) fn counted(counts: &Counts) -> String {
    let forget = if counts.forget > 0 {
        format!(", {} to forget", counts.forget)
    } else {
        String::new()
    };
    format!(
        "{} to add, {} to change, {} to destroy{forget}",
        counts.to_add(),
        counts.to_change(),
        counts.to_destroy()
    )
}

fn shown(change: &Change) -> bool {
    change.is_change() || change.action == Action::Skipped
}

/// A symbol in its colour, its width, and what it means.
struct Symbol {
    text: &'static str,
    paint: Paint,
    meaning: &'static str,
}

fn symbol(action: Action) -> Symbol {
    let (text, paint, meaning) = match action {
        Action::Create => ("  +", Paint::Create, "create"),
        Action::Update => ("  ~", Paint::Update, "update in-place"),
        Action::Replace => ("-/+", Paint::Delete, "destroy and then create replacement"),
        Action::Delete => ("  -", Paint::Delete, "destroy"),
        Action::Forget => ("  .", Paint::Dim, "forget, and leave where it is"),
        Action::Skipped => ("  .", Paint::Dim, "skip"),
        Action::NoOp => ("   ", Paint::Dim, "nothing"),
    };
    Symbol {
        text,
        paint,
        meaning,
    }
}

struct View {
    colour: bool,
}

impl View {
    fn legend(&self, plan: &Plan) -> String {
        let actions: BTreeSet<Action> = plan
            .changes
            .iter()
            .filter(|c| c.is_change())
            .map(|c| c.action)
            .collect();
        let mut text = String::from("Resource actions are indicated with the following symbols:\n");
        for action in actions {
            let symbol = symbol(action);
            let _ = writeln!(
                text,
                "{} {}",
                symbol.paint.on(symbol.text, self.colour),
                symbol.meaning
            );
        }
        text
    }

    fn partial_note(&self, plan: &Plan) -> String {
        let note = plan.selection.as_deref().map(partial);
        let note = note.map(|note| Paint::Update.on(&note, self.colour));
        note.map_or(String::new(), |note| format!("{note}\n"))
    }

    /// What is recorded anew.
    fn accepted(&self, plan: &Plan) -> String {
        let mut text = self.drift_note(plan);
        text.push_str(&self.partial_note(plan));
        let count = plan.drift.len();
        let _ = write!(
            text,
            "{} nothing real changes; {count} change{} made outside of tks will be recorded.",
            Paint::Bold.on("Refresh only:", self.colour),
            plural(count)
        );
        text
    }

    /// A unit with something to show: its counts, then its changes.
    fn unit(&self, plan: &Plan, unit: &UnitPath, counts: &Counts) -> String {
        let changes = self.changes(plan, unit);
        if changes.is_empty() {
            return changes;
        }
        let head = Paint::Bold.on(&unit.to_string(), self.colour);
        format!("\n{head}: {}\n{changes}", counted(counts))
    }

    fn changes(&self, plan: &Plan, unit: &UnitPath) -> String {
        let of_unit = plan.changes.iter().filter(|it| it.address.unit == *unit);
        of_unit
            .filter(|change| shown(change))
            .map(|change| self.change(change))
            .collect()
    }

    /// What a reader must not overlook, once more at the end.
    fn endings(&self, plan: &Plan) -> String {
        let lines: String = endings(plan)
            .map(|change| {
                let symbol = symbol(change.action);
                let mark = symbol.paint.on(symbol.text, self.colour);
                format!("{mark} {}\n", change.address)
            })
            .collect();
        if lines.is_empty() {
            return lines;
        }
        let title = Paint::Delete.on("Destroyed or replaced:", self.colour);
        format!("\n{title}\n{lines}")
    }

    fn change(&self, change: &Change) -> String {
        let symbol = symbol(change.action);
        let headline = format!("# {} {}", change.address, verdict(change));
        let mut text = format!("\n  {}\n", Paint::Bold.on(&headline, self.colour));
        if change.action == Action::Skipped {
            return text;
        }
        let mark = symbol.paint.on(symbol.text, self.colour);
        let name = format!("{} \"{}\"", change.address.kind, change.address.name);
        if change.action == Action::Delete || change.action == Action::Forget {
            let _ = writeln!(text, "{mark} {name}");
            return text;
        }
        let _ = writeln!(text, "{mark} {name} {{");
        let width = change
            .diffs
            .iter()
            .map(|diff| diff.path.chars().count())
            .max()
            .unwrap_or(0);
        for diff in &change.diffs {
            text.push_str(&self.diff(diff, width));
        }
        let hidden = unchanged(change);
        if hidden > 0 {
            let note = format!("# ({hidden} unchanged attribute{} hidden)", plural(hidden));
            let _ = writeln!(text, "        {}", Paint::Dim.on(&note, self.colour));
        }
        text.push_str("    }\n");
        text
    }

    fn diff(&self, diff: &Diff, width: usize) -> String {
        let (sign, paint) = match (&diff.before, &diff.after) {
            (None, _) => ("+", Paint::Create),
            (_, None) => ("-", Paint::Delete),
            _ => ("~", Paint::Update),
        };
        let forces = diff
            .forces
            .as_ref()
            .map(|why| format!(" # forces replacement: {why}"));
        let forces = Paint::Delete.on(&forces.unwrap_or_default(), self.colour);
        let pad = width.saturating_sub(diff.path.chars().count());
        let head = format!(
            "      {} {}{:pad$} = ",
            paint.on(sign, self.colour),
            diff.path,
            ""
        );
        match (&diff.before, &diff.after) {
            (Some(Value::String(before)), Some(Value::String(after)))
                if before.contains('\n') || after.contains('\n') =>
            {
                format!(
                    "{head}<<EOT{forces}\n{}        EOT\n",
                    self.lines(before, after)
                )
            }
            (Some(before), Some(after)) => {
                format!("{head}{} -> {}{forces}\n", short(before), short(after))
            }
            (None, Some(Value::String(after))) if after.contains('\n') => {
                format!("{head}<<EOT{forces}\n{}        EOT\n", indent(after))
            }
            (None, Some(after)) => format!("{head}{}{forces}\n", short(after)),
            (Some(before), None) => format!("{head}{} -> null{forces}\n", short(before)),
            (None, None) => String::new(),
        }
    }

    /// The lines that differ, with two lines around them.
    fn lines(&self, before: &str, after: &str) -> String {
        let diff = TextDiff::from_lines(before, after);
        let mut text = String::new();
        for group in diff.grouped_ops(2) {
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let line = change.value().trim_end_matches('\n');
                let line = match change.tag() {
                    ChangeTag::Delete => Paint::Delete.on(&format!("- {line}"), self.colour),
                    ChangeTag::Insert => Paint::Create.on(&format!("+ {line}"), self.colour),
                    ChangeTag::Equal => format!("  {line}"),
                };
                let _ = writeln!(text, "          {line}");
            }
        }
        text
    }

    fn drift_note(&self, plan: &Plan) -> String {
        if plan.drift.is_empty() {
            return String::new();
        }
        let title = Paint::Bold.on("Note: objects have changed outside of tks", self.colour);
        let mut text = format!("{title}\n");
        for drift in &plan.drift {
            let _ = writeln!(text, "  # {} {}", drift.address, drifted(drift));
        }
        text.push('\n');
        text
    }

    fn summary(&self, plan: &Plan) -> String {
        let title = Paint::Bold.on("Plan:", self.colour);
        format!("{title} {}.", counted(&plan.counts()))
    }
}

fn drifted(drift: &Drift) -> String {
    if drift.gone {
        return "has been deleted".to_owned();
    }
    let paths: Vec<&str> = drift.diffs.iter().map(|diff| diff.path.as_str()).collect();
    format!("has changed: {}", paths.join(", "))
}

/// What happens to a resource, and why.
pub(crate) fn verdict(change: &Change) -> String {
    let verb = match change.action {
        Action::Create => "will be created",
        Action::Update => "will be updated in-place",
        Action::Replace => "must be replaced",
        Action::Delete => "will be destroyed",
        Action::Forget => "will no longer be managed",
        Action::NoOp => "stays, and an earlier version of it will be destroyed",
        Action::Skipped => "is skipped",
    };
    let because = match &change.reason {
        None | Some(Reason::Destroy | Reason::CannotUpdate(_)) => return verb.to_owned(),
        Some(Reason::Skipped(reason)) => return format!("{verb}: {reason}"),
        Some(Reason::ResourceNotInTree) => "because it is no longer in the tree".to_owned(),
        Some(Reason::UnitNotInTree) => "because its unit is no longer in the tree".to_owned(),
        Some(Reason::ClusterNotInTree) => "because its cluster is no longer in the tree".to_owned(),
        Some(Reason::Requested) => "as requested".to_owned(),
        Some(Reason::NotSelected) => "because it is outside of what is selected".to_owned(),
        Some(Reason::Gone) => "because it was deleted outside of tks".to_owned(),
        Some(Reason::Interrupted) => "because an interrupted run was making it".to_owned(),
    };
    format!("{verb} ({because})")
}

/// How many top-level attributes stay as they are.
fn unchanged(change: &Change) -> usize {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return 0;
    };
    let same = |(name, value): &(&String, &Value)| {
        **value != Value::Null && before.get(*name) == Some(*value)
    };
    after.iter().filter(same).count()
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("            {line}\n"))
        .collect()
}

/// A value on one line.
pub(crate) fn short(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Secret(_) => "(sensitive value)".to_owned(),
        Value::Unknown(_) => "(known after apply)".to_owned(),
        Value::List(values) => {
            format!(
                "[{}]",
                values.iter().map(short).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Map(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k} = {}", short(v)))
                .collect();
            if pairs.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }
}

//! A plan as Terraform users know it: symbols, a verdict per resource, attributes, one summary line.

use std::fmt::Write as _;

use plan::{Action, Change, Counts, Diff, Drift, Origin, Plan, PlanMode, Reason};
use stack::{Address, Attributes, UnitPath, Value};

use super::Paint;
use super::value::{Differences, plural, short};

/// What stands for a plan without changes: the one line.
pub(crate) const NO_CHANGES: &str = "No changes. What is there is what the tree says.";

/// How many changed outputs are listed one by one.
const OUTPUTS: usize = 20;

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What stays is counted.
    Folded,
    /// All attributes of what changes, those that stay too.
    Full,
}

impl Detail {
    /// As `--full` says.
    pub(crate) fn of(full: bool) -> Self {
        if full { Self::Full } else { Self::Folded }
    }
}

/// The whole plan of one fleet.
pub(crate) fn render(plan: &Plan, detail: Detail, colour: bool) -> String {
    let mut text = String::new();
    let view = View { colour, detail };
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
    text.push_str(&view.outputs(plan));
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
    let view = View {
        colour: false,
        detail: Detail::Folded,
    };
    view.changes(plan, unit)
}

/// `2 to add, 1 to change, 0 to destroy`.
pub(super) fn counted(counts: &Counts) -> String {
    let forget = if counts.forget > 0 {
        format!(", {} to forget", counts.forget)
    } else {
        String::new()
    };
    let import = if counts.import > 0 {
        format!("{} to import, ", counts.import)
    } else {
        String::new()
    };
    format!(
        "{import}{} to add, {} to change, {} to destroy{forget}",
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

fn symbol(change: &Change) -> Symbol {
    let (text, paint, meaning) = match change.action {
        Action::Replace if change.lifecycle.create_before_destroy => {
            ("+/-", Paint::Delete, "create replacement and then destroy")
        }
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
    detail: Detail,
}

impl View {
    fn legend(&self, plan: &Plan) -> String {
        let changes = plan.changes.iter().filter(|change| change.is_change());
        let mut symbols: Vec<(Action, Symbol)> = changes
            .map(|change| (change.action, symbol(change)))
            .collect();
        symbols.sort_by_key(|(action, symbol)| (*action, symbol.text));
        symbols.dedup_by_key(|(_, symbol)| symbol.text);
        let mut text = String::from("Resource actions are indicated with the following symbols:\n");
        for (_, symbol) in symbols {
            let mark = symbol.paint.on(symbol.text, self.colour);
            let _ = writeln!(text, "{mark} {}", symbol.meaning);
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
                let symbol = symbol(change);
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
        let symbol = symbol(change);
        let headline = format!("# {} {}", change.address, verdict(change));
        let mut text = format!("\n  {}\n", Paint::Bold.on(&headline, self.colour));
        if change.action == Action::Skipped {
            return text;
        }
        let mark = symbol.paint.on(symbol.text, self.colour);
        let name = format!("{} \"{}\"", change.address.kind, change.address.name);
        let ends = change.action == Action::Delete || change.action == Action::Forget;
        if ends && self.detail == Detail::Folded {
            let _ = writeln!(text, "{mark} {name}");
            return text;
        }
        let _ = writeln!(text, "{mark} {name} {{");
        text.push_str(&self.differences(change, &change.diffs));
        let unchanged = unchanged(change);
        if self.detail == Detail::Full {
            let width = unchanged
                .keys()
                .map(|name| name.chars().count())
                .max()
                .unwrap_or(0);
            for (name, value) in &unchanged {
                let pad = width - name.chars().count();
                let _ = writeln!(text, "        {name}{:pad$} = {}", "", short(value));
            }
        } else if !unchanged.is_empty() {
            let hidden = unchanged.len();
            let note = format!("# ({hidden} unchanged attribute{} hidden)", plural(hidden));
            let _ = writeln!(text, "        {}", Paint::Dim.on(&note, self.colour));
        }
        text.push_str("    }\n");
        text
    }

    fn differences(&self, of: &Change, diffs: &[Diff]) -> String {
        drawn(&of.address, diffs, self.colour)
    }

    /// Outputs that change one by one, as long as they are few; new ones are counted.
    fn outputs(&self, plan: &Plan) -> String {
        let all = plan.outputs.iter();
        let all: Vec<(&UnitPath, &Diff)> = all
            .flat_map(|unit| unit.diffs.iter().map(|diff| (&unit.unit, diff)))
            .collect();
        if all.is_empty() {
            return String::new();
        }
        let (changed, new): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, diff)| diff.before.is_some());
        let title = Paint::Bold.on("Changes to outputs:", self.colour);
        let mut text = format!("\n{title} {} new, {} changed", new.len(), changed.len());
        text.push_str(" (`tks output` shows them after apply)\n");
        let listed = if self.detail == Detail::Full {
            usize::MAX
        } else {
            OUTPUTS
        };
        for (unit, diff) in changed.iter().take(listed) {
            let value = |value: &Option<Value>| value.as_ref().map_or("null".to_owned(), short);
            let mark = Paint::Update.on("  ~", self.colour);
            let (before, after) = (value(&diff.before), value(&diff.after));
            let long = before.len() + after.len() > 200;
            let what = if long {
                String::new()
            } else {
                format!(" = {before} -> {after}")
            };
            let _ = writeln!(text, "{mark} {unit}.{}{what}", diff.path);
        }
        if changed.len() > listed {
            let _ = writeln!(text, "    … and {} more", changed.len() - listed);
        }
        text
    }

    /// What changed outside of tks: all of it where that is what the plan is about, else what something is done about.
    fn drift_note(&self, plan: &Plan) -> String {
        let whole = plan.mode == PlanMode::RefreshOnly;
        let told =
            |drift: &&Drift| whole || plan.change(&drift.address).is_some_and(Change::is_change);
        let told: Vec<&Drift> = plan.drift.iter().filter(told).collect();
        if told.is_empty() {
            return String::new();
        }
        let title = Paint::Bold.on("Note: objects have changed outside of tks", self.colour);
        let mut text = format!("{title}\n");
        for drift in told {
            let _ = writeln!(text, "  # {} {}", drift.address, drifted(drift));
            if whole && !drift.gone {
                text.push_str(&drawn(&drift.address, &drift.diffs, self.colour));
            }
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
        Action::NoOp if !change.deposed.is_empty() => {
            "stays, and an earlier version of it will be destroyed"
        }
        Action::NoOp => "stays as it is",
        Action::Skipped => "is skipped",
    };
    let verb = match &change.origin {
        None => verb.to_owned(),
        Some(Origin::Interrupted) => format!("an interrupted run made it: {verb}"),
        Some(Origin::Moved(from)) => format!("was {from}: {verb}"),
        Some(Origin::Imported(id)) => format!("will be imported from {id:?}: {verb}"),
    };
    let because = match &change.reason {
        None | Some(Reason::Destroy | Reason::CannotUpdate(_)) => return verb,
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

/// The top-level attributes that stay as they are.
fn unchanged(change: &Change) -> Attributes {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return Attributes::new();
    };
    let same = |(name, value): &(&String, &Value)| {
        **value != Value::Null && before.get(*name) == Some(*value)
    };
    let same = after.iter().filter(same);
    same.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn drawn(of: &Address, diffs: &[Diff], colour: bool) -> String {
    let paths = diffs.iter().map(|diff| diff.path.chars().count());
    let width = paths.max().unwrap_or(0);
    let differences = Differences { colour, of };
    diffs
        .iter()
        .map(|diff| differences.draw(diff, width))
        .collect()
}

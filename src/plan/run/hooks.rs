//! Commands of the tree around what is done: before the first change of a unit or a cluster, and after its last one succeeded.
//! Where nothing changes, nothing runs.

use std::collections::BTreeMap;
use std::process::Stdio;

use futures::FutureExt;
use futures::future::BoxFuture;
use stack::{Attributes, ClusterPath, Diagnostics, Hook, UnitPath, Value, When};
use tokio::io::AsyncReadExt;

use super::{Landed, Run};
use crate::change::Change;
use crate::schedule::{Schedule, Step};
use crate::{Engine, Event, Failure, HookFailed, PlanMode};

/// How much of what a command says is told when it fails.
const TOLD: usize = 4096;

/// What hooks are around.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Around {
    Cluster(ClusterPath),
    Unit(UnitPath),
}

/// The hooks of a run, and how far they are.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: BTreeMap<Around, Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    before: Vec<Hook>,
    after: Vec<Hook>,
    state: State,
    /// Steps that did not succeed yet.
    left: usize,
    /// Steps that wait for what runs before.
    parked: Vec<(Step, usize)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Opening,
    Open,
    Failed,
}

/// What ended.
pub(super) struct HookOutcome {
    around: Around,
    when: When,
    error: Option<String>,
}

/// Whether a step may begin.
pub(super) enum Passage {
    Free,
    /// It is parked until what was begun here (if anything) ended.
    Waits(Option<(Around, Vec<Hook>)>),
    /// What runs before it failed.
    Shut(Around),
}

impl Gates {
    /// Those of the units and clusters in which something is done.
    pub(super) fn of(run: &Run<'_>, schedule: &Schedule<'_>) -> Result<Self, Diagnostics> {
        let whens = match run.plan.mode {
            PlanMode::Apply => (When::BeforeApply, When::AfterApply),
            PlanMode::Destroy => (When::BeforeDestroy, When::AfterDestroy),
            PlanMode::RefreshOnly => return Ok(Self::default()),
        };
        let mut all = BTreeMap::<ClusterPath, Vec<Hook>>::new();
        let mut gates = Self::default();
        for node in schedule.nodes.iter().filter(|node| is_real(node.change)) {
            let unit = &node.change.address.unit;
            if !all.contains_key(&unit.cluster) {
                let known = &run.attained;
                let hooks = run.engine.desired.hooks(&unit.cluster, known)?;
                all.insert(unit.cluster.clone(), hooks);
            }
            let hooks = &all[&unit.cluster];
            let around = |hook: &&Hook| hook.units.is_empty();
            gates.count(Around::Cluster(unit.cluster.clone()), hooks, whens, around);
            let around = |hook: &&Hook| hook.is_around(&unit.unit);
            gates.count(Around::Unit(unit.clone()), hooks, whens, around);
        }
        gates
            .gates
            .retain(|_, gate| !gate.before.is_empty() || !gate.after.is_empty());
        Ok(gates)
    }

    fn count(
        &mut self,
        around: Around,
        hooks: &[Hook],
        (before, after): (When, When),
        meant: impl Fn(&&Hook) -> bool,
    ) {
        let gate = self.gates.entry(around).or_insert_with(|| {
            let of = |when: When| {
                let hooks = hooks.iter().filter(|hook| hook.when == when);
                hooks.filter(&meant).cloned().collect::<Vec<_>>()
            };
            Gate {
                before: of(before),
                after: of(after),
                ..Gate::default()
            }
        });
        gate.left += 1;
    }

    /// Asks for a step to begin: first that of its cluster, then that of its unit.
    pub(super) fn pass(&mut self, change: &Change, step: Step, node: usize) -> Passage {
        for around in arounds(change) {
            let Some(gate) = self.gates.get_mut(&around) else {
                continue;
            };
            match gate.state {
                State::Open => {}
                State::Closed if gate.before.is_empty() => gate.state = State::Open,
                State::Failed => return Passage::Shut(around),
                State::Opening => {
                    gate.parked.push((step, node));
                    return Passage::Waits(None);
                }
                State::Closed => {
                    gate.state = State::Opening;
                    gate.parked.push((step, node));
                    let hooks = gate.before.clone();
                    return Passage::Waits(Some((around, hooks)));
                }
            }
        }
        Passage::Free
    }

    /// What ran before ended: the steps that waited for it.
    pub(super) fn opened(&mut self, around: &Around, good: bool) -> Vec<(Step, usize)> {
        let Some(gate) = self.gates.get_mut(around) else {
            return Vec::new();
        };
        gate.state = if good { State::Open } else { State::Failed };
        std::mem::take(&mut gate.parked)
    }

    /// A step succeeded: what runs after the last one.
    pub(super) fn succeeded(&mut self, change: &Change) -> Vec<(Around, Vec<Hook>)> {
        let mut next = Vec::new();
        for around in arounds(change).into_iter().rev() {
            let Some(gate) = self.gates.get_mut(&around) else {
                continue;
            };
            gate.left = gate.left.saturating_sub(1);
            if gate.left == 0 && !gate.after.is_empty() {
                next.push((around, gate.after.clone()));
            }
        }
        next
    }
}

/// Whether anything is done for it.
pub(super) fn is_real(change: &Change) -> bool {
    change.is_change()
}

fn arounds(change: &Change) -> [Around; 2] {
    let unit = &change.address.unit;
    [
        Around::Cluster(unit.cluster.clone()),
        Around::Unit(unit.clone()),
    ]
}

impl std::fmt::Display for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(cluster) => cluster.fmt(f),
            Self::Unit(unit) => unit.fmt(f),
        }
    }
}

impl Run<'_> {
    /// Runs commands one after the other, up to the first that fails.
    pub(super) fn hook<'f>(&self, around: Around, hooks: Vec<Hook>) -> BoxFuture<'f, Landed>
    where
        Self: 'f,
    {
        let when = hooks.first().map_or(When::BeforeApply, |hook| hook.when);
        let commands: Vec<_> = hooks
            .iter()
            .map(|hook| (hook.clone(), self.command(&around, hook)))
            .collect();
        for hook in &hooks {
            self.engine.progress.event(Event::Hook {
                around: around.to_string(),
                when: when.name(),
                command: hook.command.clone(),
            });
        }
        async move {
            let mut error = None;
            for (hook, command) in commands {
                error = run(&hook, command).await.err();
                if error.is_some() {
                    break;
                }
            }
            Landed::Hook(HookOutcome {
                around,
                when,
                error,
            })
        }
        .boxed()
    }

    fn command(&self, around: &Around, hook: &Hook) -> tokio::process::Command {
        let fleet = self.engine.desired.fleet();
        let (cluster, unit) = match around {
            Around::Cluster(cluster) => (cluster, None),
            Around::Unit(unit) => (&unit.cluster, Some(unit)),
        };
        let mut command = command_of(self.engine, hook);
        command.env("TKS_CLUSTER", cluster.to_string());
        if let Some(unit) = unit {
            command.env("TKS_UNIT", unit.to_string());
            command.envs(outputs(&self.outputs_now(unit)));
        }
        command.env("TKS_FLEET", &fleet.name);
        command.envs(&hook.env);
        command
    }

    /// What a unit tells now; before it is made, what it told.
    fn outputs_now(&self, unit: &UnitPath) -> Attributes {
        let recorded = self.states.get(&unit.cluster);
        let recorded = recorded.and_then(|state| state.outputs.get(&unit.unit));
        let mut outputs = recorded.cloned().unwrap_or_default();
        if self.plan.mode == PlanMode::Apply
            && let Ok(now) = self.engine.desired.outputs(unit, &self.attained)
        {
            outputs.extend(now.into_iter().filter(|(_, value)| value.is_known()));
        }
        outputs
    }

    /// Goes on with the steps that waited, or gives up on them.
    pub(super) fn hook_ended(&mut self, board: &mut super::Board, outcome: HookOutcome) {
        let HookOutcome {
            around,
            when,
            error,
        } = outcome;
        let is_before = matches!(when, When::BeforeApply | When::BeforeDestroy);
        if is_before {
            let parked = self.gates.opened(&around, error.is_none());
            board.ready.extend(parked);
        }
        if let Some(message) = error {
            self.failed_hooks.insert(around.clone(), message.clone());
            if !is_before {
                let (around, when) = (around.to_string(), when.name());
                self.applied.hooks_failed.push(HookFailed {
                    around,
                    when,
                    message,
                });
            }
        }
    }

    /// Why a step cannot begin whose hook failed.
    pub(super) fn shut(&self, around: &Around) -> Failure {
        let message = self.failed_hooks.get(around).cloned().unwrap_or_default();
        Failure::Hook {
            around: around.to_string(),
            message,
        }
    }
}

/// Runs the hooks around a plan of the given clusters, one after the other.
pub(crate) async fn around_plan(
    engine: &Engine<'_>,
    clusters: &[ClusterPath],
    when: When,
) -> Result<(), (ClusterPath, String)> {
    for cluster in clusters {
        let known = crate::planner::Attained::default();
        let hooks = engine.desired.hooks(cluster, &known);
        let hooks = hooks.map_err(|error| (cluster.clone(), error.to_string()))?;
        for hook in hooks.iter().filter(|hook| hook.when == when) {
            let mut command = command_of(engine, hook);
            command.env("TKS_CLUSTER", cluster.to_string());
            command.envs(&hook.env);
            engine.progress.event(Event::Hook {
                around: cluster.to_string(),
                when: when.name(),
                command: hook.command.clone(),
            });
            run(hook, command)
                .await
                .map_err(|error| (cluster.clone(), error))?;
        }
    }
    Ok(())
}

fn command_of(engine: &Engine<'_>, hook: &Hook) -> tokio::process::Command {
    let fleet = engine.desired.fleet();
    let mut words = hook.command.iter();
    let mut command = tokio::process::Command::new(words.next().map_or("", String::as_str));
    let folder = hook.working_dir.as_deref();
    command
        .args(words)
        .current_dir(folder.map_or_else(|| fleet.dir.clone(), |folder| fleet.dir.join(folder)))
        .env("TKS_FLEET", &fleet.name)
        .env("TKS_OPERATION", &engine.options.operation)
        .env("TKS_HOOK", hook.when.name())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `TKS_OUTPUT_<NAME>`: a text as it is, everything else as JSON. Secrets are not handed out.
fn outputs(outputs: &Attributes) -> BTreeMap<String, String> {
    let named = |(name, value): (&String, &Value)| {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        let text = match value {
            Value::String(text) => text.clone(),
            value => crate::codec::value_to_json(value, None).ok()?.to_string(),
        };
        Some((format!("TKS_OUTPUT_{name}"), text))
    };
    outputs.iter().filter_map(named).collect()
}

/// Runs a command to its end; what it says is told when it fails.
async fn run(hook: &Hook, mut command: tokio::process::Command) -> Result<(), String> {
    let shown = hook.command.join(" ");
    let cannot = |error: std::io::Error| format!("`{shown}` cannot run: {error}");
    let mut child = command.spawn().map_err(cannot)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let (out, err) = tokio::join!(tail(stdout), tail(stderr));
        (child.wait().await, out, err)
    };
    let Ok((status, out, err)) = tokio::time::timeout(hook.timeout, ended).await else {
        let seconds = hook.timeout.as_secs_f64();
        return Err(format!(
            "`{shown}` did not end within {seconds} s, and was killed"
        ));
    };
    let status = status.map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    let said = if err.trim().is_empty() { out } else { err };
    Err(format!("`{shown}` ended with {status}: {}", said.trim()))
}

/// The end of what a command says; all of it is read, so that it never waits for a reader.
async fn tail(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let (mut kept, mut buffer) = (Vec::new(), vec![0; TOLD]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let over = kept.len().saturating_sub(TOLD);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

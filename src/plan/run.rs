//! How a plan is applied: lock, check that it is still true, then step after step, each saved before the next that waits
//! for it begins.

mod board;
mod call;
mod finish;
mod record;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use stack::{Address, Attributes, ClusterPath};

use crate::allocations::Draft;
use crate::diff::contradiction;
use crate::journal::Journal;
use crate::key::Key;
use crate::lock::{Locks, Waiting};
use crate::planner::{Attained, with_ignored};
use crate::schedule::{Edges, Schedule, Step, created_first};
use crate::shroud::Shroud;
use crate::{
    Action, Applied, ApplyError, Change, Engine, Event, Failed, Failure, LeftOut, Plan, PlanMode,
    PlanRequest, Planned, Provider, ProviderError, Reason, State, StateError, compare,
};
use board::Board;
use call::{Made, Outcome, finished, make, redacted, remove, told};
use truth::{check_fleet, check_tree, current_states, is_skip, record};

/// One apply.
pub(crate) struct Run<'a> {
    engine: &'a Engine<'a>,
    plan: &'a Plan,
    key: Option<&'a Key>,
    states: BTreeMap<ClusterPath, State>,
    /// Clusters whose state is not yet saved as it is.
    dirty: BTreeSet<ClusterPath>,
    /// Clusters whose earlier version is in the history.
    kept: BTreeSet<ClusterPath>,
    journals: BTreeMap<ClusterPath, Journal>,
    draft: Draft,
    attained: Attained,
    created_first: BTreeSet<Address>,
    applied: Applied,
    /// Why the last save failed: nothing new begins then.
    unsaved: Option<StateError>,
    // Dropped last: everything is written by then.
    _locks: Locks,
}

/// What begins with a step.
enum Begun<'f> {
    /// The provider works.
    Flying(BoxFuture<'f, Outcome>),
    /// There was nothing to do but to record.
    Done,
    Failed(Failure),
}

impl<'a> Run<'a> {
    /// Takes the locks and refuses what is no longer true. Then records the new allocations.
    pub(crate) async fn begin(engine: &'a Engine<'a>, plan: &'a Plan) -> Result<Self, ApplyError> {
        check_fleet(engine, plan)?;
        engine.store.prepare()?;
        let clusters: Vec<ClusterPath> = plan
            .clusters
            .iter()
            .map(|cluster| cluster.path.clone())
            .collect();
        let waiting = Waiting {
            timeout: engine.options.lock_timeout,
            operation: &engine.options.operation,
            progress: engine.progress,
            stop: &engine.options.stop,
        };
        let locks = Locks::take(engine.store.data_dir(), &clusters, &waiting).await?;
        let states = current_states(engine, plan)?;
        if plan.mode == PlanMode::Apply {
            check_tree(engine, plan)?;
        }
        let writes = plan.bookkeeping || !plan.is_empty();
        let key = if writes {
            Some(engine.store.key_to_write()?)
        } else {
            None
        };
        record(engine, &plan.allocations, &[])?;
        let mut attained = Attained::default();
        for change in plan.changes.iter().filter(|change| is_skip(change)) {
            attained.0.insert(
                change.address.clone(),
                engine.providers.nothing(&change.address.kind),
            );
        }
        let mut journals = BTreeMap::new();
        for cluster in &clusters {
            journals.insert(
                cluster.clone(),
                Journal::of(engine.store.data_dir(), cluster)?,
            );
        }
        Ok(Self {
            engine,
            plan,
            key,
            states,
            dirty: BTreeSet::new(),
            kept: BTreeSet::new(),
            journals,
            draft: Draft::new(engine.store.allocations()?),
            attained,
            created_first: created_first(&plan.changes),
            applied: Applied::default(),
            unsaved: None,
            _locks: locks,
        })
    }

    /// Goes through the graph.
    pub(crate) async fn execute(mut self) -> Result<Applied, ApplyError> {
        let schedule = Schedule::new(&self.plan.changes, &self.edges());
        let mut board = Board::new(&schedule);
        let real = schedule
            .nodes
            .iter()
            .filter(|node| told(node.change, node.step).is_some())
            .count();
        self.engine.progress.event(Event::Applying { steps: real });
        let mut flying = FuturesUnordered::new();
        let mut stopping = false;
        loop {
            self.start_ready(&schedule, &mut board, &mut flying);
            if flying.is_empty() {
                break;
            }
            let stop = self.engine.options.stop.clone();
            let outcomes = tokio::select! {
                first = flying.next() => finished(first, &mut flying),
                () = stop.stopped(), if !stopping => {
                    stopping = true;
                    self.engine.progress.event(Event::Stopping { in_flight: flying.len() });
                    continue;
                }
            };
            self.settle(&schedule, &mut board, outcomes);
        }
        self.finish(&schedule, &board)
    }

    fn start_ready<'f>(
        &mut self,
        schedule: &Schedule<'f>,
        board: &mut Board,
        flying: &mut FuturesUnordered<BoxFuture<'f, Outcome>>,
    ) where
        'a: 'f,
    {
        while flying.len() < self.engine.options.parallelism.max(1) && self.goes_on() {
            let Some((step, node)) = board.ready.pop_first() else {
                break;
            };
            board.started.insert(node);
            let change = schedule.nodes[node].change;
            if let Some(action) = told(change, step) {
                let address = change.address.clone();
                self.engine
                    .progress
                    .event(Event::Started { address, action });
            }
            match self.begin_step(change, step, node) {
                Begun::Flying(future) => flying.push(future),
                Begun::Failed(error) => self.failed(schedule, board, node, Duration::ZERO, error),
                Begun::Done if self.save() => self.succeeded(schedule, board, node, Duration::ZERO),
                Begun::Done => {}
            }
        }
    }

    /// Whether new steps may begin.
    fn goes_on(&self) -> bool {
        let failed = self.engine.options.fail_fast && !self.applied.failed.is_empty();
        self.unsaved.is_none() && !failed && !self.engine.options.stop.is_stopped()
    }

    fn begin_step<'f>(&mut self, change: &'f Change, step: Step, node: usize) -> Begun<'f>
    where
        'a: 'f,
    {
        let begun = match (step, change.action) {
            (Step::Remove, Action::Forget) => {
                self.forget(change);
                return Begun::Done;
            }
            (Step::Remove, _) => self.begin_removal(change, node),
            (Step::Make, Action::NoOp | Action::Skipped) => {
                self.note_unchanged(change);
                return Begun::Done;
            }
            (Step::Make, _) => self.begin_making(change, node),
        };
        begun.unwrap_or_else(Begun::Failed)
    }

    fn begin_making<'f>(&mut self, change: &'f Change, node: usize) -> Result<Begun<'f>, Failure>
    where
        'a: 'f,
    {
        let provider = self.provider(change)?;
        let (planned, properties) = self.prepare(change)?;
        if change.action == Action::Update {
            let before = change.before.as_ref().unwrap_or(&planned);
            if compare(before, &planned).is_empty() {
                self.made(
                    change,
                    Made {
                        attributes: before.clone(),
                        properties,
                    },
                );
                return Ok(Begun::Done);
            }
        } else if let Some(journal) = self.journals.get_mut(&change.address.unit.cluster) {
            journal.begin(&change.address, &planned, &change.depends_on, self.key)?;
        }
        Ok(Begun::Flying(
            make(self.engine, provider, change, planned, properties, node).boxed(),
        ))
    }

    fn begin_removal<'f>(&self, change: &'f Change, node: usize) -> Result<Begun<'f>, Failure>
    where
        'a: 'f,
    {
        let provider = self.provider(change)?;
        Ok(Begun::Flying(
            remove(self.engine, provider, change, node).boxed(),
        ))
    }

    fn provider(&self, change: &Change) -> Result<&'a dyn Provider, Failure> {
        let engine: &'a Engine<'a> = self.engine;
        let kind = &change.address.kind;
        let provider = engine.providers.provider(kind);
        provider.ok_or_else(|| ProviderError::new(format!("nothing here serves `{kind}`")).into())
    }

    /// The attributes to make, now that all it depends on is made, and the properties behind them. Refuses what nobody
    /// reviewed.
    fn prepare(&mut self, change: &Change) -> Result<(Attributes, Attributes), Failure> {
        let address = &change.address;
        let properties = self.engine.desired.properties(address, &self.attained)?;
        as_reviewed(&change.properties, &properties)?;
        let before = change.before.as_ref();
        let effective = with_ignored(&properties, &change.lifecycle.ignore_changes, before);
        if let Some((property, value)) = effective.iter().find(|(_, value)| !value.is_known()) {
            let of = value.waits_for().into_iter().collect::<Vec<_>>().join(", ");
            return Err(Failure::StillUnknown {
                property: property.clone(),
                of,
            });
        }
        let provider = self.provider(change)?;
        let allocator = &mut self.draft;
        // What is replaced because somebody asked for it is planned as if nothing were there.
        let prior = before.filter(|_| change.reason != Some(Reason::Requested));
        let request = PlanRequest {
            address,
            properties: &effective,
            prior,
            allocator,
        };
        let (attributes, replace) = match provider.plan(request)? {
            Planned::Attributes {
                attributes,
                replace,
            } => (attributes, replace),
            Planned::Skipped { reason } => return Err(Failure::Unavailable(reason)),
        };
        let planned = Shroud::of([&effective].into_iter().chain(before)).cover(attributes);
        as_reviewed(
            change.after.as_ref().unwrap_or(&Attributes::new()),
            &planned,
        )?;
        let differs = before.is_some_and(|before| !compare(before, &planned).is_empty());
        if let (Action::Update, true, Some((property, why))) =
            (change.action, differs, replace.first())
        {
            return Err(Failure::NeedsReplacement {
                property: property.clone(),
                why: why.clone(),
            });
        }
        Ok((planned, properties))
    }

    fn settle(&mut self, schedule: &Schedule<'_>, board: &mut Board, outcomes: Vec<Outcome>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for Outcome {
            node,
            elapsed,
            result,
        } in outcomes
        {
            let change = schedule.nodes[node].change;
            match result {
                Ok(Some(made)) => self.made(change, made),
                Ok(None) => self.removed(change),
                Err(error) => {
                    bad.push((node, elapsed, error));
                    continue;
                }
            }
            good.push((node, elapsed));
        }
        if self.save() {
            for (node, elapsed) in good {
                self.succeeded(schedule, board, node, elapsed);
            }
        }
        for (node, elapsed, error) in bad {
            self.failed(schedule, board, node, elapsed, error.into());
        }
    }

    fn succeeded(
        &mut self,
        schedule: &Schedule<'_>,
        board: &mut Board,
        node: usize,
        elapsed: Duration,
    ) {
        let (change, step) = (schedule.nodes[node].change, schedule.nodes[node].step);
        // An intent is closed after its result is saved, never before. What is left open is only looked at once more.
        let journal = self.journals.get_mut(&change.address.unit.cluster);
        if let Some(journal) = journal.filter(|_| !change.is_left_out()) {
            let _ = journal.end(&change.address);
        }
        board.done(schedule, node);
        if let Some(action) = told(change, step) {
            let address = change.address.clone();
            self.engine.progress.event(Event::Finished {
                address,
                action,
                elapsed,
            });
        }
        // A replacement counts with its second step.
        let counts = match change.action {
            Action::Replace => {
                (step == Step::Remove) == self.created_first.contains(&change.address)
            }
            Action::Delete | Action::Forget => true,
            _ => step == Step::Make,
        };
        if counts && !change.is_left_out() {
            self.applied.counts.count(change.action);
        }
    }

    fn failed(
        &mut self,
        schedule: &Schedule<'_>,
        board: &mut Board,
        node: usize,
        elapsed: Duration,
        error: Failure,
    ) {
        let (change, step) = (schedule.nodes[node].change, schedule.nodes[node].step);
        let address = change.address.clone();
        let error = redacted(change, error);
        let action = told(change, step).unwrap_or(change.action);
        let event = Event::Failed {
            address: address.clone(),
            action,
            elapsed,
            error: error.to_string(),
        };
        self.engine.progress.event(event);
        self.applied.failed.push(Failed {
            address: address.clone(),
            action: change.action,
            error,
        });
        for left in board.abandon(node) {
            let left = schedule.nodes[left].change;
            self.leave_out(left, &address);
        }
    }

    fn leave_out(&mut self, change: &Change, because: &Address) {
        let known = self
            .applied
            .skipped
            .iter()
            .any(|left| left.address == change.address);
        if known || !change.is_change() || change.address == *because {
            return;
        }
        let (address, action, because) = (change.address.clone(), change.action, because.clone());
        let left = LeftOut {
            address: address.clone(),
            action,
            because: because.clone(),
        };
        self.applied.skipped.push(left);
        self.engine.progress.event(Event::Skipped {
            address,
            action,
            because,
        });
    }

    fn edges(&self) -> Edges {
        let resources = self.states.values().flat_map(|state| &state.resources);
        resources
            .map(|(address, recorded)| (address.clone(), recorded.depends_on.clone()))
            .collect()
    }
}

fn as_reviewed(planned: &Attributes, now: &Attributes) -> Result<(), Failure> {
    contradiction(planned, now).map_or(Ok(()), |path| Err(Failure::NotAsPlanned { path }))
}

//! How a plan is applied: lock, check that it is still true, then step after step, each saved before the next that waits
//! for it begins.

mod board;
mod call;
mod finish;
mod hooks;
mod record;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use stack::{Address, Attributes, ClusterPath};

use crate::allocations::{self, Draft};
use crate::diff::contradiction;
use crate::journal::{Doing, Journal};
use crate::key::Key;
use crate::lock::{Locks, Waiting};
use crate::planner::{Attained, with_ignored};
use crate::refactor::Renaming;
use crate::schedule::{Edges, Schedule, Step, created_first};
use crate::shroud::Shroud;
use crate::{
    Action, Applied, ApplyError, Change, Engine, Event, Failed, Failure, LeftOut, Origin, Plan,
    PlanMode, PlanRequest, Planned, Provider, ProviderError, Reason, State, StateError, compare,
    store,
};
use board::Board;
use call::{Made, Making, Outcome, finished, make, redacted, remove, told};
pub(crate) use hooks::around_plan;
use hooks::{Around, Gates, HookOutcome, Passage, is_real};
use truth::{check_fleet, check_tree, current_states, is_skip, record};

/// One apply.
pub(crate) struct Run<'a> {
    engine: &'a Engine<'a>,
    plan: &'a Plan,
    key: Option<&'a Key>,
    states: BTreeMap<ClusterPath, State>,
    /// Lineages and serials of the documents that are there.
    versions: BTreeMap<ClusterPath, (String, u64)>,
    /// Clusters whose state is not yet saved as it is.
    dirty: BTreeSet<ClusterPath>,
    journals: BTreeMap<ClusterPath, Journal>,
    draft: Draft,
    attained: Attained,
    created_first: BTreeSet<Address>,
    applied: Applied,
    gates: Gates,
    failed_hooks: BTreeMap<Around, String>,
    /// Steps that succeeded and are not yet told.
    settled: Vec<(usize, Duration)>,
    /// Why the last commit failed: nothing new begins then.
    unsaved: Option<StateError>,
    // Dropped last: everything is written by then.
    _locks: Locks,
}

/// What ended: a call to a provider, or a command of the tree.
enum Landed {
    Step(Outcome),
    Hook(HookOutcome),
}

/// What begins with a step.
enum Begun<'f> {
    /// The provider works.
    Flying(BoxFuture<'f, Landed>),
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
            let journal = recover(engine, cluster, states.get(cluster))?;
            journals.insert(cluster.clone(), journal);
        }
        let mut run = Self {
            engine,
            plan,
            key,
            versions: store::versions(&states),
            states,
            dirty: BTreeSet::new(),
            gates: Gates::default(),
            failed_hooks: BTreeMap::new(),
            settled: Vec::new(),
            journals,
            draft: Draft::new(engine.store.allocations()?),
            attained,
            created_first: created_first(&plan.changes),
            applied: Applied::default(),
            unsaved: None,
            _locks: locks,
        };
        run.rename()?;
        Ok(run)
    }

    /// Calls what is recorded by its new names, before anything else. What receives is synced before what gives: in between,
    /// both are recorded, and the next run only drops the old one.
    fn rename(&mut self) -> Result<(), ApplyError> {
        let moved = |change: &Change| matches!(change.origin, Some(Origin::Moved(_)));
        if !self.plan.changes.iter().any(moved) {
            return Ok(());
        }
        let resources = self.engine.desired.resources();
        let wanted = resources.iter().map(|resource| &resource.address).collect();
        let refactoring = self.engine.desired.refactoring();
        let renaming = Renaming::of(refactoring, &self.states, &wanted)?;
        for change in self.plan.changes.iter().filter(|change| moved(change)) {
            let asked = renaming.resources.get(&change.address);
            if change.origin != asked.cloned().map(Origin::Moved) {
                return Err(ApplyError::TreeChanged(vec![change.address.clone()]));
            }
        }
        allocations::rename(self.engine.store.data_dir(), &renaming.pairs())?;
        let copied = renaming.copy(&mut self.states);
        self.rerecord(&copied)?;
        self.try_commit()?;
        let gone = renaming.drop_old(&mut self.states);
        for unit in renaming.units.iter().flat_map(|(to, from)| [to, from]) {
            self.touch(&unit.cluster);
        }
        gone.iter().for_each(|address| self.drop_record(address));
        self.try_commit()?;
        self.draft = Draft::new(self.engine.store.allocations()?);
        Ok(())
    }

    /// Goes through the graph.
    pub(crate) async fn execute(mut self) -> Result<Applied, ApplyError> {
        let schedule = Schedule::new(&self.plan.changes, &self.edges());
        let mut board = Board::new(&schedule);
        self.gates = Gates::of(&self, &schedule)?;
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
            self.settle(&schedule, &mut board, outcomes, &mut flying);
        }
        self.finish(&schedule, &board)
    }

    /// Begins what may begin: what is recorded by then and what is intended is synced first, in one group.
    fn start_ready<'f>(
        &mut self,
        schedule: &Schedule<'f>,
        board: &mut Board,
        flying: &mut FuturesUnordered<BoxFuture<'f, Landed>>,
    ) where
        'a: 'f,
    {
        let mut begun = Vec::new();
        let room = self.engine.options.parallelism.max(1);
        while flying.len() + begun.len() < room && self.goes_on() {
            let Some((step, node)) = board.ready.pop_first() else {
                break;
            };
            let change = schedule.nodes[node].change;
            if is_real(change) {
                match self.gates.pass(change, step, node) {
                    Passage::Free => {}
                    Passage::Waits(begins) => {
                        flying.extend(begins.map(|(around, hooks)| self.hook(around, hooks)));
                        continue;
                    }
                    Passage::Shut(around) => {
                        board.started.insert(node);
                        let error = self.shut(&around);
                        self.failed(schedule, board, node, Duration::ZERO, error);
                        continue;
                    }
                }
            }
            board.started.insert(node);
            match self.begin_step(change, step, node) {
                Begun::Flying(future) => begun.push((step, node, future)),
                Begun::Failed(error) => {
                    self.tell_started(change, step);
                    self.failed(schedule, board, node, Duration::ZERO, error);
                }
                Begun::Done => {
                    self.tell_started(change, step);
                    board.done(schedule, node);
                    self.settled.push((node, Duration::ZERO));
                    self.after(change, flying);
                }
            }
        }
        let committed = self.commit();
        if committed {
            self.tell_settled(schedule);
        }
        for (step, node, future) in begun {
            if committed {
                self.tell_started(schedule.nodes[node].change, step);
                flying.push(future);
            } else {
                board.started.remove(&node);
                board.ready.insert((step, node));
            }
        }
    }

    fn tell_started(&self, change: &Change, step: Step) {
        if let Some(action) = told(change, step) {
            let address = change.address.clone();
            let progress = self.engine.progress;
            progress.event(Event::Started { address, action });
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
            (Step::Make, Action::NoOp | Action::Skipped) => match self.note_unchanged(change) {
                Ok(()) => {
                    let journal = self.journals.get_mut(&change.address.unit.cluster);
                    if let Some(journal) = journal.filter(|_| !change.is_left_out()) {
                        journal.ended(&change.address);
                    }
                    return Begun::Done;
                }
                Err(error) => Err(error.into()),
            },
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
        let token = if change.action == Action::Update {
            let before = change.before.as_ref().unwrap_or(&planned);
            if compare(before, &planned).is_empty() {
                let attributes = before.clone();
                self.made(
                    change,
                    Made {
                        attributes,
                        properties,
                        otherwise: None,
                    },
                )?;
                return Ok(Begun::Done);
            }
            self.intend(change, Doing::Update, &Attributes::new())?
        } else {
            self.keep_found(change)?;
            self.intend(change, Doing::Create, &planned)?
        };
        let making = Making {
            planned,
            properties,
            token,
        };
        Ok(Begun::Flying(
            make(self.engine, provider, change, making, node)
                .map(Landed::Step)
                .boxed(),
        ))
    }

    fn begin_removal<'f>(&mut self, change: &'f Change, node: usize) -> Result<Begun<'f>, Failure>
    where
        'a: 'f,
    {
        let provider = self.provider(change)?;
        self.intend(change, Doing::Delete, &Attributes::new())?;
        Ok(Begun::Flying(
            remove(self.engine, provider, change, node)
                .map(Landed::Step)
                .boxed(),
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

    fn settle<'f>(
        &mut self,
        schedule: &Schedule<'f>,
        board: &mut Board,
        landed: Vec<Landed>,
        flying: &mut FuturesUnordered<BoxFuture<'f, Landed>>,
    ) where
        'a: 'f,
    {
        for landed in landed {
            let outcome = match landed {
                Landed::Step(outcome) => outcome,
                Landed::Hook(outcome) => {
                    self.hook_ended(board, outcome);
                    continue;
                }
            };
            let (node, elapsed) = (outcome.node, outcome.elapsed);
            let change = schedule.nodes[node].change;
            let noted = match outcome.result {
                Ok(Some(made)) => self.made_as_planned(change, made),
                Ok(None) => self.removed(change).map_err(Failure::from),
                Err(error) => Err(error.into()),
            };
            match noted {
                Ok(()) => {
                    board.done(schedule, node);
                    self.settled.push((node, elapsed));
                    self.after(change, flying);
                }
                Err(error) => self.failed(schedule, board, node, elapsed, error),
            }
        }
    }

    /// Runs what the tree runs after the last step of a unit or a cluster.
    fn after<'f>(&mut self, change: &Change, flying: &mut FuturesUnordered<BoxFuture<'f, Landed>>)
    where
        'a: 'f,
    {
        if is_real(change) {
            let next = self.gates.succeeded(change);
            flying.extend(
                next.into_iter()
                    .map(|(around, hooks)| self.hook(around, hooks)),
            );
        }
    }

    /// What is not as it was to be made is recorded as it is, and a failure.
    fn made_as_planned(&mut self, change: &Change, made: Made) -> Result<(), Failure> {
        let otherwise = made.otherwise.clone();
        self.made(change, made)?;
        otherwise.map_or(Ok(()), |path| Err(Failure::MadeOtherwise { path }))
    }

    /// Tells of what succeeded, now that it is synced.
    fn tell_settled(&mut self, schedule: &Schedule<'_>) {
        for (node, elapsed) in std::mem::take(&mut self.settled) {
            self.succeeded(schedule, node, elapsed);
        }
    }

    fn succeeded(&mut self, schedule: &Schedule<'_>, node: usize, elapsed: Duration) {
        let (change, step) = (schedule.nodes[node].change, schedule.nodes[node].step);
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
            self.applied.counts.note(change);
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
        // What a failed create made or did not make, nobody knows: it stays open.
        let journal = self.journals.get_mut(&address.unit.cluster);
        if let Some(journal) = journal.filter(|journal| !journal.may_exist(&address)) {
            journal.ended(&address);
        }
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

/// The journal of a cluster; what an interrupted run left in it goes into the document first.
fn recover(
    engine: &Engine<'_>,
    cluster: &ClusterPath,
    state: Option<&State>,
) -> Result<Journal, StateError> {
    let store = engine.store;
    let operation = &engine.options.operation;
    let Some(left) = store.left(cluster)? else {
        return Ok(Journal::of(store.data_dir(), cluster, None, operation));
    };
    let lacks = left.unwritten(store.load_document(cluster)?.as_ref()) > 0;
    if let Some(state) = state.filter(|_| lacks) {
        store.keep_present(cluster)?;
        store.write(state)?;
        let cluster = cluster.clone();
        engine.progress.event(Event::Saved { cluster });
    }
    let mut journal = Journal::of(store.data_dir(), cluster, Some(left), operation);
    journal.finish(state, store.key().ok().flatten())?;
    Ok(journal)
}

fn as_reviewed(planned: &Attributes, now: &Attributes) -> Result<(), Failure> {
    contradiction(planned, now).map_or(Ok(()), |path| Err(Failure::NotAsPlanned { path }))
}

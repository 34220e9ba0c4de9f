//! How a plan is made: read what is recorded and what is real, evaluate what is wanted in graph order with what the
//! dependencies will have, compare, and add what is recorded but no longer wanted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use stack::{
    Address, Attributes, ClusterPath, Diagnostic, Diagnostics, Known, Lifecycle, OnDestroy,
    Resource, UnitPath, Value,
};

use crate::allocations::{self, Draft};
use crate::change::Touched;
use crate::journal::{Doing, Intent};
use crate::refactor::Renaming;
use crate::selection::{self, Scope};
use crate::shroud::Shroud;
use crate::{
    Action, Change, ClusterPlan, Diff, Drift, Engine, Event, Origin, OutputChange, Picked, Plan,
    PlanError, PlanMode, PlanRequest, Planned, Reason, Recorded, State, StateError, Universe,
    compare, graph, providers, refresh, state, store,
};

/// The attributes that resources have or will have.
#[derive(Debug, Default)]
pub(crate) struct Attained(pub(crate) HashMap<Address, Attributes>);

impl Known for Attained {
    fn attributes(&self, address: &Address) -> Option<&Attributes> {
        self.0.get(address)
    }
}

/// One planning.
pub(crate) struct Planner<'a> {
    engine: &'a Engine<'a>,
    states: BTreeMap<ClusterPath, State>,
    /// Lineages and serials, as they are recorded.
    versions: BTreeMap<ClusterPath, (String, u64)>,
    /// Creates whose end nobody saw.
    in_flight: BTreeMap<Address, Intent>,
    /// What those made, as far as their providers can tell.
    found: BTreeMap<Address, Attributes>,
    /// What is recorded under another name.
    renaming: Renaming,
    /// What was there before, with its provider's name for it.
    imported: BTreeMap<Address, String>,
    wanted: BTreeMap<&'a Address, &'a Resource>,
    real: BTreeMap<Address, Option<Attributes>>,
    draft: Draft,
    attained: Attained,
    /// Wanted resources that cannot be planned: what depends on them is not planned either.
    unplanned: HashSet<&'a Address>,
    mistakes: Diagnostics,
    changes: BTreeMap<Address, Change>,
    scope: Scope,
    /// What selected resources need, with the first that does; only of a part of a fleet.
    needed: HashMap<&'a Address, &'a Address>,
    /// What is selected and what it needs, outside of the selection and not there.
    missing: Vec<(Address, Address)>,
}

impl<'a> Planner<'a> {
    /// Reads what is recorded.
    pub(crate) fn load(engine: &'a Engine<'a>) -> Result<Self, PlanError> {
        let resources = engine.desired.resources();
        let states = engine.store.load_all()?;
        Ok(Self {
            engine,
            versions: store::versions(&states),
            states,
            in_flight: in_flight(engine)?,
            found: BTreeMap::new(),
            renaming: Renaming::default(),
            imported: BTreeMap::new(),
            wanted: resources
                .iter()
                .map(|resource| (&resource.address, resource))
                .collect(),
            real: BTreeMap::new(),
            draft: Draft::new(engine.store.allocations()?),
            attained: Attained::default(),
            unplanned: HashSet::new(),
            mistakes: Diagnostics::default(),
            changes: BTreeMap::new(),
            scope: Scope::default(),
            needed: HashMap::new(),
            missing: Vec::new(),
        })
    }

    /// Reads what is real, and plans.
    pub(crate) async fn plan(mut self, mode: PlanMode) -> Result<Plan, PlanError> {
        let wanted = match mode {
            PlanMode::Apply => self.wanted.keys().copied().collect(),
            PlanMode::Destroy | PlanMode::RefreshOnly => BTreeSet::new(),
        };
        if mode == PlanMode::Apply {
            self.rename()?;
        }
        self.select(mode)?;
        self.real = refresh::refresh(self.engine, &self.states, &wanted, &self.scope).await?;
        self.found = refresh::find(self.engine, &self.in_flight, &self.scope).await?;
        if mode != PlanMode::RefreshOnly {
            self.adopt();
        }
        if mode == PlanMode::Apply {
            self.import().await;
            self.refuse_refactoring();
        }
        match mode {
            PlanMode::Apply => self.plan_wanted()?,
            PlanMode::RefreshOnly => self.plan_accepted(),
            PlanMode::Destroy => {}
        }
        self.plan_left_over(mode);
        let outputs = self.plan_outputs(mode);
        if !self.mistakes.0.is_empty() {
            self.mistakes.0.sort_by(|a, b| a.position.cmp(&b.position));
            return Err(self.mistakes.into());
        }
        if !self.missing.is_empty() {
            return Err(PlanError::NotThere(self.missing));
        }
        self.refuse_protected()?;
        let plan = self.finish(mode, outputs);
        let changes = plan
            .changes
            .iter()
            .filter(|change| change.is_change())
            .count();
        self.engine.progress.event(Event::Planned { changes });
        Ok(plan)
    }

    /// Calls what is recorded by the names that the tree gives it.
    fn rename(&mut self) -> Result<(), Diagnostics> {
        let wanted = self.wanted.keys().copied().collect();
        let refactoring = self.engine.desired.refactoring();
        self.renaming = Renaming::of(refactoring, &self.states, &wanted)?;
        if !self.renaming.is_empty() {
            self.renaming.copy(&mut self.states);
            self.renaming.drop_old(&mut self.states);
            let recorded = self.draft.recorded().clone();
            self.draft = Draft::new(recorded.renamed(&self.renaming.pairs()));
        }
        Ok(())
    }

    /// Reads what was there before tks and is wanted.
    async fn import(&mut self) {
        let asked = self.engine.desired.refactoring().imports.iter();
        let asked = asked.map(|it| (&it.to, &it.id, Some(it.position.clone())));
        let typed = self.engine.options.imports.iter();
        let typed = typed.map(|(to, id)| (to, id, None));
        let asked: Vec<_> = asked.chain(typed).collect();
        for (to, id, position) in asked {
            if self.recorded(to).is_some() || !self.scope.has(to) {
                continue;
            }
            match self.import_one(to, id).await {
                Ok(found) => {
                    self.real.insert(to.clone(), Some(found));
                    self.imported.insert(to.clone(), id.clone());
                }
                Err(mut mistake) => {
                    mistake.position = position;
                    self.mistakes.push(mistake);
                }
            }
        }
    }

    async fn import_one(&self, to: &Address, id: &str) -> Result<Attributes, Diagnostic> {
        let wanted = self.wanted.contains_key(to);
        let provider = self.engine.providers.provider(&to.kind);
        let (true, Some(provider)) = (wanted, provider) else {
            let known: Vec<String> = self.wanted.keys().map(ToString::to_string).collect();
            let mistake = Diagnostic::new(format!("`{to}` is not in the tree"));
            let mistake = mistake.help("what is imported must be wanted");
            return Err(mistake.meant(&to.to_string(), known.iter().map(String::as_str)));
        };
        let read = || provider.import(to, id);
        match refresh::retrying(self.engine, None, |_, _, _| {}, read).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let kind = &to.kind;
                Err(Diagnostic::new(format!(
                    "there is no `{kind}` called {id:?} to import"
                )))
            }
            Err(error) => {
                let mut mistake = Diagnostic::new(format!("cannot import `{to}`: {error}"));
                mistake.help = error.help;
                Err(mistake)
            }
        }
    }

    /// What the tree says of what is recorded, against what it says itself.
    fn refuse_refactoring(&mut self) {
        let refactoring = self.engine.desired.refactoring();
        for removed in &refactoring.removed {
            let mut wanted = self.wanted.keys();
            if let Some(there) = wanted.find(|address| removed.from.holds(address)) {
                let message = format!("`{there}` is still in the tree");
                let mistake = Diagnostic::at(removed.position.clone(), message);
                self.mistakes.push(mistake.label("said to be removed"));
            }
        }
        for moved in refactoring.moved.iter().filter(|_| !self.scope.is_whole()) {
            let mut going = self.renaming.resources.iter();
            if going.any(|(to, from)| !self.scope.has(to) && moved.what.apply(from).is_some()) {
                let message = "what moves is outside of what is selected";
                let mistake = Diagnostic::at(moved.to.clone(), message);
                self.mistakes
                    .push(mistake.help("plan the whole fleet, or select it too"));
            }
        }
    }

    /// How what is there comes to be recorded under an address, if it was not recorded there.
    fn origin(&self, address: &Address) -> Option<Origin> {
        if let Some(from) = self.renaming.resources.get(address) {
            return Some(Origin::Moved(from.clone()));
        }
        if let Some(id) = self.imported.get(address) {
            return Some(Origin::Imported(id.clone()));
        }
        self.is_adopted(address).then_some(Origin::Interrupted)
    }

    /// Takes what an interrupted run made for what is there, where nothing else is.
    fn adopt(&mut self) {
        for (address, found) in &self.found {
            let wanted = self.wanted.contains_key(address);
            let recorded = self
                .states
                .get(&address.unit.cluster)
                .is_some_and(|state| state.resources.contains_key(address));
            let real = self.real.get(address).and_then(Option::as_ref);
            if real.is_none() && (wanted || recorded) {
                self.real.insert(address.clone(), Some(found.clone()));
            }
        }
    }

    /// Versions of a resource beside the real one that are to be removed: those recorded, and what an interrupted run made.
    fn deposed(&self, address: &Address) -> Vec<Attributes> {
        let recorded = self.recorded(address);
        let mut deposed = recorded.map_or_else(Vec::new, |recorded| recorded.deposed.clone());
        let real = self.real.get(address).and_then(Option::as_ref);
        let found = self.found.get(address);
        let other = found.filter(|found| real.is_some_and(|real| real != *found));
        deposed.extend(other.filter(|found| !deposed.contains(found)).cloned());
        deposed
    }

    /// Whether what is there is what an interrupted run made.
    fn is_adopted(&self, address: &Address) -> bool {
        let found = self.found.get(address);
        found.is_some() && found == self.real.get(address).and_then(Option::as_ref)
    }

    fn plan_wanted(&mut self) -> Result<(), PlanError> {
        let resources = self.engine.desired.resources();
        for at in graph::order(resources)? {
            let resource = &resources[at];
            if !self.scope.has(&resource.address) {
                self.set_aside(resource);
                continue;
            }
            if resource
                .depends_on
                .iter()
                .any(|on| self.unplanned.contains(on))
            {
                self.unplanned.insert(&resource.address);
                continue;
            }
            match self.plan_one(resource) {
                Ok(change) => {
                    self.changes.insert(resource.address.clone(), change);
                }
                Err(mut mistakes) => {
                    self.mistakes.0.append(&mut mistakes.0);
                    self.unplanned.insert(&resource.address);
                }
            }
        }
        Ok(())
    }

    /// Finds what is selected.
    fn select(&mut self, mode: PlanMode) -> Result<(), PlanError> {
        let options = &self.engine.options;
        if options.selection.is_whole() && options.replace.is_empty() {
            return Ok(());
        }
        let resources = self.engine.desired.resources();
        let wanted: selection::Dependencies<'_> = resources
            .iter()
            .map(|resource| (&resource.address, &resource.depends_on))
            .collect();
        let states = self.states.values().flat_map(|state| &state.resources);
        let states = states.map(|(address, recorded)| (address, &recorded.depends_on));
        let begun = self.in_flight.iter();
        let begun = begun.map(|(address, begun)| (address, &begun.depends_on));
        let known = selection::Known {
            wanted,
            recorded: begun.chain(states).collect(),
            mode,
            picked: self.pick()?,
        };
        let all = known.wanted.keys().copied().collect();
        selection::matched("--replace", &options.replace, &all)?;
        self.scope = Scope::of(&options.selection, &known)?;
        if !self.scope.is_whole() {
            for resource in resources.iter().filter(|it| self.scope.has(&it.address)) {
                for on in &resource.depends_on {
                    self.needed.entry(on).or_insert(&resource.address);
                }
            }
        }
        Ok(())
    }

    /// What filters select, if there are any.
    fn pick(&self) -> Result<Option<Picked>, PlanError> {
        let selection = &self.engine.options.selection;
        if selection.is_unfiltered() {
            return Ok(None);
        }
        let mut universe = Universe::of(self.engine.desired, &self.states);
        for (address, begun) in &self.in_flight {
            universe.begun(address, &begun.depends_on);
        }
        if selection.asks_for_files() {
            universe = universe.read(self.engine.desired);
        }
        selection.pick(&universe).map(Some)
    }

    /// A wanted resource outside of the selection: it is what it is recorded to be. What is not recorded is missing
    /// where something selected needs it, unless it cannot be here anyway.
    fn set_aside(&mut self, resource: &Resource) {
        let address = &resource.address;
        let needed = self.needed.get(address).copied();
        let absent = || Change {
            before: None,
            after: None,
            ..kept(address, &Recorded::default())
        };
        let change = match self.recorded(address) {
            Some(recorded) => kept(address, recorded),
            None if needed.is_none() => absent(),
            None => self.skipped(resource).unwrap_or_else(absent),
        };
        if let Some(after) = &change.after {
            self.attained.0.insert(address.clone(), after.clone());
        } else if let Some(by) = needed.filter(|_| change.action != Action::Skipped) {
            self.missing.push((by.clone(), address.clone()));
        }
        self.changes.insert(address.clone(), change);
    }

    /// What becomes of a resource that cannot be here. Its numbers are not kept.
    fn skipped(&mut self, resource: &Resource) -> Option<Change> {
        let draft = self.draft.clone();
        let planned = self.plan_one(resource);
        self.draft = draft;
        let change = planned.ok();
        let skipped = change.filter(|change| change.action == Action::Skipped);
        if skipped.is_none() {
            self.attained.0.remove(&resource.address);
        }
        skipped
    }

    /// Everything recorded, as it really is now.
    fn plan_accepted(&mut self) {
        let recorded = self.states.values().flat_map(|state| &state.resources);
        let selected = recorded.filter(|(address, _)| self.scope.has(address));
        let accept = |(address, recorded): (&Address, &Recorded)| {
            let real = self.real.get(address).cloned().flatten();
            // Earlier versions that are to be removed keep it in the state.
            let gone = real.is_none() && recorded.deposed.is_empty();
            let change = Change {
                action: if gone { Action::Forget } else { Action::NoOp },
                reason: gone.then_some(Reason::Gone),
                after: real.or_else(|| (!gone).then(|| recorded.attributes.clone())),
                ..kept(address, recorded)
            };
            (address.clone(), change)
        };
        self.changes = selected.map(accept).collect();
    }

    fn plan_one(&mut self, resource: &Resource) -> Result<Change, Diagnostics> {
        let address = &resource.address;
        let properties = self.engine.desired.properties(address, &self.attained)?;
        let mistakes = self.engine.providers.check(resource, &properties);
        let Some(provider) = self
            .engine
            .providers
            .provider(&address.kind)
            .filter(|_| mistakes.is_empty())
        else {
            return Err(Diagnostics(mistakes));
        };
        let prior = self.real.get(address).cloned().flatten();
        let effective = with_ignored(
            &properties,
            &resource.lifecycle.ignore_changes,
            prior.as_ref(),
        );
        let requested = prior.is_some() && self.is_requested(address);
        let request = PlanRequest {
            address,
            properties: &effective,
            prior: prior.as_ref().filter(|_| !requested),
            allocator: &mut self.draft,
        };
        let planned = provider
            .plan(request)
            .map_err(|error| Diagnostics(vec![providers::refused(resource, &error)]))?;
        Ok(self.change(resource, properties, &effective, prior, planned))
    }

    /// Whether its replacement was asked for.
    fn is_requested(&self, address: &Address) -> bool {
        let mut asked = self.engine.options.replace.iter();
        asked.any(|pattern| pattern.matches(address))
    }

    fn change(
        &mut self,
        resource: &Resource,
        properties: Attributes,
        effective: &Attributes,
        prior: Option<Attributes>,
        planned: Planned,
    ) -> Change {
        let address = &resource.address;
        let recorded = self.recorded(address);
        let mut change = Change {
            address: address.clone(),
            action: Action::NoOp,
            reason: None,
            before: prior,
            after: None,
            diffs: Vec::new(),
            properties,
            depends_on: resource.depends_on.clone(),
            lifecycle: resource.lifecycle.clone(),
            deposed: self.deposed(address),
            origin: self.origin(address),
        };
        match planned {
            Planned::Skipped { reason } => {
                change.action = match (&change.before, recorded) {
                    (Some(_), _) => Action::Delete,
                    (None, Some(_)) => Action::Forget,
                    (None, None) => Action::Skipped,
                };
                change.reason = Some(Reason::Skipped(reason));
                change.diffs = compare(
                    change.before.as_ref().unwrap_or(&Attributes::new()),
                    &Attributes::new(),
                );
                self.attained.0.insert(
                    address.clone(),
                    self.engine.providers.nothing(&address.kind),
                );
            }
            Planned::Attributes {
                attributes,
                replace,
            } => {
                let shroud = Shroud::of([effective].into_iter().chain(&change.before));
                let after = shroud.cover(attributes);
                self.decide(&mut change, &after, effective, replace);
                self.attained.0.insert(address.clone(), after.clone());
                change.after = Some(after);
            }
        }
        change
    }

    /// Fills in action, reason and diffs of a wanted resource.
    fn decide(
        &self,
        change: &mut Change,
        after: &Attributes,
        effective: &Attributes,
        replace: Vec<(String, String)>,
    ) {
        let Some(before) = &change.before else {
            change.action = Action::Create;
            change.diffs = compare(&Attributes::new(), after);
            change.reason = if self.recorded(&change.address).is_some() {
                Some(Reason::Gone)
            } else {
                self.in_flight
                    .contains_key(&change.address)
                    .then_some(Reason::Interrupted)
            };
            return;
        };
        change.diffs = compare(before, after);
        if self.is_requested(&change.address) {
            change.action = Action::Replace;
            change.reason = Some(Reason::Requested);
            return;
        }
        if change.diffs.is_empty() {
            // A property that a provider keeps out of the attributes may still be one that nobody knows yet.
            change.diffs = unknown_properties(effective, before);
        }
        if change.diffs.is_empty() {
            return;
        }
        change.action = if replace.is_empty() {
            Action::Update
        } else {
            Action::Replace
        };
        for diff in &mut change.diffs {
            diff.forces = forced_by(&diff.path, &replace);
        }
        change.reason = (!replace.is_empty()).then_some(Reason::CannotUpdate(replace));
    }

    fn plan_left_over(&mut self, mode: PlanMode) {
        let recorded = self.states.values().flat_map(|state| &state.resources);
        let left = recorded.filter(|(address, _)| !self.changes.contains_key(*address));
        let left = left.filter(|(address, _)| !self.unplanned.contains(*address));
        let change = |(address, recorded)| match self.scope.has(address) {
            true => self.removal(address, recorded, mode),
            false => kept(address, recorded),
        };
        let mut changes: Vec<Change> = left.map(change).collect();
        for (address, started) in &self.in_flight {
            if mode != PlanMode::RefreshOnly
                && self.scope.has(address)
                && self.recorded(address).is_none()
                && !self.changes.contains_key(address)
                && !self.unplanned.contains(address)
            {
                changes.push(orphan(address, started, self.found.get(address)));
            }
        }
        self.changes.extend(
            changes
                .into_iter()
                .map(|change| (change.address.clone(), change)),
        );
    }

    fn removal(&self, address: &Address, recorded: &Recorded, mode: PlanMode) -> Change {
        // What the tree says counts as long as it says anything; else what was recorded.
        let wanted = self.wanted.get(address);
        let lifecycle = wanted
            .map_or(&recorded.lifecycle, |resource| &resource.lifecycle)
            .clone();
        let before = self.real.get(address).cloned().flatten();
        let deposed = self.deposed(address);
        let nothing = before.is_none() && deposed.is_empty();
        let removed = &self.engine.desired.refactoring().removed;
        let mut removed = removed.iter().filter(|it| !it.destroy);
        let forgotten = mode == PlanMode::Apply && removed.any(|it| it.from.holds(address));
        let keep = nothing || forgotten || lifecycle.on_destroy == OnDestroy::Retain;
        let reason = match mode {
            _ if before.is_none() => Reason::Gone,
            PlanMode::Destroy => Reason::Destroy,
            PlanMode::Apply | PlanMode::RefreshOnly => self.why_not_wanted(address),
        };
        Change {
            address: address.clone(),
            action: if keep { Action::Forget } else { Action::Delete },
            reason: Some(reason),
            diffs: before
                .as_ref()
                .map(|before| compare(before, &Attributes::new()))
                .unwrap_or_default(),
            before,
            after: None,
            properties: Attributes::new(),
            depends_on: recorded.depends_on.clone(),
            lifecycle,
            deposed,
            origin: None,
        }
    }

    fn why_not_wanted(&self, address: &Address) -> Reason {
        if !self
            .engine
            .desired
            .clusters()
            .contains(&address.unit.cluster)
        {
            Reason::ClusterNotInTree
        } else if !self.engine.desired.units().contains(&address.unit) {
            Reason::UnitNotInTree
        } else {
            Reason::ResourceNotInTree
        }
    }

    fn plan_outputs(&mut self, mode: PlanMode) -> Vec<OutputChange> {
        let recorded = store::outputs(&self.states);
        let mut planned = BTreeMap::new();
        let incomplete: BTreeSet<&UnitPath> =
            self.unplanned.iter().map(|address| &address.unit).collect();
        if mode == PlanMode::Apply && incomplete.is_empty() {
            for unit in self.engine.desired.units() {
                match self.engine.desired.outputs(&unit, &self.attained) {
                    Ok(outputs) => {
                        planned.insert(unit, outputs);
                    }
                    Err(mut mistakes) => self.mistakes.0.append(&mut mistakes.0),
                }
            }
        }
        let touched = Touched::of(mode, self.scope.is_whole(), self.changes.values());
        let units: BTreeSet<&UnitPath> = recorded.keys().chain(planned.keys()).collect();
        let units = units.into_iter().filter(|unit| touched.has(unit));
        let none = Attributes::new();
        let changes = units.map(|unit| OutputChange {
            diffs: compare(
                recorded.get(unit).unwrap_or(&none),
                planned.get(unit).unwrap_or(&none),
            ),
            unit: unit.clone(),
        });
        changes.filter(|change| !change.diffs.is_empty()).collect()
    }

    fn refuse_protected(&self) -> Result<(), PlanError> {
        let ends = |change: &&Change| matches!(change.action, Action::Delete | Action::Replace);
        let ending = self
            .changes
            .values()
            .filter(ends)
            .filter(|change| change.lifecycle.protect);
        let protected: Vec<Address> = ending.map(|change| change.address.clone()).collect();
        if protected.is_empty() {
            Ok(())
        } else {
            Err(PlanError::Protected(protected))
        }
    }

    fn finish(&mut self, mode: PlanMode, outputs: Vec<OutputChange>) -> Plan {
        let mut changes = std::mem::take(&mut self.changes);
        let clusters = self.clusters(&changes);
        if !self.scope.is_whole() {
            let planned: BTreeSet<&ClusterPath> = clusters.iter().map(|it| &it.path).collect();
            changes.retain(|address, _| planned.contains(&address.unit.cluster));
        }
        let selection = &self.engine.options.selection;
        let ends = |change: &&Change| matches!(change.action, Action::Delete | Action::Forget);
        let gone = changes
            .values()
            .filter(ends)
            .map(|change| change.address.clone())
            .collect();
        Plan {
            tks: state::TKS.to_owned(),
            created: state::now(),
            mode,
            fleet: self.engine.desired.fleet().into(),
            clusters,
            selection: (!self.scope.is_whole()).then(|| selection.to_string()),
            drift: self.drift(),
            outputs,
            allocations: if mode == PlanMode::Apply {
                self.draft.new_ones()
            } else {
                Vec::new()
            },
            released: allocations::released(self.draft.recorded(), &gone),
            bookkeeping: changes.values().any(|change| self.differs_on_paper(change)),
            changes: changes.into_values().collect(),
        }
    }

    /// All clusters; of a part of a fleet those with something selected, and those that this is read from.
    fn clusters(&self, changes: &BTreeMap<Address, Change>) -> Vec<ClusterPlan> {
        let in_tree: BTreeSet<ClusterPath> = self.engine.desired.clusters().into_iter().collect();
        let started = self.in_flight.keys().map(|address| &address.unit.cluster);
        let all: BTreeSet<&ClusterPath> = in_tree
            .iter()
            .chain(self.states.keys())
            .chain(started)
            .collect();
        let plan = |path: &ClusterPath| {
            let version = self.versions.get(path);
            ClusterPlan {
                path: path.clone(),
                lineage: version.map(|(lineage, _)| lineage.clone()),
                serial: version.map_or(0, |(_, serial)| *serial),
                in_tree: in_tree.contains(path),
            }
        };
        if self.scope.is_whole() {
            return all.into_iter().map(plan).collect();
        }
        let selected = changes.values().filter(|change| !change.is_left_out());
        let of = |change: &'_ Change| {
            let own = change.address.unit.cluster.clone();
            let read = change.depends_on.iter().map(|on| on.unit.cluster.clone());
            read.chain([own]).collect::<Vec<_>>()
        };
        let touched: BTreeSet<ClusterPath> = selected.flat_map(of).collect();
        let touched = all.into_iter().filter(|path| touched.contains(path));
        touched.map(plan).collect()
    }

    fn drift(&self) -> Vec<Drift> {
        let recorded = self.states.values().flat_map(|state| &state.resources);
        let drift = recorded.filter_map(|(address, recorded)| {
            let real = self.real.get(address)?;
            let diffs = compare(
                &recorded.attributes,
                real.as_ref().unwrap_or(&Attributes::new()),
            );
            let gone = real.is_none();
            (gone || !diffs.is_empty()).then(|| Drift {
                address: address.clone(),
                gone,
                diffs,
            })
        });
        drift.collect()
    }

    fn differs_on_paper(&self, change: &Change) -> bool {
        let Some(recorded) = self.recorded(&change.address) else {
            return false;
        };
        change.action == Action::NoOp
            && (recorded.properties != change.properties
                || recorded.depends_on != change.depends_on
                || recorded.lifecycle != change.lifecycle
                || Some(&recorded.attributes) != change.after.as_ref())
    }

    fn recorded(&self, address: &Address) -> Option<&Recorded> {
        self.states
            .get(&address.unit.cluster)?
            .resources
            .get(address)
    }
}

/// What is outside of the selection, as it is recorded.
fn kept(address: &Address, recorded: &Recorded) -> Change {
    Change {
        address: address.clone(),
        action: Action::NoOp,
        reason: Some(Reason::NotSelected),
        before: Some(recorded.attributes.clone()),
        after: Some(recorded.attributes.clone()),
        diffs: Vec::new(),
        properties: recorded.properties.clone(),
        depends_on: recorded.depends_on.clone(),
        lifecycle: recorded.lifecycle.clone(),
        deposed: Vec::new(),
        origin: None,
    }
}

/// The creates whose end nobody saw; tells of every run that was interrupted.
fn in_flight(engine: &Engine<'_>) -> Result<BTreeMap<Address, Intent>, StateError> {
    let mut all = BTreeMap::new();
    for cluster in engine.store.journaled()? {
        let Some(left) = engine.store.left(&cluster)? else {
            continue;
        };
        let document = engine.store.load_document(&cluster)?;
        let open = left.open.iter();
        engine.progress.event(Event::Interrupted {
            run: left.run.clone(),
            recorded: left.unwritten(document.as_ref()),
            in_flight: open
                .map(|(address, intent)| (address.clone(), intent.doing.into()))
                .collect(),
            cluster,
        });
        let creates = left.open.into_iter();
        all.extend(creates.filter(|(_, intent)| intent.doing == Doing::Create));
    }
    Ok(all)
}

/// What an interrupted run may have made, and nobody wants.
fn orphan(address: &Address, started: &Intent, found: Option<&Attributes>) -> Change {
    let known = started.planned.iter().filter(|(_, value)| value.is_known());
    let guessed = || {
        let known = known.map(|(name, value)| (name.clone(), value.clone()));
        known.collect::<Attributes>()
    };
    let before = found.cloned().unwrap_or_else(guessed);
    Change {
        address: address.clone(),
        action: Action::Delete,
        reason: Some(Reason::Interrupted),
        diffs: compare(&before, &Attributes::new()),
        before: Some(before),
        after: None,
        properties: Attributes::new(),
        depends_on: started.depends_on.clone(),
        lifecycle: Lifecycle::default(),
        deposed: Vec::new(),
        origin: None,
    }
}

/// The properties with those of `ignored` (dotted paths) as they are now.
pub(crate) fn with_ignored(
    properties: &Attributes,
    ignored: &[String],
    prior: Option<&Attributes>,
) -> Attributes {
    let mut effective = properties.clone();
    let Some(prior) = prior else { return effective };
    for path in ignored {
        take_over(&mut effective, prior, path);
    }
    effective
}

fn take_over(into: &mut Attributes, from: &Attributes, path: &str) {
    let whole = || {
        path.split_once('.')
            .filter(|_| !from.contains_key(path) && !into.contains_key(path))
    };
    match whole() {
        Some((first, rest)) => {
            let Some(from) = from.get(first).and_then(Value::as_map) else {
                return;
            };
            let below = into
                .entry(first.to_owned())
                .or_insert_with(|| Value::Map(Attributes::new()));
            if let Value::Map(into) = below {
                take_over(into, from, rest);
            }
        }
        None => match from.get(path) {
            Some(value) => drop(into.insert(path.to_owned(), value.clone())),
            None => drop(into.remove(path)),
        },
    }
}

fn unknown_properties(properties: &Attributes, before: &Attributes) -> Vec<Diff> {
    let unknown = properties.iter().filter(|(_, value)| !value.is_known());
    let diff = |(name, value): (&String, &Value)| Diff {
        path: name.clone(),
        before: before.get(name).cloned(),
        after: Some(value.clone()),
        forces: None,
    };
    unknown.map(diff).collect()
}

fn forced_by(path: &str, replace: &[(String, String)]) -> Option<String> {
    let inside = |name: &str| {
        path.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    replace
        .iter()
        .find(|(name, _)| inside(name))
        .map(|(_, why)| why.clone())
}

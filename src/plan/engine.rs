//! The one entry: an engine plans and applies a fleet.

use std::time::Duration;

use stack::{Address, When};

use crate::planner::Planner;
use crate::run::{Run, around_plan};
use crate::{
    Applied, ApplyError, Desired, Origin, Pattern, Plan, PlanError, PlanMode, Progress, Providers,
    Recorded, Selection, StateStore, Stop, state,
};

/// Plans and applies one fleet on one platform.
#[derive(Clone)]
pub struct Engine<'a> {
    pub desired: &'a dyn Desired,
    pub providers: &'a Providers,
    pub store: &'a StateStore,
    pub progress: &'a dyn Progress,
    pub options: Options,
}

/// How an engine works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reads and changes at the same time.
    pub parallelism: usize,
    /// `false`: take the recorded attributes for real ones.
    pub refresh: bool,
    /// How long to wait for a lock that somebody holds; zero fails at once.
    pub lock_timeout: Duration,
    /// What the lock's holder is said to do.
    pub operation: String,
    /// Tries after the first, of what may pass by itself.
    pub retries: u32,
    /// Before the first retry; doubled each time.
    pub retry_delay: Duration,
    pub stop: Stop,
    /// What to plan; the rest stays as it is recorded.
    pub selection: Selection,
    /// Replaced although nothing about them asks for it.
    pub replace: Vec<Pattern>,
    /// Taken for what is there, as if the tree said so, with their providers' names for them.
    pub imports: Vec<(Address, String)>,
    /// Begin nothing new once something failed.
    pub fail_fast: bool,
    /// How long one read or change of one resource may take, with its retries; `None` waits for ever.
    pub timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallelism: 10,
            refresh: true,
            lock_timeout: Duration::ZERO,
            operation: "apply".to_owned(),
            retries: 4,
            retry_delay: Duration::from_millis(250),
            stop: Stop::default(),
            selection: Selection::default(),
            replace: Vec::new(),
            imports: Vec::new(),
            fail_fast: false,
            timeout: None,
        }
    }
}

impl Engine<'_> {
    /// What would change. Takes no lock and writes nothing.
    ///
    /// # Errors
    /// [`PlanError`]; mistakes of all resources are collected.
    pub async fn plan(&self, mode: PlanMode) -> Result<Plan, PlanError> {
        self.around_plan(When::BeforePlan).await?;
        let plan = Planner::load(self)?.plan(mode).await?;
        self.around_plan(When::AfterPlan).await?;
        Ok(plan)
    }

    async fn around_plan(&self, when: When) -> Result<(), PlanError> {
        let mut clusters = self.desired.clusters();
        let selected = &self.options.selection.clusters;
        clusters.retain(|cluster| selected.is_empty() || selected.contains(cluster));
        let done = around_plan(self, &clusters, when).await;
        done.map_err(|(cluster, message)| PlanError::Hook {
            cluster,
            when: when.name(),
            message,
        })
    }

    /// What would be recorded of something that was there before tks: as it is, with what the tree says of it. Nothing is
    /// written: see [`crate::Repair::record`].
    ///
    /// # Errors
    /// [`PlanError`]; the address must be in the tree, and not recorded yet.
    pub async fn import(&self, address: &Address, id: &str) -> Result<Recorded, PlanError> {
        let mut engine = self.clone();
        engine.options.refresh = false;
        engine.options.imports = vec![(address.clone(), id.to_owned())];
        let plan = engine.plan(PlanMode::Apply).await?;
        let change = plan.change(address);
        let change = change.filter(|it| matches!(it.origin, Some(Origin::Imported(_))));
        let Some((change, found)) = change.and_then(|it| Some((it, it.before.clone()?))) else {
            return Err(PlanError::RecordedAlready(address.clone()));
        };
        let mut properties = change.properties.clone();
        properties.retain(|_, value| value.is_known());
        Ok(Recorded {
            properties,
            attributes: found,
            depends_on: change.depends_on.clone(),
            lifecycle: change.lifecycle.clone(),
            deposed: Vec::new(),
            created: state::now(),
        })
    }

    /// Makes `plan` so: locks its clusters, refuses if their states are others by now, goes through the graph, saves after
    /// each resource. Independent branches go on after a failure. Call it for an empty plan too: it writes what is to be
    /// recorded, and nothing if there is nothing.
    ///
    /// # Errors
    /// [`ApplyError`] when nothing was begun; failures of single resources are in [`Applied`].
    pub async fn apply(&self, plan: &Plan) -> Result<Applied, ApplyError> {
        Run::begin(self, plan).await?.execute().await
    }
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

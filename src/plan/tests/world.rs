//! A provider whose resources live in memory, with faults, and a tree written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use stack::{
    Address, Attributes, ClusterPath, Diagnostics, Fleet, Hook, Import, Known, Lifecycle, Move,
    Moved, Position, Refactoring, Removed, Resource, Secret, Subject, UnitPath, Value,
};

use crate::{
    Applied, Desired, Engine, KeySource, Kind, Options, Plan, PlanError, PlanMode, PlanRequest,
    Planned, Provider, ProviderError, Providers, Silent, StateStore,
};

/// What is really there, and what was done to it.
#[derive(Default)]
pub(super) struct World {
    pub(super) things: Mutex<BTreeMap<Address, Attributes>>,
    /// `create a`, `delete a`, by resource name.
    pub(super) log: Mutex<Vec<String>>,
    /// How often an operation (as in the log) fails, and whether it may pass.
    pub(super) faults: Mutex<BTreeMap<String, (usize, bool)>>,
    /// Dependents are checked on each delete.
    pub(super) edges: Mutex<BTreeMap<Address, BTreeSet<Address>>>,
    pub(super) broken_law: Mutex<Option<String>>,
    /// An operation (as in the log) that does its work once and never tells.
    pub(super) silent: Mutex<Option<String>>,
}

impl World {
    fn operation(&self, what: &str, address: &Address) -> Result<(), ProviderError> {
        let operation = format!("{what} {}", address.name);
        self.log.lock().unwrap().push(operation.clone());
        let mut faults = self.faults.lock().unwrap();
        match faults.get_mut(&operation) {
            Some((left, retry)) if *left > 0 => {
                *left -= 1;
                Err(ProviderError {
                    retry: *retry,
                    ..ProviderError::new("out of order")
                })
            }
            _ => Ok(()),
        }
    }

    fn remove(&self, address: &Address, prior: &Attributes) {
        let mut things = self.things.lock().unwrap();
        // Of one created before the other is destroyed, the other is meant.
        let same = things
            .get(address)
            .is_some_and(|thing| !prior.contains_key("id") || thing["id"] == prior["id"]);
        if same {
            things.remove(address);
        }
        let edges = self.edges.lock().unwrap();
        let mut needing = things
            .keys()
            .filter(|thing| edges.get(thing).is_some_and(|on| on.contains(address)));
        if let Some(dependent) = needing.next() {
            *self.broken_law.lock().unwrap() =
                Some(format!("{address} deleted before {dependent}"));
        }
    }

    pub(super) fn fail(&self, operation: &str, times: usize, retry: bool) {
        self.faults
            .lock()
            .unwrap()
            .insert(operation.to_owned(), (times, retry));
    }

    pub(super) fn hang(&self, operation: &str) {
        *self.silent.lock().unwrap() = Some(operation.to_owned());
    }

    fn is_silent(&self, operation: &str) -> bool {
        let mut silent = self.silent.lock().unwrap();
        silent.take_if(|silent| silent == operation).is_some()
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

/// `id` and `token` (a secret) are computed at create; `port` is allocated when wanted.
pub(super) struct Memory(pub(super) Arc<World>);

#[async_trait]
impl Provider for Memory {
    fn kinds(&self) -> Vec<Kind> {
        let properties = &[
            "size",
            "fixed",
            "from",
            "password",
            "wants_port",
            "absent",
            "hidden",
        ];
        vec![Kind {
            name: "mem.box",
            properties,
            computed: &["id", "token", "port"],
        }]
    }

    fn plan(&self, request: PlanRequest<'_>) -> Result<Planned, ProviderError> {
        if request.properties.contains_key("absent") {
            return Ok(Planned::Skipped {
                reason: "not installed: box".to_owned(),
            });
        }
        let mut attributes = request.properties.clone();
        attributes.remove("hidden");
        let fixed = |attributes: &Attributes| attributes.get("fixed").cloned();
        let stays = request
            .prior
            .filter(|prior| fixed(prior) == fixed(request.properties));
        for name in ["id", "token"] {
            let unknown = || Value::unknown(format!("{}.{name}", request.address));
            let value = stays
                .and_then(|prior| prior.get(name).cloned())
                .unwrap_or_else(unknown);
            attributes.insert(name.to_owned(), value);
        }
        if attributes.contains_key("wants_port") {
            let port =
                request
                    .allocator
                    .port(&format!("{} http", request.address), None, &|_| true)?;
            attributes.insert("port".to_owned(), i64::from(port).into());
        }
        let moved = request.prior.is_some() && stays.is_none();
        let replace = moved.then(|| ("fixed".to_owned(), "it is cast in stone".to_owned()));
        Ok(Planned::Attributes {
            attributes,
            replace: replace.into_iter().collect(),
        })
    }

    async fn read(
        &self,
        address: &Address,
        _: &Attributes,
    ) -> Result<Option<Attributes>, ProviderError> {
        Ok(self.0.things.lock().unwrap().get(address).cloned())
    }

    async fn create(
        &self,
        address: &Address,
        planned: &Attributes,
        _: &str,
    ) -> Result<Attributes, ProviderError> {
        self.0.operation("create", address)?;
        let mut made = planned.clone();
        let fixed = planned.get("fixed").cloned().unwrap_or_default();
        made.insert(
            "id".to_owned(),
            format!("id-{}-{fixed:?}", address.name).into(),
        );
        // In clear, as a careless provider would.
        made.insert(
            "token".to_owned(),
            Value::Secret(Secret::new(format!("token-of-{}", address.name))),
        );
        if let Some(password) = planned.get("password").and_then(Value::as_text) {
            made.insert("password".to_owned(), password.into());
        }
        self.0
            .things
            .lock()
            .unwrap()
            .insert(address.clone(), made.clone());
        if self.0.is_silent(&format!("create {}", address.name)) {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        Ok(made)
    }

    /// What lies at the address, if its size is the one that is named.
    async fn import(
        &self,
        address: &Address,
        id: &str,
    ) -> Result<Option<Attributes>, ProviderError> {
        let there = self.0.things.lock().unwrap().get(address).cloned();
        let named = |it: &Attributes| it.get("id").and_then(Value::as_text) == Some(id);
        Ok(there.filter(named))
    }

    async fn update(
        &self,
        address: &Address,
        _: &Attributes,
        planned: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        self.0.operation("update", address)?;
        self.0
            .things
            .lock()
            .unwrap()
            .insert(address.clone(), planned.clone());
        tokio::task::yield_now().await;
        Ok(planned.clone())
    }

    async fn delete(&self, address: &Address, prior: &Attributes) -> Result<(), ProviderError> {
        self.0.operation("delete", address)?;
        self.0.remove(address, prior);
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// A property or output.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Plain(Value),
    Attribute(Address, &'static str),
}

/// A tree written by hand.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    fleet: Fleet,
    pub(super) resources: Vec<Resource>,
    expressions: BTreeMap<Address, Vec<(String, Expression)>>,
    outputs: BTreeMap<UnitPath, Vec<(String, Expression)>>,
    refactoring: Refactoring,
    hooks: Vec<Hook>,
}

/// `a/r/<cluster>/u:mem.box.<name>` of `<cluster>.<name>`.
pub(super) fn address(name: &str) -> Address {
    let (cluster, name) = name.split_once('.').unwrap_or(("one", name));
    format!("a/r/{cluster}/u:mem.box.{name}").parse().unwrap()
}

impl Tree {
    pub(super) fn new(data_dir: &Path) -> Self {
        let fleet = Fleet {
            name: "demo".to_owned(),
            dir: data_dir.to_owned(),
            platform: "local".to_owned(),
            data_dir: data_dir.to_owned(),
        };
        Self {
            fleet,
            resources: Vec::new(),
            expressions: BTreeMap::new(),
            outputs: BTreeMap::new(),
            refactoring: Refactoring::default(),
            hooks: Vec::new(),
        }
    }

    /// Adds a resource; references make edges. Its unit tells its `id`.
    pub(super) fn with(mut self, name: &str, properties: &[(&str, Expression)]) -> Self {
        let address = address(name);
        let depends_on = properties
            .iter()
            .filter_map(|(_, expression)| match expression {
                Expression::Attribute(on, _) => Some(on.clone()),
                Expression::Plain(_) => None,
            });
        let position = line(3);
        self.resources.push(Resource {
            address: address.clone(),
            depends_on: depends_on.collect(),
            lifecycle: Lifecycle::default(),
            position,
        });
        self.resources.sort_by(|a, b| a.address.cmp(&b.address));
        let outputs = self.outputs.entry(address.unit.clone()).or_default();
        outputs.push((
            format!("{}_id", address.name),
            Expression::Attribute(address.clone(), "id"),
        ));
        let properties = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        self.expressions.insert(address, properties.collect());
        self
    }

    pub(super) fn lifecycle(mut self, name: &str, change: impl FnOnce(&mut Lifecycle)) -> Self {
        let address = address(name);
        let resource = self
            .resources
            .iter_mut()
            .find(|resource| resource.address == address);
        change(&mut resource.unwrap().lifecycle);
        self
    }

    /// Says that something has another name now.
    pub(super) fn moving(mut self, from: &str, to: &str) -> Self {
        self.refactoring.moved.push(Moved {
            what: Move::parse(from, to).unwrap(),
            from: line(1),
            to: line(2),
        });
        self
    }

    pub(super) fn removing(mut self, from: &str, destroy: bool) -> Self {
        self.refactoring.removed.push(Removed {
            from: Subject::parse(from).unwrap(),
            destroy,
            position: line(3),
        });
        self
    }

    pub(super) fn importing(mut self, to: &str, id: &str) -> Self {
        self.refactoring.imports.push(Import {
            to: address(to),
            id: id.to_owned(),
            position: line(4),
        });
        self
    }

    pub(super) fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Makes one a kind that nobody serves.
    pub(super) fn misspelt(mut self, name: &str) -> Self {
        let old = address(name);
        let resource = self
            .resources
            .iter_mut()
            .find(|resource| resource.address == old)
            .unwrap();
        resource.address.kind = "mem.bix".to_owned();
        let expressions = self.expressions.remove(&old).unwrap();
        self.expressions
            .insert(resource.address.clone(), expressions);
        self
    }

    pub(super) fn edges(&self) -> BTreeMap<Address, BTreeSet<Address>> {
        let edges = self.resources.iter();
        edges
            .map(|resource| (resource.address.clone(), resource.depends_on.clone()))
            .collect()
    }
}

/// A place in the tree.
pub(super) fn line(line: usize) -> Position {
    Position {
        file: "live/x.yaml".into(),
        line,
        column: 5,
        offset: 0,
        len: 1,
    }
}

pub(super) fn plain(value: impl Into<Value>) -> Expression {
    Expression::Plain(value.into())
}

pub(super) fn of(name: &str, attribute: &'static str) -> Expression {
    Expression::Attribute(address(name), attribute)
}

fn evaluate(expressions: &[(String, Expression)], known: &dyn Known) -> Attributes {
    let value = |expression: &Expression| match expression {
        Expression::Plain(value) => value.clone(),
        Expression::Attribute(address, name) => match known.attributes(address) {
            Some(attributes) => attributes.get(*name).cloned().unwrap_or_default(),
            None => Value::unknown(format!("{address}.{name}")),
        },
    };
    expressions
        .iter()
        .map(|(name, expression)| (name.clone(), value(expression)))
        .collect()
}

impl Desired for Tree {
    fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    fn clusters(&self) -> Vec<ClusterPath> {
        let clusters: BTreeSet<_> = self
            .outputs
            .keys()
            .map(|unit| unit.cluster.clone())
            .collect();
        clusters.into_iter().collect()
    }

    fn units(&self) -> Vec<UnitPath> {
        self.outputs.keys().cloned().collect()
    }

    fn resources(&self) -> &[Resource] {
        &self.resources
    }

    fn properties(&self, address: &Address, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        Ok(evaluate(&self.expressions[address], known))
    }

    fn outputs(&self, unit: &UnitPath, known: &dyn Known) -> Result<Attributes, Diagnostics> {
        Ok(evaluate(&self.outputs[unit], known))
    }

    fn refactoring(&self) -> &Refactoring {
        &self.refactoring
    }

    fn hooks(&self, _: &ClusterPath, _: &dyn Known) -> Result<Vec<Hook>, Diagnostics> {
        Ok(self.hooks.clone())
    }
}

/// A folder, a world and how to work on them.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) world: Arc<World>,
    pub(super) options: Options,
}

impl Bench {
    pub(super) fn new() -> Self {
        let options = Options {
            retry_delay: std::time::Duration::ZERO,
            ..Options::default()
        };
        // Where there is a file system in memory, syncing costs nothing.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        Self {
            dir: dir.unwrap(),
            world: Arc::default(),
            options,
        }
    }

    pub(super) fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join(".tks/local")
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::new(&self.data_dir())
    }

    pub(super) fn store(&self) -> StateStore {
        StateStore::with_key(self.data_dir(), KeySource::default())
    }

    pub(super) fn providers(&self) -> Providers {
        Providers::new([Arc::new(Memory(Arc::clone(&self.world))) as Arc<dyn Provider>])
    }

    pub(super) async fn plan(&self, tree: &Tree, mode: PlanMode) -> Result<Plan, PlanError> {
        let (providers, store) = (self.providers(), self.store());
        self.engine(tree, &providers, &store).plan(mode).await
    }

    pub(super) async fn apply(
        &self,
        tree: &Tree,
        plan: &Plan,
    ) -> Result<Applied, crate::ApplyError> {
        *self.world.edges.lock().unwrap() = tree.edges();
        let (providers, store) = (self.providers(), self.store());
        self.engine(tree, &providers, &store).apply(plan).await
    }

    /// Plans and applies; everything must succeed.
    pub(super) async fn up(&self, tree: &Tree) -> Applied {
        let plan = self.plan(tree, PlanMode::Apply).await.unwrap();
        let applied = self.apply(tree, &plan).await.unwrap();
        assert!(applied.is_complete(), "{applied:?}");
        applied
    }

    fn engine<'e>(
        &self,
        tree: &'e Tree,
        providers: &'e Providers,
        store: &'e StateStore,
    ) -> Engine<'e> {
        Engine {
            desired: tree,
            providers,
            store,
            progress: &Silent,
            options: self.options.clone(),
        }
    }
}

/// Every file below a folder, with its bytes.
pub(super) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

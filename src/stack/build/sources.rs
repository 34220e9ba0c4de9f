//! All that expressions can read, laid out by number: clusters, units, resources.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::catalog::CatalogFiles;
use crate::expr::Term;
use crate::module::{Body, Module, ResourceBody};
use crate::reading::Chain;
use crate::schema::RESERVED;
use crate::template::Templates;
use crate::{Address, Catalog, Diagnostic, LiveCluster, LiveFleet, UnitPath, Value};

/// A fleet's clusters, units and resources with their terms. Grows while a stack is built, then stands.
#[derive(Debug)]
pub(crate) struct Sources {
    /// What `fleet` reads as.
    pub(crate) fleet: BTreeMap<String, Value>,
    pub(crate) platform: String,
    /// Whether any module is written for the platform.
    pub(crate) built: bool,
    pub(crate) clusters: Vec<ClusterSource>,
    pub(crate) units: Vec<UnitSource>,
    pub(crate) resources: Vec<ResourceSource>,
    pub(crate) by_address: HashMap<Address, usize>,
    pub(crate) templates: Arc<Templates>,
    pub(crate) files: Arc<CatalogFiles>,
}

#[derive(Debug)]
pub(crate) struct ClusterSource {
    pub(crate) path: crate::ClusterPath,
    pub(crate) key: String,
    pub(crate) role: String,
    /// What is always known of a cluster: name, id, key, hosts, bucket, labels, replicas, `workload` (the key, short enough for a pod's name).
    pub(crate) fields: BTreeMap<String, Value>,
    pub(crate) account: BTreeMap<String, Value>,
    pub(crate) region: BTreeMap<String, Value>,
    /// The merged reserved keys.
    pub(crate) values: Vec<(String, Term)>,
    /// Numbers of clusters; `None` before it is decided.
    pub(crate) observers: Option<Vec<usize>>,
    pub(crate) observees: Option<Vec<usize>>,
    /// By name in the role; `None` before units are made out.
    pub(crate) units: Option<BTreeMap<String, Family<usize>>>,
    pub(crate) chain: Chain,
}

/// One of something, or one per key.
#[derive(Debug)]
pub(crate) enum Family<T> {
    One(T),
    Each(BTreeMap<String, T>),
}

/// What a `for_each` goes over.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    Cluster(usize),
    Value(Value),
}

#[derive(Debug)]
pub(crate) struct UnitSource {
    pub(crate) path: UnitPath,
    pub(crate) cluster: usize,
    pub(crate) module: Arc<Module>,
    pub(crate) each: Option<Element>,
    pub(crate) inputs: Vec<(String, Term)>,
    /// Where the role names it: what is wrong with the unit as a whole is shown there.
    pub(crate) position: crate::Position,
    pub(crate) presence: Presence,
    /// By name in the module; `None` before resources are made out.
    pub(crate) resources: Option<BTreeMap<String, Family<usize>>>,
}

/// Whether a unit is there.
#[derive(Debug)]
pub(crate) enum Presence {
    Here(Arc<Body>),
    /// The module has no file for the platform.
    NotOnPlatform,
    /// Its `when` says no.
    LeftOut,
}

#[derive(Debug)]
pub(crate) struct ResourceSource {
    pub(crate) address: Address,
    pub(crate) unit: usize,
    pub(crate) body: Arc<Body>,
    /// Its number in the body.
    pub(crate) index: usize,
    pub(crate) each: Option<Element>,
}

impl Sources {
    /// The clusters of a fleet, nothing related and nothing made out yet.
    pub(crate) fn new(
        fleet: &LiveFleet,
        catalog: &Catalog,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Self {
        let fields = [
            ("name", Value::from(fleet.name.as_str())),
            ("platform", fleet.platform.as_str().into()),
            ("dir", fleet.dir.display().to_string().into()),
            ("data_dir", fleet.data_dir.display().to_string().into()),
        ];
        Self {
            fleet: record(fields),
            platform: fleet.platform.clone(),
            built: catalog.platforms().contains(&fleet.platform),
            clusters: fleet
                .clusters
                .iter()
                .map(|cluster| ClusterSource::new(cluster, mistakes))
                .collect(),
            units: Vec::new(),
            resources: Vec::new(),
            by_address: HashMap::new(),
            templates: Arc::clone(&catalog.templates),
            files: Arc::clone(&catalog.files),
        }
    }
}

impl Sources {
    /// Whether a unit is one of the stack's: it is there, or would be if there were anything for the platform.
    pub(crate) fn lists(&self, unit: &UnitSource) -> bool {
        match unit.presence {
            Presence::Here(_) => true,
            Presence::NotOnPlatform => !self.built,
            Presence::LeftOut => false,
        }
    }
}

impl ClusterSource {
    fn new(cluster: &LiveCluster, mistakes: &mut Vec<Diagnostic>) -> Self {
        let entries = cluster.merged.as_map().unwrap_or_default();
        let values = entries.iter().filter(|(key, _)| is_reserved(&key.name));
        Self {
            path: cluster.path.clone(),
            key: cluster.key.clone(),
            role: cluster.role.clone(),
            fields: fields(cluster),
            account: record([("name", cluster.path.account.as_str().into())]),
            region: record([("name", cluster.path.region.as_str().into())]),
            values: values
                .map(|(key, node)| (key.name.clone(), Term::compile(node, mistakes)))
                .collect(),
            observers: None,
            observees: None,
            units: None,
            chain: cluster.chain.clone(),
        }
    }
}

/// Whether a key of a tree is no unit.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|field| field.name == name)
}

fn fields(cluster: &LiveCluster) -> BTreeMap<String, Value> {
    let names = &cluster.names;
    let replicas = names.replicas.iter().map(|replica| {
        map([
            ("key", replica.key.as_str().into()),
            ("pod", replica.pod.as_str().into()),
            ("host", replica.host.as_str().into()),
            ("labels", texts(&replica.labels)),
        ])
    });
    let fields = [
        ("name", Value::from(cluster.path.cluster.as_str())),
        ("account", cluster.path.account.as_str().into()),
        ("region", cluster.path.region.as_str().into()),
        ("path", cluster.path.to_string().into()),
        ("role", cluster.role.as_str().into()),
        ("id", cluster.id.as_str().into()),
        ("key", cluster.key.as_str().into()),
        ("workload", names.workload.as_str().into()),
        ("prefix", names.prefix.as_str().into()),
        ("env", names.env.as_str().into()),
        ("domain", names.domain.as_str().into()),
        ("bucket", names.bucket.as_str().into()),
        (
            "hosts",
            map([("sidecar", names.sidecar_host.as_str().into())]),
        ),
        ("labels", texts(&names.labels)),
        ("replicas", replicas.collect()),
    ];
    record(fields)
}

impl UnitSource {
    pub(crate) fn body(&self) -> Option<&Arc<Body>> {
        if let Presence::Here(body) = &self.presence {
            Some(body)
        } else {
            None
        }
    }

    pub(crate) fn input(&self, name: &str) -> Option<&Term> {
        self.inputs
            .iter()
            .find(|(input, _)| input == name)
            .map(|(_, term)| term)
    }
}

impl ResourceSource {
    pub(crate) fn definition(&self) -> &ResourceBody {
        &self.body.resources[self.index]
    }
}

impl<T> Family<T> {
    /// All members.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, each) = match self {
            Self::One(one) => (Some(one), None),
            Self::Each(each) => (None, Some(each.values())),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }
}

fn texts(texts: &BTreeMap<String, String>) -> Value {
    map(texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str().into())))
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Map(record(entries))
}

fn record<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> BTreeMap<String, Value> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

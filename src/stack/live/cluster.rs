//! One cluster: its layers, what they come to, its role and its names.

use std::ops::RangeInclusive;

use super::check::{self, Kind, listed};
use super::find::CLUSTER_FILE;
use super::format::{Format, is_domain, is_name};
use super::{Document, LiveCluster, OBSERVEE, Reader, set};
use crate::merge::merge;
use crate::module::PLATFORMS;
use crate::names::{Names, Naming, Parts};
use crate::reading::Chain;
use crate::schema::FLEET_ONLY;
use crate::{Diagnostic, Diagnostics, Node, NodeValue, Position, Value};

/// How many replicas a Prometheus can have: keys of one digit are in the order of their numbers.
const REPLICAS: RangeInclusive<u8> = 1..=9;

/// Where a fleet runs that does not say where: on this machine.
pub(crate) const DEFAULT_PLATFORM: &str = "local";

impl Reader<'_> {
    /// The cluster of `document`; `None` when it has mistakes.
    pub(super) fn cluster(
        &self,
        fleet: &str,
        document: &Document,
        documents: &[Document],
        mistakes: &mut Diagnostics,
    ) -> Option<LiveCluster> {
        let path = &document.found.path;
        let chain: Vec<&Document> = documents
            .iter()
            .filter(|other| other.found.is_layer_of(path))
            .collect();
        let whole = chain.iter().all(|document| document.node.is_some());
        let layers = self.layers(&chain);
        let nodes: Vec<&Node> = layers.iter().map(|(_, node)| node).collect();
        let merged = merge(&nodes).map_err(|wrong| mistakes.extend(wrong)).ok()?;
        let own = document.node.as_ref()?;
        let role = match merged.get("role").and_then(Node::as_str) {
            Some(role) => role.to_owned(),
            None => {
                if whole && merged.get("role").is_none() {
                    self.no_role(document, mistakes);
                }
                return None;
            }
        };
        check::units_of_role(own, &role, &self.catalog.units(&role)?, mistakes);
        let names = self.names(fleet, document, &role, &merged, whole, mistakes)?;
        Some(LiveCluster {
            path: path.clone(),
            id: names.id.clone(),
            key: names.key.clone(),
            role,
            file: document.file.clone(),
            layers,
            merged,
            names,
            chain: chain_of(&chain, document),
        })
    }

    fn layers(&self, chain: &[&Document]) -> Vec<(String, Node)> {
        let documents = chain.iter().filter_map(|document| {
            let node = document.node.clone()?;
            Some(match document.found.kind {
                Kind::Fleet => ("fleet".to_owned(), without_fleet_keys(node)),
                Kind::Account => ("account".to_owned(), node),
                Kind::Region => ("region".to_owned(), node),
                Kind::Cluster | Kind::Set => ("cluster".to_owned(), node),
            })
        });
        let sets = self
            .sets
            .iter()
            .map(|node| (set::LAYER.to_owned(), node.clone()));
        documents.chain(sets).collect()
    }

    fn no_role(&self, document: &Document, mistakes: &mut Diagnostics) {
        let roles: Vec<&str> = self.vocabulary.roles.iter().map(String::as_str).collect();
        let example = roles.first().copied().unwrap_or(OBSERVEE);
        let message = format!("cluster `{}` has no role", document.found.path);
        mistakes.push(
            Diagnostic::at(Position::start(&document.file), message)
                .label("no `role` here or above")
                .help(format!(
                    "add a line such as `role: {example}`; the roles are {}",
                    listed(&roles)
                )),
        );
    }

    fn names(
        &self,
        fleet: &str,
        document: &Document,
        role: &str,
        merged: &Node,
        whole: bool,
        mistakes: &mut Diagnostics,
    ) -> Option<Names> {
        let path = &document.found.path;
        // A broken file above may say what is missing here.
        let mut quiet = Diagnostics::default();
        let mut said = Said {
            merged,
            file: document,
            mistakes: if whole { mistakes } else { &mut quiet },
        };
        let prefix = said.name("prefix", &path.account, "the account's folder")?;
        let env = said.name("env", fleet, "the fleet's folder")?;
        let platform = self.options.platform.as_deref();
        let platform = platform
            .or(said.text("platform"))
            .unwrap_or(DEFAULT_PLATFORM);
        let domain = said.domain(fleet, platform)?;
        let naming = match said.text("naming") {
            Some("teks") => Naming::Teks,
            _ => Naming::Default,
        };
        let named = |name: &str| is_name(name);
        if !named(&path.region) || !named(&path.cluster) {
            return None;
        }
        let bucket = merged.at(&["objstore", "bucket"]).and_then(Node::as_str);
        let replicas = said.replicas()?;
        let names = Names::derive(&Parts {
            naming,
            prefix: &prefix,
            env: &env,
            region: &path.region,
            cluster: &path.cluster,
            domain: &domain,
            observed: role == OBSERVEE,
            bucket,
            replicas,
        });
        for host in names.replicas.iter().map(|replica| &replica.host) {
            said.host_fits(host)?;
        }
        Some(names)
    }
}

/// The reserved keys of a cluster that names are made of.
struct Said<'a, 'b> {
    merged: &'a Node,
    file: &'a Document,
    mistakes: &'b mut Diagnostics,
}

impl<'a> Said<'a, '_> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.merged.get(key).and_then(Node::as_str)
    }

    /// A part of the id, which a folder's name stands in for. A wrong value is told where it stands.
    fn name(&mut self, key: &str, folder: &str, what: &str) -> Option<String> {
        let name = match self.merged.get(key) {
            Some(node) => {
                return node
                    .as_str()
                    .filter(|name| is_name(name))
                    .map(str::to_owned);
            }
            None => folder,
        };
        if !is_name(name) {
            let (_, help) = Format::Name.describe();
            let message =
                format!("`{name}` cannot be the `{key}` of ids: it is the name of {what}");
            let at = Position::start(&self.file.file);
            self.mistakes
                .push(Diagnostic::at(at, message).help(format!("set `{key}`: {help}")));
            return None;
        }
        Some(name.to_owned())
    }

    /// `domain`, for which a local fleet has `<fleet>.tks.internal`: `.internal` is reserved for private use.
    fn domain(&mut self, fleet: &str, platform: &str) -> Option<String> {
        if let Some(node) = self.merged.get("domain") {
            return node
                .as_str()
                .filter(|domain| is_domain(domain))
                .map(str::to_owned);
        }
        if platform == DEFAULT_PLATFORM && is_name(fleet) {
            return Some(format!("{fleet}.tks.internal"));
        }
        if !PLATFORMS.contains(&platform) {
            // That is told where it stands.
            return None;
        }
        let message = if platform == DEFAULT_PLATFORM {
            format!("`{fleet}` cannot be part of a domain: it is the name of the fleet's folder")
        } else {
            format!("no `domain`: hosts on {platform} are named below one")
        };
        self.mistakes.push(
            Diagnostic::at(Position::start(&self.file.file), message)
                .help("set `domain` in fleet.yaml, for example `domain: thanos.example.com`"),
        );
        None
    }

    /// `prometheus.replicas`: names follow from it, so it must be written out.
    fn replicas(&mut self) -> Option<u8> {
        let Some(node) = self.merged.at(&["prometheus", "replicas"]) else {
            return Some(1);
        };
        let replicas = match node.to_value() {
            Value::Null => Some(1),
            Value::Int(number) => u8::try_from(number)
                .ok()
                .filter(|number| REPLICAS.contains(number)),
            _ => None,
        };
        if replicas.is_none() {
            let message = format!(
                "`prometheus.replicas` is a number from {} to {}",
                REPLICAS.start(),
                REPLICAS.end()
            );
            self.mistakes.push(
                Diagnostic::at(node.position.clone(), message)
                    .help("hosts and labels are named after it, so it is no expression either"),
            );
        }
        replicas
    }

    fn host_fits(&mut self, host: &str) -> Option<()> {
        if !is_domain(host) {
            let domain = self.merged.get("domain").map(|node| node.position.clone());
            let at = domain.unwrap_or_else(|| Position::start(&self.file.file));
            let message = format!("the host `{host}` is longer than 253 characters");
            self.mistakes
                .push(Diagnostic::at(at, message).help("shorten `domain`"));
            return None;
        }
        Some(())
    }
}

/// What was read for a cluster, and what would be if it were there.
fn chain_of(chain: &[&Document], own: &Document) -> Chain {
    let fleet = chain
        .iter()
        .find(|document| document.found.kind == Kind::Fleet);
    let dir = fleet.and_then(|fleet| fleet.found.file.parent());
    let path = &own.found.path;
    let levels = dir.map(|dir| {
        let account = dir.join(&path.account);
        let region = account.join(&path.region);
        [
            account.join("account.yaml"),
            region.join("region.yaml"),
            region.join(format!("{}.yaml", path.cluster)),
            region.join(&path.cluster).join(CLUSTER_FILE),
        ]
    });
    Chain {
        read: chain
            .iter()
            .filter_map(|document| document.read.clone())
            .collect(),
        absent: levels.into_iter().flatten().collect(),
    }
}

fn without_fleet_keys(node: Node) -> Node {
    let NodeValue::Map(entries) = node.value else {
        return node;
    };
    let own = |name: &str| FLEET_ONLY.iter().any(|field| field.name == name);
    let entries = entries
        .into_iter()
        .filter(|(key, _)| !own(&key.name))
        .collect();
    Node::new(node.position, NodeValue::Map(entries))
}

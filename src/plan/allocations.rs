//! Numbers that stay with their owner: one document for the whole fleet, `allocations.json`. A plan hands out new ones, an
//! apply records them before the first create, and releases those of resources that are destroyed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use stack::Address;

use crate::document::{DocumentError, Format};
use crate::store::{StateError, io_error};
use crate::{Allocator, ProviderError, disk};

const FORMAT: Format = Format {
    name: "tks allocations",
    version: 1,
    migrations: &[],
};
const FIRST_PORT: u16 = 21000;
const LAST_PORT: u16 = 32000;

/// One port and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allocation {
    /// An address, and a port's name behind it.
    pub owner: String,
    pub port: u16,
}

/// The numbers of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    ports: BTreeMap<String, u16>,
}

impl Allocations {
    /// In owner order.
    pub fn ports(&self) -> impl Iterator<Item = (&str, u16)> {
        self.ports
            .iter()
            .map(|(owner, port)| (owner.as_str(), *port))
    }

    /// The port of an owner.
    #[must_use]
    pub fn port(&self, owner: &str) -> Option<u16> {
        self.ports.get(owner).copied()
    }

    pub(crate) fn load(data_dir: &Path) -> Result<Self, StateError> {
        let path = path(data_dir);
        let Some(bytes) = disk::read(&path).map_err(|source| io_error(&path, source))? else {
            return Ok(Self::default());
        };
        let damaged = |source| StateError::Damaged {
            path: path.clone(),
            newest_good: None,
            source,
        };
        let fields = FORMAT.read(&bytes).map_err(damaged)?;
        let ports = fields.get("ports").cloned().unwrap_or_default();
        let ports =
            serde_json::from_value(ports).map_err(|error| damaged(DocumentError::Json(error)))?;
        Ok(Self { ports })
    }

    fn save(&self, data_dir: &Path) -> Result<(), StateError> {
        let path = path(data_dir);
        let written = if self.ports.is_empty() {
            disk::remove(&path)
        } else {
            let ports = self
                .ports
                .iter()
                .map(|(owner, port)| (owner.clone(), Json::from(*port)));
            let ports = Json::Object(ports.collect());
            disk::write(
                &path,
                &FORMAT.write(Map::from_iter([("ports".to_owned(), ports)])),
            )
        };
        written.map_err(|source| io_error(&path, source))
    }

    /// The same numbers under the names that their owners (first) have from now on (second).
    pub(crate) fn renamed(mut self, moves: &[(Address, Address)]) -> Self {
        for (from, to) in moves {
            for entry in self.of(from) {
                if let (Some(port), Some(name)) = (
                    self.ports.remove(&entry.owner),
                    entry.owner.strip_prefix(&from.to_string()),
                ) {
                    self.ports.insert(format!("{to}{name}"), port);
                }
            }
        }
        self
    }

    /// The entries of a resource.
    pub(crate) fn of(&self, address: &Address) -> Vec<Allocation> {
        let address = address.to_string();
        // Everything of one resource stands together in owner order.
        let from = self.ports.range(address.clone()..);
        let near = from.take_while(|(owner, _)| owner.starts_with(&address));
        let own = near.filter(|(owner, _)| belongs(owner, &address));
        own.map(|(owner, port)| Allocation {
            owner: owner.clone(),
            port: *port,
        })
        .collect()
    }
}

/// Whether `owner` is `address` with a port's name behind it, and not a longer address.
fn belongs(owner: &str, address: &str) -> bool {
    let rest = owner.strip_prefix(address);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '.', '/', '#', ':', '@']))
}

/// Changes the document, alone: runs on different clusters of a fleet may do so at the same time.
///
/// # Errors
/// The first allocation that cannot be recorded, because it was given out meanwhile.
pub(crate) fn record(
    data_dir: &Path,
    new: &[Allocation],
    released: &[Allocation],
) -> Result<Result<(), Allocation>, StateError> {
    if new.is_empty() && released.is_empty() {
        return Ok(Ok(()));
    }
    let _alone = alone(data_dir)?;
    let mut allocations = Allocations::load(data_dir)?;
    let before = allocations.clone();
    for Allocation { owner, port } in released {
        if allocations.port(owner) == Some(*port) {
            allocations.ports.remove(owner);
        }
    }
    let mut taken: BTreeMap<u16, String> = allocations
        .ports
        .iter()
        .map(|(owner, port)| (*port, owner.clone()))
        .collect();
    for allocation in new {
        let Allocation { owner, port } = allocation;
        if taken.get(port).is_some_and(|other| other != owner) {
            return Ok(Err(allocation.clone()));
        }
        taken.insert(*port, owner.clone());
        allocations.ports.insert(owner.clone(), *port);
    }
    if allocations != before {
        allocations.save(data_dir)?;
    }
    Ok(Ok(()))
}

/// Held while the document is read, changed and written. The folder itself is locked: no file is left behind.
fn alone(data_dir: &Path) -> Result<std::fs::File, StateError> {
    let locked = std::fs::File::open(data_dir).and_then(|folder| folder.lock().map(|()| folder));
    locked.map_err(|source| io_error(data_dir, source))
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("allocations.json")
}

/// Hands out numbers on top of the recorded ones, without recording them.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    recorded: Allocations,
    ports: BTreeMap<String, u16>,
    owners: BTreeMap<u16, String>,
}

impl Draft {
    pub(crate) fn new(recorded: Allocations) -> Self {
        let ports = recorded.ports.clone();
        let owners = ports
            .iter()
            .map(|(owner, port)| (*port, owner.clone()))
            .collect();
        Self {
            recorded,
            ports,
            owners,
        }
    }

    /// What is recorded.
    pub(crate) fn recorded(&self) -> &Allocations {
        &self.recorded
    }

    /// What was given out and is not recorded so, in owner order.
    pub(crate) fn new_ones(&self) -> Vec<Allocation> {
        let new = self
            .ports
            .iter()
            .filter(|(owner, port)| self.recorded.port(owner) != Some(**port));
        new.map(|(owner, port)| Allocation {
            owner: owner.clone(),
            port: *port,
        })
        .collect()
    }

    fn give(&mut self, owner: &str, port: u16) -> u16 {
        if let Some(old) = self.ports.insert(owner.to_owned(), port) {
            self.owners.remove(&old);
        }
        self.owners.insert(port, owner.to_owned());
        port
    }
}

impl Allocator for Draft {
    fn port(
        &mut self,
        owner: &str,
        wanted: Option<u16>,
        usable: &dyn Fn(u16) -> bool,
    ) -> Result<u16, ProviderError> {
        if let Some(port) = wanted {
            return match self.owners.get(&port) {
                Some(other) if other != owner => Err(taken(port, owner, other)),
                _ => Ok(self.give(owner, port)),
            };
        }
        if let Some(port) = self.ports.get(owner) {
            return Ok(*port);
        }
        let free =
            (FIRST_PORT..=LAST_PORT).find(|port| !self.owners.contains_key(port) && usable(*port));
        let none = || {
            ProviderError::new(format!(
                "no port from {FIRST_PORT} to {LAST_PORT} is free for {owner}"
            ))
        };
        free.map(|port| self.give(owner, port)).ok_or_else(none)
    }
}

fn taken(port: u16, owner: &str, other: &str) -> ProviderError {
    ProviderError::new(format!(
        "port {port} is wanted for {owner} and belongs to {other}"
    ))
    .property("port")
    .help("write another port, or none: then a free one is found and kept")
}

/// Gives the entries of resources (first) to what they are called from now on (second).
pub(crate) fn rename(data_dir: &Path, moves: &[(Address, Address)]) -> Result<(), StateError> {
    let recorded = Allocations::load(data_dir)?;
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (from, to) in moves {
        for entry in recorded.of(from) {
            let name = entry.owner.strip_prefix(&from.to_string());
            new.extend(name.map(|name| Allocation {
                owner: format!("{to}{name}"),
                port: entry.port,
            }));
            old.push(entry);
        }
    }
    // Each number is free before it is given: none can be somebody else's.
    record(data_dir, &new, &old).map(|_| ())
}

/// The entries of resources that go, in owner order.
pub(crate) fn released(recorded: &Allocations, gone: &BTreeSet<Address>) -> Vec<Allocation> {
    let mut released: Vec<_> = gone
        .iter()
        .flat_map(|address| recorded.of(address))
        .collect();
    released.sort();
    released
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocation(owner: &str, port: u16) -> Allocation {
        Allocation {
            owner: owner.to_owned(),
            port,
        }
    }

    #[test]
    fn ports_stay_with_their_owners_and_new_ones_are_the_first_usable() {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), &[allocation("b http", 21000)], &[])
            .unwrap()
            .unwrap();
        let mut draft = Draft::new(Allocations::load(dir.path()).unwrap());
        let not_21001 = |port| port != 21001;
        assert_eq!(draft.port("a http", None, &not_21001).unwrap(), 21002);
        assert_eq!(draft.port("b http", None, &|_| false).unwrap(), 21000);
        assert_eq!(draft.port("a http", None, &|_| false).unwrap(), 21002);
        assert_eq!(draft.port("c http", Some(9090), &|_| false).unwrap(), 9090);
        let refused = draft.port("d http", Some(21000), &|_| true).unwrap_err();
        assert!(refused.message.contains("belongs to b http"), "{refused}");
        assert_eq!(
            draft.new_ones(),
            [allocation("a http", 21002), allocation("c http", 9090)]
        );
    }

    #[test]
    fn a_port_given_out_meanwhile_is_told_and_nothing_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), &[allocation("a", 21000)], &[])
            .unwrap()
            .unwrap();
        let new = [allocation("b", 21001), allocation("c", 21000)];
        assert_eq!(
            record(dir.path(), &new, &[]).unwrap(),
            Err(allocation("c", 21000))
        );
        assert_eq!(Allocations::load(dir.path()).unwrap().ports().count(), 1);
    }

    #[test]
    fn only_what_belongs_to_a_resource_is_released_with_it() {
        let owners = [
            "a/b/c/u:k.l.q http",
            "a/b/c/u:k.l.q-x http",
            "a/b/c/u:k.l.q[\"p\"] http",
        ];
        let new: Vec<_> = owners
            .iter()
            .zip(1..)
            .map(|(owner, port)| allocation(owner, port))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), &new, &[]).unwrap().unwrap();
        let recorded = Allocations::load(dir.path()).unwrap();
        let gone = BTreeSet::from(["a/b/c/u:k.l.q".parse().unwrap()]);
        assert_eq!(released(&recorded, &gone), [allocation(owners[0], 1)]);
    }
}

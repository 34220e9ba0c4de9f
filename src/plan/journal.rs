//! What a run is about to do and what came of it: `journal/<account>/<region>/<cluster>.jsonl`, written ahead of the state's
//! document, which a run writes once, at its end.
//!
//! A line is a *group*: all results and intents that were ready at one time, written and synced together (group commit). It
//! reads `<8 hex digits> <JSON>`, the digits being the beginning of the JSON's SHA-256. The invariants:
//!
//! * No step begins before its intent is synced, nor before the results of those that it waits for are.
//! * Nothing is written behind a group that is not synced: only the last line can be torn, and nobody acted upon it. A line
//!   that is damaged with another one behind it is damage, and told as such.
//! * All groups of a run carry the serial that its document will have. A document of that serial (or a later one) holds their
//!   results already; over an older one, or none, they are replayed.
//! * An intent is open until a result of the same resource. An open create may have made something that no document tells
//!   of: its token says which, see [`crate::Provider::find`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stack::{Address, Attributes, ClusterPath};

use crate::document::DocumentError;
use crate::key::{Key, KeyError};
use crate::state::{self, Recorded, ResourceDoc, State, Unreadable};
use crate::store::{StateError, file_of, io_error};
use crate::{Action, codec, disk};

/// What was ready at one time.
#[derive(Serialize, Deserialize)]
struct Group {
    lineage: String,
    serial: u64,
    /// `apply`, `destroy`.
    operation: String,
    /// RFC 3339, UTC.
    at: String,
    /// The id of the key that secrets are sealed with.
    key: Option<String>,
    records: Vec<Record>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// A step begins.
    Begin(BeginDoc),
    /// This is recorded from now on.
    Made(ResourceDoc),
    /// Nothing is recorded any more.
    Removed(String),
    /// A step ended, and what is recorded stays.
    Ended(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct BeginDoc {
    address: String,
    action: Doing,
    token: String,
    at: String,
    /// What is created, secrets sealed.
    planned: Json,
    depends_on: Vec<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Doing {
    Create,
    Update,
    Delete,
}

impl From<Doing> for Action {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Create => Self::Create,
            Doing::Update => Self::Update,
            Doing::Delete => Self::Delete,
        }
    }
}

/// A step that begins, or one that nobody saw end.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) doing: Doing,
    /// Tells what this create made from what others made.
    pub(crate) token: String,
    /// RFC 3339, UTC.
    pub(crate) at: String,
    /// What is created; empty for what is not.
    pub(crate) planned: Attributes,
    pub(crate) depends_on: BTreeSet<Address>,
}

/// A journal that a run left behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// `apply of 2026-01-01T00:00:00Z`, of the last group.
    pub(crate) run: String,
    lineage: String,
    /// Of the groups with results; 0: there are none.
    serial: u64,
    results: Vec<(Address, Option<Recorded>)>,
    pub(crate) open: BTreeMap<Address, Intent>,
    /// Bytes that are whole.
    length: u64,
    torn: bool,
}

impl Left {
    /// How many results are not in `document`.
    pub(crate) fn unwritten(&self, document: Option<&State>) -> usize {
        match document {
            Some(document) if document.serial >= self.serial => 0,
            _ => self.results.len(),
        }
    }

    /// What a document becomes with the results that it lacks.
    pub(crate) fn replay(
        &self,
        cluster: &ClusterPath,
        document: Option<State>,
    ) -> Result<Option<State>, DocumentError> {
        if self.unwritten(document.as_ref()) == 0 {
            return Ok(document);
        }
        let is_new = document.is_none();
        let mut state = document.unwrap_or_else(|| State::new(cluster.clone()));
        if is_new {
            state.lineage.clone_from(&self.lineage);
        } else if state.lineage != self.lineage {
            let meaning = format!(
                "it is of lineage {}, and the state is of {}",
                self.lineage, state.lineage
            );
            return Err(DocumentError::Meaning(meaning));
        }
        state.serial = self.serial;
        for (address, result) in &self.results {
            match result {
                Some(recorded) => {
                    state.resources.insert(address.clone(), recorded.clone());
                }
                None => drop(state.resources.remove(address)),
            }
        }
        Ok(Some(state).filter(|state| !is_new || !state.is_empty()))
    }

    fn take(&mut self, group: Group, key: Option<&Key>) -> Result<(), Unreadable> {
        if let (Some(wanted), Some(key)) = (&group.key, key)
            && wanted != key.id()
        {
            return Err(Unreadable::OtherKey(wanted.clone(), key.id().to_owned()));
        }
        self.run = format!("{} of {}", group.operation, group.at);
        for record in group.records {
            match record {
                Record::Begin(begun) => {
                    let address = state::address(&begun.address)?;
                    self.open.insert(address, begun.into_intent(key)?);
                    continue;
                }
                Record::Ended(address) => {
                    self.open.remove(&state::address(&address)?);
                    continue;
                }
                Record::Made(made) => {
                    let (address, recorded) = Recorded::from_doc(made, key)?;
                    self.open.remove(&address);
                    self.results.push((address, Some(recorded)));
                }
                Record::Removed(address) => {
                    let address = state::address(&address)?;
                    self.open.remove(&address);
                    self.results.push((address, None));
                }
            }
            self.serial = group.serial;
            self.lineage.clone_from(&group.lineage);
        }
        Ok(())
    }
}

impl BeginDoc {
    fn new(address: &Address, intent: &Intent, key: Option<&Key>) -> Result<Self, KeyError> {
        Ok(Self {
            address: address.to_string(),
            action: intent.doing,
            token: intent.token.clone(),
            at: intent.at.clone(),
            planned: codec::encode(&intent.planned, key)?,
            depends_on: intent.depends_on.iter().map(Address::to_string).collect(),
        })
    }

    fn into_intent(self, key: Option<&Key>) -> Result<Intent, Unreadable> {
        let depends_on = self.depends_on.iter().map(|text| state::address(text));
        Ok(Intent {
            doing: self.action,
            token: self.token,
            at: self.at,
            planned: codec::decode(&self.planned, key)?,
            depends_on: depends_on.collect::<Result<_, _>>()?,
        })
    }
}

/// What a run left behind in a cluster, `None` when it left nothing.
pub(crate) fn left(
    data_dir: &Path,
    cluster: &ClusterPath,
    key: Option<&Key>,
) -> Result<Option<Left>, JournalError> {
    let path = journal_of(data_dir, cluster);
    let Some(bytes) = disk::read(&path).map_err(JournalError::Io)? else {
        return Ok(None);
    };
    let mut left = Left::default();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    while let Some((at, line)) = lines.next() {
        match group(line) {
            Some(group) => {
                left.take(group, key).map_err(JournalError::Content)?;
                left.length += line.len() as u64;
            }
            None if lines.next().is_none() => left.torn = true,
            None => {
                let meaning = format!("line {} does not match its checksum", at + 1);
                return Err(JournalError::Content(
                    DocumentError::Meaning(meaning).into(),
                ));
            }
        }
    }
    Ok(Some(left))
}

/// Why a journal cannot be read.
#[derive(Debug)]
pub(crate) enum JournalError {
    Io(std::io::Error),
    Content(Unreadable),
}

/// The group on a line that is whole.
fn group(line: &[u8]) -> Option<Group> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, json);
    let begin = hash.as_ref().iter().take(4);
    begin.map(|byte| format!("{byte:02x}")).collect()
}

/// The journal of one cluster, for its one writer.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    top: PathBuf,
    operation: String,
    file: Option<File>,
    /// Bytes that are whole and synced.
    length: u64,
    open: BTreeMap<Address, Intent>,
    /// What goes into the next group.
    pending: Vec<Record>,
}

impl Journal {
    /// The journal of a cluster whose lock is held. What is open in `left` stays so until it is closed; the results in it
    /// are in the document by now.
    pub(crate) fn of(
        data_dir: &Path,
        cluster: &ClusterPath,
        left: Option<Left>,
        operation: &str,
    ) -> Self {
        let left = left.unwrap_or_default();
        Self {
            path: journal_of(data_dir, cluster),
            top: data_dir.to_owned(),
            operation: operation.to_owned(),
            file: None,
            length: left.length,
            open: left.open,
            pending: Vec::new(),
        }
    }

    /// The token of a create: that of an earlier one whose end nobody saw, else a new one.
    pub(crate) fn token(&self, address: &Address) -> String {
        let open = self.open.get(address);
        let creates = open.filter(|intent| intent.doing == Doing::Create);
        creates.map_or_else(
            || ulid::Ulid::generate().to_string(),
            |intent| intent.token.clone(),
        )
    }

    /// A step is about to begin.
    pub(crate) fn begin(
        &mut self,
        address: &Address,
        intent: Intent,
        key: Option<&Key>,
    ) -> Result<(), StateError> {
        // A create whose end nobody saw stays open until its resource has a result.
        let creates = |intent: &Intent| intent.doing == Doing::Create;
        if !creates(&intent) && self.open.get(address).is_some_and(creates) {
            return Ok(());
        }
        let begun = BeginDoc::new(address, &intent, key).map_err(|source| self.sealing(source))?;
        self.pending.push(Record::Begin(begun));
        self.open.insert(address.clone(), intent);
        Ok(())
    }

    /// A resource is recorded so from now on.
    pub(crate) fn made(
        &mut self,
        address: &Address,
        recorded: &Recorded,
        key: Option<&Key>,
    ) -> Result<(), StateError> {
        let made = recorded.to_doc(address, key);
        let made = made.map_err(|source| self.sealing(source))?;
        self.pending.push(Record::Made(made));
        self.open.remove(address);
        Ok(())
    }

    /// A resource is no longer recorded.
    pub(crate) fn removed(&mut self, address: &Address) {
        self.pending.push(Record::Removed(address.to_string()));
        self.open.remove(address);
    }

    /// A step ended and changed nothing that is recorded.
    pub(crate) fn ended(&mut self, address: &Address) {
        if self.open.remove(address).is_some() {
            self.pending.push(Record::Ended(address.to_string()));
        }
    }

    /// Whether a create of a resource is open.
    pub(crate) fn may_exist(&self, address: &Address) -> bool {
        let open = self.open.get(address);
        open.is_some_and(|intent| intent.doing == Doing::Create)
    }

    /// Writes and syncs what is pending as one group; `false`: there was nothing. When it fails it stays pending.
    pub(crate) fn commit(
        &mut self,
        state: Option<&State>,
        key: Option<&Key>,
    ) -> Result<bool, StateError> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        let records = std::mem::take(&mut self.pending);
        let group = self.group(records, state, key);
        let written = line(&group).and_then(|line| self.append(&line));
        if written.is_err() {
            self.pending = group.records;
        }
        written.map_err(|source| io_error(&self.path, source))?;
        Ok(true)
    }

    /// Removes the file, or leaves in it what is open and nothing else.
    pub(crate) fn finish(
        &mut self,
        state: Option<&State>,
        key: Option<&Key>,
    ) -> Result<(), StateError> {
        self.pending.clear();
        self.file = None;
        if self.open.is_empty() {
            self.length = 0;
            disk::remove(&self.path).map_err(|source| io_error(&self.path, source))?;
            disk::prune(self.path.parent().unwrap_or(&self.top), &self.top);
            return Ok(());
        }
        let records = self
            .open
            .iter()
            .map(|(address, intent)| BeginDoc::new(address, intent, key).map(Record::Begin));
        let records = records.collect::<Result<_, _>>();
        let records = records.map_err(|source| self.sealing(source))?;
        let group = self.group(records, state, key);
        let written = line(&group).and_then(|line| {
            self.length = line.len() as u64;
            disk::write(&self.path, &line)
        });
        written.map_err(|source| io_error(&self.path, source))
    }

    fn group(&self, records: Vec<Record>, state: Option<&State>, key: Option<&Key>) -> Group {
        Group {
            lineage: state.map_or_else(String::new, |state| state.lineage.clone()),
            serial: state.map_or(0, |state| state.serial),
            operation: self.operation.clone(),
            at: state::now(),
            key: key.map(|key| key.id().to_owned()),
            records,
        }
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.file.is_none() {
            let folder = self.path.parent().unwrap_or(&self.top);
            disk::make_folder(folder)?;
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&self.path)?;
            // A torn group of an earlier run.
            file.set_len(self.length)?;
            disk::sync_folder(folder)?;
            self.file = Some(file);
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.write_all_at(line, self.length)?;
        file.sync_data()?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn sealing(&self, source: KeyError) -> StateError {
        StateError::Key {
            path: self.path.clone(),
            source,
        }
    }
}

fn line(group: &Group) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_string(group)?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())).into_bytes())
}

pub(crate) fn journal_of(data_dir: &Path, cluster: &ClusterPath) -> PathBuf {
    file_of(&data_dir.join("journal"), cluster, "jsonl")
}

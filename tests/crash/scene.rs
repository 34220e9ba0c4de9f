//! A fleet of two clusters, its ledger, and what must be true of both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::clock::OffBy;
use crate::lab;
use crate::ledger::{Ledger, Thing};

/// What the tree says. From one to the next, things are made, changed in place, replaced in both orders, and removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    First,
    Second,
    Third,
}

impl Tree {
    fn values(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::First => ("granite", "1", &["p", "q"]),
            Self::Second => ("marble", "2", &["q", "r"]),
            Self::Third => ("slate", "2", &["p"]),
        }
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Kill,
    Interrupt,
    Terminate,
    InterruptTwice,
}

const CLUSTERS: [&str; 2] = ["acc/reg/one", "acc/reg/two"];
const BASE: &str = "inputs:
  fixed: { type: string, required: true }
  size: { type: string, required: true }
  items: { type: list(string), required: true }
outputs: { id: { type: string } }
";
const BASE_LOCAL: &str = "resources:
  root: { type: lab.thing, properties: { fixed: \"${input.fixed}\", size: \"0\" } }
  stone: { type: lab.thing, properties: { fixed: \"${input.fixed}\" } }
  cast:
    type: lab.thing
    lifecycle: { create_before_destroy: true }
    properties: { fixed: \"${input.fixed}\", from: \"${resource.root.id}\" }
  leaf:
    type: lab.thing
    for_each: \"${input.items}\"
    properties: { size: \"${input.size}\", from: \"${resource.cast.id}\" }
outputs: { id: \"${resource.cast.id}\" }
";
const TOP: &str = "inputs: { from: { type: string, required: true } }\n";
const TOP_LOCAL: &str =
    "resources: { end: { type: lab.thing, properties: { from: \"${input.from}\" } } }\n";
const ROLE: &str = "units:
  base: { module: base }
  top: { module: top, inputs: { from: \"${unit.base.id}\" } }
";

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

pub(crate) struct Scene {
    dir: tempfile::TempDir,
    pub(crate) ledger: Ledger,
    strict: bool,
    /// Where the fleet keeps its state, if not in its folder.
    data: Option<PathBuf>,
    /// What time it is for tks, if not the time of this machine.
    pub(crate) clock: Option<OffBy>,
}

impl Scene {
    pub(crate) fn new(tree: Tree) -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let dir = dir.expect("a temporary folder");
        let scene = Self {
            ledger: Ledger::at(dir.path().join("ledger")),
            dir,
            strict: false,
            data: None,
            clock: None,
        };
        scene.write("fleet.yaml", "platform: local\n");
        scene.write("modules/base/module.yaml", BASE);
        scene.write("modules/base/local.yaml", BASE_LOCAL);
        scene.write("modules/top/module.yaml", TOP);
        scene.write("modules/top/local.yaml", TOP_LOCAL);
        scene.write("modules/roles/things.yaml", ROLE);
        scene.plant(tree);
        scene
    }

    /// After an apply.
    pub(crate) fn applied(tree: Tree) -> Self {
        let scene = Self::new(tree);
        scene.converges("nothing happened");
        scene
    }

    pub(crate) fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    pub(crate) fn keeping_in(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// The same fleet and the same things, elsewhere.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(Tree::First);
        for folder in ["f", "ledger"] {
            let target = copy.dir.path().join(folder);
            fs::remove_dir_all(&target).expect("removed");
            copy_folder(&self.dir.path().join(folder), &target);
        }
        copy.note(self.tree());
        copy
    }

    /// What the tree says from now on.
    pub(crate) fn plant(&self, tree: Tree) {
        let (fixed, size, items) = tree.values();
        let items = items.join(", ");
        for cluster in CLUSTERS {
            let text = format!(
                "role: things\nbase: {{ fixed: {fixed}, size: \"{size}\", items: [{items}] }}\n"
            );
            self.write(&format!("{cluster}/cluster.yaml"), &text);
        }
        self.note(tree);
    }

    fn note(&self, tree: Tree) {
        fs::write(self.dir.path().join("tree.txt"), format!("{tree:?}")).expect("written");
    }

    fn tree(&self) -> Tree {
        let text = fs::read_to_string(self.dir.path().join("tree.txt"));
        let trees = [Tree::First, Tree::Second, Tree::Third];
        let text = text.expect("planted");
        let tree = trees.into_iter().find(|tree| format!("{tree:?}") == text);
        tree.expect("planted")
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.dir.path().join("f").join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }

    fn data(&self) -> PathBuf {
        let own = || self.dir.path().join("f/.tks/local");
        self.data.clone().unwrap_or_else(own)
    }

    pub(crate) fn has(&self, folder: &str) -> bool {
        self.data().join(folder).exists()
    }

    /// Runs the tks of the lab.
    pub(crate) fn tks(&self, args: &[&str]) -> Done {
        let output = self.command(args).output().expect("started");
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let own = std::env::current_exe().expect("this program");
        let mut command = Command::new(own);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env(lab::LEDGER, self.ledger.dir())
            .env_remove(lab::POINT)
            .env_remove("TKS_DATA_DIR")
            .stdin(Stdio::null());
        if self.strict {
            command.env(lab::STRICT, "1");
        }
        if let Some(data) = &self.data {
            command.env("TKS_DATA_DIR", data);
        }
        if let Some(clock) = &self.clock {
            command.envs(clock.variables());
        }
        command
    }

    /// How many points a run has at which it may end. It is done for that.
    pub(crate) fn points(&self, operation: &str) -> usize {
        let mut command = self.command(&[operation, "f", "--auto-approve"]);
        let status = command
            .env(lab::POINT, "COUNT 0")
            .output()
            .expect("started")
            .status;
        assert!(status.success());
        let text = fs::read_to_string(self.ledger.dir().join("points")).expect("counted");
        text.parse().expect("a number")
    }

    /// Lets a run end at a point; its exit code, if it had one.
    pub(crate) fn end(&self, end: End, point: usize, operation: &str) -> Option<i32> {
        let signals = match end {
            End::Kill => "KILL",
            End::Interrupt => "INT",
            End::Terminate => "TERM",
            End::InterruptTwice => "INT INT",
        };
        let mut command = self.command(&[operation, "f", "--auto-approve", "--parallelism", "3"]);
        let output = command
            .env(lab::POINT, format!("{signals} {point}"))
            .output();
        let code = output.expect("started").status.code();
        for document in documents(&self.data().join("state")) {
            let text = fs::read(&document).expect("readable");
            let whole = serde_json::from_slice::<Json>(&text).is_ok();
            assert!(whole, "{} is half-written", document.display());
        }
        code
    }

    /// What is to happen at a point of the next run; at 0: nothing.
    pub(crate) fn turn(&self, point: usize, command: &str) {
        fs::write(
            self.ledger.dir().join("turn"),
            format!("{point}\t{command}"),
        )
        .expect("written");
    }

    /// What the point was at which the last run ended.
    pub(crate) fn point(&self) -> String {
        fs::read_to_string(self.ledger.dir().join("point")).unwrap_or_default()
    }

    /// Cuts the last group of a journal; `false`: there is none.
    pub(crate) fn tear(&self, seed: usize) -> bool {
        let mut torn = false;
        for cluster in CLUSTERS {
            let file = self.data().join(format!("journal/{cluster}.jsonl"));
            let Ok(mut bytes) = fs::read(&file) else {
                continue;
            };
            // The last one is that of the cluster whose group was written last.
            let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let begin = body
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            let newest = newest(&self.data().join("journal")) == Some(file.clone());
            if newest {
                let keep = begin + (bytes.len() - begin) * (seed % 7) / 7;
                bytes.truncate(keep);
                fs::write(&file, bytes).expect("written");
                torn = true;
            }
        }
        torn
    }

    /// A plain apply reaches what the tree says; by the ledger nothing is lost, nothing is twice, nothing else is left.
    #[track_caller]
    pub(crate) fn converges(&self, what: &str) {
        let done = self.tks(&["apply", "f", "--auto-approve"]);
        assert_eq!(done.code, 0, "{what}:\n{}", done.text());
        self.is_as_wanted(what);
        let planned = self.tks(&["plan", "f", "--detailed-exitcode"]);
        assert_eq!(planned.code, 0, "{what}:\n{}", planned.text());
        for left in ["journal", "locks"] {
            assert!(!self.has(left), "{what}: {left} is left");
        }
    }

    #[track_caller]
    fn is_as_wanted(&self, what: &str) {
        let things = self.ledger.things();
        let mut by_address = BTreeMap::new();
        for thing in &things {
            let other = by_address.insert(thing.address.as_str(), thing);
            assert!(other.is_none(), "{what}: twice:\n{things:#?}");
        }
        let id = |address: &str| {
            by_address
                .get(address)
                .map(|thing: &&Thing| thing.id.clone())
        };
        let wanted = self.wanted();
        assert_eq!(
            by_address.keys().copied().collect::<Vec<_>>(),
            wanted.keys().map(String::as_str).collect::<Vec<_>>(),
            "{what}"
        );
        for (address, (size, fixed, from)) in &wanted {
            let found = &by_address[address.as_str()].attributes;
            let value = |name: &str| found.get(name).cloned();
            let owned = |text: &Option<&str>| text.map(str::to_owned);
            assert_eq!(value("size"), owned(size), "{what}: {address}");
            assert_eq!(value("fixed"), owned(fixed), "{what}: {address}");
            let from = from.as_ref().and_then(|from| id(from));
            assert_eq!(value("from"), from, "{what}: {address}");
        }
    }

    /// By address: size, fixed, and whose id it has.
    #[expect(clippy::type_complexity, reason = "a table")]
    fn wanted(
        &self,
    ) -> BTreeMap<String, (Option<&'static str>, Option<&'static str>, Option<String>)> {
        let (fixed, size, items) = self.tree().values();
        let mut wanted = BTreeMap::new();
        for cluster in CLUSTERS {
            let thing = |name: &str| format!("{cluster}/base:lab.thing.{name}");
            wanted.insert(thing("root"), (Some("0"), Some(fixed), None));
            wanted.insert(thing("stone"), (None, Some(fixed), None));
            wanted.insert(thing("cast"), (None, Some(fixed), Some(thing("root"))));
            for item in items {
                let leaf = format!("leaf[\"{item}\"]");
                wanted.insert(thing(&leaf), (Some(size), None, Some(thing("cast"))));
            }
            let end = format!("{cluster}/top:lab.thing.end");
            wanted.insert(end, (None, None, Some(thing("cast"))));
        }
        wanted
    }

    /// A plain destroy leaves nothing, by the ledger and by the state.
    #[track_caller]
    pub(crate) fn is_destroyed(&self, what: &str) {
        let done = self.tks(&["destroy", "f", "--auto-approve"]);
        assert_eq!(done.code, 0, "{what}:\n{}", done.text());
        assert!(
            self.ledger.things().is_empty(),
            "{what}: {:#?}",
            self.ledger.things()
        );
        for left in ["journal", "locks", "state"] {
            assert!(!self.has(left), "{what}: {left} is left");
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => drop(fs::copy(&path, &target).expect("copied")),
        }
    }
}

/// The file below a folder that was written last.
fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let files = entries.filter_map(|path| match path.is_dir() {
        true => newest(&path),
        false => Some(path),
    });
    files.max_by_key(|file| file.metadata().and_then(|it| it.modified()).ok())
}

fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| match entry.path() {
        path if path.is_dir() => documents(&path),
        path => vec![path],
    });
    below
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .collect()
}

//! The record of a service that is not tks: things in files of a folder of their own, each synced before an answer is given. It
//! is what tests believe.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

/// A folder with `things/<id>.json`, `log`, and `faults/<operation>` to be injected.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    dir: PathBuf,
}

/// Something that exists.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) token: String,
    pub(crate) attributes: BTreeMap<String, String>,
    born_ms: u64,
}

impl Ledger {
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        let ledger = Self { dir: dir.into() };
        for folder in ["things", "faults"] {
            fs::create_dir_all(ledger.dir.join(folder)).expect("a folder");
        }
        ledger
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What happens to the next `times` operations called so (`create x`, `read *`): `fail`, `late` (done, and said to have
    /// failed), `again` (done, and said to have failed in a way that may pass), `lie`, `hang`.
    pub(crate) fn inject(&self, operation: &str, fault: &str, times: u32) {
        let file = self.fault_file(operation);
        fs::write(file, format!("{fault} {times}")).expect("written");
    }

    /// For so long after it was made a thing is not seen.
    pub(crate) fn hide(&self, milliseconds: u64) {
        fs::write(self.dir.join("hidden_ms"), milliseconds.to_string()).expect("written");
    }

    pub(crate) fn hidden_ms(&self) -> u64 {
        let text = fs::read_to_string(self.dir.join("hidden_ms")).unwrap_or_default();
        text.parse().unwrap_or(0)
    }

    /// The fault of an operation, used up by one.
    pub(crate) fn fault(&self, what: &str, name: &str) -> Option<String> {
        let names = [format!("{what} {name}"), format!("{what} *")];
        let file = names.iter().map(|name| self.fault_file(name));
        let file = file.into_iter().find(|file| file.exists())?;
        let text = fs::read_to_string(&file).ok()?;
        let (fault, times) = text.split_once(' ')?;
        let left = times.parse::<u32>().ok()?.checked_sub(1)?;
        fs::write(&file, format!("{fault} {left}")).ok()?;
        Some(fault.to_owned())
    }

    fn fault_file(&self, operation: &str) -> PathBuf {
        self.dir.join("faults").join(operation.replace('*', "any"))
    }

    /// Everything that exists.
    pub(crate) fn things(&self) -> Vec<Thing> {
        let entries = fs::read_dir(self.dir.join("things")).expect("readable");
        let files = entries.map(|entry| entry.expect("readable").path());
        let things = files.filter(|file| file.extension().is_some_and(|it| it == "json"));
        let mut things: Vec<Thing> = things.filter_map(|file| Thing::read(&file)).collect();
        things.sort_by(|a, b| (&a.address, &a.id).cmp(&(&b.address, &b.id)));
        things
    }

    /// What may be seen of a thing by now.
    pub(crate) fn seen(&self, id: &str) -> Option<Thing> {
        let thing = Thing::read(&self.file(id))?;
        (thing.born_ms + self.hidden_ms() <= now_ms()).then_some(thing)
    }

    /// Makes a thing, or gives the one that was made with this token.
    pub(crate) fn make(
        &self,
        address: &str,
        token: &str,
        attributes: BTreeMap<String, String>,
    ) -> Thing {
        let same = self.things().into_iter().find(|it| it.token == token);
        let (id, born_ms) = match same {
            Some(thing) => (thing.id, thing.born_ms),
            None => (format!("id-{}", self.next()), now_ms()),
        };
        let thing = Thing {
            id,
            address: address.to_owned(),
            token: token.to_owned(),
            attributes,
            born_ms,
        };
        self.put(&thing);
        self.log(&format!("make {} {address}", thing.id));
        thing
    }

    pub(crate) fn change(&self, mut thing: Thing, attributes: BTreeMap<String, String>) -> Thing {
        thing.attributes = attributes;
        self.put(&thing);
        self.log(&format!("change {} {}", thing.id, thing.address));
        thing
    }

    /// Who was made with a thing and exists.
    pub(crate) fn user_of(&self, id: &str) -> Option<Thing> {
        let uses = |thing: &Thing| thing.attributes.values().any(|value| value == id);
        self.things().into_iter().find(uses)
    }

    pub(crate) fn remove(&self, id: &str) {
        let _ = fs::remove_file(self.file(id));
        self.log(&format!("remove {id}"));
    }

    fn next(&self) -> usize {
        let text = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        text.lines().count()
    }

    fn put(&self, thing: &Thing) {
        let json = json!({
            "id": thing.id, "address": thing.address, "token": thing.token,
            "attributes": thing.attributes, "born_ms": thing.born_ms,
        });
        let file = self.file(&thing.id);
        let temporary = file.with_extension("tmp");
        let mut written = File::create(&temporary).expect("made");
        written
            .write_all(json.to_string().as_bytes())
            .expect("written");
        written.sync_all().expect("synced");
        fs::rename(&temporary, &file).expect("renamed");
    }

    fn log(&self, line: &str) {
        let mut options = File::options();
        let file = options.append(true).create(true).open(self.dir.join("log"));
        let mut file = file.expect("opened");
        writeln!(file, "{line}").expect("written");
        file.sync_all().expect("synced");
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join("things").join(format!("{id}.json"))
    }
}

impl Thing {
    fn read(file: &Path) -> Option<Self> {
        let json: Json = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let text = |name: &str| Some(json[name].as_str()?.to_owned());
        let attributes = json["attributes"].as_object()?.iter();
        Some(Self {
            id: text("id")?,
            address: text("address")?,
            token: text("token")?,
            attributes: attributes
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            born_ms: json["born_ms"].as_u64()?,
        })
    }
}

/// Milliseconds since this machine started: a clock that no scenario changes.
fn now_ms() -> u64 {
    let text = fs::read_to_string("/proc/uptime").expect("a Linux");
    let seconds = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    (seconds.expect("seconds") * 1000.0) as u64
}

//! A demo fleet of its own: a copy of `live/demo` in a temporary folder, driven through the binary as a person would.

#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "each test binary uses its part, and says what it leaves out"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// How long a state of the world may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test: `TKS_BIN`, or what Cargo built.
pub(crate) fn tks() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_tks"));
    std::env::var_os("TKS_BIN").map_or(built, PathBuf::from)
}

/// The path of a peer's program, or `None` with a line that says what is left out. With `TKS_REQUIRE_PEERS` that is a failure.
pub(crate) fn peer(program: &str, suite: &str) -> Option<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let peers = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path
        .split(':')
        .map(PathBuf::from)
        .chain([PathBuf::from(peers).join("bin")]);
    let found = folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("TKS_REQUIRE_PEERS").is_none(),
            "{program} is not installed"
        );
        println!("left out: {suite}, because `{program}` is not installed");
    }
    found
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Fails the test unless the command ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Both streams.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `program` to its end.
pub(crate) fn run(program: &Path, args: &[&str], dir: &Path) -> Done {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .env_remove("TKS_DATA_DIR")
        .env_remove("COLUMNS");
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until `check` gives something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{what} did not come about in {PATIENCE:?}"
        );
        sleep(Duration::from_millis(250));
    }
}

/// GET of a JSON answer, whatever its status.
pub(crate) fn get(url: &str, params: &[(&str, &str)]) -> Option<Json> {
    let mut command = Command::new("curl");
    command.args(["-sG", "--max-time", "60", url]);
    for (name, value) in params {
        command
            .arg("--data-urlencode")
            .arg(format!("{name}={value}"));
    }
    let output = command.output().expect("curl is installed");
    serde_json::from_slice(&output.stdout).ok()
}

/// A program that ends with the test; its log is shown when the test fails.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(program: &Path, args: &[String], log: PathBuf) -> Self {
        let out = File::create(&log).expect("a log file");
        let both = (out.try_clone().expect("the same file"), out);
        let child = Command::new(program)
            .args(args)
            .stdout(Stdio::from(both.0))
            .stderr(Stdio::from(both.1))
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Self { child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            println!("{}:\n{log}", self.log.display());
        }
    }
}

/// An address of this machine that nobody listens on, and that nobody got here before.
pub(crate) fn free_address() -> String {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        if GIVEN.lock().expect("no panic").insert(address) {
            return address.to_string();
        }
    }
}

/// A fleet in a temporary folder; destroyed when dropped.
pub(crate) struct Fleet {
    pub(crate) dir: tempfile::TempDir,
}

impl Fleet {
    /// A copy of `live/demo`.
    pub(crate) fn demo() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("live/demo");
        copy(&live, &dir.path().join("live/demo"));
        Self { dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("live/demo")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join(".tks/local")
    }

    /// `tks` with these words, in the folder that holds `live/`.
    pub(crate) fn tks(&self, args: &[&str]) -> Done {
        run(&tks(), args, self.dir.path())
    }

    pub(crate) fn apply(&self) -> Done {
        self.tks(&["apply", "live/demo", "--auto-approve"])
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.path().join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }

    /// An output, bare: `output("local/eu-west-1/observer", "query.http")`.
    #[track_caller]
    pub(crate) fn output(&self, cluster: &str, name: &str) -> String {
        let done = self
            .tks(&["output", &format!("live/demo/{cluster}"), name])
            .expect(0);
        done.stdout.trim().to_owned()
    }

    /// Every container of every pod, as `tks status --json` has it.
    #[track_caller]
    pub(crate) fn status(&self) -> Vec<Json> {
        let done = self.tks(&["status", "live/demo", "--json"]).expect(0);
        let status: Json = serde_json::from_str(&done.stdout).expect("JSON");
        status.as_array().expect("a list of pods").clone()
    }

    /// (cluster/pod/container, pid) of all running containers, sorted.
    pub(crate) fn pids(&self) -> Vec<(String, i64)> {
        let mut pids = Vec::new();
        for pod in self.status() {
            for container in pod["containers"].as_array().into_iter().flatten() {
                let text = |v: &Json| v.as_str().unwrap_or_default().to_owned();
                let names = [
                    text(&pod["cluster"]),
                    text(&pod["name"]),
                    text(&container["name"]),
                ];
                if let Some(pid) = container["pid"].as_i64() {
                    pids.push((names.join("/"), pid));
                }
            }
        }
        pids.sort();
        pids
    }

    #[track_caller]
    pub(crate) fn pid(&self, name: &str) -> i64 {
        let pids = self.pids();
        let found = pids.iter().find(|(container, _)| container == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {pids:?}"))
            .1
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let done = self.tks(&["destroy", "live/demo", "--auto-approve", "--purge"]);
        if done.code != 0 && !std::thread::panicking() {
            panic!("destroy failed:\n{}", done.text());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from)
        .expect("readable")
        .map(|e| e.expect("readable"))
    {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == ".tks" {
            continue;
        }
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).map(drop).expect("copied");
        }
    }
}

//! Plan and apply as typed, on fleets of files and buckets: parts of a fleet, events, summaries, states put right, and
//! processes that are interrupted and killed while they apply.

#![allow(
    clippy::print_stdout,
    reason = "what is left out and how often was killed are for whoever reads the log"
)]

mod fleet;
#[path = "apply/kills.rs"]
mod kills;
mod preload;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleet::{Done, run, tks};
use serde_json::Value as Json;

const MODULE: &str = "inputs:
  items: { type: list(string), required: true }
  after: { type: string, default: \"\" }
outputs: { last: { type: string } }
";
const LOCAL: &str = "resources:
  first:
    type: local.file
    properties: { path: \"${cluster.name}/${local.unit}.txt\", content: \"first of ${local.unit} ${input.after}\" }
  file:
    type: local.file
    for_each: \"${input.items}\"
    properties: { path: \"${cluster.name}/${local.unit}-${each}.txt\", content: \"${resource.first.sha256} ${each}\" }
outputs: { last: \"${resource.first.sha256}\" }
";

/// Two clusters of `files` files twice over and a bucket; unit `b` needs unit `a`.
struct Files {
    dir: tempfile::TempDir,
    files: usize,
}

impl Files {
    fn new(files: usize) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let made = Self { dir, files };
        made.write("fleet.yaml", "platform: local\n");
        for unit in ["a", "b"] {
            made.write(&format!("modules/{unit}/module.yaml"), MODULE);
            let local = format!("locals: {{ unit: {unit} }}\n{LOCAL}");
            made.write(&format!("modules/{unit}/local.yaml"), &local);
        }
        let role = "units:\n  a: { module: a }\n  b: { module: b, inputs: { after: \"${unit.a.last}\" } }\n  storage: { module: storage }\n";
        made.write("modules/roles/files.yaml", role);
        made.cluster("one");
        made.cluster("two");
        made
    }

    fn cluster(&self, name: &str) {
        let items: Vec<String> = (0..self.files).map(|at| format!("n{at:04}")).collect();
        let items = items.join(", ");
        let text = format!("role: files\na: {{ items: [{items}] }}\nb: {{ items: [{items}] }}\n");
        self.write(&format!("acc/reg/{name}/cluster.yaml"), &text);
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.dir.path().join("f").join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("f/.tks/local")
    }

    fn tks(&self, args: &[&str]) -> Done {
        run(&tks(), args, self.dir.path())
    }

    /// All resources of both clusters.
    fn wanted(&self) -> usize {
        2 * (2 * (self.files + 1) + 1)
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = Command::new(tks());
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("TKS_DATA_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().expect("started")
    }

    /// A plain apply reaches what the tree says, and nothing else is there.
    #[track_caller]
    fn converges(&self) {
        self.tks(&["apply", "f", "--auto-approve"]).expect(0);
        self.tks(&["plan", "f", "--detailed-exitcode"]).expect(0);
        let listed = self.tks(&["state", "list", "--path", "f"]).expect(0);
        let listed: BTreeSet<&str> = listed.stdout.lines().collect();
        assert_eq!(listed.len(), self.wanted());
        let mut files = BTreeSet::new();
        for cluster in ["one", "two"] {
            let folder = self.data().join(cluster);
            let entries = fs::read_dir(folder).expect("made");
            files.extend(entries.map(|entry| entry.expect("readable").path()));
        }
        assert_eq!(files.len(), 4 * (self.files + 1), "{files:?}");
        for left in ["journal", "locks"] {
            assert!(!self.data().join(left).exists(), "{left} is left");
        }
    }
}

fn signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    let _ = Command::new("kill").args([signal, &id]).status();
}

fn lines(done: &Done) -> Vec<Json> {
    let line = |line: &str| serde_json::from_str(line).expect(line);
    done.stdout.lines().map(line).collect()
}

fn of_type<'l>(lines: &'l [Json], kind: &str) -> Vec<&'l Json> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[test]
fn a_path_in_a_fleet_plans_the_clusters_below_it_and_no_others() {
    let files = Files::new(1);
    let one = "f/acc/reg/one";
    let done = files.tks(&["apply", one, "--auto-approve"]).expect(0);
    assert!(
        done.stdout.contains("a part of the fleet (acc/reg/one)"),
        "{}",
        done.stdout
    );
    assert!(files.data().join("one/a.txt").exists() && !files.data().join("two").exists());
    files.tks(&["plan", one, "--detailed-exitcode"]).expect(0);
    files.tks(&["plan", "f", "--detailed-exitcode"]).expect(2);
    files.converges();
    let refused = files.tks(&["destroy", one, "--auto-approve", "--purge"]);
    refused.expect(64);
    files.tks(&["destroy", one, "--auto-approve"]).expect(0);
    assert!(!files.data().join("one/a.txt").exists() && files.data().join("two/a.txt").exists());
}

#[test]
fn targets_and_excludes_are_globs_and_slips_are_told() {
    let files = Files::new(1);
    let target = [
        "apply",
        "f",
        "--auto-approve",
        "--target",
        "**/one/b:*.first",
    ];
    files.tks(&target).expect(0);
    assert!(files.data().join("one/b.txt").exists() && files.data().join("one/a.txt").exists());
    assert!(
        !files.data().join("one/b-n0000.txt").exists(),
        "nothing but what it needs"
    );
    files
        .tks(&["apply", "f", "--auto-approve", "--exclude", "acc/reg/two/a"])
        .expect(0);
    assert!(!files.data().join("two/b.txt").exists(), "b needs a");
    assert!(files.data().join("buckets").exists());
    let done = files
        .tks(&["plan", "f", "--target", "acc/reg/one/c"])
        .expect(1);
    assert!(
        done.stderr.contains("did you mean `acc/reg/one/a`"),
        "{}",
        done.stderr
    );
    files.tks(&["plan", "f", "--target", ""]).expect(64);
}

#[test]
fn replace_refresh_only_and_refresh_false_do_what_they_say() {
    let files = Files::new(1);
    files.converges();
    let first = "acc/reg/one/a:local.file.first";
    let done = files.tks(&["plan", "f", "--replace", first]).expect(0);
    assert!(
        done.stdout.contains("must be replaced (as requested)"),
        "{}",
        done.stdout
    );
    assert!(
        done.stdout
            .contains(&format!("Destroyed or replaced:\n-/+ {first}")),
        "{}",
        done.stdout
    );
    fs::remove_file(files.data().join("one/a.txt")).expect("removed");
    files
        .tks(&["plan", "f", "--refresh=false", "--detailed-exitcode"])
        .expect(0);
    let only = ["plan", "f", "--refresh-only", "--detailed-exitcode"];
    files.tks(&only).expect(2);
    files
        .tks(&["apply", "f", "--refresh-only", "--auto-approve"])
        .expect(0);
    assert!(
        !files.data().join("one/a.txt").exists(),
        "nothing real changes"
    );
    files.tks(&only).expect(0);
    files.converges();
    files
        .tks(&["plan", "f", "--refresh-only", "--destroy"])
        .expect(64);
}

#[test]
fn events_are_terraforms_and_the_first_one_comes_at_once() {
    let files = Files::new(1);
    let started = Instant::now();
    let mut child = files.spawn(&["plan", "f", "--json"]);
    let mut first = String::new();
    let stdout = child.stdout.take().expect("piped");
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut first).expect("a line");
    // A loaded machine starts processes slowly; what is measured is that nothing is read before.
    assert!(started.elapsed() < Duration::from_secs(5));
    let version: Json = serde_json::from_str(&first).expect("JSON");
    assert_eq!(
        (&version["type"], &version["ui"]),
        (&"version".into(), &"1.2".into())
    );
    drop(stdout);
    let _ = child.wait();
    let plan = lines(&files.tks(&["plan", "f", "--json"]).expect(0));
    assert_eq!(of_type(&plan, "planned_change").len(), files.wanted());
    let done = lines(
        &files
            .tks(&["apply", "f", "--auto-approve", "--json"])
            .expect(0),
    );
    assert!(
        done.iter()
            .all(|line| line["@timestamp"].is_string() && line["@message"].is_string())
    );
    for kind in ["apply_start", "apply_complete"] {
        assert_eq!(of_type(&done, kind).len(), files.wanted(), "{kind}");
    }
    let summaries = of_type(&done, "change_summary");
    let last = &summaries[1]["changes"];
    assert_eq!(
        (&last["operation"], last["add"].as_u64()),
        (&"apply".into(), Some(files.wanted() as u64))
    );
    let outputs = of_type(&done, "outputs");
    let last = outputs.last().expect("outputs");
    assert!(
        last["outputs"]["acc/reg/one/a.last"]["value"].is_string(),
        "{last}"
    );
    files.write("acc/reg/one/cluster.yaml", "role: filez\n");
    let failed = files.tks(&["plan", "f", "--json"]).expect(1);
    let told = lines(&failed);
    let diagnostic = &of_type(&told, "diagnostic")[0]["diagnostic"];
    assert_eq!(diagnostic["severity"], "error");
    assert_eq!(diagnostic["range"]["start"]["line"], 1);
    assert!(failed.stderr.is_empty(), "{}", failed.stderr);
}

#[test]
fn summaries_count_per_unit_and_markdown_keeps_its_size() {
    let files = Files::new(30);
    let summary = files.dir.path().join("summary.json");
    let done = files
        .tks(&["plan", "f", "--summary-file", "summary.json"])
        .expect(0);
    assert!(
        done.stdout
            .contains("acc/reg/one/a: 31 to add, 0 to change, 0 to destroy\n"),
        "{}",
        done.stdout
    );
    let read = fs::read_to_string(summary).expect("written");
    let read: Json = serde_json::from_str(&read).expect("JSON");
    let unit = &read["fleets"][0]["units"][0];
    assert_eq!(
        (&unit["unit"], &unit["add"], &unit["result"]),
        (&"acc/reg/one/a".into(), &31.into(), &"planned".into())
    );
    let all = files
        .tks(&["plan", "f", "--markdown", "--markdown-limit", "1000000"])
        .expect(0)
        .stdout;
    assert!(
        all.starts_with("### f: 126 to add, 0 to change, 0 to destroy\n"),
        "{all}"
    );
    let limited = files
        .tks(&["plan", "f", "--markdown", "--markdown-limit", "3000"])
        .expect(0)
        .stdout;
    assert!(
        limited.len() <= 3000 && all.len() > 3000,
        "{}",
        limited.len()
    );
    assert!(
        limited.contains("| `acc/reg/two/storage` | 1 | 0 | 0 |"),
        "{limited}"
    );
    assert!(limited.contains("more units in detail"), "{limited}");
    fs::create_dir_all(files.data().join("one")).expect("made");
    // A folder stands where a file is to be: one fails, and its unit with it.
    fs::create_dir_all(files.data().join("one/b-n0000.txt/x")).expect("made");
    files
        .tks(&["apply", "f", "--auto-approve", "--summary-file", "out.xml"])
        .expect(4);
    let xml = fs::read_to_string(files.dir.path().join("out.xml")).expect("written");
    assert!(
        xml.contains("<testsuite name=\"apply f\" tests=\"6\" failures=\"1\" skipped=\"0\">"),
        "{xml}"
    );
    assert!(
        xml.contains("<testcase classname=\"acc/reg/one\" name=\"b\"><failure message="),
        "{xml}"
    );
}

#[test]
fn states_are_listed_shown_renamed_dropped_and_put_back() {
    let files = Files::new(1);
    files.converges();
    let tks = |args: &[&str]| files.tks(&[args, &["--path", "f"]].concat());
    let shown = tks(&["state", "show", "acc/reg/one/a:local.file.first"]).expect(0);
    assert!(
        shown.stdout.contains("content = \"first of a \""),
        "{}",
        shown.stdout
    );
    tks(&["state", "show", "acc/reg/three"]).expect(1);
    // The folder is renamed; what depends on the cluster's name is in the module, so it is pinned first.
    let pulled = tks(&["state", "pull", "acc/reg/two"]).expect(0).stdout;
    fs::write(files.dir.path().join("two.json"), &pulled).expect("written");
    let dropped = tks(&["state", "rm", "acc/reg/two/b"]).expect(0);
    assert_eq!(dropped.stdout.lines().count(), 2, "{}", dropped.stdout);
    files.tks(&["plan", "f", "--detailed-exitcode"]).expect(2);
    let older = tks(&["state", "push", "two.json"]).expect(1);
    assert!(older.stderr.contains("serial"), "{}", older.stderr);
    tks(&["state", "push", "two.json", "--force"]).expect(0);
    files.tks(&["plan", "f", "--detailed-exitcode"]).expect(0);
    let moved = tks(&["state", "mv", "acc/reg/two/b", "acc/reg/two/c"]).expect(0);
    assert!(
        moved
            .stdout
            .contains("acc/reg/two/b:local.file.first -> acc/reg/two/c:local.file.first"),
        "{}",
        moved.stdout
    );
    files.tks(&["plan", "f", "--detailed-exitcode"]).expect(2);
    tks(&["state", "mv", "acc/reg/two/c", "acc/reg/two/b"]).expect(0);
    files.tks(&["plan", "f", "--detailed-exitcode"]).expect(0);
    let state = files.tks(&["show", "--json", "f/acc/reg/one"]).expect(0);
    let state: Json = serde_json::from_str(&state.stdout).expect("JSON");
    let resources = state["values"]["root_module"]["resources"].as_array();
    assert_eq!(resources.map(Vec::len), Some(files.wanted() / 2));
    assert!(tks(&["lock", "list"]).expect(0).stdout.is_empty());
    tks(&["lock", "release", "acc/reg/one"]).expect(0);
    tks(&["lock", "release", "one"]).expect(64);
}

#[test]
fn a_plan_file_is_shown_as_it_was_planned() {
    let files = Files::new(1);
    let planned = files.tks(&["plan", "f", "--out", "p.plan"]).expect(0);
    let shown = files.tks(&["show", "p.plan"]).expect(0);
    assert_eq!(planned.stdout, shown.stdout);
    let json = files.tks(&["show", "--json", "p.plan"]).expect(0);
    let json: Json = serde_json::from_str(&json.stdout).expect("JSON");
    let changes = json["resource_changes"].as_array().expect("changes");
    assert_eq!(changes.len(), files.wanted());
    assert_eq!(changes[0]["change"]["actions"][0], "create");
    assert_eq!(
        (&json["applyable"], &json["complete"]),
        (&true.into(), &true.into())
    );
    files
        .tks(&["apply", "p.plan", "--target", "acc"])
        .expect(64);
    files.tks(&["apply", "p.plan"]).expect(0);
    // Showing never refuses, however old the plan is.
    files.tks(&["show", "p.plan"]).expect(0);
    files.tks(&["apply", "p.plan"]).expect(1);
}

/// Starts an apply and returns once so many changes are done.
fn applying(files: &Files, changes: usize) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = files.spawn(&[
        "apply",
        "f",
        "--auto-approve",
        "--json",
        "--parallelism",
        "2",
    ]);
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut done = 0;
    let mut line = String::new();
    while done < changes && stdout.read_line(&mut line).expect("readable") > 0 {
        done += usize::from(line.contains("\"apply_complete\""));
        line.clear();
    }
    (child, stdout)
}

/// Waits for the end, reading what is still told.
fn ended(mut child: Child, mut stdout: BufReader<std::process::ChildStdout>) -> Option<i32> {
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stdout, &mut rest);
    child.wait().expect("ended").code()
}

#[test]
fn one_interrupt_finishes_what_is_in_flight_and_the_next_run_goes_on() {
    for name in ["-INT", "-TERM"] {
        let files = Files::new(60);
        let (child, stdout) = applying(&files, 5);
        signal(&child, name);
        let asked = Instant::now();
        assert_eq!(ended(child, stdout), Some(4), "partly applied");
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
        assert!(!files.data().join("locks").exists() && !files.data().join("journal").exists());
        files.converges();
    }
}

#[test]
fn a_second_interrupt_does_not_wait_and_loses_nothing() {
    let files = Files::new(60);
    let (child, stdout) = applying(&files, 5);
    signal(&child, "-INT");
    signal(&child, "-INT");
    let code = ended(child, stdout);
    // What was in flight may be done before the second one arrives.
    assert!(matches!(code, Some(130 | 4)), "{code:?}");
    files.converges();
}

#[test]
fn a_killed_apply_loses_nothing_and_leaves_nothing() {
    let files = Files::new(12);
    for pause in [0, 2, 5, 9, 14, 20, 27, 35, 50, 70, 100, 150] {
        let (mut child, stdout) = applying(&files, 1);
        sleep(Duration::from_millis(pause));
        let _ = child.kill();
        ended(child, stdout);
        for state in states(&files.data().join("state")) {
            let text = fs::read_to_string(&state).expect("readable");
            let whole: Result<Json, _> = serde_json::from_str(&text);
            assert!(whole.is_ok(), "{} is half-written", state.display());
        }
        if pause % 2 == 1 {
            files.converges();
            files.tks(&["destroy", "f", "--auto-approve"]).expect(0);
        }
    }
    files.converges();
}

/// Every document of a state below a folder.
fn states(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.map(|entry| entry.path()).flat_map(|path| {
        if path.is_dir() {
            states(&path)
        } else {
            vec![path]
        }
    });
    let document = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
    below.filter(document).collect()
}

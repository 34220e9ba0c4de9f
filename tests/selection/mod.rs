//! What is selected, by the same words of lists and plans; what a pipeline does with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::fleet::{Done, peer, run, tks};

const ROLE: &str = "units:\n  base: { module: note }\n  top: { module: note, inputs: { text: \"${unit.base.said}\" } }\n";
const MODULE: &str =
    "inputs: { text: { type: string, default: x } }\noutputs: { said: { type: string } }\n";
const LOCAL: &str = "resources:\n  note:\n    type: local.file\n    properties: { path: \"${cluster.key}/${input.text}.txt\", content: \"${input.text}\" }\n\
                     outputs: { said: \"${resource.note.content}y\" }\n";

/// Two clusters of two units each, the second of which needs the first.
struct Fleet(tempfile::TempDir);

impl Fleet {
    fn new() -> Self {
        let fleet = Self(tempfile::tempdir().expect("temporary folder"));
        fleet.write("fleet.yaml", "platform: local\n");
        fleet.write("a/r/one/cluster.yaml", "role: notes\n");
        fleet.write("a/r/two/cluster.yaml", "role: notes\n");
        fleet.write("modules/roles/notes.yaml", ROLE);
        fleet.write("modules/note/module.yaml", MODULE);
        fleet.write("modules/note/local.yaml", LOCAL);
        fleet
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.dir().join("f").join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }

    fn tks(&self, args: &[&str]) -> Done {
        run(&tks(), args, self.dir())
    }

    fn apply(&self) {
        self.tks(&["apply", "f", "--auto-approve", "--allow-cluster-removal"])
            .expect(0);
    }

    /// The units that a list names, and those that a plan would change or read: the same.
    #[track_caller]
    fn selects(&self, args: &[&str], wanted: &[&str]) {
        let mut words = vec!["list", "f", "--json"];
        words.extend(args);
        let listed = self.tks(&words).expect(0).stdout;
        let listed: Json = serde_json::from_str(&listed).expect("JSON");
        let clusters = listed[0]["clusters"].as_array().expect("clusters").clone();
        let units = clusters
            .iter()
            .flat_map(|it| it["units"].as_array().cloned().unwrap_or_default());
        let units: Vec<Json> = units.collect();
        let name = |unit: &Json| {
            unit["path"]
                .as_str()
                .unwrap_or_default()
                .replace("a/r/", "")
        };
        let names: Vec<String> = units.iter().map(name).collect();
        assert_eq!(names, wanted, "list {args:?}");
        // A plan to destroy is about all that is there of them.
        let there = units.iter().filter(|unit| unit["applied"] == true);
        let there: Vec<String> = there.map(name).collect();
        let mut words = vec!["plan", "f", "--destroy", "--out", "d.plan"];
        words.extend(args);
        if self.tks(&words).code != 0 {
            // What still stands on it cannot go; that is not about selecting.
            return;
        }
        let shown = self.tks(&["show", "d.plan", "--json"]).expect(0).stdout;
        let shown: Json = serde_json::from_str(&shown).expect("JSON");
        let changes = shown["resource_changes"]
            .as_array()
            .expect("changes")
            .clone();
        let mut planned: Vec<String> = changes
            .iter()
            .map(|change| {
                change["unit"]
                    .as_str()
                    .unwrap_or_default()
                    .replace("a/r/", "")
            })
            .collect();
        planned.dedup();
        assert_eq!(planned, there, "plan {args:?}");
    }
}

#[test]
fn lists_and_plans_select_alike() {
    let fleet = Fleet::new();
    fleet.apply();
    let all = ["one/base", "one/top", "two/base", "two/top"];
    fleet.selects(&[], &all);
    fleet.selects(&["--filter", "top"], &["one/top", "two/top"]);
    fleet.selects(&["--filter", "one"], &["one/base", "one/top"]);
    fleet.selects(&["--filter", "a/r/two/**"], &["two/base", "two/top"]);
    fleet.selects(&["--filter", "./f/a/r/two"], &["two/base", "two/top"]);
    fleet.selects(&["--filter", "...a/r/one/base"], &["one/base", "one/top"]);
    fleet.selects(&["--filter", "^a/r/one/top..."], &["one/base"]);
    fleet.selects(&["--filter", "top", "--filter", "!two"], &["one/top"]);
    fleet.selects(
        &["--filter", "role=notes | unit=top"],
        &["one/top", "two/top"],
    );
    fleet.selects(&["--filter", "type=local.file"], &all);
    fleet.selects(
        &["--filter", "reading=f/a/r/one/cluster.yaml"],
        &["one/base", "one/top"],
    );
    fs::write(
        fleet.dir().join("filters"),
        "# both\none | top\n\n!two # not\n",
    )
    .expect("written");
    fleet.selects(&["--filters-file", "filters"], &["one/top"]);
}

#[test]
fn what_has_changed_since_it_was_applied_is_affected_without_git() {
    let fleet = Fleet::new();
    let all = ["one/base", "one/top", "two/base", "two/top"];
    fleet.selects(&["--affected"], &all);
    fleet.apply();
    fleet.selects(&["--affected"], &[]);
    let done = fleet
        .tks(&["plan", "f", "--affected", "--detailed-exitcode"])
        .expect(0);
    assert!(done.stdout.contains("No changes."), "{}", done.stdout);
    fleet.write("a/r/two/cluster.yaml", "role: notes\ntop: { text: z }\n");
    fleet.selects(&["--affected"], &["two/base", "two/top"]);
    fleet.apply();
    fleet.selects(&["--affected"], &[]);
    // A value that stands in no file counts, too.
    let three = ["one/base", "one/top", "two/base"];
    fleet.selects(&["--affected", "--set", "base.text=w"], &three);
    fleet.write("modules/note/module.yaml", &format!("# changed\n{MODULE}"));
    fleet.selects(&["--affected"], &all);
    fleet.apply();
    fs::remove_dir_all(fleet.dir().join("f/a/r/two")).expect("removed");
    fleet.selects(&["--affected"], &["two/base", "two/top"]);
    let done = fleet
        .tks(&["plan", "f", "--affected", "--detailed-exitcode"])
        .expect(2);
    assert!(done.stdout.contains("2 to destroy"), "{}", done.stdout);
}

#[test]
fn what_git_says_has_changed_is_affected() {
    if peer("git", "what git says has changed").is_none() {
        return;
    }
    let fleet = Fleet::new();
    fleet.write("a/account.yaml", "tags: { x: y }\n");
    let git = |args: &[&str]| {
        let name = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ];
        let done = Command::new("git")
            .args(name)
            .args(args)
            .current_dir(fleet.dir())
            .output();
        let done = done.expect("git runs");
        assert!(
            done.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    fleet.apply();
    git(&["init", "-q"]);
    git(&["add", "f"]);
    git(&["commit", "-qm", "one"]);
    git(&["checkout", "-qb", "branch"]);
    fleet.selects(&["--affected=main"], &[]);
    fleet.write("a/r/two/cluster.yaml", "role: notes\ntop: { text: z }\n");
    fleet.selects(&["--affected=main"], &["two/base", "two/top"]);
    git(&["commit", "-qam", "two"]);
    fleet.selects(&["--affected=main"], &["two/base", "two/top"]);
    fleet.selects(&["--affected=HEAD"], &[]);
    // What main does meanwhile is not this branch's.
    git(&["checkout", "-q", "main"]);
    fleet.write("a/r/one/cluster.yaml", "role: notes\ntop: { text: z }\n");
    git(&["commit", "-qam", "three"]);
    git(&["checkout", "-q", "branch"]);
    fleet.selects(&["--affected=main"], &["two/base", "two/top"]);
    // A level of the tree that is gone, a new one, a cluster that is gone, and one that nobody has committed.
    let all = ["one/base", "one/top", "two/base", "two/top"];
    fs::remove_file(fleet.dir().join("f/a/account.yaml")).expect("removed");
    fleet.selects(&["--affected=main"], &all);
    git(&["commit", "-qam", "four"]);
    fleet.write("a/r/region.yaml", "tags: { x: z }\n");
    fleet.selects(&["--affected=HEAD"], &all);
    fs::remove_file(fleet.dir().join("f/a/r/region.yaml")).expect("removed");
    fs::remove_dir_all(fleet.dir().join("f/a/r/one")).expect("removed");
    fleet.selects(&["--affected=HEAD"], &["one/base", "one/top"]);
    fleet.write("a/r/three.yaml", "role: notes\n");
    fleet.selects(
        &["--affected=HEAD"],
        &["one/base", "one/top", "three/base", "three/top"],
    );
    let done = fleet.tks(&["list", "f", "--affected=nowhere"]).expect(1);
    assert!(done.stderr.contains("nowhere"), "{}", done.stderr);
}

#[test]
fn a_plan_made_in_one_checkout_is_applied_in_another() {
    let fleet = Fleet::new();
    let data = fleet.dir().join("data");
    let tks = |dir: &Path, args: &[&str]| {
        let done = Command::new(tks())
            .args(args)
            .current_dir(dir)
            .env("TKS_DATA_DIR", &data)
            .output()
            .expect("tks runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done {
            code: done.status.code().unwrap_or(-1),
            stdout: text(&done.stdout),
            stderr: text(&done.stderr),
        }
    };
    tks(
        fleet.dir(),
        &["plan", "f", "--out", "tks.plan", "--detailed-exitcode"],
    )
    .expect(2);
    let other = fleet.dir().join("other");
    fs::create_dir_all(&other).expect("made");
    fs::rename(fleet.dir().join("f"), other.join("f")).expect("moved");
    let elsewhere = fleet.dir().join("elsewhere");
    fs::create_dir_all(&elsewhere).expect("made");
    let done = tks(&elsewhere, &["apply", "../tks.plan"]).expect(1);
    assert!(
        done.stderr.contains("the plan is for fleet f"),
        "{}",
        done.stderr
    );
    let done = tks(&other, &["apply", "../tks.plan"]).expect(0);
    assert!(done.stdout.contains("4 added"), "{}", done.stdout);
    tks(
        &other,
        &["plan", "f", "--refresh-only", "--detailed-exitcode"],
    )
    .expect(0);
    fs::write(data.join("f/local/r-one/x.txt"), "changed by hand").expect("written");
    tks(
        &other,
        &["plan", "f", "--refresh-only", "--detailed-exitcode"],
    )
    .expect(2);
    let done = tks(&other, &["apply", "../tks.plan"]).expect(1);
    assert!(done.stderr.contains("the plan is stale"), "{}", done.stderr);
}

#[test]
fn every_flag_has_a_variable_and_the_command_line_is_stronger() {
    let fleet = Fleet::new();
    let tks = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(tks());
        command
            .args(args)
            .current_dir(fleet.dir())
            .envs(variables.iter().copied());
        let done = command.output().expect("tks runs");
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned(),
        )
    };
    let plan = ["plan", "f"];
    assert_eq!(tks(&plan, &[("TKS_DETAILED_EXITCODE", "1")]).0, Some(2));
    assert_eq!(tks(&plan, &[("TKS_DETAILED_EXITCODE", "false")]).0, Some(0));
    assert_eq!(tks(&plan, &[("TKS_DETAILED_EXITCODE", "")]).0, Some(0));
    assert_eq!(tks(&["validate"], &[("TKS_CHDIR", "f")]).0, Some(0));
    let (_, listed) = tks(&["list", "f"], &[("TKS_FILTER", "top\n!two")]);
    assert!(
        listed.contains("one/top") && !listed.contains("base"),
        "{listed}"
    );
    let (_, listed) = tks(
        &["list", "f", "--filter", "base"],
        &[("TKS_FILTER", "top\n!two")],
    );
    assert!(
        listed.contains("two/base") && !listed.contains("top"),
        "{listed}"
    );
    assert_eq!(tks(&["list", "f"], &[("TKS_FILTER", "typ=x")]).0, Some(64));
    let (_, planned) = tks(&plan, &[("TKS_COLOR", "always")]);
    assert!(planned.contains('\u{1b}'), "{planned}");
    let (_, planned) = tks(&plan, &[("CLICOLOR_FORCE", "1")]);
    assert!(planned.contains('\u{1b}'), "{planned}");
    let (_, planned) = tks(&plan, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    assert!(!planned.contains('\u{1b}'), "{planned}");
}

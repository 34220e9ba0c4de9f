//! Commands as typed: mistakes of a tree with their places, lists, exit codes. Nothing here starts a process.

mod fleet;
mod screens;
mod selection;

use std::fs;
use std::path::Path;

use fleet::{Done, eventually, run, tks};

/// A fleet of an observer and an observee, with these files over it; then `tks ARGS` in its folder.
fn in_tree(files: &[(&str, &str)], args: &[&str]) -> Done {
    let dir = tempfile::tempdir().expect("temporary folder");
    let write = |path: &str, text: &str| {
        let file = dir.path().join("live/f").join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    };
    write("fleet.yaml", "platform: local\n");
    write("acc/eu-west-1/observer/cluster.yaml", "role: observer\n");
    write("acc/eu-west-3/observee/cluster.yaml", "role: observee\n");
    for (path, text) in files {
        write(path, text);
    }
    let done = run(&tks(), args, dir.path());
    assert!(
        !dir.path().join("live/f/.tks").exists(),
        "{args:?} wrote something:\n{}",
        done.text()
    );
    done
}

/// `tks validate` and `tks plan` both fail with 1, and say all of `parts`.
#[track_caller]
fn refused(files: &[(&str, &str)], parts: &[&str]) {
    for command in ["validate", "plan"] {
        let done = in_tree(files, &[command]).expect(1);
        for part in parts {
            assert!(
                done.stderr.contains(part),
                "`{part}` is not said by {command}:\n{}",
                done.stderr
            );
        }
    }
}

const OBSERVEE: &str = "acc/eu-west-3/observee/cluster.yaml";

#[test]
fn a_good_tree_is_valid_and_listed() {
    let done = in_tree(&[], &["validate"]).expect(0);
    assert!(done.stdout.contains("valid, 2 clusters"), "{}", done.stdout);
    let done = in_tree(&[], &["list"]).expect(0);
    for unit in [
        "acc/eu-west-1/observer/query",
        "acc/eu-west-3/observee/ingress",
    ] {
        let row = done.stdout.lines().find(|line| line.starts_with(unit));
        assert!(
            row.is_some_and(|row| row.contains(" new ")),
            "{}",
            done.stdout
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_what_was_meant() {
    refused(
        &[(OBSERVEE, "role: observee\nprometeus: {}\n")],
        &[
            "cluster.yaml:2:1",
            "prometeus",
            "did you mean `prometheus`?",
        ],
    );
    refused(
        &[(OBSERVEE, "role: observee\nprometheus: { binry: x }\n")],
        &["cluster.yaml:2:15", "binry", "did you mean `binary`?"],
    );
}

#[test]
fn a_wrong_type_and_a_bad_duration_are_shown_where_they_stand() {
    refused(&[(OBSERVEE, "role: [observee]\n")], &["cluster.yaml:1:7"]);
    refused(
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { scrape_interval: 30dd }\n",
        )],
        &["cluster.yaml:2:32", "30dd", "duration"],
    );
}

#[test]
fn a_cluster_without_a_role_is_refused() {
    refused(
        &[(OBSERVEE, "tags: { a: b }\n")],
        &["cluster.yaml", "role", "observee"],
    );
    refused(
        &[(OBSERVEE, "role: observe\n")],
        &["cluster.yaml:1:7", "did you mean"],
    );
}

#[test]
fn a_file_of_unknown_kind_does_not_make_a_cluster_vanish() {
    refused(
        &[("acc/eu-west-2/third/clutser.yaml", "role: observee\n")],
        &["clutser.yaml", "did you mean `cluster.yaml`?"],
    );
}

#[test]
fn duplicate_hosts_name_both_clusters() {
    refused(
        &[
            ("fleet.yaml", "platform: local\nnaming: teks\nprefix: p\n"),
            ("acc/eu-west-2/other/cluster.yaml", "role: observee\n"),
        ],
        &["eu-west-2", "eu-west-3", "thanos-sidecar."],
    );
}

#[test]
fn a_cycle_of_units_is_told_with_its_links() {
    let module = "inputs: { other: { type: any } }\noutputs: { it: { type: any } }\n";
    let local = "resources: {}\noutputs: { it: \"${input.other}\" }\n";
    let role = "units:\n  a: { module: knot, inputs: { other: \"${unit.b.it}\" } }\n  b: { module: knot, inputs: { other: \"${unit.a.it}\" } }\n";
    refused(
        &[
            ("modules/knot/module.yaml", module),
            ("modules/knot/local.yaml", local),
            ("modules/roles/knotted.yaml", role),
            (OBSERVEE, "role: knotted\n"),
        ],
        &[
            "a cycle: input `other` of acc/eu-west-3/observee/a -> ",
            "comes back to itself",
        ],
    );
}

#[test]
fn every_mistake_is_told_in_one_run() {
    let done = in_tree(
        &[
            (OBSERVEE, "role: observee\nprometeus: {}\ningres: {}\n"),
            (
                "acc/eu-west-1/observer/cluster.yaml",
                "role: observer\nqery: {}\n",
            ),
        ],
        &["validate"],
    )
    .expect(1);
    for name in ["prometeus", "ingres", "qery"] {
        assert!(
            done.stderr.contains(name),
            "{name} is missing:\n{}",
            done.stderr
        );
    }
}

#[test]
fn validate_json_is_for_machines() {
    let done = in_tree(
        &[(OBSERVEE, "role: observee\nprometeus: {}\n")],
        &["validate", "--json"],
    )
    .expect(1);
    let answer: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(answer["valid"], false);
    assert_eq!(answer["error_count"], 1);
    assert_eq!(answer["diagnostics"][0]["range"]["start"]["line"], 2);
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    in_tree(&[], &["frobnicate"]).expect(64);
    in_tree(&[], &["plan", "--frobnicate"]).expect(64);
    in_tree(&[], &["thanos", "query", "--query.timeout=soon"]).expect(64);
    for command in [
        "validate", "list", "plan", "apply", "destroy", "output", "status", "logs", "stores",
        "query",
    ] {
        let done = in_tree(&[], &[command, "--help"]).expect(0);
        assert!(done.stdout.contains("Usage: tks"), "{}", done.stdout);
    }
}

#[test]
fn a_missing_prometheus_says_what_to_install() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::create_dir_all(dir.path().join("f/a/r/observer")).expect("made");
    fs::write(dir.path().join("f/fleet.yaml"), "platform: local\n").expect("written");
    fs::write(
        dir.path().join("f/a/r/observer/cluster.yaml"),
        "role: observer\n",
    )
    .expect("written");
    let output = std::process::Command::new(tks())
        .args(["apply", "f", "--auto-approve"])
        .current_dir(dir.path())
        .env("PATH", "/nowhere")
        .output()
        .expect("tks runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["`prometheus` is not in PATH", "apt-get install prometheus"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(
        !dir.path().join("f/.tks/local/supervisor.sock").exists(),
        "something was started"
    );
}

/// A fleet of one cluster whose role writes a file and makes a bucket: all of plan and apply without a process.
fn files_only() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary folder");
    let files = [
        ("fleet.yaml", "platform: local\n"),
        ("a/r/c/cluster.yaml", "role: files\nnote: { text: one }\n"),
        (
            "modules/roles/files.yaml",
            "units:\n  note: { module: note }\n  storage: { module: storage }\n",
        ),
        (
            "modules/note/module.yaml",
            "inputs: { text: { type: string, required: true } }\noutputs: { path: { type: string } }\n",
        ),
        (
            "modules/note/local.yaml",
            "resources:\n  note:\n    type: local.file\n    properties: { path: note.txt, content: \"${input.text}\" }\n\
             outputs: { path: \"${resource.note.path}\" }\n",
        ),
    ];
    for (path, text) in files {
        let file = dir.path().join("f").join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    dir
}

#[test]
fn what_was_reviewed_is_what_is_applied() {
    let dir = files_only();
    let tks = |args: &[&str]| run(&tks(), args, dir.path());
    let cluster = dir.path().join("f/a/r/c/cluster.yaml");
    tks(&["plan", "f", "--detailed-exitcode", "--out", "first.plan"]).expect(2);
    assert!(
        !dir.path().join("f/.tks/local/note.txt").exists(),
        "plan changed something"
    );
    let done = tks(&["apply", "first.plan"]).expect(0);
    assert!(
        done.stdout
            .contains("Apply complete! Resources: 2 added, 0 changed, 0 destroyed."),
        "{}",
        done.stdout
    );
    let note = dir.path().join("f/.tks/local/note.txt");
    assert_eq!(fs::read_to_string(&note).expect("made"), "one");
    tks(&["apply", "first.plan"]).expect(1);
    let done = tks(&["plan", "f", "--detailed-exitcode"]).expect(0);
    assert_eq!(done.stdout.lines().count(), 1, "{}", done.stdout);

    fs::write(&cluster, "role: files\nnote: { text: two }\n").expect("written");
    let done = tks(&["plan", "f", "--out", "second.plan"]).expect(0);
    assert!(
        done.stdout.contains("~ content = \"one\" -> \"two\""),
        "{}",
        done.stdout
    );
    tks(&["apply", "f", "--auto-approve"]).expect(0);
    let done = tks(&["apply", "second.plan"]).expect(1);
    assert!(done.stderr.contains("the plan is stale"), "{}", done.stderr);
    assert_eq!(
        tks(&["output", "f", "note.path"]).expect(0).stdout.trim(),
        "note.txt"
    );

    fs::write(
        dir.path()
            .join("f/.tks/local/buckets/thanos-store-a-f-r-c/object"),
        "x",
    )
    .expect("written");
    let done = tks(&["destroy", "f", "--auto-approve"]).expect(4);
    assert!(
        done.stderr.contains("is not empty: it holds 1 object"),
        "{}",
        done.stderr
    );
    fs::write(
        &cluster,
        "role: files\nnote: { text: two }\nstorage: { force_destroy: true }\n",
    )
    .expect("written");
    tks(&["apply", "f", "--auto-approve"]).expect(0);
    tks(&["destroy", "f", "--auto-approve"]).expect(0);
    assert!(!dir.path().join("f/.tks/local/buckets").exists());
}

/// The fleet of [`files_only`], and hooks of its cluster.
fn with_hooks(hooks: &str) -> tempfile::TempDir {
    let dir = files_only();
    let text = format!("role: files\nnote: {{ text: one }}\nhooks:\n{hooks}");
    fs::write(dir.path().join("f/a/r/c/cluster.yaml"), text).expect("written");
    dir
}

#[test]
fn hooks_run_around_a_plan_and_one_that_fails_ends_it() {
    let dir = with_hooks(
        "  before_plan: [{ command: [sh, -c, \"echo $TKS_HOOK $TKS_CLUSTER >> said\"] }]\n  \
           after_plan: [{ command: [sh, -c, \"test -s said && echo after >> said\"] }]\n",
    );
    let said = || fs::read_to_string(dir.path().join("f/said")).unwrap_or_default();
    let tks = |args: &[&str]| run(&tks(), args, dir.path());
    tks(&["validate", "f"]).expect(0);
    assert_eq!(said(), "", "to validate is not to plan");
    tks(&["plan", "f", "--detailed-exitcode"]).expect(2);
    assert_eq!(said(), "before_plan a/r/c\nafter\n");
    tks(&["apply", "f", "--auto-approve"]).expect(0);
    assert_eq!(said().lines().count(), 4, "{}", said());
    tks(&["plan", "f", "--detailed-exitcode"]).expect(0);
    assert_eq!(said().lines().count(), 6, "{}", said());

    for hook in ["before_plan", "after_plan"] {
        let dir = with_hooks(&format!(
            "  {hook}: [{{ command: [sh, -c, \"echo no credentials >&2; exit 5\"] }}]\n"
        ));
        let out = dir.path().join("out.plan");
        let done = run(
            &fleet::tks(),
            &["plan", "f", "--out", "out.plan"],
            dir.path(),
        );
        let done = done.expect(1);
        for part in [hook, "a/r/c", "no credentials"] {
            assert!(done.stderr.contains(part), "{hook}: {}", done.stderr);
        }
        assert!(!out.exists(), "a plan that failed was written");
    }
}

#[test]
fn a_second_writer_is_refused_with_3_or_waits() {
    let dir = with_hooks(
        "  before_apply: [{ command: [sh, -c, \"touch began; for n in $(seq 600); do test -e go && exit; sleep 0.05; done; exit 1\"] }]\n",
    );
    let mut first = std::process::Command::new(tks());
    let first = first
        .args(["apply", "f", "--auto-approve"])
        .current_dir(dir.path())
        .env_remove("TKS_DATA_DIR")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null());
    let mut first = first.spawn().expect("started");
    let began = dir.path().join("f/began");
    eventually("the hook before apply", || began.exists().then_some(()));
    let tks = |args: &[&str]| run(&tks(), args, dir.path());
    let second = ["apply", "f", "--auto-approve", "--lock-timeout"];
    for timeout in ["0s", "1s"] {
        let done = tks(&[&second[..], &[timeout]].concat()).expect(3);
        let holder = format!("process {}", first.id());
        for part in ["a/r/c is locked by", &holder, "apply since", "lock"] {
            assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
        }
    }
    let listed = tks(&["lock", "list", "--path", "f"]).expect(0);
    assert!(listed.stdout.contains("a/r/c"), "{}", listed.stdout);
    // A plan takes no lock.
    tks(&["plan", "f", "--detailed-exitcode"]).expect(2);
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tks(&[&second[..], &["60s"]].concat()));
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::write(dir.path().join("f/go"), "").expect("written");
        waiting.join().expect("done")
    });
    assert!(first.wait().expect("ended").success());
    // What it had planned is done by then: it is told so, or finds nothing left to do.
    assert!(matches!(waiting.code, 0 | 1), "{}", waiting.text());
    tks(&["plan", "f", "--detailed-exitcode"]).expect(0);
}

#[test]
fn apply_without_a_terminal_never_asks() {
    let done = run(
        &tks(),
        &["apply", "live/demo"],
        Path::new(env!("CARGO_MANIFEST_DIR")),
    );
    done.expect(1);
}

#[test]
fn the_trees_of_this_repository_are_valid_and_aws_says_that_it_is_not_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let done = run(&tks(), &["validate"], root).expect(0);
    assert!(
        done.stdout.contains("live/demo: valid") && done.stdout.contains("live/thanos: valid"),
        "{}",
        done.stdout
    );
    let done = run(&tks(), &["plan", "live/thanos"], root).expect(1);
    assert!(
        done.stderr.contains("platform aws is not built yet"),
        "{}",
        done.stderr
    );
}

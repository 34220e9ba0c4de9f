//! What each command prints, whole: help pages, and the life of a small fleet of files. `INSTA_UPDATE=always cargo test --test cli`
//! writes them anew; the difference is for the reviewer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fleet::{Done, run, tks};

/// A snapshot of all that a command said and how it ended, without what differs from run to run.
macro_rules! screen {
    ($name:expr, $done:expr, $dir:expr) => {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("pages");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for (found, shown) in $crate::screens::redactions($dir) {
            settings.add_filter(&found, shown);
        }
        settings.bind(|| insta::assert_snapshot!($name, $crate::screens::said($done)));
    };
}

mod table;
mod trees;

fn said(done: &Done) -> String {
    let part = |name: &str, text: &str| match text.is_empty() {
        true => String::new(),
        false => format!("----- {name} -----\n{text}"),
    };
    let (stdout, stderr) = (part("stdout", &done.stdout), part("stderr", &done.stderr));
    format!("exit code: {}\n{stdout}{stderr}", done.code)
}

fn redactions(dir: &Path) -> Vec<(String, &'static str)> {
    let dir = dir.display().to_string();
    // On a Mac the folder for temporary files has two names.
    let dirs = [format!("/private{dir}"), dir];
    let dirs = dirs.iter().map(|dir| (dir.replace('.', "\\."), "[DIR]"));
    let others = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
        (r"after \d+s", "after [N]s"),
        // What roles and modules consist of is not what these are about.
        (
            r"the units of (`\w+`) are .*",
            "the units of $1 are [UNITS]",
        ),
        (r"its inputs are .*", "its inputs are [INPUTS]"),
        (r"\d+ units on", "[N] units on"),
        (r#""elapsed_seconds":\d+"#, r#""elapsed_seconds":[N]"#),
        (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "[ULID]"),
        (r"\b[0-9a-f]{64}\b", "[SHA256]"),
        (r#""key": "[0-9a-f]{8}""#, r#""key": "[KEY]""#),
        (r#""serial": \d+"#, r#""serial": [SERIAL]"#),
        (r#""tks_version": "[^"]+""#, r#""tks_version": "[VERSION]""#),
        (r#""tks": "\d[^"]+""#, r#""tks": "[VERSION]""#),
        (
            r#""(tks|@message)":"([^"]*)\d+\.\d+\.\d+""#,
            r#""$1":"$2[VERSION]""#,
        ),
        (r"tks \d+\.\d+\.\d+", "tks [VERSION]"),
        (r#""platform": "\w+_\w+""#, r#""platform": "[PLATFORM]""#),
        (r#"time="[0-9.]+""#, r#"time="[TIME]""#),
    ];
    let others = others
        .iter()
        .map(|(found, shown)| ((*found).to_owned(), *shown));
    dirs.chain(others).collect()
}

/// The commands below `words`, as its help lists them.
fn below(words: &[&str]) -> Vec<String> {
    let mut args = words.to_vec();
    args.push("--help");
    let help = run(&tks(), &args, Path::new("/")).expect(0).stdout;
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_a_page_of_help() {
    let mut pages: Vec<Vec<String>> = vec![vec![]];
    let mut at = 0;
    while at < pages.len() {
        let page = pages[at].clone();
        let words: Vec<&str> = page.iter().map(String::as_str).collect();
        for name in below(&words) {
            let page = words.iter().copied().chain([name.as_str()]);
            let page: Vec<String> = page.map(str::to_owned).collect();
            pages.push(page);
        }
        let mut args = words.clone();
        args.push("--help");
        let done = run(&tks(), &args, Path::new("/")).expect(0);
        screen!(
            format!("help-{}", args.join("-").replace("---", "-")),
            &done,
            Path::new("/nowhere")
        );
        at += 1;
    }
    assert!(pages.len() > 60, "{pages:?}");
}

/// Two clusters of files: `note` writes one, `copy` names it.
fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary folder");
    let files = [
        ("fleet.yaml", "platform: local\n"),
        (
            "a/r/one/cluster.yaml",
            "role: files\nnote: { text: one, lines: [a, b, c] }\n",
        ),
        ("a/r/two/cluster.yaml", "role: files\nnote: { text: two }\n"),
        (
            "modules/roles/files.yaml",
            "units:\n  note: { module: note }\n  copy: { module: copy, inputs: { of: \"${unit.note.path}\" } }\n",
        ),
        (
            "modules/note/module.yaml",
            "inputs:\n  text: { type: string, required: true }\n  lines: { type: list(string), default: [] }\n\
             outputs: { path: { type: string } }\n",
        ),
        (
            "modules/note/local.yaml",
            "resources:\n  note:\n    type: local.file\n    properties: { path: \"${cluster.key}/note.txt\", template: note.hbs, \
             with: { text: \"${input.text}\", lines: \"${input.lines}\" } }\n\
             outputs: { path: \"${resource.note.path}\" }\n",
        ),
        (
            "templates/note.hbs",
            "text: {{text}}\n{{#each lines}}\n- {{this}}\n{{/each}}\nend\n",
        ),
        (
            "modules/copy/module.yaml",
            "inputs: { of: { type: string } }\noutputs: { said: { type: string } }\n",
        ),
        (
            "modules/copy/local.yaml",
            "resources:\n  copy:\n    type: local.file\n    properties: { path: \"${cluster.key}/copy.txt\", content: \"of ${input.of}\" }\n\
             outputs: { said: \"${resource.copy.content}\" }\n",
        ),
    ];
    for (path, text) in files {
        write(dir.path(), path, text);
    }
    dir
}

/// `tks WORDS` in a folder; no word has a space in it.
fn typed(dir: &Path, words: &str) -> Done {
    run(&tks(), &words.split(' ').collect::<Vec<_>>(), dir)
}

fn write(dir: &Path, path: &str, text: &str) {
    let file = dir.join("f").join(path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(file, text).expect("written");
}

#[test]
fn the_life_of_a_fleet() {
    let dir = files();
    let dir = dir.path();
    let tks = |words: &str| typed(dir, words);
    let shows = |name: &str, words: &str| {
        let done = tks(words);
        screen!(format!("life-{name}"), &done, dir);
    };
    shows("01-validate", "validate f");
    shows("02-list-new", "list f");
    shows("03-plan-new", "plan f --out f.plan");
    shows("04-apply-plan", "apply f.plan --parallelism 1");
    shows("05-plan-again", "plan f --detailed-exitcode");
    shows("06-list", "list f");
    shows("07-list-tree", "list f --tree");
    shows("08-list-dag", "list f --dag");
    shows("09-list-json", "list f --json");
    shows("10-graph-dot", "graph f");
    shows("11-graph-json", "graph f --format json");
    shows("12-graph-tree", "graph f --format tree --resources");
    shows("13-render", "render f --filter one");
    shows("14-render-json", "render f --filter one|unit=copy --json");
    shows("15-explain", "explain f/a/r/one note.lines");
    shows("16-output", "output f");
    shows("17-output-json", "output f --json");
    shows("18-output-one", "output f/a/r/one copy.said");
    shows("19-show-state", "show f");
    shows("20-show-state-json", "show f --json");
    shows("21-state-list", "state list --path f");
    shows("22-state-show", "state show a/r/one/copy --path f");
    shows("23-state-pull", "state pull a/r/one --path f");
    shows("24-lock-list", "lock list --path f");
    write(
        dir,
        "a/r/one/cluster.yaml",
        "role: files\nnote: { text: uno, lines: [a, c, d] }\n",
    );
    fs::remove_dir_all(dir.join("f/a/r/two")).expect("removed");
    fs::remove_file(dir.join("f/.tks/local/r-one/copy.txt")).expect("removed");
    shows("30-list-changed", "list f --drift");
    shows("31-list-affected", "list f --affected");
    shows("32-plan-changes", "plan f");
    shows("33-plan-full", "plan f --full");
    shows("34-plan-markdown", "plan f --markdown");
    shows("35-plan-json", "plan f --json");
    shows(
        "36-plan-refresh-only",
        "plan f --refresh-only --detailed-exitcode",
    );
    shows("37-plan-filter", "plan f --filter one|unit=note");
    shows("38-apply-no-terminal", "apply f");
    shows("39-apply-removal", "apply f --auto-approve");
    tks("plan f --out f.plan").expect(0);
    shows("40-show-plan-json", "show f.plan --json");
    let done = tks("apply f --auto-approve --allow-cluster-removal --parallelism 1 --json");
    assert_eq!(done.code, 0, "{}", done.text());
    shows("41-apply-stale", "apply f.plan");
    shows("42-destroy", "destroy f --auto-approve --parallelism 1");
    shows("43-list-destroyed", "list f");
}

#[test]
fn files_that_cannot_be_trusted() {
    let dir = files();
    let dir = dir.path();
    let tks = |words: &str| typed(dir, words);
    let shows = |name: &str, words: &str| {
        let done = tks(words);
        screen!(format!("distrust-{name}"), &done, dir);
    };
    tks("plan f --out f.plan").expect(0);
    let plan = dir.join("f.plan");
    let planned = fs::read_to_string(&plan).expect("a plan");
    for (name, text) in [
        (
            "plan-edited",
            planned.replace("one/note.txt", "one/nota.txt"),
        ),
        ("plan-cut", planned[..planned.len() / 2].to_owned()),
        (
            "plan-newer",
            planned.replace("\"version\": 3", "\"version\": 9"),
        ),
        (
            "plan-older",
            planned.replace("\"version\": 3", "\"version\": 2"),
        ),
        ("plan-foreign", "{ \"format_version\": \"1.2\" }".to_owned()),
    ] {
        assert_ne!(text, planned, "{name}");
        fs::write(&plan, text).expect("written");
        shows(name, "apply f.plan");
    }
    fs::write(&plan, &planned).expect("written");
    fs::rename(dir.join("f"), dir.join("g")).expect("renamed");
    shows("plan-fleet-gone", "apply f.plan");
    fs::rename(dir.join("g"), dir.join("f")).expect("renamed");
    tks("apply f --auto-approve").expect(0);
    tks("apply f --auto-approve --set note.text=anew").expect(0);

    let state = dir.join("f/.tks/local/state/a/r/one.json");
    let recorded = fs::read_to_string(&state).expect("a state");
    for (name, text) in [
        ("state-edited", recorded.replace("anew", "made")),
        ("state-cut", recorded[..recorded.len() / 2].to_owned()),
        ("state-empty", String::new()),
        (
            "state-newer",
            recorded.replace("\"version\": 2", "\"version\": 3"),
        ),
        (
            "state-of-another",
            recorded.replace("\"a/r/one\"", "\"a/r/two\""),
        ),
    ] {
        assert_ne!(text, recorded, "{name}");
        fs::write(&state, text).expect("written");
        shows(name, "plan f");
    }
    fs::write(&state, &recorded).expect("written");
    tks("plan f --set note.text=anew --detailed-exitcode").expect(0);
}

#[test]
fn promql_and_components_as_typed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    let shows = |name: &str, args: &[&str]| {
        let done = run(&tks(), args, dir);
        screen!(name, &done, dir);
    };
    let long = "sum by(cluster)(rate(container_cpu_usage_seconds_total{namespace=\"monitoring\"}[5m]))/on(cluster)group_left machine_cpu_cores";
    shows("promql-format", &["promql", "format", long]);
    shows(
        "promql-parse",
        &["promql", "parse", "topk(3, a{b=\"c\"} offset 5m)"],
    );
    shows(
        "promql-parse-json",
        &["promql", "parse", "--json", "-a[5m:1m]"],
    );
    shows(
        "promql-parse-tree",
        &["promql", "parse", "--json", "--", "-rate(a[5m])"],
    );
    shows(
        "promql-parse-mistake",
        &["promql", "parse", "sum(rate(a[5m])"],
    );
    shows(
        "promql-query-mistake",
        &["promql", "query", "--tsdb", ".", "a +"],
    );
    shows(
        "promql-query-nowhere",
        &["promql", "query", "--tsdb", "nowhere", "a"],
    );
    shows(
        "promql-query-nothing",
        &["promql", "query", "--tsdb", ".", "a", "--time", "0"],
    );
    shows(
        "promql-query-constant",
        &[
            "promql", "query", "--tsdb", ".", "1 + 1", "--time", "0", "-o", "json",
        ],
    );
    shows("promql-test-nowhere", &["promql", "test", "nowhere.yaml"]);
    shows("tools-no-bucket", &["thanos", "tools", "bucket", "ls"]);
    let bucket = "type: FILESYSTEM\nconfig: { directory: bucket }\n";
    fs::create_dir(dir.join("bucket")).expect("made");
    for tool in ["ls", "inspect", "verify", "cost"] {
        let args = [
            "thanos",
            "tools",
            "bucket",
            tool,
            "--objstore.config",
            bucket,
        ];
        shows(&format!("tools-{tool}"), &args);
    }
    shows(
        "thanos-sidecar-flag",
        &["thanos", "sidecar", "--prometheus.uri=x"],
    );
    shows(
        "thanos-query-flag",
        &["thanos", "query", "--grpc-compression=gzip"],
    );
}

#[test]
fn small_commands() {
    let dir = files();
    let dir = dir.path();
    let tks = |words: &str| typed(dir, words);
    let shows = |name: &str, words: &str| {
        let done = tks(words);
        screen!(format!("small-{name}"), &done, dir);
    };
    shows("version", "version");
    shows("version-json", "version --json");
    shows("eject", "eject storage --into out");
    shows("eject-again", "eject storage --into out");
    shows("new-fleet", "new fleet g");
    shows("new-fleet-again", "new fleet g");
    shows("new-account", "new account g/acme");
    shows("new-region", "new region g/acme/eu-west-1");
    shows(
        "new-cluster",
        "new cluster g/acme/eu-west-1/main --role observer",
    );
    shows(
        "new-cluster-role",
        "new cluster g/acme/eu-west-1/edge --role observe",
    );
    shows("new-cluster-place", "new cluster g/acme/edge");
    shows("new-nested", "new fleet g/acme/other");
    shows("new-validate", "validate g");
    shows("status-nothing", "status g");
    shows("stores-nothing", "stores g");
    shows("logs-nothing", "logs thanos-query-0 --path g");
    shows("query-nothing", "query g up");
    shows("chdir", "-C f list --filter unit=copy");
    shows("chdir-nowhere", "-C nowhere list");
    write(
        dir,
        "a/r/one/cluster.yaml",
        "role:   files   # why\n\n\n\nnote: {text: one}\n",
    );
    shows("fmt-check", "fmt f/a --check");
    shows("fmt-diff", "fmt f/a --diff");
    shows("fmt", "fmt f/a");
    shows("fmt-again", "fmt f/a --check");
    let written = fs::read_to_string(dir.join("f/a/r/one/cluster.yaml")).expect("read");
    assert_eq!(written, "role: files # why\n\nnote: { text: one }\n");
    let page = tks("man").expect(0).stdout;
    assert!(
        page.contains(".TH tks 1") && page.contains("Exit codes"),
        "{page}"
    );
    let pages = tks("man --into man").expect(0).stdout;
    assert!(pages.contains("man/tks-state-mv.1"), "{pages}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = tks(&format!("completions {shell}")).expect(0).stdout;
        assert!(script.contains("filters-file"), "{shell}:\n{script}");
    }
    for kind in ["fleet", "account", "region", "cluster"] {
        let schema = tks(&format!("schema {kind}")).expect(0).stdout;
        let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
        assert!(schema["properties"]["role"].is_object(), "{schema:#}");
    }
}

#[test]
fn mistakes_of_the_command_line() {
    let dir = files();
    let dir = dir.path();
    let shows = |name: &str, words: &str| {
        let done = typed(dir, words);
        screen!(format!("wrong-{name}"), &done, dir);
    };
    shows("command", "pln");
    shows("flag", "plan --detaild-exitcode");
    shows("terraform-taint", "taint a.b");
    shows("terraform-workspace", "workspace list");
    shows("terraform-dash", "apply -auto-approve");
    shows("terraform-var", "plan -var x=1");
    shows("filter-key", "list f --filter typ=x");
    shows("filter-name", "list f --filter cpy");
    shows("filter-empty", "list f --filter a|");
    shows("target", "plan f --target a/r/on");
    shows("chdir-and-path", "-C f plan nowhere");
    shows("schema", "schema clutser");
    shows("plan-file-and-flags", "apply f/fleet.yaml --destroy");
}

#[test]
fn the_console_answers_lines() {
    let dir = files();
    let mut console = Command::new(tks())
        .args(["console", "f/a/r/one"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tks runs");
    let lines = "cluster.id\nfleet.name == \"f\"\nunit.note.path\nvalue.domain ?? \"none\"\ncluster.nam\n\"${cluster.name}!\"\ncluster.hosts\n";
    console
        .stdin
        .take()
        .expect("open")
        .write_all(lines.as_bytes())
        .expect("written");
    let output = console.wait_with_output().expect("ended");
    let done = Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    screen!("console", &done, dir.path());
}

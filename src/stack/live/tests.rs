//! Trees on disk, and what is said of them.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::json_schema;

struct Roles;

impl RoleCatalog for Roles {
    fn roles(&self) -> Vec<String> {
        vec!["observer".into(), "observee".into()]
    }

    fn units(&self, role: &str) -> Option<Vec<String>> {
        let units: &[&str] = match role {
            "observer" => &["storage", "prometheus", "compact", "query", "grafana"],
            "observee" => &["storage", "prometheus", "compact", "ingress"],
            _ => return None,
        };
        Some(units.iter().map(|&unit| unit.to_owned()).collect())
    }

    fn platforms(&self) -> Vec<String> {
        ["local", "kubernetes", "aws"].map(str::to_owned).into()
    }
}

const DEMO: [(&str, &str); 3] = [
    ("live/demo/fleet.yaml", "platform: local\n"),
    (
        "live/demo/local/eu-west-1/observer/cluster.yaml",
        "role: observer\n",
    ),
    (
        "live/demo/local/eu-west-3/observee/cluster.yaml",
        "role: observee\n",
    ),
];

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    files
        .iter()
        .for_each(|(file, text)| write(&dir, file, text));
    dir
}

fn write(dir: &TempDir, file: &str, text: &str) {
    let file = dir.path().join(file);
    fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
    fs::write(file, text).expect("a file");
}

fn options(dir: &TempDir) -> LoadOptions {
    LoadOptions {
        working_dir: dir.path().to_owned(),
        ..LoadOptions::default()
    }
}

fn demo_with(files: &[(&str, &str)]) -> TempDir {
    let dir = tree(&DEMO);
    files
        .iter()
        .for_each(|(file, text)| write(&dir, &format!("live/demo/{file}"), text));
    dir
}

fn loaded(dir: &TempDir) -> LiveFleet {
    let tree = load(None, &options(dir), &Roles).expect("a tree without mistakes");
    tree.fleets.into_iter().next().expect("a fleet")
}

/// Each mistake in a line: place (below the fleet's folder), message, and what was probably meant.
fn told(dir: &TempDir) -> Vec<String> {
    told_with(&options(dir))
}

fn told_with(options: &LoadOptions) -> Vec<String> {
    let mistakes = load(None, options, &Roles).expect_err("mistakes");
    let line = |mistake: &Diagnostic| {
        let place = mistake
            .position
            .as_ref()
            .map_or_else(|| "-".to_owned(), Position::to_string);
        let meant = match mistake.candidates.as_slice() {
            [] => String::new(),
            candidates => format!(" ({})", candidates.join(", ")),
        };
        format!(
            "{} {}{meant}",
            place.trim_start_matches("live/demo/"),
            mistake.message
        )
    };
    mistakes.0.iter().map(line).collect()
}

#[test]
fn two_lines_make_two_clusters_with_names() {
    let dir = tree(&DEMO);
    let fleet = loaded(&dir);
    assert_eq!(
        (fleet.name.as_str(), fleet.platform.as_str()),
        ("demo", "local")
    );
    assert_eq!(fleet.data_dir, dir.path().join("live/demo/.tks/local"));
    assert_eq!(fleet.files, DEMO.map(|(file, _)| PathBuf::from(file)));
    let [observer, observee] = fleet.clusters.as_slice() else {
        panic!("two clusters")
    };
    assert_eq!(observer.path.to_string(), "local/eu-west-1/observer");
    assert_eq!(observee.id, "local-demo-eu-west-3-observee");
    assert_eq!(
        observee.names.sidecar_host,
        "thanos-sidecar.observee.eu-west-3.demo.tks.internal"
    );
    let observed: Vec<&str> = fleet
        .observed_by(observer)
        .iter()
        .map(|c| c.key.as_str())
        .collect();
    assert_eq!(observed, ["eu-west-3-observee"]);
    assert_eq!(fleet.observers_of(observee).len(), 1);
    assert!(fleet.observed_by(observee).is_empty() && fleet.selection.is_empty());
}

#[test]
fn a_region_is_added_by_one_file_of_one_line() {
    let dir = tree(&DEMO);
    let before = loaded(&dir);
    write(
        &dir,
        "live/demo/local/ap-south-1/observee.yaml",
        "role: observee\n",
    );
    let after = loaded(&dir);
    assert_eq!(after.clusters.len(), 3);
    assert_eq!(after.clusters[0].key, "ap-south-1-observee");
    let names = |fleet: &LiveFleet, n: usize| fleet.clusters[n].names.clone();
    assert_eq!(
        (names(&after, 1), names(&after, 2)),
        (names(&before, 0), names(&before, 1))
    );
    assert_eq!(after.observed_by(&after.clusters[1]).len(), 2);
}

#[test]
fn levels_are_merged_and_set_is_the_strongest() {
    let dir = demo_with(&[
        (
            "fleet.yaml",
            "prefix: pio\nstate: { backend: local }\ncompact: { retention: { 5m: 1d, raw: 2d } }",
        ),
        (
            "local/account.yaml",
            "env: lab\ncompact: { retention: { 5m: 2d } }",
        ),
        (
            "local/eu-west-3/region.yaml",
            "compact: { args+: [a] }\ngrafana: { x: 1 }",
        ),
        (
            "local/eu-west-3/observee/cluster.yaml",
            "role: observee\ncompact: { args+: [b] }",
        ),
    ]);
    let set = vec![
        "compact.retention.raw=9d".to_owned(),
        "domain=teks.sh".to_owned(),
    ];
    let tree = load(
        None,
        &LoadOptions {
            set,
            ..options(&dir)
        },
        &Roles,
    )
    .expect("a tree");
    let cluster = &tree.fleets[0].clusters[1];
    let text = |path: &[&str]| {
        cluster
            .merged
            .at(path)
            .and_then(Node::as_str)
            .map(str::to_owned)
    };
    assert_eq!(text(&["compact", "retention", "5m"]).as_deref(), Some("2d"));
    assert_eq!(
        text(&["compact", "retention", "raw"]).as_deref(),
        Some("9d")
    );
    assert_eq!(cluster.id, "pio-lab-eu-west-3-observee");
    assert_eq!(
        cluster.names.sidecar_host,
        "thanos-sidecar.observee.eu-west-3.teks.sh"
    );
    let layers: Vec<&str> = cluster
        .layers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        layers,
        ["fleet", "account", "region", "cluster", "--set", "--set"]
    );
    assert!(
        cluster.merged.get("state").is_none() && tree.fleets[0].document.get("state").is_some()
    );
    let unit: Vec<&str> = cluster
        .unit_layers("compact")
        .into_iter()
        .map(|(l, _)| l)
        .collect();
    assert_eq!(unit, ["fleet", "account", "region", "cluster", "--set"]);
    assert_eq!(
        cluster
            .merged
            .at(&["compact", "args"])
            .and_then(Node::as_list)
            .map(<[_]>::len),
        Some(2)
    );
}

#[test]
fn a_unit_of_null_takes_back_what_the_tree_said() {
    let dir = demo_with(&[
        ("fleet.yaml", "compact: { a: 1 }"),
        (
            "local/eu-west-3/observee/cluster.yaml",
            "role: observee\ncompact:",
        ),
    ]);
    assert!(loaded(&dir).clusters[1].unit_layers("compact").is_empty());
}

#[test]
fn the_role_may_be_said_by_the_region() {
    let dir = demo_with(&[
        ("local/eu-north-1/region.yaml", "role: observee\n"),
        ("local/eu-north-1/a.yaml", ""),
        ("local/eu-north-1/b/cluster.yaml", "# all said above\n"),
    ]);
    let roles: Vec<String> = loaded(&dir).clusters.into_iter().map(|c| c.role).collect();
    assert_eq!(roles, ["observee", "observee", "observer", "observee"]);
}

#[test]
fn files_that_nobody_would_read_are_refused() {
    let dir = demo_with(&[
        ("notes.yaml", ""),
        ("local/acount.yaml", ""),
        ("local/eu-west-2/clutser.yaml", ""),
        ("local/eu-west-4/observee/clutser.yaml", "role: observee"),
        ("local/eu-west-5/observee/cluster.yml", "role: observee"),
        ("local/eu-west-6/cluster.yaml", "role: observee"),
        ("local/eu-west-7/README.md", ""),
        ("local/eu-west-8/observee/README.md", ""),
        ("local/eu-west-9/observee.yaml", "role: observee"),
        ("local/eu-west-9/observee/cluster.yaml", "role: observee"),
        ("docs/README.md", ""),
        ("modules/x/module.yaml", "not: read"),
        (".tks/local/state.yaml", "not: read"),
    ]);
    assert_eq!(
        told(&dir),
        [
            "- region `live/demo/local/eu-west-7` holds no cluster",
            "- `live/demo/local/eu-west-8/observee` holds no cluster.yaml",
            "local/acount.yaml:1:1 `acount.yaml` is no document of the tree (account.yaml)",
            "local/eu-west-2/clutser.yaml:1:1 `clutser.yaml` is no document of the tree (cluster.yaml)",
            "local/eu-west-4/observee/clutser.yaml:1:1 `clutser.yaml` is no document of the tree (cluster.yaml)",
            "local/eu-west-5/observee/cluster.yml:1:1 `cluster.yml` is no document of the tree (cluster.yaml)",
            "local/eu-west-6/cluster.yaml:1:1 `cluster.yaml` is no document of the tree",
            "local/eu-west-9/observee.yaml:1:1 cluster `local/eu-west-9/observee` has two files",
            "notes.yaml:1:1 `notes.yaml` is no document of the tree",
        ]
    );
}

#[test]
fn a_cluster_may_have_a_name_like_a_document() {
    let dir = demo_with(&[("local/eu-north-1/region2.yaml", "role: observee")]);
    assert_eq!(loaded(&dir).clusters[0].path.cluster, "region2");
}

#[test]
fn every_mistake_is_told_in_one_run_in_file_order() {
    let dir = demo_with(&[
        (
            "fleet.yaml",
            "platfrom: local\nnetwork: { cidr: 10.0.0.1/8, sise: 16 }\nstate: { bucket: b }\n",
        ),
        (
            "local/account.yaml",
            "account: { id: 123456789012 }\nstate: { backend: s3 }\ntags: [a]\n",
        ),
        (
            "local/eu-west-1/observer/cluster.yaml",
            "role: obsrver\ngrafana: yes\n",
        ),
        (
            "local/eu-west-3/observee/cluster.yaml",
            "role: observee\ngrafana: {}\nquery: {}\nretenton: 1\n",
        ),
        ("local/eu-west-4/a.yaml", "env: lab\n"),
        ("local/eu-west-4/b.yaml", "role: observee\nrole: observer\n"),
        (
            "local/eu-west-4/c.yaml",
            "role: observee\nenv: Lab_1\ndomain: ${cluster.id}.sh\nprefix+: [a]\n",
        ),
    ]);
    assert_eq!(
        told(&dir),
        [
            "fleet.yaml:1:1 unknown key `platfrom` (platform)",
            "fleet.yaml:2:18 `10.0.0.1/8` is not a network range: the value of `network.cidr`",
            "fleet.yaml:2:30 unknown key `sise` in `network` (size)",
            "fleet.yaml:3:8 `state` has no `backend`",
            "fleet.yaml:3:18 `b` is not a bucket's name: the value of `state.bucket`",
            "local/account.yaml:1:16 `account.id` must be a string, not a number",
            "local/account.yaml:2:1 `state` belongs in fleet.yaml",
            "local/account.yaml:3:7 `tags` must be a map, not a list",
            "local/eu-west-1/observer/cluster.yaml:1:7 unknown role `obsrver` (observer, observee)",
            "local/eu-west-1/observer/cluster.yaml:2:10 `grafana` must be a map, not a string",
            "local/eu-west-3/observee/cluster.yaml:2:1 unknown key `grafana`",
            "local/eu-west-3/observee/cluster.yaml:3:1 unknown key `query`",
            "local/eu-west-3/observee/cluster.yaml:4:1 unknown key `retenton`",
            "local/eu-west-4/a.yaml:1:1 cluster `local/eu-west-4/a` has no role",
            "local/eu-west-4/b.yaml:2:1 `role` stands twice in one map",
            "local/eu-west-4/c.yaml:2:6 `Lab_1` is not a name: the value of `env`",
            "local/eu-west-4/c.yaml:3:9 `domain` must be known before expressions are evaluated",
            "local/eu-west-4/c.yaml:4:1 `prefix` is not a list: nothing can be appended to it",
        ]
    );
}

#[test]
fn a_mistake_has_a_label_and_a_remedy() {
    let dir = demo_with(&[(
        "local/eu-west-3/observee/cluster.yaml",
        "role: observee\nnetwork: { size: 99 }",
    )]);
    let mistakes = load(None, &options(&dir), &Roles).expect_err("mistakes");
    let [mistake] = mistakes.0.as_slice() else {
        panic!("{mistakes:?}")
    };
    assert_eq!(mistake.message, "`network.size` is out of range");
    assert_eq!(mistake.label.as_deref(), Some("not from 16 to 28"));
    assert_eq!(
        mistake.help.as_deref(),
        Some("write a number from 16 to 28")
    );
    let at = mistake.position.as_ref().expect("a position");
    assert_eq!((at.line, at.column, at.len), (2, 18, 2));
}

#[test]
fn expressions_stand_wherever_names_do_not_hang_on_them() {
    let dir = demo_with(&[(
        "fleet.yaml",
        "tags: { cluster: '${cluster.id}' }\naccount: { id: '${value.tags.id}' }\nobjstore: '${value.x}'\nkubernetes: { context: 'k-${cluster.name}' }\n",
    )]);
    assert_eq!(loaded(&dir).clusters.len(), 2);
}

#[test]
fn what_two_clusters_must_not_share_is_refused_with_both_places() {
    let twin = "role: observee\nprefix: local\n";
    let dir = demo_with(&[
        ("other/eu-west-3/observee.yaml", twin),
        ("other/eu-west-1/observer.yaml", "role: observee\n"),
        (
            "other/eu-west-5/a.yaml",
            "role: observee\nnetwork: { cidr: 10.64.0.0/16 }\nobjstore: { bucket: blocks }\n",
        ),
        (
            "other/eu-west-6/a.yaml",
            "role: observee\nnetwork: { cidr: 10.64.8.0/24 }\nobjstore: { bucket: blocks }\n",
        ),
    ]);
    assert_eq!(
        told(&dir),
        [
            "other/eu-west-1/observer.yaml:1:1 clusters `local/eu-west-1/observer` and `other/eu-west-1/observer` have the same key: `eu-west-1-observer`",
            "other/eu-west-3/observee.yaml:1:1 clusters `local/eu-west-3/observee` and `other/eu-west-3/observee` have the same id: `local-demo-eu-west-3-observee`",
            "other/eu-west-6/a.yaml:2:18 the networks of `other/eu-west-5/a` and `other/eu-west-6/a` overlap: 10.64.0.0/16 and 10.64.8.0/24",
            "other/eu-west-6/a.yaml:3:21 clusters `other/eu-west-5/a` and `other/eu-west-6/a` have the same bucket: `blocks`",
        ]
    );
    let mistakes = load(None, &options(&dir), &Roles).expect_err("mistakes");
    let other: Vec<String> = mistakes
        .0
        .iter()
        .map(|m| m.related[0].0.to_string())
        .collect();
    assert_eq!(
        other[0],
        "live/demo/local/eu-west-1/observer/cluster.yaml:1:1"
    );
    assert_eq!(other[2], "live/demo/other/eu-west-5/a.yaml:2:18");
    assert_eq!(other[3], "live/demo/other/eu-west-5/a.yaml:3:21");
}

#[test]
fn the_flat_host_of_teks_serves_one_observee() {
    let dir = demo_with(&[("fleet.yaml", "naming: teks\ndomain: teks.sh\nprefix: pio\n")]);
    let fleet = loaded(&dir);
    assert_eq!(fleet.clusters[1].id, "pio-demo-observee");
    assert_eq!(
        fleet.clusters[1].names.sidecar_host,
        "thanos-sidecar.teks.sh"
    );
    write(
        &dir,
        "live/demo/local/eu-west-4/second.yaml",
        "role: observee\n",
    );
    let message = "local/eu-west-4/second.yaml:1:1 clusters `local/eu-west-3/observee` and `local/eu-west-4/second` have the same sidecar host: `thanos-sidecar.teks.sh`";
    assert_eq!(told(&dir), [message]);
    write(
        &dir,
        "live/demo/local/eu-west-4/second.yaml",
        "role: observee\nnaming: default\n",
    );
    assert_eq!(loaded(&dir).clusters[1].id, "pio-demo-observee");
}

#[test]
fn a_fleet_has_one_platform_and_the_command_line_decides() {
    let dir = demo_with(&[
        ("fleet.yaml", "platform: aws\ndomain: teks.sh\n"),
        (
            "local/eu-west-3/observee/cluster.yaml",
            "role: observee\nplatform: local\n",
        ),
    ]);
    let message = "local/eu-west-3/observee/cluster.yaml:2:11 one fleet on two platforms: `local/eu-west-3/observee` is on local, `local/eu-west-1/observer` on aws";
    assert_eq!(told(&dir), [message]);
    let with = |name: &str| LoadOptions {
        platform: Some(name.to_owned()),
        ..options(&dir)
    };
    let local = load(None, &with("local"), &Roles).expect("a tree");
    assert_eq!(local.fleets[0].platform, "local");
    assert_eq!(local.fleets[0].clusters[0].names.domain, "teks.sh");
    assert_eq!(
        told_with(&with("locl")),
        ["- unknown platform `locl` (local)"]
    );
}

#[test]
fn only_a_local_fleet_has_a_domain_by_default() {
    let dir = demo_with(&[("fleet.yaml", "platform: kubernetes\n")]);
    let lines = told(&dir);
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].ends_with("no `domain`: hosts on kubernetes are named below one"),
        "{lines:?}"
    );
}

#[test]
fn a_path_inside_a_fleet_loads_it_whole_and_selects() {
    let dir = demo_with(&[("local/eu-west-4/short.yaml", "role: observee")]);
    let selected = |path: &str| {
        let tree = load(Some(Path::new(path)), &options(&dir), &Roles).expect(path);
        assert_eq!(tree.fleets[0].clusters.len(), 3);
        let selection = &tree.fleets[0].selection;
        selection
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(selected("live"), "");
    assert_eq!(selected("live/demo"), "");
    assert_eq!(selected("live/demo/fleet.yaml"), "");
    assert_eq!(
        selected("live/demo/local/eu-west-3"),
        "local/eu-west-3/observee"
    );
    assert_eq!(
        selected("live/demo/local/eu-west-1/observer/cluster.yaml"),
        "local/eu-west-1/observer"
    );
    assert_eq!(
        selected("live/demo/local/eu-west-4/short"),
        "local/eu-west-4/short"
    );
    let error = |path: &str| {
        let mistakes = load(Some(Path::new(path)), &options(&dir), &Roles).expect_err(path);
        (
            mistakes.0[0].message.clone(),
            mistakes.0[0].candidates.join(" "),
        )
    };
    assert_eq!(
        error("live/dmo"),
        ("`live/dmo` does not exist".into(), "demo".into())
    );
    write(&dir, "live/demo/modules/x/y.txt", "");
    assert_eq!(
        error("live/demo/modules").0,
        "no cluster below `modules` of the fleet"
    );
}

#[test]
fn without_a_path_the_nearest_fleet_upward_is_meant_else_all_below_live() {
    let dir = tree(&DEMO);
    write(&dir, "live/group/second/fleet.yaml", "");
    let all = discover(None, dir.path()).expect("fleets");
    assert_eq!(
        all,
        ["live/demo", "live/group/second"].map(|fleet| dir.path().join(fleet))
    );
    let inside = dir.path().join("live/demo/local/eu-west-1");
    assert_eq!(
        discover(None, &inside).expect("a fleet"),
        [dir.path().join("live/demo")]
    );
    let from_inside = load(
        None,
        &LoadOptions {
            working_dir: inside,
            ..LoadOptions::default()
        },
        &Roles,
    );
    let fleet = &from_inside.expect("a tree").fleets[0];
    assert_eq!(fleet.file, Path::new("../../fleet.yaml"));
    assert_eq!(fleet.clusters[0].file, Path::new("observer/cluster.yaml"));
    let empty = tree(&[("live/x/flet.yaml", "")]);
    let mistakes = discover(Some(Path::new("live/x")), empty.path()).expect_err("no fleet");
    assert_eq!(
        mistakes.0[0].message,
        "no fleet in `live/x`, above it or below it"
    );
    assert_eq!(mistakes.0[0].candidates, ["live/x/fleet.yaml"]);
}

#[test]
fn the_data_folder_can_be_elsewhere() {
    let dir = tree(&DEMO);
    let data_dir = Some(PathBuf::from("data"));
    let tree = load(
        None,
        &LoadOptions {
            data_dir,
            ..options(&dir)
        },
        &Roles,
    )
    .expect("a tree");
    assert_eq!(tree.fleets[0].data_dir, dir.path().join("data/demo/local"));
}

#[test]
fn federation_selects_and_speaks_only_of_peers() {
    let observer = "role: observer\nfederation:\n  select: { roles: [observee], not: [local/eu-west-4/b, nobody] }\n  overrides:\n    eu-west-3-observe: { querier: {} }\n    eu-west-4-b: {}\n  external:\n    - { name: old, endpoints: ['a.sh:443'], labels: { cluster: old }, tls: { skip: true } }\n    - { name: old, endpoints: [a.sh] }\n    - endpoints: []\n";
    let dir = demo_with(&[
        ("local/eu-west-1/observer/cluster.yaml", observer),
        ("local/eu-west-4/b.yaml", "role: observee"),
    ]);
    let file = "local/eu-west-1/observer/cluster.yaml";
    assert_eq!(
        told(&dir),
        [
            "3:57 no cluster `nobody` in the fleet",
            "5:5 `local/eu-west-1/observer` does not observe `eu-west-3-observe` (eu-west-3-observee)",
            "6:5 `local/eu-west-1/observer` does not observe `eu-west-4-b`",
            "8:78 unknown key `skip` in `federation.external[0].tls` (skip_verify)",
            "9:15 two external peers are named `old`",
            "9:32 `a.sh` is not an endpoint: the value of `federation.external[1].endpoints[0]`",
            "10:7 `federation.external[2]` has no `name`",
        ]
        .map(|line| format!("{file}:{line}"))
    );
}

#[test]
fn another_observer_is_observed_when_selected() {
    let dir = demo_with(&[(
        "local/eu-west-4/second.yaml",
        "role: observer\nfederation: { select: { roles: [observee, observer], regions: [eu-west-1] } }",
    )]);
    let fleet = loaded(&dir);
    let seen = |n: usize| -> Vec<String> {
        fleet
            .observed_by(&fleet.clusters[n])
            .iter()
            .map(|c| c.key.clone())
            .collect()
    };
    assert_eq!(seen(0), ["eu-west-3-observee"]);
    assert_eq!(seen(2), ["eu-west-1-observer"]);
}

#[test]
fn a_broken_file_above_is_told_once_and_nothing_that_follows_from_it() {
    let dir = demo_with(&[
        ("local/eu-west-3/region.yaml", "role: [observee\n"),
        ("local/eu-west-3/observee/cluster.yaml", "compact: {}\n"),
    ]);
    let lines = told(&dir);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("local/eu-west-3/region.yaml:"),
        "{lines:?}"
    );
}

#[test]
fn set_is_checked_like_a_file() {
    let dir = tree(&DEMO);
    let set = ["tags=1", "compct.x=1", "grafana.x=1", "state.backend=s3"]
        .map(str::to_owned)
        .into();
    assert_eq!(
        told_with(&LoadOptions {
            set,
            ..options(&dir)
        }),
        [
            "--set:1:6 `tags` must be a map, not a number",
            "--set:2:1 unknown key `compct` (compact)",
            "--set:4:1 `state` belongs in fleet.yaml",
        ]
    );
}

#[test]
fn names_of_folders_must_serve_as_names() {
    let dir = demo_with(&[("Pro_d/eu-west-4/a.yaml", "role: observee")]);
    let lines = told(&dir);
    assert_eq!(
        lines[0],
        "- `Pro_d` cannot name an account: `live/demo/Pro_d`"
    );
}

#[test]
fn the_schema_has_units_and_no_other_keys() {
    let schema = json_schema("cluster", &Roles).expect("a schema");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["grafana"].is_object());
    assert!(schema["properties"]["state"].is_null());
    let roles = &schema["properties"]["role"]["anyOf"][0]["enum"];
    assert_eq!(roles.as_array().map(Vec::len), Some(2));
    assert!(json_schema("fleet", &Roles).expect("a schema")["properties"]["state"].is_object());
    assert_eq!(json_schema("planet", &Roles), None);
}

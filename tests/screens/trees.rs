//! Wrong trees: what `tks validate` says to who wrote them, whole.

use std::fs;
use std::path::Path;

use crate::fleet::{run, tks};

const FLEET: &str = "fleet.yaml";
const OBSERVER: &str = "acc/eu-west-1/observer/cluster.yaml";
const OBSERVEE: &str = "acc/eu-west-3/observee/cluster.yaml";

/// A mistake, and the files that make it.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)]);

const TREES: &[Wrong<'_>] = &[
    (
        "unknown-unit",
        &[(OBSERVEE, "role: observee\nprometeus: {}\n")],
    ),
    (
        "unknown-input",
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { scrape_intervall: 15s }\n",
        )],
    ),
    (
        "unit-of-other-role",
        &[(OBSERVEE, "role: observee\ngrafana: {}\n")],
    ),
    ("reserved-key-slip", &[(FLEET, "platfrom: local\n")]),
    (
        "wrong-type",
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { scrape_interval: [15s] }\n",
        )],
    ),
    (
        "duration",
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { retention: 30 days }\n",
        )],
    ),
    (
        "unit-is-text",
        &[(OBSERVEE, "role: observee\nprometheus: yes\n")],
    ),
    ("list-document", &[(OBSERVEE, "- role: observee\n")]),
    ("empty-cluster", &[(OBSERVEE, "")]),
    ("role-slip", &[(OBSERVEE, "role: Observee\n")]),
    (
        "tab",
        &[(
            OBSERVEE,
            "role: observee\nprometheus:\n\tscrape_interval: 15s\n",
        )],
    ),
    (
        "indentation",
        &[(
            OBSERVEE,
            "role: observee\nprometheus:\n  scrape_interval: 15s\n evaluation_interval: 15s\n",
        )],
    ),
    (
        "unclosed-brace",
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { scrape_interval: 15s\n",
        )],
    ),
    (
        "unclosed-quote",
        &[(
            OBSERVEE,
            "role: observee\ntags: { team: \"observability }\n",
        )],
    ),
    (
        "duplicate-key",
        &[(OBSERVEE, "role: observee\nprometheus: {}\nprometheus: {}\n")],
    ),
    (
        "not-utf8-alias-bomb",
        &[(OBSERVEE, "role: observee\ntags: { a: *nobody }\n")],
    ),
    (
        "expression-syntax",
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { scrape_interval: \"${value.tags\" }\n",
        )],
    ),
    (
        "expression-function",
        &[(
            OBSERVEE,
            "role: observee\ntags: { upper: \"${upper(cluster.name)}\" }\n",
        )],
    ),
    (
        "expression-name",
        &[(
            OBSERVEE,
            "role: observee\ntags: { id: \"${clutser.id}\" }\n",
        )],
    ),
    (
        "expression-member",
        &[(
            OBSERVEE,
            "role: observee\ntags: { id: \"${cluster.ids}\" }\n",
        )],
    ),
    (
        "expression-output",
        &[(
            OBSERVEE,
            "role: observee\ningress: { backends: \"${unit.prometheus.sidcar}\" }\n",
        )],
    ),
    (
        "expression-relabelling",
        &[(OBSERVEE, "role: observee\ntags: { to: \"${1}\" }\n")],
    ),
    (
        "expression-in-role",
        &[(OBSERVEE, "role: \"${cluster.name}\"\n")],
    ),
    (
        "append-to-text",
        &[
            (FLEET, "tags: { a: b }\n"),
            (OBSERVEE, "role: observee\ntags+: [c]\n"),
        ],
    ),
    (
        "append-and-set",
        &[(
            OBSERVEE,
            "role: observee\nprometheus: { extra_args: [a], extra_args+: [b] }\n",
        )],
    ),
    ("missing-domain", &[(FLEET, "platform: aws\n")]),
    (
        "two-platforms",
        &[(
            OBSERVEE,
            "role: observee\nplatform: aws\ndomain: example.com\n",
        )],
    ),
    ("platform-slip", &[(FLEET, "platform: lokal\n")]),
    (
        "state-in-cluster",
        &[(OBSERVEE, "role: observee\nstate: { bucket: x }\n")],
    ),
    (
        "file-slip",
        &[("acc/eu-west-2/third/clutser.yaml", "role: observee\n")],
    ),
    (
        "yml",
        &[("acc/eu-west-2/third/cluster.yml", "role: observee\n")],
    ),
    ("stray-file", &[("acc/values.yaml", "a: b\n")]),
    (
        "empty-region",
        &[("acc/eu-west-2/region.yaml", "tags: {}\n")],
    ),
    (
        "cluster-twice",
        &[("acc/eu-west-3/observee.yaml", "role: observee\n")],
    ),
    (
        "folder-name",
        &[("acc/eu-west-2/Third_One/cluster.yaml", "role: observee\n")],
    ),
    (
        "same-bucket",
        &[(FLEET, "objstore: { bucket: one-for-all }\n")],
    ),
    (
        "same-port",
        &[(
            OBSERVER,
            "role: observer\nquery: { ports: { http: 70000 } }\n",
        )],
    ),
    (
        "overlapping-networks",
        &[
            (OBSERVER, "role: observer\nnetwork: { cidr: 10.0.0.0/16 }\n"),
            (
                OBSERVEE,
                "role: observee\nnetwork: { cidr: 10.0.128.0/20 }\n",
            ),
        ],
    ),
    ("account-id", &[(FLEET, "account: { id: 12345 }\n")]),
    (
        "federation-nobody",
        &[(
            OBSERVER,
            "role: observer\nfederation: { overrides: { eu-west-9-x: {} } }\n",
        )],
    ),
    (
        "module-broken",
        &[(
            "modules/storage/local.yaml",
            "resources:\n  bucket: { typ: local.bucket }\n",
        )],
    ),
    (
        "module-unknown-resource-type",
        &[
            ("modules/roles/odd.yaml", "units:\n  it: { module: odd }\n"),
            ("modules/odd/module.yaml", "outputs: {}\n"),
            (
                "modules/odd/local.yaml",
                "resources:\n  it: { type: local.fil, properties: { path: x } }\n",
            ),
            (OBSERVEE, "role: odd\n"),
        ],
    ),
    (
        "template-missing-name",
        &[
            ("modules/roles/odd.yaml", "units:\n  it: { module: odd }\n"),
            ("modules/odd/module.yaml", "outputs: {}\n"),
            (
                "modules/odd/local.yaml",
                "resources:\n  it: { type: local.file, properties: { path: x, template: odd.hbs, with: { text: a } } }\n",
            ),
            ("templates/odd.hbs", "one: {{txt}}\n"),
            (OBSERVEE, "role: odd\n"),
        ],
    ),
    (
        "template-syntax",
        &[("templates/objstore.yaml.hbs", "{{#if x}}\n")],
    ),
    (
        "many-mistakes",
        &[
            (FLEET, "platfrom: local\nnamig: teks\n"),
            (OBSERVER, "role: observer\nqery: {}\nstoer: {}\n"),
            (
                OBSERVEE,
                "role: observee\nprometheus: { scrape_interval: 1 }\n",
            ),
        ],
    ),
];

#[test]
fn wrong_trees_are_told_what_where_why_and_what_to_do() {
    let mut taken = Vec::new();
    for (name, files) in TREES {
        let dir = tempfile::tempdir().expect("temporary folder");
        let write = |path: &str, text: &str| {
            let file = dir.path().join("f").join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, text).expect("written");
        };
        write(FLEET, "platform: local\n");
        write(OBSERVER, "role: observer\n");
        write(OBSERVEE, "role: observee\n");
        for (path, text) in *files {
            write(path, text);
        }
        let done = run(&tks(), &["validate", "f"], dir.path());
        if done.code != 1 {
            taken.push(name);
        }
        screen!(format!("tree-{name}"), &done, dir.path() as &Path);
    }
    assert!(taken.is_empty(), "nothing is said of {taken:?}");
}

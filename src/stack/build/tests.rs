use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::{Address, Attributes, Known, LoadOptions, Secret, UnitPath, Value, live};

/// A fleet in a folder of its own.
struct Tree {
    dir: tempfile::TempDir,
}

const DEMO: &[(&str, &str)] = &[
    ("fleet.yaml", "platform: local\n"),
    ("local/eu-west-1/observer/cluster.yaml", "role: observer\n"),
    ("local/eu-west-3/observee/cluster.yaml", "role: observee\n"),
];

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self {
            dir: tempfile::tempdir().expect("a folder"),
        };
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    fn demo() -> Self {
        Self::new(DEMO)
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.root().join(path);
        fs::create_dir_all(file.parent().expect("below the root")).expect("a folder");
        fs::write(file, text).expect("a file");
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    fn build(&self) -> Result<Stack, Diagnostics> {
        load(&self.root(), None)
    }

    fn stack(&self) -> Stack {
        self.build()
            .unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
    }

    /// The mistakes, as `file:line:column message`.
    fn mistakes(&self) -> Vec<String> {
        let Diagnostics(mistakes) = self.build().expect_err("mistakes");
        let root = self.root();
        let line = |mistake: &Diagnostic| match &mistake.position {
            Some(at) => {
                let file = at.file.strip_prefix(&root).unwrap_or(&at.file);
                format!(
                    "{}:{}:{} {}",
                    file.display(),
                    at.line,
                    at.column,
                    mistake.message
                )
            }
            None => mistake.message.clone(),
        };
        mistakes.iter().map(line).collect()
    }
}

fn load(root: &Path, platform: Option<&str>) -> Result<Stack, Diagnostics> {
    let catalog = Catalog::load(root)?;
    let options = LoadOptions {
        platform: platform.map(str::to_owned),
        working_dir: root.to_owned(),
        ..LoadOptions::default()
    };
    let tree = live::load(Some(root), &options, &catalog)?;
    build(&tree.fleets[0], &catalog)
}

/// Attributes as an apply would leave them.
#[derive(Default)]
struct Applied(BTreeMap<Address, Attributes>);

impl Known for Applied {
    fn attributes(&self, address: &Address) -> Option<&Attributes> {
        self.0.get(address)
    }
}

impl Applied {
    /// Applies in dependency order; node-exporter is not installed.
    fn all(stack: &Stack) -> Self {
        let mut applied = Self::default();
        while applied.0.len() < stack.resources.len() {
            let before = applied.0.len();
            for resource in &stack.resources {
                let ready = resource
                    .depends_on
                    .iter()
                    .all(|need| applied.0.contains_key(need));
                if ready && !applied.0.contains_key(&resource.address) {
                    let properties = stack
                        .properties(&resource.address, &applied)
                        .expect("evaluates");
                    applied
                        .0
                        .insert(resource.address.clone(), computed(resource, properties));
                }
            }
            assert!(applied.0.len() > before, "no circle");
        }
        applied
    }

    fn properties(&self, stack: &Stack, address: &str) -> Attributes {
        let properties = stack.properties(&address.parse().expect(address), self);
        properties.unwrap_or_else(|mistakes| panic!("{address}: {mistakes:?}"))
    }
}

fn computed(resource: &crate::Resource, mut attributes: Attributes) -> Attributes {
    let address = resource.address.to_string();
    let mut set = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
    match resource.address.kind.as_str() {
        "local.process" if resource.address.name == "node_exporter" => return Attributes::new(),
        "local.process" => {
            let port = |name: &str| (name.to_owned(), format!("{address}/{name}:1").into());
            set("addresses", Value::Map([port("http"), port("grpc")].into()));
        }
        "local.file" => {
            set("sha256", "0".into());
        }
        "local.bucket" => {
            set("dir", "/bucket".into());
        }
        "local.ingress" => {
            set("address", "127.0.0.1:1".into());
            set("http", "127.0.0.1:2".into());
        }
        _ => {
            set("cert_pem", format!("CERT of {address}").into());
            set("key_pem", Value::Secret(Secret::new("KEY")));
        }
    }
    attributes
}

fn depends_on(stack: &Stack, address: &str) -> Vec<String> {
    let resource = stack
        .resources
        .iter()
        .find(|resource| resource.address.to_string() == address);
    let resource = resource.unwrap_or_else(|| panic!("no {address}"));
    resource
        .depends_on
        .iter()
        .map(ToString::to_string)
        .collect()
}

const OBSERVER: &str = "local/eu-west-1/observer";
const OBSERVEE: &str = "local/eu-west-3/observee";
const FEDERATION: &str = "local/eu-west-1/observer/federation/eu-west-3-observee";

#[test]
fn the_demo_has_the_units_of_its_roles() {
    let stack = Tree::demo().stack();
    let units: Vec<_> = stack
        .units
        .iter()
        .map(|unit| unit.path.to_string())
        .collect();
    assert_eq!(
        units,
        [
            "local/eu-west-1/observer/compact",
            FEDERATION,
            "local/eu-west-1/observer/pki",
            "local/eu-west-1/observer/prometheus",
            "local/eu-west-1/observer/query",
            "local/eu-west-1/observer/storage",
            "local/eu-west-1/observer/store",
            "local/eu-west-3/observee/compact",
            "local/eu-west-3/observee/ingress",
            "local/eu-west-3/observee/prometheus",
            "local/eu-west-3/observee/storage",
            "local/eu-west-3/observee/store",
            "local/eu-west-3/observee/trust",
        ]
    );
    assert!(stack.platform_built);
    assert!(
        stack
            .resources
            .is_sorted_by(|left, right| left.address < right.address)
    );
}

#[test]
fn dependencies_are_what_the_properties_read_through_outputs_of_other_clusters() {
    let stack = Tree::demo().stack();
    assert_eq!(
        depends_on(&stack, &format!("{FEDERATION}:local.process.querier")),
        [format!("{FEDERATION}:local.file.doors[\"0\"]"),]
    );
    assert_eq!(
        depends_on(&stack, &format!("{FEDERATION}:local.file.doors[\"0\"]")),
        [
            format!("{FEDERATION}:local.file.ca"),
            format!("{FEDERATION}:local.file.cert"),
            format!("{FEDERATION}:local.file.key"),
            format!("{OBSERVEE}/ingress:local.ingress.ingress[\"0\"]"),
        ]
    );
    assert_eq!(
        depends_on(&stack, &format!("{FEDERATION}:tls.certificate.client")),
        [format!("{OBSERVER}/pki:tls.ca.ca")]
    );
    assert_eq!(
        depends_on(&stack, &format!("{OBSERVEE}/trust:local.file.bundle")),
        [format!("{OBSERVER}/pki:tls.ca.ca")]
    );
    // Prometheus waits for its own configuration and for nothing that it scrapes, except node-exporter's file.
    assert_eq!(
        depends_on(
            &stack,
            &format!("{OBSERVER}/prometheus:local.process.prometheus[\"0\"]")
        ),
        [
            format!("{OBSERVER}/prometheus:local.file.config[\"0\"]"),
            format!("{OBSERVER}/prometheus:local.file.node_exporter_targets"),
        ]
    );
    assert_eq!(
        depends_on(&stack, &format!("{OBSERVER}/query:local.process.query")),
        [format!("{OBSERVER}/query:local.file.endpoint")]
    );
}

#[test]
fn properties_and_outputs_are_what_is_known() {
    let stack = Tree::demo().stack();
    let applied = Applied::all(&stack);
    let querier = applied.properties(&stack, &format!("{FEDERATION}:local.process.querier"));
    assert_eq!(
        querier["name"],
        "thanos-tls-querier-eu-west-3-observee-query-0".into()
    );
    let key = applied.properties(&stack, &format!("{FEDERATION}:local.file.key"));
    assert_eq!(key["content"], Value::Secret(Secret::new("KEY")));
    assert_eq!(key["mode"], "0600".into());
    let bundle = applied.properties(&stack, &format!("{OBSERVEE}/trust:local.file.bundle"));
    assert_eq!(
        bundle["content"],
        format!("CERT of {OBSERVER}/pki:tls.ca.ca\n").into()
    );
    let ingress = applied.properties(
        &stack,
        &format!("{OBSERVEE}/ingress:local.ingress.ingress[\"0\"]"),
    );
    let identity = "spiffe://demo/observer/local-demo-eu-west-1-observer";
    assert_eq!(ingress["identities"], [identity].into_iter().collect());
    let pki: UnitPath = format!("{OBSERVER}/pki").parse().expect("a path");
    let outputs = stack.outputs(&pki, &applied).expect("evaluates");
    assert_eq!(outputs["ca_key"], Value::Secret(Secret::new("KEY")));
    assert_eq!(outputs["identity"], identity.into());
}

#[test]
fn rendered_files_are_what_their_readers_expect() {
    let stack = Tree::demo().stack();
    let applied = Applied::all(&stack);
    let content = |address: String| {
        let properties = applied.properties(&stack, &address);
        properties["content"].as_text().expect("a text").to_owned()
    };
    let config = content(format!("{OBSERVEE}/prometheus:local.file.config[\"0\"]"));
    let config = crate::parse("c".as_ref(), &config)
        .expect("YAML")
        .to_value();
    let global = config.as_map().expect("a map")["global"]
        .as_map()
        .expect("a map");
    assert_eq!(global["scrape_interval"], "5s".into());
    let labels = global["external_labels"].as_map().expect("labels");
    assert_eq!(labels["cluster"], "local-demo-eu-west-3-observee".into());
    assert_eq!(labels.len(), 3);
    let door = content(format!("{FEDERATION}:local.file.doors[\"0\"]"));
    let door = crate::parse("d".as_ref(), &door).expect("YAML").to_value();
    let door = door.as_map().expect("a map")["endpoints"]
        .as_list()
        .expect("a list")[0]
        .as_map()
        .expect("a map")
        .clone();
    assert_eq!(door["address"], "127.0.0.1:1".into());
    assert_eq!(door["strict"], true.into());
    assert_eq!(
        door["client_config"].as_map().expect("a map")["server_name"],
        "thanos-sidecar.observee.eu-west-3.demo.tks.internal".into()
    );
    let endpoints = content(format!("{FEDERATION}:local.file.endpoint"));
    let querier = format!("- address: \"{FEDERATION}:local.process.querier/grpc:1\"\n");
    let store = format!("- address: \"{FEDERATION}:local.process.store/grpc:1\"\n");
    assert_eq!(endpoints, format!("endpoints:\n{querier}{store}"));
    let skipped = content(format!(
        "{OBSERVER}/prometheus:local.file.node_exporter_targets"
    ));
    assert!(!skipped.contains("job"), "{skipped}");
    let targets = content(format!("{OBSERVER}/prometheus:local.file.targets[\"0\"]"));
    let targets = crate::parse("t".as_ref(), &targets)
        .expect("YAML")
        .to_value();
    assert_eq!(targets.as_list().expect("a list").len(), 2);
}

#[test]
fn before_apply_attributes_are_unknown_and_say_of_what() {
    let stack = Tree::demo().stack();
    let address = format!("{OBSERVEE}/trust:local.file.bundle")
        .parse()
        .expect("an address");
    let properties = stack
        .properties(&address, &Applied::default())
        .expect("evaluates");
    assert_eq!(
        properties["content"],
        Value::unknown(format!("{OBSERVER}/pki:tls.ca.ca.cert_pem"))
    );
    assert!(properties["path"].is_known());
}

#[test]
fn a_third_cluster_only_adds() {
    let tree = Tree::demo();
    let before = tree.stack();
    tree.write("local/ap-south-1/edge/cluster.yaml", "role: observee\n");
    let after = tree.stack();
    let (old, new) = (Applied::all(&before), Applied::all(&after));
    let addresses = |stack: &Stack| -> BTreeSet<Address> {
        stack
            .resources
            .iter()
            .map(|resource| resource.address.clone())
            .collect()
    };
    assert!(addresses(&before).is_subset(&addresses(&after)));
    assert!(after.resources.len() > before.resources.len());
    for resource in &before.resources {
        let address = &resource.address;
        assert_eq!(old.0[address], new.0[address], "{address}");
        assert!(
            after.resources.contains(resource),
            "{address} depends on other things now"
        );
    }
}

#[test]
fn a_second_replica_adds_and_leaves_the_first_alone() {
    let tree = Tree::demo();
    let before = tree.stack();
    let two = "role: observee\nprometheus: { replicas: 2 }\n";
    tree.write("local/eu-west-3/observee/cluster.yaml", two);
    let after = tree.stack();
    let (old, new) = (Applied::all(&before), Applied::all(&after));
    // What has the host in it: with two replicas the first has one of its own.
    let renamed = [
        "tls.certificate.server",
        "local.ingress.ingress",
        "local.file.doors",
    ];
    for resource in &before.resources {
        let address = &resource.address;
        assert!(new.0.contains_key(address), "{address}");
        if !renamed
            .iter()
            .any(|kind| address.to_string().contains(kind))
        {
            assert_eq!(old.0[address], new.0[address], "{address}");
        }
    }
    let of = |address: String| new.properties(&after, &address);
    for replica in ["0", "1"] {
        let pod = format!("prometheus-kube-prometheus-stack-prometheus-{replica}");
        let config = of(format!(
            "{OBSERVEE}/prometheus:local.file.config[\"{replica}\"]"
        ));
        let label = format!("prometheus_replica: \"{pod}\"");
        assert!(
            config["content"]
                .as_text()
                .expect("a text")
                .contains(&label)
        );
        let sidecar = of(format!(
            "{OBSERVEE}/prometheus:local.process.sidecar[\"{replica}\"]"
        ));
        assert_eq!(sidecar["name"], pod.into());
        let host = format!("thanos-sidecar-{replica}.observee.eu-west-3.demo.tks.internal");
        let door = of(format!("{FEDERATION}:local.file.doors[\"{replica}\"]"));
        assert!(door["content"].as_text().expect("a text").contains(&host));
        let ingress = format!("{OBSERVEE}/ingress:local.ingress.ingress[\"{replica}\"]");
        assert_eq!(of(ingress.clone())["host"], host.into());
        let sidecar = format!("{OBSERVEE}/prometheus:local.process.sidecar[\"{replica}\"]");
        assert!(depends_on(&after, &ingress).contains(&sidecar));
    }
}

#[test]
fn the_number_of_replicas_is_written_out() {
    for wrong in ["0", "10", "two", "${value.tags.n}", "[2]"] {
        let tree = Tree::demo();
        let text = format!("role: observee\nprometheus:\n  replicas: {wrong}\n");
        tree.write("local/eu-west-3/observee/cluster.yaml", &text);
        let mistakes = tree.mistakes();
        assert!(
            mistakes[0].starts_with("local/eu-west-3/observee/cluster.yaml:3:13 `prometheus.replicas` is a number from 1 to 9"),
            "{mistakes:?}"
        );
    }
}

#[test]
fn inputs_are_merged_from_module_to_cluster() {
    let tree = Tree::demo();
    tree.write(
        "fleet.yaml",
        "prometheus: { scrape_interval: 10s, retention: 3d, extra_args: [--a] }\n",
    );
    tree.write("local/account.yaml", "prometheus: { retention: null }\n");
    tree.write(
        "local/eu-west-3/observee/cluster.yaml",
        "role: observee\nprometheus: { scrape_interval: '${value.tags.Scrape}', extra_args+: ['--${cluster.id}'] }\n\
         tags: { Scrape: 30s }\n",
    );
    let stack = tree.stack();
    let applied = Applied::all(&stack);
    let of = |cluster: &str| {
        applied.properties(
            &stack,
            &format!("{cluster}/prometheus:local.process.prometheus[\"0\"]"),
        )
    };
    let (observer, observee) = (of(OBSERVER), of(OBSERVEE));
    assert_eq!(observer["args"], ["--a"].into_iter().collect());
    assert_eq!(
        observee["args"],
        ["--a", "--local-demo-eu-west-3-observee"]
            .into_iter()
            .collect()
    );
    let config = applied.properties(
        &stack,
        &format!("{OBSERVEE}/prometheus:local.file.config[\"0\"]"),
    );
    assert!(
        config["content"]
            .as_text()
            .expect("a text")
            .contains("scrape_interval: 30s")
    );
    assert_eq!(
        observer["flags"].as_map().expect("flags")["storage.tsdb.retention.time"],
        Value::Null
    );
}

#[test]
fn every_mistake_of_the_inputs_is_told_at_its_place() {
    let tree = Tree::demo();
    tree.write(
        "local/eu-west-3/observee/cluster.yaml",
        "role: observee\n\
         prometheus:\n\
         \x20 retenton: 30d\n\
         \x20 retention: 30dd\n\
         \x20 extra_args: [ok, 7]\n\
         \x20 binary: ${unit.storag.bucket.name}\n\
         storage: { force_destroy: '${cluster.nmae}' }\n",
    );
    let file = "local/eu-west-3/observee/cluster.yaml";
    assert_eq!(
        tree.mistakes(),
        [
            format!("{file}:3:3 unknown key `retenton`"),
            format!("{file}:4:14 `30dd` is not a duration"),
            format!("{file}:5:20 `7` is not a string"),
            format!("{file}:6:18 {OBSERVEE} (role `observee`) has no unit `storag`"),
            format!("{file}:7:38 a cluster has no `nmae`"),
        ]
    );
}

/// Two modules of a fleet's own, in a role of its own.
fn custom(modules: &[(&str, &str)], role: &str) -> Tree {
    let tree = Tree::new(&[
        ("fleet.yaml", "platform: local\n"),
        ("a/r/c/cluster.yaml", "role: custom\n"),
        ("modules/roles/custom.yaml", role),
    ]);
    for (path, text) in modules {
        tree.write(&format!("modules/{path}"), text);
    }
    tree
}

const ECHO: &str = "inputs: { in: { type: any } }\noutputs: { out: { type: any }, maybe: { type: any, optional: true } }\n";

#[test]
fn units_that_read_each_other_in_a_circle_are_refused_with_the_way_around() {
    let tree = custom(
        &[
            ("echo/module.yaml", ECHO),
            ("echo/local.yaml", "outputs: { out: '${input.in}' }\n"),
        ],
        "units:\n  x: { module: echo, inputs: { in: '${unit.y.out}' } }\n  y: { module: echo, inputs: { in: '${unit.x.out}' } }\n",
    );
    let mistakes = tree.mistakes();
    assert!(
        mistakes
            .iter()
            .all(|mistake| mistake.contains(" a cycle: ")),
        "{mistakes:?}"
    );
    assert!(
        mistakes[0]
            .contains("input `in` of a/r/c/x -> output `out` of a/r/c/y -> input `in` of a/r/c/y"),
        "{mistakes:?}"
    );
}

#[test]
fn a_local_that_contains_itself_is_refused() {
    let tree = custom(
        &[
            ("echo/module.yaml", ECHO),
            (
                "echo/local.yaml",
                "locals: { a: { b: '${local.a}' } }\noutputs: { out: '${local.a.b}' }\n",
            ),
        ],
        "units: { x: { module: echo } }\n",
    );
    assert!(
        tree.mistakes()[0].contains("local `a` of a/r/c/x"),
        "{:?}",
        tree.mistakes()
    );
}

#[test]
fn resources_that_need_each_other_are_refused_with_the_way_around() {
    let body = "resources:\n  f: { type: local.file, properties: { path: p, content: '${input.in}' } }\noutputs: { out: '${resource.f.sha256}' }\n";
    let tree = custom(
        &[("echo/module.yaml", ECHO), ("echo/local.yaml", body)],
        "units:\n  x: { module: echo, inputs: { in: '${unit.y.out}' } }\n  y: { module: echo, inputs: { in: '${unit.x.out}' } }\n",
    );
    assert_eq!(
        tree.mistakes(),
        [
            "modules/echo/local.yaml:2:3 these need each other: a/r/c/x:local.file.f -> a/r/c/y:local.file.f -> a/r/c/x:local.file.f"
        ]
    );
}

#[test]
fn resources_are_made_per_element_and_left_out_when_told() {
    let body = "resources:\n\
                \x20 each:\n    type: local.file\n    for_each: ${input.in}\n    properties: { path: '${each.key}', content: '${each.value}' }\n\
                \x20 never: { type: local.file, when: '${input.in == null}', properties: { path: x } }\n\
                outputs: { out: '${resource.each.*.sha256}', maybe: '${resource.never.sha256}' }\n";
    let tree = custom(
        &[("echo/module.yaml", ECHO), ("echo/local.yaml", body)],
        "units: { x: { module: echo, inputs: { in: { b: '2', a: '1' } } } }\n",
    );
    let stack = tree.stack();
    let addresses: Vec<_> = stack
        .resources
        .iter()
        .map(|r| r.address.to_string())
        .collect();
    assert_eq!(
        addresses,
        [
            "a/r/c/x:local.file.each[\"a\"]",
            "a/r/c/x:local.file.each[\"b\"]"
        ]
    );
    let applied = Applied::all(&stack);
    assert_eq!(
        applied.0[&stack.resources[1].address]["content"],
        "2".into()
    );
    let outputs = stack
        .outputs(&stack.units[0].path, &applied)
        .expect("evaluates");
    assert_eq!(outputs["out"], ["0", "0"].into_iter().collect());
    assert_eq!(outputs["maybe"], Value::Null);
}

#[test]
fn how_many_there_are_must_be_known_from_the_tree() {
    let body = "resources:\n\
                \x20 one: { type: local.file, properties: { path: p } }\n\
                \x20 each: { type: local.file, for_each: '${resource.one.sha256}', properties: { path: q } }\n\
                outputs: { out: null }\n";
    let tree = custom(
        &[("echo/module.yaml", ECHO), ("echo/local.yaml", body)],
        "units: { x: { module: echo } }\n",
    );
    assert!(tree.mistakes()[0].contains("`for_each` is not known before apply"));
}

#[test]
fn a_unit_without_a_file_for_the_platform_reads_as_null_only_where_declared() {
    let role = |output: &str| {
        format!(
            "units:\n  x: {{ module: echo }}\n  y: {{ module: other, inputs: {{ in: '${{unit.x.{output}}}' }} }}\n"
        )
    };
    let modules = [
        ("echo/module.yaml", ECHO),
        ("other/module.yaml", ECHO),
        ("other/local.yaml", "outputs: { out: '${input.in}' }\n"),
    ];
    let stack = custom(&modules, &role("maybe")).stack();
    let outputs = stack.outputs(&"a/r/c/y".parse().expect("a path"), &Applied::default());
    assert_eq!(outputs.expect("evaluates")["out"], Value::Null);
    let mistakes = custom(&modules, &role("out")).mistakes();
    assert!(
        mistakes[0].contains("a/r/c/x is not there, so its output `out`"),
        "{mistakes:?}"
    );
}

#[test]
fn an_attribute_that_a_resource_does_not_have_is_a_mistake_once_it_is_known() {
    let body = "resources:\n  f: { type: local.file, properties: { path: p } }\noutputs: { out: '${resource.f.sha265}' }\n";
    let tree = custom(
        &[("echo/module.yaml", ECHO), ("echo/local.yaml", body)],
        "units: { x: { module: echo } }\n",
    );
    let stack = tree.stack();
    let Diagnostics(mistakes) = stack
        .outputs(&stack.units[0].path, &Applied::all(&stack))
        .expect_err("a typo");
    assert_eq!(mistakes[0].candidates, ["sha256"]);
}

#[test]
fn an_observer_can_observe_observers_and_what_is_not_managed() {
    let tree = Tree::demo();
    tree.write(
        "local/eu-west-2/second/cluster.yaml",
        "role: observer\nfederation:\n  select: { roles: [observer, observee] }\n  external:\n  - { name: legacy, endpoints: ['thanos.example:443'], tls: { server_name: thanos.example } }\n",
    );
    let stack = tree.stack();
    let units: Vec<_> = stack
        .units
        .iter()
        .map(|unit| unit.path.to_string())
        .collect();
    for unit in [
        "local/eu-west-2/second/federation/eu-west-1-observer",
        "local/eu-west-2/second/federation/eu-west-3-observee",
        "local/eu-west-2/second/external/legacy",
        "local/eu-west-1/observer/ingress",
    ] {
        assert!(units.contains(&unit.to_owned()), "{unit} in {units:?}");
    }
    assert!(!units.contains(&"local/eu-west-2/second/ingress".to_owned()));
    let applied = Applied::all(&stack);
    let external = applied.properties(
        &stack,
        "local/eu-west-2/second/external/legacy:local.process.querier",
    );
    let flags = external["flags"].as_map().expect("flags");
    assert_eq!(flags["grpc-client-tls-secure"], Value::Bool(true));
    assert_eq!(flags["grpc-client-server-name"], "thanos.example".into());
    let bundle = applied.properties(&stack, &format!("{OBSERVEE}/trust:local.file.bundle"));
    assert_eq!(
        bundle["content"].as_text().expect("a text").lines().count(),
        2
    );
}

#[test]
fn overrides_reach_the_unit_of_one_peer() {
    let tree = Tree::demo();
    tree.write(
        "local/eu-west-1/observer/cluster.yaml",
        "role: observer\nfederation: { overrides: { eu-west-3-observee: { address: 'example.com:443' } } }\n",
    );
    let stack = tree.stack();
    let applied = Applied::all(&stack);
    let door = applied.properties(&stack, &format!("{FEDERATION}:local.file.doors[\"0\"]"));
    let door = door["content"].as_text().expect("a text");
    assert!(door.contains("- address: \"example.com:443\"\n"), "{door}");
}

fn repository(fleet: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../live")
        .join(fleet)
}

#[test]
fn the_fleets_of_the_repository_are_right() {
    let demo = load(&repository("demo"), None).unwrap_or_else(|m| panic!("{m:#?}"));
    assert!(demo.platform_built && !demo.resources.is_empty());
    let thanos = load(&repository("thanos"), None).unwrap_or_else(|m| panic!("{m:#?}"));
    assert_eq!(thanos.fleet.platform, "aws");
    assert!(!thanos.platform_built && thanos.resources.is_empty() && thanos.units.len() == 13);
    let ids: Vec<_> = thanos
        .clusters
        .iter()
        .map(|cluster| cluster.id.as_str())
        .collect();
    assert_eq!(ids, ["pio-thanos-observer", "pio-thanos-observee"]);
}

#[test]
fn another_platform_keeps_every_name() {
    let local = load(&repository("thanos"), Some("local")).unwrap_or_else(|m| panic!("{m:#?}"));
    let applied = Applied::all(&local);
    let address = "pio/eu-west-1/observer/federation/observee:local.process.querier";
    let querier = applied.properties(&local, address);
    assert_eq!(
        querier["name"],
        "thanos-tls-querier-observee-query-0".into()
    );
    let address = "pio/eu-west-1/observer/federation/observee:local.file.doors[\"0\"]";
    let door = applied.properties(&local, address);
    let host = "server_name: \"thanos-sidecar.thanos.teks-tg.clusterfrak-dynamics.io\"";
    assert!(door["content"].as_text().expect("a text").contains(host));
}

#[test]
fn a_platform_that_is_not_built_still_checks_the_inputs() {
    let tree = Tree::new(&[
        ("fleet.yaml", "platform: aws\ndomain: example.com\n"),
        (
            "pio/eu-west-1/observer/cluster.yaml",
            "role: observer\nprometheus: { retention: 3 }\n",
        ),
    ]);
    assert_eq!(
        tree.mistakes(),
        ["pio/eu-west-1/observer/cluster.yaml:2:26 `3` is not a duration"]
    );
}

#[test]
fn an_observee_without_observers_has_no_door() {
    let tree = Tree::new(&[DEMO[0], DEMO[2]]);
    let modules: Vec<_> = tree
        .stack()
        .units
        .into_iter()
        .map(|unit| unit.module)
        .collect();
    assert_eq!(modules, ["compact", "prometheus", "storage", "store"]);
}

#[test]
fn a_required_input_that_nobody_gives_is_shown_at_the_clusters_role() {
    let tree = custom(
        &[
            (
                "echo/module.yaml",
                "inputs: { in: { type: string, required: true } }\n",
            ),
            ("echo/local.yaml", ""),
        ],
        "units: { x: { module: echo } }\n",
    );
    assert_eq!(
        tree.mistakes(),
        ["a/r/c/cluster.yaml:1:7 unit `x` needs `in`"]
    );
    tree.write("a/r/c/cluster.yaml", "role: custom\nx: { in: given }\n");
    tree.stack();
}

#[test]
fn a_secret_input_stays_a_secret_on_its_way_into_a_template() {
    let tree = custom(
        &[
            (
                "echo/module.yaml",
                "inputs: { password: { type: string, secret: true } }\noutputs: { out: { type: string, secret: true } }\n",
            ),
            (
                "echo/local.yaml",
                "resources:\n  f:\n    type: local.file\n    properties: { path: p, template: x.hbs, with: { password: '${input.password}' } }\noutputs: { out: 'a ${input.password}' }\n",
            ),
        ],
        "units: { x: { module: echo, inputs: { password: hunter2 } } }\n",
    );
    tree.write("templates/x.hbs", "password={{password}}");
    let stack = tree.stack();
    let applied = Applied::all(&stack);
    let properties = applied.properties(&stack, "a/r/c/x:local.file.f");
    assert_eq!(
        properties["content"],
        Value::Secret(Secret::new("password=hunter2"))
    );
    let outputs = stack
        .outputs(&stack.units[0].path, &applied)
        .expect("evaluates");
    assert_eq!(outputs["out"], Value::Secret(Secret::new("a hunter2")));
}

use std::os::unix::fs::PermissionsExt;

use plan::Allocator;
use stack::Secret;
use tempfile::TempDir;

use super::*;

/// Hands out 21000, 21001, …, or what is wanted; remembers who asked.
#[derive(Default)]
struct Ports {
    owners: Vec<String>,
}

impl Allocator for Ports {
    fn port(
        &mut self,
        owner: &str,
        wanted: Option<u16>,
        _: &dyn Fn(u16) -> bool,
    ) -> Result<u16, ProviderError> {
        let at = self
            .owners
            .iter()
            .position(|known| known == owner)
            .unwrap_or(self.owners.len());
        if at == self.owners.len() {
            self.owners.push(owner.to_owned());
        }
        Ok(wanted.unwrap_or(21_000 + at as u16))
    }
}

struct Bench {
    dir: TempDir,
    local: Local,
    ports: Ports,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(Config::new(dir.path(), "/opt/tks"));
        Self {
            dir,
            local,
            ports: Ports::default(),
        }
    }

    fn try_plan(
        &mut self,
        kind: &str,
        properties: &Attributes,
        prior: Option<&Attributes>,
    ) -> Result<Planned, ProviderError> {
        let (address, allocator) = (address(kind), &mut self.ports);
        self.local.plan(PlanRequest {
            address: &address,
            properties,
            prior,
            allocator,
        })
    }

    fn plan(
        &mut self,
        kind: &str,
        properties: &Attributes,
        prior: Option<&Attributes>,
    ) -> Attributes {
        match self.try_plan(kind, properties, prior).unwrap() {
            Planned::Attributes { attributes, .. } => attributes,
            Planned::Skipped { reason } => panic!("{reason}"),
        }
    }

    async fn make(&mut self, kind: &str, properties: &Attributes) -> Attributes {
        let planned = self.plan(kind, properties, None);
        let made = self
            .local
            .create(&address(kind), &planned, "")
            .await
            .unwrap();
        assert_eq!(
            self.read(kind, &made).await,
            Some(made.clone()),
            "what is made is found"
        );
        assert_eq!(
            self.plan(kind, properties, Some(&made)),
            made,
            "and needs no change"
        );
        made
    }

    async fn read(&self, kind: &str, prior: &Attributes) -> Option<Attributes> {
        self.local.read(&address(kind), prior).await.unwrap()
    }
}

fn address(kind: &str) -> Address {
    format!("local/eu-west-1/observer/query:{kind}.x")
        .parse()
        .unwrap()
}

fn of(pairs: &[(&str, Value)]) -> Attributes {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn map(pairs: &[(&str, Value)]) -> Value {
    Value::Map(of(pairs))
}

fn list(texts: &[&str]) -> Value {
    texts.iter().copied().collect()
}

#[tokio::test]
async fn an_edited_file_shows_in_the_next_plan_and_a_missing_one_too() {
    let mut bench = Bench::new();
    let properties = of(&[("path", "conf/a.yaml".into()), ("content", "a: 1\n".into())]);
    let made = bench.make("local.file", &properties).await;
    let path = bench.dir.path().join("conf/a.yaml");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a: 1\n");
    assert_eq!(made["mode"], "0644".into());

    fs::write(&path, "a: 2\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let edited = bench.read("local.file", &made).await.unwrap();
    assert_eq!(
        (&edited["content"], &edited["mode"]),
        (&"a: 2\n".into(), &"0600".into())
    );
    assert_ne!(edited["sha256"], made["sha256"]);
    let planned = bench.plan("local.file", &properties, Some(&edited));
    assert_eq!(planned, made);
    bench
        .local
        .update(&address("local.file"), &edited, &planned)
        .await
        .unwrap();
    assert_eq!(bench.read("local.file", &made).await, Some(made.clone()));

    fs::remove_file(&path).unwrap();
    assert_eq!(bench.read("local.file", &made).await, None);
    bench
        .local
        .delete(&address("local.file"), &made)
        .await
        .unwrap();
    assert!(
        !bench.dir.path().join("conf").exists(),
        "the empty folder goes along"
    );
    assert!(bench.dir.path().exists());
}

#[tokio::test]
async fn a_secret_file_stays_secret_and_is_closed_to_others() {
    let mut bench = Bench::new();
    let secret = Value::Secret(Secret::new("hunter2"));
    let properties = of(&[("path", "key.pem".into()), ("content", secret)]);
    let made = bench.make("local.file", &properties).await;
    let path = bench.dir.path().join("key.pem");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(matches!(made["sha256"], Value::Secret(_)));
    fs::write(&path, "hunter3").unwrap();
    let found = bench.read("local.file", &made).await.unwrap();
    assert!(!format!("{found:?}").contains("hunter"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = bench
        .local
        .create(&address("local.file"), &made, "")
        .await
        .unwrap_err();
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
}

#[test]
fn a_file_of_unknown_content_can_be_planned() {
    let mut bench = Bench::new();
    let content = Value::unknown("tls.ca.x.cert_pem");
    let planned = bench.plan(
        "local.file",
        &of(&[("path", "a".into()), ("content", content)]),
        None,
    );
    assert!(!planned["sha256"].is_known() && !planned["mode"].is_known());
    for (name, value) in [
        ("mode", Value::from("rw")),
        ("mode", "99999".into()),
        ("path", "".into()),
        ("path", "dir/".into()),
        ("content", Value::Int(3)),
        ("content", Value::Null),
        ("owner", "root".into()),
    ] {
        let mut properties = of(&[("path", "a".into()), ("content", "".into())]);
        properties.insert(name.to_owned(), value);
        let error = bench.try_plan("local.file", &properties, None).unwrap_err();
        assert_eq!(error.property.as_deref(), Some(name), "{error}");
    }
}

#[tokio::test]
async fn a_bucket_with_objects_is_not_removed_unless_forced() {
    let mut bench = Bench::new();
    let properties = of(&[("name", "thanos-store-a".into())]);
    let mut made = bench.make("local.bucket", &properties).await;
    let dir = bench.dir.path().join("buckets/thanos-store-a");
    assert_eq!(made["dir"], dir.to_str().unwrap().into());
    fs::create_dir_all(dir.join("01ABC/chunks")).unwrap();
    fs::write(dir.join("01ABC/meta.json"), "{}").unwrap();
    fs::write(dir.join("01ABC/chunks/000001"), "").unwrap();

    let error = bench
        .local
        .delete(&address("local.bucket"), &made)
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "bucket \"thanos-store-a\" is not empty: it holds 2 objects"
    );
    assert!(error.help.unwrap().contains("force_destroy: true"));
    assert!(dir.join("01ABC/meta.json").exists());

    made.insert("force_destroy".into(), true.into());
    bench
        .local
        .delete(&address("local.bucket"), &made)
        .await
        .unwrap();
    assert!(!dir.exists());
    assert_eq!(bench.read("local.bucket", &made).await, None);
    bench
        .local
        .delete(&address("local.bucket"), &made)
        .await
        .unwrap();
}

#[test]
fn a_bucket_stays_in_its_folder_and_a_renamed_one_is_another() {
    let mut bench = Bench::new();
    for name in ["../x", "a/b", "..", ""] {
        let error = bench
            .try_plan("local.bucket", &of(&[("name", name.into())]), None)
            .unwrap_err();
        assert_eq!(error.property.as_deref(), Some("name"), "{name}");
    }
    let prior = bench.plan("local.bucket", &of(&[("name", "a".into())]), None);
    let renamed = bench
        .try_plan("local.bucket", &of(&[("name", "b".into())]), Some(&prior))
        .unwrap();
    let Planned::Attributes { replace, .. } = renamed else {
        panic!("skipped")
    };
    assert_eq!(
        replace,
        [("name".to_owned(), "a bucket cannot be renamed".to_owned())]
    );
}

#[test]
fn addresses_and_program_of_a_process_are_known_in_its_plan() {
    let mut bench = Bench::new();
    let properties = of(&[
        ("name", "thanos-query-0".into()),
        ("component", "query".into()),
        ("ports", list(&["http", "grpc"])),
        ("port", map(&[("grpc", 22_000.into())])),
        ("flags", map(&[("endpoint-file", Value::unknown("a file"))])),
    ]);
    let planned = bench.plan("local.process", &properties, None);
    let addresses = map(&[
        ("http", "127.0.0.1:21000".into()),
        ("grpc", "127.0.0.1:22000".into()),
    ]);
    assert_eq!(planned["addresses"], addresses);
    assert_eq!(planned["executable"], "/opt/tks".into());
    assert_eq!(planned["running"], true.into());
    assert_eq!(
        bench.ports.owners[0],
        "local/eu-west-1/observer/query:local.process.x http"
    );
}

#[test]
fn flags_become_arguments_in_thanos_order() {
    let bench = Bench::new();
    let attributes = of(&[
        ("name", "thanos-query-0".into()),
        ("component", "query".into()),
        ("ports", list(&["http"])),
        ("addresses", map(&[("http", "127.0.0.1:21000".into())])),
        ("executable", "/opt/tks".into()),
        (
            "flags",
            map(&[
                ("log.level", "info".into()),
                ("wait", true.into()),
                ("not", false.into()),
                ("nothing", Value::Null),
                ("replicas", 3.into()),
                ("endpoint", list(&["a:1", "b:2"])),
                ("token", Value::Secret(Secret::new("s3cret"))),
            ]),
        ),
        ("args", list(&["last"])),
    ]);
    let spec = process::spec(&address("local.process"), &attributes, &bench.local.config).unwrap();
    assert_eq!(
        spec.argv.join(" "),
        "/opt/tks thanos query --http-address=127.0.0.1:21000 --endpoint=a:1 --endpoint=b:2 \
         --log.level=info --replicas=3 --token=s3cret --wait last"
    );
    assert_eq!(spec.ready.as_ref().unwrap().path, "/-/ready");
    assert_eq!(
        spec.id.to_string(),
        "local/eu-west-1/observer/thanos-query-0/query"
    );
    assert!(
        spec.log
            .ends_with("logs/local-eu-west-1-observer/thanos-query-0.log")
    );
    assert!(!format!("{spec:?}").contains("s3cret"));
}

#[test]
fn only_what_makes_another_process_changes_its_fingerprint() {
    let bench = Bench::new();
    let print = |attributes: &Attributes| {
        let address = address("local.process");
        process::spec(&address, attributes, &bench.local.config)
            .unwrap()
            .fingerprint()
    };
    let base = of(&[
        ("name", "p-0".into()),
        ("command", "sh".into()),
        ("executable", "/bin/sh".into()),
        ("restart_on", list(&["a"])),
    ]);
    let with = |name: &str, value: Value| {
        let mut changed = base.clone();
        changed.insert(name.to_owned(), value);
        print(&changed)
    };
    assert_eq!(with("install", "apt-get".into()), print(&base));
    assert_eq!(with("optional", true.into()), print(&base));
    assert_ne!(with("restart_on", list(&["b"])), print(&base));
    let (a, b) = (
        Value::Secret(Secret::new("a")),
        Value::Secret(Secret::new("b")),
    );
    assert_ne!(
        with("restart_on", Value::List(vec![a])),
        with("restart_on", Value::List(vec![b]))
    );
    assert_ne!(with("env", map(&[("A", "b".into())])), print(&base));
    assert_ne!(with("args", list(&["x"])), print(&base));
}

#[test]
fn a_missing_program_says_how_to_get_it_unless_it_is_optional() {
    let mut bench = Bench::new();
    let mut properties = of(&[
        ("name", "prometheus-0".into()),
        ("command", "no-such-program".into()),
        (
            "install",
            "on Debian: sudo apt-get install prometheus".into(),
        ),
    ]);
    let error = bench
        .try_plan("local.process", &properties, None)
        .unwrap_err();
    assert_eq!(error.message, "`no-such-program` is not in PATH");
    assert_eq!(
        error.help.as_deref(),
        Some("on Debian: sudo apt-get install prometheus")
    );
    properties.insert("optional".into(), true.into());
    let skipped = bench.try_plan("local.process", &properties, None).unwrap();
    assert_eq!(
        skipped,
        Planned::Skipped {
            reason: "not installed: no-such-program".into()
        }
    );
    properties.insert("command".into(), "sh".into());
    let planned = bench.plan("local.process", &properties, None);
    assert!(planned["executable"].as_text().unwrap().ends_with("/sh"));
}

#[test]
fn mistakes_in_a_process_name_their_property() {
    let mut bench = Bench::new();
    for (name, value) in [
        ("name", Value::Null),
        ("name", "a/b".into()),
        ("name", Value::unknown("x")),
        ("component", "query".into()),
        ("command", Value::Null),
        ("command", "/no/such/file".into()),
        ("flags", list(&["a"])),
        ("env", "A=b".into()),
        ("ports", map(&[("http", 3.into())])),
        ("port", map(&[("other", 3.into())])),
        ("port", map(&[("http", 70_000.into())])),
        ("ready", map(&[("port", "other".into())])),
        ("ready", map(&[("url", "x".into())])),
        ("optional", "yes".into()),
        ("restarts", 3.into()),
        ("data", "/etc".into()),
        ("data", "../elsewhere".into()),
        ("data", "".into()),
    ] {
        let mut properties = of(&[
            ("name", "p-0".into()),
            ("command", "sh".into()),
            ("ports", list(&["http"])),
        ]);
        properties.insert(name.to_owned(), value);
        let error = bench
            .try_plan("local.process", &properties, None)
            .unwrap_err();
        let property = error.property.as_deref().unwrap_or_default();
        let expected = if name == "component" { "command" } else { name };
        assert!(
            property.starts_with(expected),
            "{name}: {property}: {error}"
        );
    }
}

#[tokio::test]
async fn without_a_supervisor_nothing_runs_and_there_is_nothing_to_stop() {
    let mut bench = Bench::new();
    let properties = of(&[("name", "p-0".into()), ("command", "sh".into())]);
    let planned = bench.plan("local.process", &properties, None);
    let found = bench.read("local.process", &planned).await.unwrap();
    assert_eq!(found["running"], false.into());
    bench
        .local
        .delete(&address("local.process"), &planned)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_ingress_without_friends_is_refused_and_its_edited_file_is_seen() {
    let mut bench = Bench::new();
    let mut properties = of(&[
        ("name", "thanos-sidecar-0".into()),
        ("host", "thanos-sidecar.example.org".into()),
        ("backend", "127.0.0.1:21001".into()),
        ("cert_file", "tls/cert.pem".into()),
        ("key_file", "tls/key.pem".into()),
        ("client_ca_file", "tls/ca.pem".into()),
        ("identities", list(&[])),
    ]);
    let error = bench
        .try_plan("local.ingress", &properties, None)
        .unwrap_err();
    assert_eq!(error.property.as_deref(), Some("identities"));
    properties.insert("identities".into(), list(&["spiffe://demo/observer/x"]));
    let planned = bench.plan("local.ingress", &properties, None);
    assert_eq!(planned["address"], "127.0.0.1:21000".into());
    let path = planned["config_file"].as_text().unwrap().to_owned();

    let text = ingress::configuration(&planned, &bench.local.config).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        document["routes"][0]["identities"][0],
        "spiffe://demo/observer/x"
    );
    let cert = bench.dir.path().join("tls/cert.pem");
    assert_eq!(document["routes"][0]["cert_file"], cert.to_str().unwrap());
    file::write(Path::new(&path), text.as_bytes(), 0o600).unwrap();
    let found = bench.read("local.ingress", &planned).await.unwrap();
    assert_eq!(
        (&found["config_file"], &found["running"]),
        (&path.as_str().into(), &false.into())
    );
    fs::write(&path, "{}").unwrap();
    let found = bench.read("local.ingress", &planned).await.unwrap();
    assert_eq!(found["config_file"], Value::Null);
}

//! The sidecar's reloader against a scripted Prometheus, and against a real one beside a real Thanos sidecar. What is
//! not installed is left out, and said so.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "what is left out is said")]

mod peers;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use parking_lot::Mutex;
use peers::{Process, free, peer};
use thanos::sidecar::{Config, Error, HttpClient, Method, Reloads, run};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Cargo sets it for every test, and processes inherit it.
const VARIABLE: &str = "CARGO_PKG_NAME";
const VALUE: &str = env!("CARGO_PKG_NAME");

/// What a reload is answered with, and how many there were.
struct Script {
    answer: StatusCode,
    reloads: usize,
}

type Shared = Arc<Mutex<Script>>;

/// A Prometheus that can be reloaded, and nothing else.
async fn scripted(answer: StatusCode) -> (Shared, SocketAddr) {
    let script = Arc::new(Mutex::new(Script { answer, reloads: 0 }));
    let reload = {
        let script = script.clone();
        move || {
            let mut script = script.lock();
            script.reloads += 1;
            std::future::ready(script.answer)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/-/reload", post(reload));
    tokio::spawn(async { axum::serve(listener, router).await });
    (script, address)
}

struct Sidecar {
    http: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn start(prometheus: SocketAddr, reloads: Reloads) -> Sidecar {
    start_with(Config {
        prometheus_url: format!("http://{prometheus}"),
        reloads,
        ..Config::default()
    })
}

fn start_with(config: Config) -> Sidecar {
    let (http, stop) = (free(), CancellationToken::new());
    let config = Config {
        grpc_address: free(),
        http_address: http,
        ..config
    };
    let task = tokio::spawn(run(config, stop.clone()));
    Sidecar { http, stop, task }
}

/// The samples of the reloader at an address, by name.
async fn metrics(http: SocketAddr) -> Vec<(String, f64)> {
    let url = format!("http://{http}/metrics");
    let text = match reqwest::get(url).await {
        Ok(answer) => answer.text().await.unwrap(),
        Err(_) => String::new(),
    };
    let samples = text.lines().filter_map(|line| {
        let (name, value) = line
            .strip_prefix("thanos_sidecar_reloader_")?
            .rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    samples.collect()
}

async fn metric(http: SocketAddr, name: &str) -> Option<f64> {
    let samples = metrics(http).await;
    samples
        .into_iter()
        .find_map(|(found, value)| (found == name).then_some(value))
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

fn reloads(dir: &Path) -> Reloads {
    Reloads {
        config_file: Some(dir.join("in.yaml")),
        config_envsubst_file: Some(dir.join("out.yaml")),
        rule_dirs: vec![dir.join("rules")],
        retry_interval: Duration::from_millis(100),
        ..Reloads::default()
    }
}

/// A folder with a configuration and a folder of rules.
fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("in.yaml"), config).unwrap();
    folder
}

#[tokio::test]
async fn a_reload_is_tried_until_it_works_and_then_at_every_change() {
    let (script, address) = scripted(StatusCode::FORBIDDEN).await;
    let folder = folder("one");
    let dir = folder.path();
    let sidecar = start(address, reloads(dir));
    eventually("three tries", async || script.lock().reloads >= 3).await;
    assert_eq!(fs::read_to_string(dir.join("out.yaml")).unwrap(), "one");
    assert_eq!(
        metric(sidecar.http, "last_reload_successful").await,
        Some(0.0)
    );
    script.lock().answer = StatusCode::OK;
    let successful = async || metric(sidecar.http, "last_reload_successful").await == Some(1.0);
    eventually("success", successful).await;
    let tries = script.lock().reloads;
    assert_eq!(
        metric(sidecar.http, "reloads_total").await,
        Some(tries as f64)
    );

    for (changed, content) in [("rules/a.yaml", "groups: []"), ("in.yaml", "two")] {
        let before = script.lock().reloads;
        fs::write(dir.join(changed), content).unwrap();
        eventually(changed, async || script.lock().reloads > before).await;
    }
    assert_eq!(fs::read_to_string(dir.join("out.yaml")).unwrap(), "two");
    // Touched, but what it says is the same.
    let before = script.lock().reloads;
    fs::write(dir.join("in.yaml"), "two").unwrap();
    let noticed = metric(sidecar.http, "watch_events_total").await;
    eventually("a look at the file", async || {
        metric(sidecar.http, "watch_events_total").await > noticed
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(script.lock().reloads, before);
}

#[tokio::test]
async fn a_variable_that_is_not_set_is_an_error_at_the_start_and_counted_later() {
    let (script, address) = scripted(StatusCode::OK).await;
    let folder = folder("$(TKS_NOT_SET_A) $(TKS_NOT_SET_B)");
    let dir = folder.path();
    let mut refused = start(address, reloads(dir));
    let error = (&mut refused.task).await.unwrap().unwrap_err().to_string();
    assert!(
        error.contains("in.yaml") && error.contains("TKS_NOT_SET_A, TKS_NOT_SET_B"),
        "{error}"
    );
    assert!(!dir.join("out.yaml").exists());

    fs::write(dir.join("in.yaml"), format!("$({VARIABLE})")).unwrap();
    let sidecar = start(address, reloads(dir));
    eventually("a reload", async || script.lock().reloads == 1).await;
    fs::write(dir.join("in.yaml"), "$(TKS_NOT_SET_A) $(TKS_NOT_SET_B)").unwrap();
    let unset = async || {
        metric(sidecar.http, "config_environment_variable_expansion_errors").await == Some(2.0)
    };
    eventually("both are counted", unset).await;
    assert!(metric(sidecar.http, "config_apply_operations_failed_total").await >= Some(1.0));
    assert_eq!(fs::read_to_string(dir.join("out.yaml")).unwrap(), VALUE);
    assert_eq!(script.lock().reloads, 1, "nothing to reload");
    fs::write(dir.join("in.yaml"), "$$").unwrap();
    eventually("it can be used again", async || script.lock().reloads == 2).await;
    assert_eq!(
        metric(sidecar.http, "config_environment_variable_expansion_errors").await,
        Some(0.0)
    );
}

#[tokio::test]
async fn without_an_interval_the_configuration_is_written_and_nothing_else() {
    let (script, address) = scripted(StatusCode::OK).await;
    let folder = folder("one");
    let dir = folder.path();
    let reloads = Reloads {
        watch_interval: Duration::ZERO,
        ..reloads(dir)
    };
    let sidecar = start(address, reloads);
    eventually("it is written", async || dir.join("out.yaml").exists()).await;
    fs::write(dir.join("in.yaml"), "two").unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(fs::read_to_string(dir.join("out.yaml")).unwrap(), "one");
    assert_eq!(script.lock().reloads, 0);
    assert!(!sidecar.task.is_finished());
}

#[tokio::test]
async fn a_folder_that_is_missing_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let reloads = Reloads {
        rule_dirs: vec![folder.path().join("absent")],
        ..Reloads::default()
    };
    let mut sidecar = start(free(), reloads);
    let error = (&mut sidecar.task).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("/absent"), "{error}");
}

const CONFIG: &str = "global: { external_labels: { replica: $(CARGO_PKG_NAME), path: '$$(CARGO_PKG_NAME)$' } }\nrule_files: [rules/*.yaml]\n";
const LIFECYCLE: &str = "--web.enable-lifecycle";
const RULES: &str = "groups: [{ name: one, rules: [{ record: a, expr: vector(1) }] }]\n";

/// A real Prometheus on the output of a reloader.
async fn prometheus(program: &Path, dir: &Path, flags: &[&str]) -> (Process, SocketAddr) {
    let address = free();
    let mut args = vec![
        format!("--config.file={}", dir.join("out.yaml").display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        format!("--web.listen-address={address}"),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    fs::write(
        dir.join("out.yaml"),
        "global: { external_labels: { replica: before } }\n",
    )
    .unwrap();
    let process = Process::start(program, &args);
    eventually("Prometheus listens", async || {
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await;
    (process, address)
}

async fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
    answer.error_for_status().ok()?.text().await.ok()
}

/// Until Prometheus's answer has a text in it.
async fn says(address: SocketAddr, path: &str, text: &str) {
    eventually(text, async || {
        ask(address, path)
            .await
            .is_some_and(|answer| answer.contains(text))
    })
    .await;
}

#[tokio::test]
async fn a_real_prometheus_follows_its_files_as_beside_a_real_sidecar() {
    let (Some(program), Some(thanos)) = (peer("prometheus"), peer("thanos")) else {
        return;
    };
    let (ours, theirs) = (folder(CONFIG), folder(CONFIG));
    let (_a, our_prometheus) = prometheus(&program, ours.path(), &[LIFECYCLE]).await;
    let (_b, their_prometheus) = prometheus(&program, theirs.path(), &[LIFECYCLE]).await;
    let sidecar = start(our_prometheus, reloads(ours.path()));
    let their_http = free();
    let at = |name: &str| theirs.path().join(name).display().to_string();
    let _their_sidecar = Process::start(
        &thanos,
        &[
            "sidecar".to_owned(),
            format!("--prometheus.url=http://{their_prometheus}"),
            format!("--http-address={their_http}"),
            format!("--grpc-address={}", free()),
            format!("--reloader.config-file={}", at("in.yaml")),
            format!("--reloader.config-envsubst-file={}", at("out.yaml")),
            format!("--reloader.rule-dir={}", at("rules")),
        ],
    );
    let both = [
        (ours.path(), our_prometheus),
        (theirs.path(), their_prometheus),
    ];
    for (dir, prometheus) in both {
        says(
            prometheus,
            "/api/v1/status/config",
            &format!("replica: {VALUE}"),
        )
        .await;
        fs::write(dir.join("rules/a.yaml"), RULES).unwrap();
        says(prometheus, "/api/v1/rules", "\"name\":\"a\"").await;
    }
    let written = both.map(|(dir, _)| fs::read(dir.join("out.yaml")).unwrap());
    assert_eq!(written[0], written[1], "the same file of the same input");
    let names = async |http| -> BTreeSet<String> {
        metrics(http)
            .await
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(names(sidecar.http).await, names(their_http).await);

    // A rule that Prometheus does not take, until it is put right.
    fs::write(
        ours.path().join("rules/a.yaml"),
        RULES.replace("vector(1)", "vector("),
    )
    .unwrap();
    eventually("it is refused", async || {
        metric(sidecar.http, "last_reload_successful").await == Some(0.0)
    })
    .await;
    fs::write(
        ours.path().join("rules/a.yaml"),
        RULES.replace("record: a", "record: b"),
    )
    .unwrap();
    says(our_prometheus, "/api/v1/rules", "\"name\":\"b\"").await;
    eventually("it is taken", async || {
        metric(sidecar.http, "last_reload_successful").await == Some(1.0)
    })
    .await;
}

/// `test`, as bcrypt.
const USERS: &str =
    "basic_auth_users: { tks: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay }\n";

#[tokio::test]
async fn a_prometheus_that_asks_for_a_password_gets_it() {
    let Some(program) = peer("prometheus") else {
        return;
    };
    let folder = folder(CONFIG);
    let dir = folder.path();
    fs::write(dir.join("web.yaml"), USERS).unwrap();
    fs::write(dir.join("password"), "wrong\n").unwrap();
    let users = format!("--web.config.file={}", dir.join("web.yaml").display());
    let (_prometheus, address) = prometheus(&program, dir, &[LIFECYCLE, &users]).await;
    let client = format!(
        "basic_auth: {{ username: tks, password_file: {} }}",
        dir.join("password").display()
    );
    let sidecar = start_with(Config {
        prometheus_url: format!("http://{address}"),
        prometheus_client: HttpClient::from_yaml(&client).unwrap(),
        get_config_interval: Duration::from_millis(100),
        reloads: reloads(dir),
        ..Config::default()
    });
    eventually("it is refused", async || {
        metric(sidecar.http, "reloads_failed_total").await > Some(0.0)
    })
    .await;
    assert!(ask(sidecar.http, "/-/ready").await.is_none());
    fs::write(dir.join("password"), "test\n").unwrap();
    eventually("it is taken", async || {
        metric(sidecar.http, "last_reload_successful").await == Some(1.0)
    })
    .await;
    eventually("the sidecar is ready", async || {
        ask(sidecar.http, "/-/ready").await.is_some()
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_signal_does_without_prometheuss_lifecycle_api() {
    let Some(program) = peer("prometheus") else {
        return;
    };
    let folder = folder(CONFIG);
    let dir = folder.path();
    // A name of its own: others may run beside.
    let name = format!("prom-{}", std::process::id());
    let named = dir.join(&name);
    std::os::unix::fs::symlink(program, &named).unwrap();
    let (_prometheus, address) = prometheus(&named, dir, &[]).await;
    let by_signal = Reloads {
        method: Method::Signal { process_name: name },
        ..reloads(dir)
    };
    let sidecar = start(address, by_signal);
    says(
        address,
        "/api/v1/status/config",
        &format!("replica: {VALUE}"),
    )
    .await;
    fs::write(
        dir.join("rules/a.yaml"),
        RULES.replace("vector(1)", "vector("),
    )
    .unwrap();
    eventually("it is refused", async || {
        metric(sidecar.http, "last_reload_successful").await == Some(0.0)
    })
    .await;
    fs::write(dir.join("rules/a.yaml"), RULES).unwrap();
    says(address, "/api/v1/rules", "\"name\":\"a\"").await;
    eventually("it is taken", async || {
        metric(sidecar.http, "last_reload_successful").await == Some(1.0)
    })
    .await;
    assert_eq!(
        metric(sidecar.http, "info{method=\"signal\"}").await,
        Some(1.0)
    );
}

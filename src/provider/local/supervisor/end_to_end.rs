//! The provider, a supervisor of its own and real children, as an apply has them. This program is its own `tks`: it serves
//! `supervise` and `exec-child` as the real one does, and is the children's program, too.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test")]

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plan::{Allocator, PlanRequest, Planned, Provider, ProviderError};
use provider::local::{ContainerStatus, status};
use stack::{Address, Attributes, Value};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let texts: Vec<_> = arguments
        .iter()
        .map(|text| text.to_string_lossy())
        .collect();
    match texts.first().map(AsRef::as_ref) {
        Some("supervise") => {
            let executable = std::env::current_exe().unwrap();
            provider::supervisor::serve(Path::new(&arguments[2]), &executable).unwrap();
        }
        Some("exec-child") => {
            let error = provider::supervisor::exec_child(arguments[1..].to_vec()).unwrap_err();
            println!("{error}");
            return ExitCode::FAILURE;
        }
        Some(flag) if flag.starts_with("--listen=") => answer(&flag["--listen=".len()..]),
        Some("--list") => {}
        _ => tests(),
    }
    ExitCode::SUCCESS
}

/// A server that is always ready.
fn answer(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

fn tests() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        a_killed_supervisor_takes_its_children_along_and_the_next_apply_brings_all_back().await;
        println!(
            "ok: a_killed_supervisor_takes_its_children_along_and_the_next_apply_brings_all_back"
        );
        a_port_of_a_stranger_is_named_with_its_holder().await;
        println!("ok: a_port_of_a_stranger_is_named_with_its_holder");
        a_crashing_process_fails_its_apply_with_the_end_of_its_log().await;
        println!("ok: a_crashing_process_fails_its_apply_with_the_end_of_its_log");
    });
}

struct Ports(u16);

impl Allocator for Ports {
    fn port(
        &mut self,
        _: &str,
        wanted: Option<u16>,
        usable: &dyn Fn(u16) -> bool,
    ) -> Result<u16, ProviderError> {
        let found = wanted
            .or_else(|| (self.0..).find(|port| usable(*port)))
            .unwrap();
        self.0 = found + 1;
        Ok(found)
    }
}

struct Bench {
    dir: tempfile::TempDir,
    local: Arc<dyn Provider>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("a-long-name".repeat(20));
        let executable = std::env::current_exe().unwrap();
        let providers = provider::registry(provider::Config::new(&data_dir, executable));
        let serves = |provider: &Arc<dyn Provider>| {
            provider
                .kinds()
                .iter()
                .any(|kind| kind.name == "local.process")
        };
        Self {
            dir,
            local: providers.into_iter().find(serves).unwrap(),
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("a-long-name".repeat(20))
    }

    fn plan(
        &self,
        address: &Address,
        properties: &Attributes,
        prior: Option<&Attributes>,
    ) -> Attributes {
        let mut allocator = Ports(31_000);
        let request = PlanRequest {
            address,
            properties,
            prior,
            allocator: &mut allocator,
        };
        match self.local.plan(request).unwrap() {
            Planned::Attributes {
                attributes,
                replace,
            } if replace.is_empty() => attributes,
            other => panic!("{other:?}"),
        }
    }

    fn container(&self, pod: &str) -> ContainerStatus {
        let pods = status(&self.data_dir()).unwrap();
        pods.into_iter()
            .find(|found| found.pod == pod)
            .unwrap()
            .containers
            .remove(0)
    }
}

fn address(name: &str) -> Address {
    format!("local/eu-west-1/observer/query:local.process.{name}")
        .parse()
        .unwrap()
}

fn of(pairs: &[(&str, Value)]) -> Attributes {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn server() -> Attributes {
    let program = std::env::current_exe()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    of(&[
        ("name", "server-0".into()),
        ("command", program.into()),
        ("ports", Value::Map(of(&[("http", "listen".into())]))),
        ("ready", Value::Map(of(&[("path", "/".into())]))),
    ])
}

fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

fn eventually(what: &str, fits: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !fits() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn parent_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .unwrap();
    line.trim().parse().unwrap()
}

async fn a_killed_supervisor_takes_its_children_along_and_the_next_apply_brings_all_back() {
    let bench = Bench::new();
    let (server_at, sleeper_at) = (address("server"), address("sleeper"));
    let sleeper = of(&[
        ("name", "sleeper-0".into()),
        ("command", "sh".into()),
        ("args", ["-c", "exec sleep 1000"].into_iter().collect()),
    ]);
    let planned = bench.plan(&server_at, &server(), None);
    let made = bench.local.create(&server_at, &planned, "").await.unwrap();
    assert_eq!(made, planned);
    let slept = bench.plan(&sleeper_at, &sleeper, None);
    bench.local.create(&sleeper_at, &slept, "").await.unwrap();

    let first = bench.container("server-0");
    assert!(first.ready && first.state == "Running", "{first:?}");
    let pids = [
        first.pid.unwrap(),
        bench.container("sleeper-0").pid.unwrap(),
    ];
    let supervisor = parent_of(pids[0]);
    assert_eq!(
        bench.local.read(&server_at, &made).await.unwrap(),
        Some(made.clone())
    );

    kill(Pid::from_raw(supervisor as i32), Signal::SIGKILL).unwrap();
    eventually("the children die with it", || {
        pids.iter().all(|pid| is_dead(*pid))
    });
    let found = bench.local.read(&server_at, &made).await.unwrap().unwrap();
    assert_eq!(found["running"], false.into());
    let planned = bench.plan(&server_at, &server(), Some(&found));
    assert_eq!(planned, made);
    bench
        .local
        .update(&server_at, &found, &planned)
        .await
        .unwrap();
    assert!(bench.container("server-0").ready);
    assert_eq!(
        bench.local.read(&server_at, &made).await.unwrap(),
        Some(made.clone())
    );

    let last = bench.container("server-0").pid.unwrap();
    let supervisor = parent_of(last);
    bench.local.delete(&sleeper_at, &slept).await.unwrap();
    bench.local.delete(&server_at, &made).await.unwrap();
    assert!(is_dead(last));
    eventually("the supervisor goes with its last process", || {
        is_dead(supervisor)
    });
    assert_eq!(
        fs::read_dir(bench.data_dir()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

async fn a_port_of_a_stranger_is_named_with_its_holder() {
    let bench = Bench::new();
    let at = address("server");
    let planned = bench.plan(&at, &server(), None);
    let held = planned["addresses"].as_map().unwrap()["http"]
        .as_text()
        .unwrap()
        .to_owned();
    let _stranger = TcpListener::bind(&held).unwrap();
    let error = bench.local.create(&at, &planned, "").await.unwrap_err();
    let port = held.rsplit(':').next().unwrap();
    assert!(
        error
            .message
            .starts_with(&format!("port {port} (`http`) is ")),
        "{error}"
    );
    assert!(
        error.message.contains(&std::process::id().to_string()),
        "{error}"
    );
    assert!(error.help.unwrap().contains("`query: { port: … }`"));
    assert!(status(&bench.data_dir()).unwrap().is_empty());
}

async fn a_crashing_process_fails_its_apply_with_the_end_of_its_log() {
    let bench = Bench::new();
    let at = address("crash");
    let properties = of(&[
        ("name", "crash-0".into()),
        ("command", "sh".into()),
        (
            "args",
            ["-c", "echo no such flag; exit 3"].into_iter().collect(),
        ),
    ]);
    let planned = bench.plan(&at, &properties, None);
    let error = bench.local.create(&at, &planned, "").await.unwrap_err();
    let expected = "`crash-0` of local/eu-west-1/observer does not become ready (CrashLoopBackOff, exit status 3)";
    assert_eq!(error.message, expected);
    assert!(error.help.unwrap().ends_with("no such flag"));
    let container = bench.container("crash-0");
    assert_eq!(
        (container.restarts, container.state.as_str()),
        (2, "CrashLoopBackOff")
    );
    assert!(provider::supervisor::shutdown(&bench.data_dir()).unwrap());
    assert!(status(&bench.data_dir()).unwrap().is_empty());
}

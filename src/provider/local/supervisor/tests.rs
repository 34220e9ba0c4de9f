use std::collections::BTreeMap;
use std::fs;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::server::Ended;
use super::*;

const OWNER: &str = "a/b/c/u:local.process.x";

/// A supervisor in this process, and a client that never starts one.
struct Bench {
    dir: TempDir,
    client: Client,
    server: JoinHandle<Ended>,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("long-".repeat(40));
        fs::create_dir(&long).unwrap();
        let data_dir = long.clone();
        // On a runtime of its own, as in life: its end is the end of its connections.
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(server::run(&data_dir, Launcher::Plain))
                .unwrap()
        });
        while !socket::path(&long).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self {
            dir,
            client: Client::new(&long, Path::new("/nowhere")),
            server,
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("long-".repeat(40))
    }

    fn spec(&self, pod: &str, script: &str) -> Spec {
        let id = Id {
            cluster: "a/b/c".into(),
            pod: pod.to_owned(),
            container: "sh".to_owned(),
        };
        Spec {
            id,
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]),
            dir: self.data_dir(),
            log: self.data_dir().join(format!("logs/a-b-c/{pod}.log")),
            addresses: BTreeMap::new(),
            ready: None,
            revision: String::new(),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(Client) -> T + Send + 'static,
    ) -> T {
        let client = self.client.clone();
        tokio::task::spawn_blocking(move || act(client))
            .await
            .unwrap()
    }

    async fn start(&self, spec: &Spec) {
        let spec = spec.clone();
        self.blocking(move |client| client.start(&spec, OWNER))
            .await
            .unwrap();
    }

    async fn stop(&self, spec: &Spec) {
        let id = spec.id.clone();
        self.blocking(move |client| client.stop(&id, OWNER))
            .await
            .unwrap();
    }

    async fn status(&self, spec: &Spec) -> Option<ProcessStatus> {
        let all = self.blocking(|client| client.processes()).await.unwrap();
        all.into_iter().find(|process| process.id == spec.id)
    }

    async fn until(&self, spec: &Spec, fits: impl Fn(&ProcessStatus) -> bool) -> ProcessStatus {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.status(spec).await {
                Some(status) if fits(&status) => return status,
                status => assert!(Instant::now() < deadline, "{status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn logged(&self, spec: &Spec, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(&spec.log).unwrap_or_default();
            if fits(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn ended(self) -> Ended {
        self.server.join().unwrap()
    }
}

fn is_running(status: &ProcessStatus) -> bool {
    status.phase == Phase::Running
}

fn pid(status: &ProcessStatus) -> Pid {
    Pid::from_raw(status.pid.unwrap() as i32)
}

#[tokio::test]
async fn a_killed_process_comes_back_and_the_last_one_takes_the_supervisor_along() {
    let bench = Bench::new().await;
    let spec = bench.spec("p-0", "echo $COLOUR; exec sleep 1000");
    bench.start(&spec).await;
    let first = bench.until(&spec, is_running).await;
    assert_eq!((first.restarts, first.ready), (0, true));
    bench.logged(&spec, |text| text == "blue\n").await;
    kill(pid(&first), Signal::SIGKILL).unwrap();
    let second = bench
        .until(&spec, |status| {
            is_running(status) && status.pid != first.pid
        })
        .await;
    assert_eq!(second.restarts, 1);
    assert_eq!(second.last_exit.as_deref(), Some("killed by SIGKILL"));
    assert_eq!(second.created, first.created);
    bench.logged(&spec, |text| text == "blue\nblue\n").await;
    bench.stop(&spec).await;
    assert!(
        kill(pid(&second), None).is_err(),
        "it is gone when the answer is there"
    );
    assert!(!socket::path(&bench.data_dir()).exists());
    assert_eq!(bench.ended(), Ended::Idle);
}

#[tokio::test]
async fn the_same_process_is_left_alone_and_another_takes_its_place() {
    let bench = Bench::new().await;
    let (spec, other) = (
        bench.spec("p-0", "exec sleep 1000"),
        bench.spec("q-0", "exec sleep 1000"),
    );
    bench.start(&spec).await;
    bench.start(&other).await;
    let first = bench.until(&spec, is_running).await;
    let neighbour = bench.until(&other, is_running).await;
    bench.start(&spec).await;
    assert_eq!(bench.status(&spec).await.unwrap().pid, first.pid);
    let changed = bench.spec("p-0", "exec sleep 2000");
    bench.start(&changed).await;
    let second = bench
        .until(&changed, |status| {
            is_running(status) && status.pid != first.pid
        })
        .await;
    assert_eq!(second.fingerprint, changed.fingerprint());
    assert!(kill(pid(&first), None).is_err());
    assert_eq!(bench.status(&other).await.unwrap().pid, neighbour.pid);
    assert!(
        bench
            .blocking(|client| client::shutdown(client.data_dir()))
            .await
            .unwrap()
    );
    assert!(kill(pid(&second), None).is_err());
    assert_eq!(bench.ended(), Ended::Told);
}

#[tokio::test]
async fn one_name_has_one_owner() {
    let bench = Bench::new().await;
    let spec = bench.spec("p-0", "exec sleep 1000");
    bench.start(&spec).await;
    let theirs = spec.clone();
    let error = bench
        .blocking(move |client| client.start(&theirs, "other"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("a/b/c/p-0/sh is run for {OWNER} already")
    );
    let id = spec.id.clone();
    bench
        .blocking(move |client| client.stop(&id, "other"))
        .await
        .unwrap();
    assert!(bench.until(&spec, is_running).await.pid.is_some());
    bench.stop(&spec).await;
    bench.ended();
}

#[tokio::test]
async fn what_cannot_start_waits_and_a_start_does_not_wait_for_it() {
    let bench = Bench::new().await;
    let mut spec = bench.spec("p-0", "");
    spec.argv = vec!["/nowhere/at/all".to_owned()];
    bench.start(&spec).await;
    let status = bench
        .until(&spec, |status| status.phase == Phase::Backoff)
        .await;
    assert!(status.last_exit.unwrap().starts_with("cannot start: "));
    let better = bench.spec("p-0", "exec sleep 1000");
    bench.start(&better).await;
    assert_eq!(bench.until(&better, is_running).await.restarts, 0);
    bench.stop(&better).await;
    bench.ended();
}

#[tokio::test]
async fn a_process_takes_its_children_along() {
    let bench = Bench::new().await;
    let spec = bench.spec("p-0", "sleep 1000 & echo $!; wait");
    bench.start(&spec).await;
    let status = bench.until(&spec, is_running).await;
    let printed = bench.logged(&spec, |text| text.ends_with('\n')).await;
    let grandchild: u32 = printed.trim().parse().unwrap();
    kill(pid(&status), Signal::SIGKILL).unwrap();
    bench
        .until(&spec, |status| status.phase == Phase::Backoff)
        .await;
    let stat = format!("/proc/{grandchild}/stat");
    let is_dead = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_dead() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.stop(&spec).await;
    bench.ended();
}

#[tokio::test]
async fn a_second_supervisor_leaves_the_folder_to_the_first() {
    let bench = Bench::new().await;
    let second = server::run(&bench.data_dir(), Launcher::Plain)
        .await
        .unwrap();
    assert_eq!(second, Ended::Elsewhere);
    assert!(
        bench
            .blocking(|client| client.processes())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        bench
            .blocking(|client| client::shutdown(client.data_dir()))
            .await
            .unwrap()
    );
    assert_eq!(bench.ended(), Ended::Idle);
}

//! A store gateway, ours or the peer's, as a process that is watched.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proto::thanos::store_client::StoreClient;
use tonic::transport::{Channel, Endpoint};

use crate::Programs;
use crate::fleet::{Running, free_address};
use crate::process::{self, Watch};

/// Nothing that is started takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Theirs,
}

impl Whose {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Theirs];

    /// The program and the words before the flags.
    pub(crate) fn command(self, programs: &Programs) -> (PathBuf, Vec<String>) {
        match self {
            Self::Ours => (
                programs.tks.clone(),
                vec!["thanos".to_owned(), "store".to_owned()],
            ),
            Self::Theirs => (programs.thanos.clone(), vec!["store".to_owned()]),
        }
    }
}

/// A server that is ready.
pub(crate) struct Server {
    pub(crate) pid: u32,
    pub(crate) watch: Watch,
    /// Until it was ready.
    pub(crate) start: Duration,
    /// Until it was ready.
    pub(crate) start_cpu: f64,
    grpc: String,
    _running: Running,
}

impl Server {
    /// Starts a server over a bucket; `data` is its folder.
    pub(crate) fn start(programs: &Programs, whose: Whose, config: &Path, data: &Path) -> Self {
        let (program, mut args) = whose.command(programs);
        let (grpc, http) = (free_address(), free_address());
        args.extend(flags(config, data));
        args.extend([
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
        ]);
        let begun = Instant::now();
        let running = Running::start(&program, &args, data.with_extension("log"));
        let pid = running.id();
        let watch = Watch::start(pid);
        while !is_ready(&http) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{whose:?} does not become ready"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            start: begun.elapsed(),
            start_cpu: process::cpu(pid),
            pid,
            watch,
            grpc,
            _running: running,
        }
    }

    /// A client as queriers are: its windows are those of our own.
    pub(crate) fn client(&self) -> StoreClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc))
            .expect("an address")
            .initial_stream_window_size(2 << 20)
            .initial_connection_window_size(i32::MAX as u32);
        StoreClient::new(endpoint.connect_lazy()).max_decoding_message_size(1 << 30)
    }
}

/// What both are told, addresses apart.
pub(crate) fn flags(config: &Path, data: &Path) -> [String; 3] {
    [
        format!("--objstore.config-file={}", config.display()),
        format!("--data-dir={}", data.display()),
        "--log.level=error".to_owned(),
    ]
}

fn is_ready(http: &str) -> bool {
    let url = format!("http://{http}/-/ready");
    let asked = Command::new("curl")
        .args(["-sf", "--max-time", "5", &url])
        .output();
    asked.expect("curl is installed").status.success()
}

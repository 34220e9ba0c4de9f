//! A querier, ours or the peer's, as a process that is watched.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::ask::get;
use crate::data::REPLICA;
use crate::fake::Stores;
use crate::fleet::{Running, free_address};
use crate::support::process::{Cpu, Memory, Peak};

/// Nothing that is started takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ours and the peer.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) tks: PathBuf,
    pub(crate) thanos: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Theirs,
}

impl Whose {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Theirs];

    /// The program and the words before the flags.
    fn command(self, programs: &Programs) -> (PathBuf, &'static [&'static str]) {
        match self {
            Self::Ours => (programs.tks.clone(), &["thanos", "query"]),
            Self::Theirs => (programs.thanos.clone(), &["query"]),
        }
    }
}

/// What both are told, addresses apart.
fn flags() -> [String; 2] {
    [
        format!("--query.replica-label={REPLICA}"),
        "--log.level=error".to_owned(),
    ]
}

/// The command lines, addresses apart.
pub(crate) fn print_commands(programs: &Programs) {
    for whose in Whose::BOTH {
        let (program, words) = whose.command(programs);
        let (words, flags) = (words.join(" "), flags().join(" "));
        println!("{} {words} {flags} --endpoint=…", program.display());
    }
}

/// A querier that sees all of its stores.
pub(crate) struct Querier {
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) cpu: Cpu,
    memory: Memory,
    _running: Running,
    _folder: tempfile::TempDir,
}

impl Querier {
    /// Starts a querier over `stores`, with more flags where a case needs them.
    pub(crate) fn start(programs: &Programs, whose: Whose, stores: &Stores, more: &[&str]) -> Self {
        let (program, words) = whose.command(programs);
        let (grpc, http) = (free_address(), free_address());
        let mut args: Vec<String> = words.iter().map(ToString::to_string).collect();
        args.extend(flags());
        args.extend(more.iter().map(ToString::to_string));
        args.push(format!("--grpc-address={grpc}"));
        args.push(format!("--http-address={http}"));
        args.extend(stores.addresses.iter().map(|a| format!("--endpoint={a}")));
        let folder = tempfile::tempdir().expect("a folder");
        let running = Running::start(&program, &args, folder.path().join("log"));
        let (cpu, memory) = (Cpu::of(running.id()), Memory::watch(running.id()));
        let querier = Self {
            http,
            grpc,
            cpu,
            memory,
            _running: running,
            _folder: folder,
        };
        querier.wait_for(stores.addresses.len());
        querier
    }

    fn wait_for(&self, stores: usize) {
        let begun = Instant::now();
        while self.healthy() < stores {
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not see its {stores} stores"
            );
            sleep(Duration::from_millis(50));
        }
    }

    fn healthy(&self) -> usize {
        let body = get(&self.http, "/api/v1/stores").unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        text.matches("\"lastError\":null").count()
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Peak {
        self.memory.peak()
    }
}

//! Real programs beside ours.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "what is left out is said")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The path of a peer's program, or `None` with a line that says what is left out. With `TKS_REQUIRE_PEERS` that is a failure.
pub(crate) fn peer(program: &str) -> Option<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let peers = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').map(PathBuf::from);
    let mut files = folders
        .chain([PathBuf::from(peers).join("bin")])
        .map(|folder| folder.join(program));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("TKS_REQUIRE_PEERS").is_none(),
            "{program} is not installed"
        );
        println!("left out, because `{program}` is not installed");
    }
    found
}

/// An address that nobody listens on.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Ends with the test.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program that says nothing.
    pub(crate) fn start(program: &Path, args: &[String]) -> Self {
        let child = Command::new(program)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! The store gateway beside a real one, over the same golden blocks: a real `thanos query` over ours gives the answers that it gave
//! over a real store, and both stores answer the same requests with the same frames.
//!
//! `TKS_GOLDEN` names the folder with the archives of blocks and `answers/`.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

#[path = "store/differential.rs"]
mod differential;
mod fleet;
#[path = "store/golden.rs"]
mod golden;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fleet::{eventually, peer, tks};

/// A program that ends with the test; its log is shown when the test fails.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(program: &Path, args: &[String], log: PathBuf) -> Self {
        let out = File::create(&log).expect("a log file");
        let both = (out.try_clone().expect("the same file"), out);
        let child = Command::new(program)
            .args(args)
            .stdout(Stdio::from(both.0))
            .stderr(Stdio::from(both.1))
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Self { child, log }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            println!("{}:\n{log}", self.log.display());
        }
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// What the tests of this file need; `None`, with a line that says so, where it is not there.
struct Lab {
    golden: PathBuf,
    thanos: PathBuf,
    dir: tempfile::TempDir,
}

impl Lab {
    fn find() -> Option<Self> {
        let Some(golden) = std::env::var_os("TKS_GOLDEN") else {
            println!("left out: store, because TKS_GOLDEN names no golden data");
            return None;
        };
        Some(Self {
            golden: golden.into(),
            thanos: peer("thanos", "store")?,
            dir: tempfile::tempdir().expect("a folder"),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A bucket with the blocks of these archives: the file of its configuration.
    fn bucket(&self, name: &str, archives: &[&str]) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).expect("a folder");
        for archive in archives {
            let archive = self.golden.join(format!("{archive}.tar.zst"));
            let tar = Command::new("tar")
                .arg("--zstd")
                .arg("-xf")
                .arg(&archive)
                .arg("-C")
                .arg(&folder)
                .status();
            assert!(
                tar.expect("tar is there").success(),
                "cannot unpack {}",
                archive.display()
            );
        }
        let file = self.path(&format!("{name}.yaml"));
        let text = format!(
            "type: FILESYSTEM\nconfig: {{ directory: {} }}\n",
            folder.display()
        );
        fs::write(&file, text).expect("written");
        file
    }

    /// A store over a bucket that is ready: the address of its gRPC.
    fn store(&self, whose: Whose, bucket: &Path, flags: &[&str]) -> (Running, String) {
        let (grpc, http) = (free_address(), free_address());
        let name = format!("store-{}", grpc.replace([':', '.'], "-"));
        let (program, mut args) = match whose {
            Whose::Ours => (tks(), vec!["thanos".to_owned()]),
            Whose::Theirs => (self.thanos.clone(), Vec::new()),
        };
        args.extend([
            "store".to_owned(),
            format!("--objstore.config-file={}", bucket.display()),
            format!("--data-dir={}", self.path(&name).display()),
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
        ]);
        args.extend(flags.iter().map(ToString::to_string));
        let running = Running::start(&program, &args, self.path(&format!("{name}.log")));
        wait_ready(&http);
        eventually("gRPC of the store", || {
            std::net::TcpStream::connect(&grpc).ok()
        });
        (running, grpc)
    }

    /// A real querier over one store: its URL.
    fn querier(&self, store: &str) -> (Running, String) {
        let http = free_address();
        let args = [
            "query".to_owned(),
            format!("--endpoint={store}"),
            format!("--http-address={http}"),
            format!("--grpc-address={}", free_address()),
            "--query.replica-label=prometheus_replica".to_owned(),
        ];
        let log = self.path(&format!("query-{}.log", http.replace([':', '.'], "-")));
        let running = Running::start(&self.thanos, &args, log);
        wait_ready(&http);
        let url = format!("http://{http}");
        eventually("the store among the querier's", || {
            let stores = fleet::get(&format!("{url}/api/v1/stores"), &[])?;
            (stores["data"]["store"].as_array()?.len() == 1).then_some(())
        });
        (running, url)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Ours,
    Theirs,
}

fn wait_ready(http: &str) {
    eventually("readiness", || {
        let url = format!("http://{http}/-/ready");
        let asked = Command::new("curl")
            .args(["-sf", "--max-time", "5", &url])
            .output();
        asked
            .expect("curl is installed")
            .status
            .success()
            .then_some(())
    });
}

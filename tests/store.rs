//! The store gateway beside a real one, over the same golden blocks: a real `thanos query` over ours gives the answers that it gave
//! over a real store, and both stores answer the same requests with the same frames.
//!
//! `TKS_GOLDEN` names the folder with the archives of blocks and `answers/`. The large block is made by `tsdbgen`.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

#[path = "bench/store/data.rs"]
mod data;
#[path = "store/differential.rs"]
mod differential;
mod fleet;
#[path = "store/golden.rs"]
mod golden;
#[path = "store/large.rs"]
mod large;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::{Running, eventually, free_address, peer, tks};

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

    /// Without the golden data.
    fn without_golden() -> Option<Self> {
        Some(Self {
            golden: PathBuf::new(),
            thanos: peer("thanos", "store over a large block")?,
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
        self.config(name, &folder)
    }

    /// The configuration of a bucket that is a folder.
    fn config(&self, name: &str, folder: &Path) -> PathBuf {
        let file = self.path(&format!("{name}.yaml"));
        data::write_config(&file, folder);
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

    /// A querier over one store: its URL.
    fn querier(&self, whose: Whose, store: &str, flags: &[&str]) -> (Running, String) {
        let http = free_address();
        let (program, mut args) = match whose {
            Whose::Ours => (tks(), vec!["thanos".to_owned()]),
            Whose::Theirs => (self.thanos.clone(), Vec::new()),
        };
        args.extend([
            "query".to_owned(),
            format!("--endpoint={store}"),
            format!("--http-address={http}"),
            format!("--grpc-address={}", free_address()),
            "--query.replica-label=prometheus_replica".to_owned(),
        ]);
        args.extend(flags.iter().map(ToString::to_string));
        let log = self.path(&format!("query-{}.log", http.replace([':', '.'], "-")));
        let running = Running::start(&program, &args, log);
        wait_ready(&http);
        let url = format!("http://{http}");
        eventually("the store among the querier's", || {
            let stores = fleet::get(&format!("{url}/api/v1/stores"), &[])?;
            (stores["data"]["store"].as_array()?.len() == 1).then_some(())
        });
        (running, url)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
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

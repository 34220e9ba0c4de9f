//! Prometheus over the same blocks, which are linked into a folder of its own: it compacts nothing and scrapes nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value as Json;

use crate::Side;
use crate::queries::Query;
use crate::support::process::{Cpu, Memory, Peak};

pub(crate) struct Prometheus {
    child: Child,
    address: String,
    cpu: Cpu,
    so_far: Duration,
    memory: Memory,
    /// Goes away with it.
    _folder: tempfile::TempDir,
}

impl Prometheus {
    pub(crate) fn start(program: &Path, blocks: &Path) -> Self {
        // Links need the same file system.
        let beside = blocks.parent().expect("a folder");
        let folder = tempfile::tempdir_in(beside).expect("a folder");
        let data = folder.path().join("data");
        link(blocks, &data);
        let configuration = folder.path().join("prometheus.yml");
        fs::write(&configuration, "global: {}\n").expect("written");
        let address = free_address();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--storage.tsdb.min-block-duration=2h")
            .arg("--storage.tsdb.max-block-duration=2h")
            .arg("--log.level=error")
            .stdin(Stdio::null());
        println!("{command:?}");
        let child = command.spawn().expect("Prometheus starts");
        let (cpu, memory) = (Cpu::of(child.id()), Memory::watch(child.id()));
        let mut prometheus = Self {
            child,
            address,
            cpu,
            so_far: Duration::ZERO,
            memory,
            _folder: folder,
        };
        while prometheus.get("/-/ready").is_none() {
            sleep(Duration::from_millis(100));
        }
        cpu.wait_until_idle();
        prometheus.so_far = cpu.spent();
        prometheus
    }

    /// The body of an answer with status 200.
    fn get(&self, target: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!("GET {target} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let good = head.split(' ').nth(1) == Some("200");
        good.then(|| body.to_owned())
    }
}

impl Side for Prometheus {
    fn ask(&mut self, _: usize, query: &Query) -> (Json, Duration) {
        let body = self.get(&query.target());
        let before = std::mem::replace(&mut self.so_far, self.cpu.spent());
        let body = body.expect("an answer");
        let answer = serde_json::from_str(&body).expect("an answer in JSON");
        (answer, self.so_far - before)
    }

    fn stop(mut self) -> Peak {
        let peak = self.memory.peak();
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        peak
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// Links all files below a folder into another one.
fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => link(&entry.path(), &to),
            false => fs::hard_link(entry.path(), to).expect("linked"),
        }
    }
}

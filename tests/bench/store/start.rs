//! The start over many blocks on S3, behind a network that takes 20 ms.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::data::Data;
use crate::fleet::{Running, eventually, free_address, peer};
use crate::server::{Server, Whose};
use crate::{Programs, process};

/// One way.
const LATENCY_MS: u64 = 20;
const KEY: &str = "S3BENCH";
const SECRET: &str = "S3BENCHSECRET";
/// After which a process that is ready is idle.
const REST: Duration = Duration::from_secs(10);

/// Ours may have such parts of the peer's.
const FIRST_GOAL: f64 = 0.5;
const WARM_GOAL: f64 = 0.25;
const IDLE_GOAL: f64 = 0.25;

/// An S3 server over a folder of buckets, with a slow way to it.
struct Slow {
    address: String,
    _processes: [Running; 2],
}

impl Slow {
    fn start(buckets: &Path, dir: &Path) -> Option<Self> {
        let s3 = peer("versitygw", "bench store, start")?;
        let proxy = peer("toxiproxy-server", "bench store, start")?;
        let (behind, address, control) = (free_address(), free_address(), free_address());
        let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
        let args = [
            "--access", KEY, "--secret", SECRET, "--port", &behind, "posix",
        ];
        let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
        args.push(buckets.display().to_string());
        let gateway = Running::start(&s3, &args, dir.join("versitygw.log"));
        let args = [
            "-host".to_owned(),
            "127.0.0.1".to_owned(),
            "-port".to_owned(),
            port(&control),
        ];
        let toxiproxy = Running::start(&proxy, &args, dir.join("toxiproxy.log"));
        let listen =
            format!(r#"{{"name":"s3","listen":"{address}","upstream":"{behind}","enabled":true}}"#);
        eventually("a proxy", || {
            post(&format!("http://{control}/proxies"), &listen)
        });
        let latency = format!(r#"{{"type":"latency","attributes":{{"latency":{LATENCY_MS}}}}}"#);
        eventually("latency", || {
            post(&format!("http://{control}/proxies/s3/toxics"), &latency)
        });
        Some(Self {
            address,
            _processes: [gateway, toxiproxy],
        })
    }

    fn config(&self, bucket: &str, dir: &Path) -> PathBuf {
        let file = dir.join("s3.yaml");
        let text = format!(
            "type: S3\nconfig: {{ bucket: {bucket}, endpoint: \"{}\", insecure: true, access_key: {KEY}, secret_key: {SECRET}, region: us-east-1 }}\n",
            self.address
        );
        std::fs::write(&file, text).expect("written");
        file
    }
}

fn post(url: &str, body: &str) -> Option<()> {
    let asked = Command::new("curl")
        .args(["-sf", "--max-time", "5", "-d", body, url])
        .output();
    asked
        .expect("curl is installed")
        .status
        .success()
        .then_some(())
}

/// What a start costs.
struct Cost {
    wall: f64,
    cpu: f64,
    idle: f64,
    peak: f64,
}

fn run(programs: &Programs, whose: Whose, config: &Path, data: &Path) -> Cost {
    let server = Server::start(programs, whose, config, data);
    let (wall, cpu) = (server.start.as_secs_f64(), server.start_cpu);
    std::thread::sleep(REST);
    Cost {
        wall,
        cpu,
        idle: process::anonymous(server.pid),
        peak: server.watch.peak(),
    }
}

pub(crate) fn measure(programs: &Programs, data: &Data, bucket: &Path) {
    let dir = tempfile::tempdir().expect("a folder");
    let buckets = bucket.parent().expect("in a folder of buckets");
    let Some(slow) = Slow::start(buckets, dir.path()) else {
        return;
    };
    let config = slow.config(data.name, dir.path());
    let blocks = std::fs::read_dir(bucket).map_or(0, Iterator::count);
    println!("\n== Start over {blocks} blocks on S3, {LATENCY_MS} ms away");
    println!(
        "{:<6} {:>7} {:>7} {:>6} | {:>7} {:>7} {:>6} | {:>8} {:>7} {:>6} | {:>8} {:>7}",
        "start",
        "wall s",
        "Thanos",
        "ratio",
        "CPU s",
        "Thanos",
        "ratio",
        "idle MiB",
        "Thanos",
        "ratio",
        "peak MiB",
        "Thanos"
    );
    for (name, goal) in [("first", FIRST_GOAL), ("warm", WARM_GOAL)] {
        let [ours, theirs] = Whose::BOTH.map(|whose| {
            run(
                programs,
                whose,
                &config,
                &dir.path().join(format!("{whose:?}")),
            )
        });
        let (wall, cpu, idle) = (
            ours.wall / theirs.wall,
            ours.cpu / theirs.cpu,
            ours.idle / theirs.idle,
        );
        println!(
            "{name:<6} {:>7.2} {:>7.2} {wall:>6.3} | {:>7.2} {:>7.2} {cpu:>6.3} | {:>8.1} {:>7.1} {idle:>6.3} | {:>8.1} {:>7.1}",
            ours.wall,
            theirs.wall,
            ours.cpu,
            theirs.cpu,
            ours.idle,
            theirs.idle,
            ours.peak,
            theirs.peak
        );
        for (what, found, goal) in [
            ("CPU", cpu, goal),
            ("wall", wall, goal),
            ("idle memory", idle, IDLE_GOAL),
        ] {
            if found > goal {
                println!("goal missed, {name} start: {what} ratio {found:.3}, not {goal:.3}");
            }
        }
    }
}

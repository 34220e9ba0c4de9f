//! A call for everything in a process that may have 512 MiB of memory: it is answered or refused, and the process lives.

use std::fs;
use std::path::{Path, PathBuf};

use proto::thanos::label_matcher::Type;
use proto::thanos::{LabelMatcher, SeriesRequest};

use crate::data::{Data, write_config};
use crate::server::{Server, Whose};
use crate::{Programs, process};

const LIMIT: u64 = 512 << 20;

/// A group with a limit, as version 1 of the kernel's interface has it.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let path = Path::new("/sys/fs/cgroup/memory")
            .join(format!("tks-bench-{}-{name}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("memory.limit_in_bytes"), LIMIT.to_string()).ok()?;
        Some(group)
    }

    fn add(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process joins its group");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Processes leave it a moment after they were killed.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

pub(crate) fn measure(programs: &Programs, data: &Data, bucket: &Path) {
    println!(
        "\n== Everything of `{}` at once, twice over, within 512 MiB",
        data.name
    );
    for whose in Whose::BOTH {
        let Some(group) = Group::new(&format!("{whose:?}")) else {
            println!("left out: cgroup, because no group of this machine's memory can be made");
            return;
        };
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("bucket.yaml");
        write_config(&config, bucket);
        let server = Server::start(programs, whose, &config, &dir.path().join("data"));
        group.add(server.pid);
        let before = process::cpu(server.pid);
        let (first, second) = both(&server, data);
        let lives = Path::new(&format!("/proc/{}/exe", server.pid)).exists()
            && both(&server, data).0.is_ok();
        println!(
            "{whose:?}: {}; {}; {} after {:.2} CPU s, peak {:.1} MiB",
            said(&first),
            said(&second),
            if lives { "it lives" } else { "IT DIED" },
            process::cpu(server.pid) - before,
            server.watch.peak()
        );
    }
}

fn said(outcome: &Result<usize, String>) -> String {
    match outcome {
        Ok(series) => format!("{series} series"),
        Err(error) => format!("refused: {error}"),
    }
}

type Outcome = Result<usize, String>;

/// Two calls at a time.
fn both(server: &Server, data: &Data) -> (Outcome, Outcome) {
    let (min_time, max_time) = data.times();
    let request = SeriesRequest {
        min_time,
        max_time,
        matchers: vec![LabelMatcher {
            r#type: Type::Re.into(),
            name: "__name__".to_owned(),
            value: ".+".to_owned(),
        }],
        ..SeriesRequest::default()
    };
    let ask = async || {
        let said = |status: tonic::Status| format!("{:?}: {}", status.code(), status.message());
        let frames = server.client().series(request.clone()).await;
        let mut frames = frames.map_err(said)?.into_inner();
        let mut series = 0;
        while frames.message().await.map_err(said)?.is_some() {
            series += 1;
        }
        Ok(series)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::join!(ask(), ask()) })
}

//! Series calls: CPU of the server, cold and warm, and its memory.

use std::hash::{DefaultHasher, Hasher};

use prost::Message;
use proto::thanos::label_matcher::Type;
use proto::thanos::series_response::Result as Frame;
use proto::thanos::{LabelMatcher, Series, SeriesRequest};

use crate::data::{Data, HOUR, START, write_config};
use crate::server::{Server, Whose, flags};
use crate::{Programs, Size, process};

/// Calls that are measured together.
struct Kind {
    name: &'static str,
    requests: Vec<SeriesRequest>,
    /// Ours may cost such a part of the peer's CPU.
    goal: f64,
}

/// Ours may have such a part of the peer's peak memory.
const MEMORY_GOAL: f64 = 1.0 / 6.0;
/// Nanoseconds of a frame without chunks, of one block.
const FRAME_GOAL: f64 = 300.0;
/// CPU seconds for a GB of chunks.
const CHUNKS_GOAL: f64 = 2.0;

fn kinds(data: &Data, size: Size) -> Vec<Kind> {
    let (start, end) = data.times();
    let request = |matchers: &[(&str, &str, Type)]| SeriesRequest {
        min_time: start,
        max_time: end,
        matchers: matchers
            .iter()
            .map(|(name, value, kind)| LabelMatcher {
                r#type: (*kind).into(),
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        ..SeriesRequest::default()
    };
    let everything = request(&[("__name__", ".+", Type::Re)]);
    let many = request(&[
        ("__name__", "http_request_duration_seconds_bucket", Type::Eq),
        ("code", "200", Type::Eq),
    ]);
    let labels = SeriesRequest {
        min_time: START + HOUR - 60_000,
        max_time: START + HOUR + 60_000,
        skip_chunks: true,
        ..everything.clone()
    };
    let one = |at: usize| {
        let (node, cpu) = (at % data.nodes, (at / data.nodes % 4).to_string());
        let instance = format!("10.0.0.{node}:9100");
        request(&[
            ("__name__", "node_cpu_seconds_total", Type::Eq),
            ("instance", &instance, Type::Eq),
            ("cpu", &cpu, Type::Eq),
            ("mode", ["user", "idle", "system"][at % 3], Type::Eq),
        ])
    };
    let rounds = if size == Size::Full { 1 } else { 3 };
    vec![
        Kind {
            name: "everything",
            requests: vec![everything; rounds],
            goal: 0.2,
        },
        Kind {
            name: ">= 1,000 series",
            requests: vec![many; 3],
            goal: 0.2,
        },
        Kind {
            name: "one series",
            requests: (0..200).map(one).collect(),
            goal: 0.5,
        },
        Kind {
            name: "labels of a block",
            requests: vec![labels; 10],
            goal: 0.2,
        },
    ]
}

/// What came back.
#[derive(Default, PartialEq)]
struct Answer {
    series: usize,
    chunks: usize,
    /// Of chunks.
    bytes: usize,
    digests: Vec<u64>,
}

impl Answer {
    fn add(&mut self, series: &Series, compared: bool) {
        self.series += 1;
        self.chunks += series.chunks.len();
        let parts = series.chunks.iter().flat_map(|chunk| &chunk.raw);
        self.bytes += parts.map(|raw| raw.data.len()).sum::<usize>();
        if compared {
            let mut hasher = DefaultHasher::new();
            hasher.write(&series.encode_to_vec());
            self.digests.push(hasher.finish());
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn ask(server: &Server, requests: &[SeriesRequest], compared: bool) -> Answer {
    let mut answer = Answer::default();
    runtime().block_on(async {
        let mut client = server.client();
        for request in requests {
            let frames = client.series(request.clone()).await;
            let mut frames = frames.expect("an answer").into_inner();
            while let Some(frame) = frames.message().await.expect("a whole answer") {
                match frame.result {
                    Some(Frame::Series(series)) => answer.add(&series, compared),
                    Some(Frame::Batch(batch)) => {
                        batch.series.iter().for_each(|s| answer.add(s, compared));
                    }
                    other => panic!("not a series: {other:?}"),
                }
            }
        }
    });
    answer
}

/// What a process cost for calls of one kind.
struct Cost {
    cold: f64,
    warm: f64,
    peak: f64,
    high: f64,
    answer: Answer,
}

fn run(programs: &Programs, whose: Whose, bucket: &std::path::Path, kind: &Kind) -> Cost {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("bucket.yaml");
    write_config(&config, bucket);
    let server = Server::start(programs, whose, &config, &dir.path().join("data"));
    let timed = || {
        let before = process::cpu(server.pid);
        let answer = ask(&server, &kind.requests, false);
        (process::cpu(server.pid) - before, answer)
    };
    let (cold, answer) = timed();
    let (warm, _) = timed();
    Cost {
        cold,
        warm,
        peak: server.watch.peak(),
        high: server.watch.high(),
        answer,
    }
}

pub(crate) fn measure(programs: &Programs, data: &Data, bucket: &std::path::Path, size: Size) {
    println!("\n== Series calls over `{}`, {} h", data.name, data.hours);
    for whose in Whose::BOTH {
        let (program, words) = whose.command(programs);
        let flags = flags("bucket.yaml".as_ref(), "data".as_ref());
        println!(
            "{} {} {}",
            program.display(),
            words.join(" "),
            flags.join(" ")
        );
    }
    let kinds = kinds(data, size);
    compare(programs, bucket, &kinds);
    println!(
        "\n{:<18} {:>7} {:>8} | {:>7} {:>7} {:>6} | {:>7} {:>7} {:>6} | {:>7} {:>7} {:>6} | {:>6} {:>6}",
        "calls",
        "series",
        "MB",
        "cold",
        "Thanos",
        "ratio",
        "warm",
        "Thanos",
        "ratio",
        "peak",
        "Thanos",
        "ratio",
        "VmHWM",
        "Thanos"
    );
    let mut missed = Vec::new();
    for kind in &kinds {
        let [ours, theirs] = Whose::BOTH.map(|whose| run(programs, whose, bucket, kind));
        missed.extend(report(kind, &ours, &theirs));
    }
    for line in missed {
        println!("goal missed, {}: {line}", data.name);
    }
}

/// One line; what missed its goal.
fn report(kind: &Kind, ours: &Cost, theirs: &Cost) -> Vec<String> {
    let (cold, warm) = (ours.cold / theirs.cold, ours.warm / theirs.warm);
    let (peak, megabytes) = (ours.peak / theirs.peak, ours.answer.bytes as f64 / 1e6);
    println!(
        "{:<18} {:>7} {megabytes:>8.1} | {:>7.2} {:>7.2} {cold:>6.3} | {:>7.2} {:>7.2} {warm:>6.3} | {:>7.1} {:>7.1} {peak:>6.3} | {:>6.1} {:>6.1}",
        kind.name,
        ours.answer.series,
        ours.cold,
        theirs.cold,
        ours.warm,
        theirs.warm,
        ours.peak,
        theirs.peak,
        ours.high,
        theirs.high
    );
    let frame = ours.warm * 1e9 / ours.answer.series as f64;
    let gigabyte = ours.warm * 1e3 / megabytes;
    println!(
        "{:<18} warm: {frame:.0} ns a series frame (Thanos {:.0}), {gigabyte:.2} CPU s a GB of chunks (Thanos {:.2})",
        "",
        theirs.warm * 1e9 / ours.answer.series as f64,
        theirs.warm * 1e3 / megabytes
    );
    let name = kind.name;
    let mut missed = Vec::new();
    let mut hold = |what: &str, found: f64, goal: f64| {
        if found > goal {
            missed.push(format!("{name}: {what} {found:.3}, not {goal:.3}"));
        }
    };
    hold("cold CPU ratio", cold, kind.goal);
    hold("warm CPU ratio", warm, kind.goal);
    hold("peak memory ratio", peak, MEMORY_GOAL);
    hold("VmHWM ratio", ours.high / theirs.high, 1.0);
    if ours.answer.bytes == 0 {
        hold("ns a frame", frame, FRAME_GOAL);
    } else if ours.answer.series > 1000 {
        hold("CPU s a GB", gigabyte, CHUNKS_GOAL);
    }
    missed
}

/// Every series of every answer, with all of its fields.
fn compare(programs: &Programs, bucket: &std::path::Path, kinds: &[Kind]) {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("bucket.yaml");
    write_config(&config, bucket);
    let [ours, theirs] = Whose::BOTH.map(|whose| {
        Server::start(
            programs,
            whose,
            &config,
            &dir.path().join(format!("{whose:?}")),
        )
    });
    for kind in kinds {
        let mut requests = kind.requests.clone();
        requests.dedup();
        let (ours, theirs) = (ask(&ours, &requests, true), ask(&theirs, &requests, true));
        assert!(ours.series > 0, "{}: nothing to compare", kind.name);
        assert!(
            ours == theirs,
            "{}: {} series here, {} there, or different ones",
            kind.name,
            ours.series,
            theirs.series
        );
        println!(
            "the same: {}, {} series, {} chunks",
            kind.name, ours.series, ours.chunks
        );
    }
}

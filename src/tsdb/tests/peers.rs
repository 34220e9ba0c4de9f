//! Blocks that we write, read by Prometheus's and Thanos's own tools. A tool that is missing is said and left out;
//! `TKS_REQUIRE_PEERS` makes that an error.

use std::path::{Path, PathBuf};
use std::process::Command;

use tsdb::Ulid;
use tsdb::block::{Block, BlockWriter, EncodedChunk};
use tsdb::chunk::{Encoding, XorAppender};
use tsdb::meta::{File, Meta, ThanosMeta};

/// Where a tool lies: beside the built peers, or in the path.
#[expect(clippy::print_stdout, reason = "what is left out is said")]
fn tool(name: &str) -> Option<PathBuf> {
    let peers = std::env::var_os("TKS_PEERS")
        .map(PathBuf::from)
        .or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME")?);
            Some(home.join(".cache/tks-peers"))
        });
    let built = peers.map(|peers| peers.join("bin").join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = built
        .into_iter()
        .chain(installed)
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("TKS_REQUIRE_PEERS").is_none(),
            "{name} is missing"
        );
        println!("left out: {name} is not installed");
    }
    found
}

/// Output of a tool that must succeed.
fn run(tool: &Path, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

const START: i64 = 1_767_225_600_000;

/// A block of 100 series over two hours, one of them in many chunks, in a folder of its own.
fn block(parent: &Path) -> Meta {
    let mut writer =
        BlockWriter::create(parent, Ulid::from_parts(START as u64, 7)).expect("created");
    writer.meta_mut().thanos = Some(ThanosMeta {
        version: 1,
        labels: [("cluster".to_owned(), "a".to_owned())].into(),
        source: "test".to_owned(),
        segment_files: vec!["000001".to_owned()],
        ..ThanosMeta::default()
    });
    for pod in 0..99 {
        let samples: Vec<(i64, f64)> = (0..480)
            .map(|n| (START + n * 15_000, f64::from(pod) + n as f64))
            .collect();
        let pod = format!("pod-{pod:03}");
        writer
            .add_floats([("__name__", "up"), ("pod", &pod)], &samples)
            .expect("added");
    }
    let mut appender = XorAppender::new();
    appender.push(START, 1.0);
    let data = appender.finish();
    let chunk = EncodedChunk {
        mint: START,
        maxt: START,
        samples: 1,
        encoding: Encoding::Xor.as_byte(),
        data: &data,
    };
    writer
        .add([("__name__", "zero"), ("é", "ü")], [chunk])
        .expect("added");
    writer.finish().expect("finished")
}

#[test]
fn promtool_reads_a_block_of_ours() {
    let Some(promtool) = tool("promtool") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let meta = block(folder.path());
    let (parent, id) = (folder.path().to_string_lossy(), meta.ulid.to_string());
    let list = run(&promtool, &["tsdb", "list", &parent]);
    let line = list
        .lines()
        .find(|line| line.starts_with(&id))
        .expect("the block is listed");
    let numbers: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        &numbers[1..],
        [
            "1767225600000",
            "1767232785001",
            "1h59m45.001s",
            "47521",
            "397",
            "100",
            numbers[7]
        ],
        "{line}"
    );
    let analyze = run(&promtool, &["tsdb", "analyze", &parent, &id]);
    for wanted in [
        &format!("Block ID: {id}"),
        "Total Series: 100",
        "Label names: 3",
        "99 up",
    ] {
        assert!(analyze.contains(wanted), "{wanted} is not in {analyze}");
    }
    // It opens a whole database, and that has a log.
    std::fs::create_dir(folder.path().join("wal")).expect("made");
    let dump = run(&promtool, &["tsdb", "dump", &parent]);
    assert_eq!(
        dump.lines().filter(|line| line.starts_with('{')).count(),
        47_521
    );
    assert!(dump.contains("zero"), "the last series is there");
}

#[test]
fn thanos_verifies_a_block_of_ours() {
    let Some(thanos) = tool("thanos") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = folder.path().join("bucket");
    std::fs::create_dir(&bucket).expect("made");
    let mut meta = block(&bucket);
    let home = bucket.join(meta.ulid.to_string());
    let size = |name: &str| std::fs::metadata(home.join(name)).expect("there").len();
    let file = |name: &str| File {
        rel_path: name.to_owned(),
        size_bytes: size(name),
        hash: None,
    };
    if let Some(thanos) = &mut meta.thanos {
        thanos.files = vec![file("chunks/000001"), file("index")];
    }
    meta.write(&home).expect("written");
    std::fs::remove_file(home.join("tombstones")).expect("removed");
    let config = format!(
        "{{type: FILESYSTEM, config: {{directory: {}}}}}",
        bucket.display()
    );
    let config = format!("--objstore.config={config}");
    let verified = run(&thanos, &["tools", "bucket", "verify", &config]);
    assert!(
        !verified.contains("level=warn") && !verified.contains("level=error"),
        "{verified}"
    );
    let inspected = run(
        &thanos,
        &["tools", "bucket", "inspect", &config, "--output=tsv"],
    );
    assert!(
        inspected.contains(&meta.ulid.to_string()) && inspected.contains("47,521"),
        "{inspected}"
    );
    Block::open(&home).expect("still a block");
}

//! `tks promql` as typed: answers of an endpoint and of blocks in every form, mistakes with their places, and the unit
//! tests of rules in `tests/promql`, whose verdicts real promtool has to share.

mod fleet;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use fleet::{Done, peer, run, tks};
use tsdb::Ulid;
use tsdb::block::BlockWriter;
use tsdb::meta::ThanosMeta;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn promql(args: &[&str]) -> Done {
    run(&tks(), &[&["promql"], args].concat(), &root())
}

/// An endpoint that gives one answer; its address, and what it was asked.
fn endpoint(body: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let served = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        // The form is one line behind the headers, and ends with the longest of its fields' values.
        while !is_whole(&request) {
            let length = client.read(&mut piece).expect("a request");
            request.extend_from_slice(&piece[..length]);
        }
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).expect("sent");
        client.write_all(body.as_bytes()).expect("sent");
        String::from_utf8_lossy(&request).into_owned()
    });
    (url, served)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, form)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| form.len() >= length)
}

const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[10,"1"]},{"metric":{"__name__":"up","job":"b,c"},"value":[10,"NaN"]}]},"warnings":["half of it"]}"#;
const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[0,"0"],[60,"1500"],[120,"3000"]]},{"metric":{"job":"b"},"values":[[0,"3000"],[60,"2000"],[120,"1000"]]}]}}"#;
const MISTAKE: &str = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}"#;

#[test]
fn an_endpoints_vector_is_a_table_csv_or_the_json_that_came() {
    let (url, served) = endpoint(VECTOR);
    let done = promql(&["--url", &url, "up", "--time", "1970-01-01T00:00:10Z"]).expect(0);
    assert_eq!(
        done.stdout,
        "__name__   job   VALUE\nup         a     1\nup         b,c   NaN\n"
    );
    assert_eq!(done.stderr, "warning: half of it\n");
    let request = served.join().expect("served");
    assert!(request.starts_with("POST /api/v1/query "), "{request}");
    assert!(
        request.contains("query=up") && request.contains("time=10"),
        "{request}"
    );

    let (url, _) = endpoint(VECTOR);
    let done = promql(&["query", "--url", &url, "up", "-o", "json"]).expect(0);
    assert_eq!(done.stdout.trim_end(), VECTOR);

    let (url, _) = endpoint(VECTOR);
    let done = promql(&["--url", &url, "up", "-o", "csv"]).expect(0);
    let wanted = "time,__name__,job,value\n1970-01-01T00:00:10Z,up,a,1\n1970-01-01T00:00:10Z,up,\"b,c\",NaN\n";
    assert_eq!(done.stdout, wanted);
}

#[test]
fn a_range_is_a_table_of_times_or_a_plot() {
    let range = ["--start", "0", "--end", "120", "--step", "1m"];
    let (url, served) = endpoint(MATRIX);
    let done = promql(&[&["--url", &url, "a"], range.as_slice()].concat()).expect(0);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[0], "TIME                   {job=\"a\"}   {job=\"b\"}");
    assert_eq!(lines[2], "1970-01-01T00:01:00Z   1500        2000");
    let request = served.join().expect("served");
    assert!(
        request.starts_with("POST /api/v1/query_range "),
        "{request}"
    );
    assert!(request.contains("start=0&end=120&step=60"), "{request}");

    let (url, _) = endpoint(MATRIX);
    let done = promql(&[&["--url", &url, "a", "-o", "plot"], range.as_slice()].concat()).expect(0);
    for part in [
        "3k ┤",
        "0 ┤",
        "00:00:00",
        "00:02:00 UTC",
        "a ━━ {job=\"a\"}  min 0  max 3k  last 3k",
    ] {
        assert!(
            done.stdout.contains(part),
            "{part} is missing in\n{}",
            done.stdout
        );
    }
    assert!(!done.stdout.contains('\u{1b}'));

    let (url, _) = endpoint(MATRIX);
    let args = [
        "--color", "always", "promql", "--url", &url, "a", "-o", "plot",
    ];
    let done = run(&tks(), &[args.as_slice(), &range].concat(), &root()).expect(0);
    assert!(done.stdout.contains('\u{1b}'));
}

#[test]
fn a_mistake_is_shown_in_the_expression() {
    let (url, _) = endpoint(MISTAKE);
    let by_endpoint = promql(&["--url", &url, "sum("]).expect(1);
    let by_us = promql(&["format", "sum("]).expect(1);
    for done in [by_endpoint, by_us] {
        for part in [
            "parse error",
            "expression:1:5",
            "sum(",
            "unclosed left parenthesis",
        ] {
            assert!(
                done.stderr.contains(part),
                "{part} is missing in\n{}",
                done.stderr
            );
        }
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    for (args, code, part) in [
        ("up", 64, "nobody to ask"),
        ("", 64, "no expression"),
        (
            "up --url http://127.0.0.1:1",
            1,
            "cannot ask http://127.0.0.1:1",
        ),
        ("up --tsdb no/such/folder", 1, "no/such/folder"),
        ("up --tsdb tests", 1, "tests holds no block"),
        ("up --block tests", 1, "tests"),
        ("up --objstore.config-file no/such/file", 1, "no/such/file"),
        ("up --objstore.config-file Cargo.toml", 1, "Cargo.toml"),
        (
            "up --url http://127.0.0.1:1 --time soon",
            1,
            "`soon` is not a time",
        ),
        ("up --tsdb tests --start 0 --step 1s", 1, "limit of 11000"),
        ("up --tsdb tests --start 10 --end 5", 1, "before its start"),
        ("up --url x --tsdb y", 64, "cannot be used with"),
        ("up --time 1 --start 1", 64, "cannot be used with"),
    ] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let done = promql(&args).expect(code);
        assert!(
            done.stderr.contains(part),
            "{args:?}: {part} is missing in\n{}",
            done.stderr
        );
    }
}

#[test]
fn expressions_are_formatted_and_parsed() {
    let done = promql(&["format", "sum(rate(a[5m]))by(b)"]).expect(0);
    assert_eq!(done.stdout, "sum by (b) (rate(a[5m]))\n");
    let done = promql(&["parse", "sum by (b) (a)", "--json"]).expect(0);
    let tree: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(tree["type"], "aggregation");
    assert_eq!(tree["expr"]["position"]["column"], 13);
    let done = promql(&["parse", "--", "-a"]).expect(0);
    assert!(
        done.stdout
            .contains("\n  vectorSelector  instant vector  1:2  a"),
        "{}",
        done.stdout
    );
}

#[test]
fn help_has_examples() {
    for command in [&[][..], &["query"], &["format"], &["parse"], &["test"]] {
        let done = promql(&[command, &["--help"]].concat()).expect(0);
        assert!(
            done.stdout.contains("Examples:\n  tks promql"),
            "{}",
            done.stdout
        );
    }
}

#[test]
fn a_bucket_answers_with_the_external_labels_of_its_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket).expect("a folder");
    let mut block = BlockWriter::create(&bucket, Ulid::from_parts(1, 1)).expect("a block");
    let samples: Vec<_> = (0..20).map(|at| (at * 30_000, at as f64)).collect();
    block
        .add_floats([("__name__", "a_total"), ("job", "x")], &samples)
        .expect("added");
    block.meta_mut().thanos = Some(ThanosMeta {
        version: 1,
        labels: [("cluster".to_owned(), "c".to_owned())].into(),
        ..ThanosMeta::default()
    });
    block.finish().expect("written");
    let config = folder.path().join("bucket.yaml");
    let directory = bucket.display();
    fs::write(
        &config,
        format!("type: FILESYSTEM\nconfig: {{ directory: {directory} }}\n"),
    )
    .expect("written");
    let config = config.display().to_string();
    let bucket = ["--objstore.config-file", config.as_str(), "-o", "csv"];
    let done = promql(&[bucket.as_slice(), &["a_total", "--time", "300"]].concat()).expect(0);
    let wanted = "time,__name__,cluster,job,value\n1970-01-01T00:05:00Z,a_total,c,x,10\n";
    assert_eq!(done.stdout, wanted, "{}", done.stderr);
    let range = [
        "sum(rate(a_total[2m]))",
        "--start",
        "180",
        "--end",
        "240",
        "--step",
        "1m",
    ];
    let done = promql(&[bucket.as_slice(), &range].concat()).expect(0);
    assert_eq!(done.stdout.lines().count(), 3, "{}", done.stdout);
}

#[test]
fn blocks_on_disk_answer_as_prometheus_does() {
    let Some(promtool) = peer("promtool", "queries over a block") else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let sample = |job: &str, at: i64| format!("a_total{{job=\"{job}\"}} {} {at}\n", at * 2);
    let times = || (0..=600).step_by(15);
    let samples: String = ["x", "y"]
        .iter()
        .flat_map(|job| times().map(move |at| sample(job, at)))
        .collect();
    fs::write(
        dir.path().join("in"),
        format!("# TYPE a counter\n{samples}# EOF\n"),
    )
    .expect("written");
    run(
        &promtool,
        &["tsdb", "create-blocks-from", "openmetrics", "in", "data"],
        dir.path(),
    )
    .expect(0);
    let ask = |args: &[&str]| {
        run(
            &tks(),
            &[&["promql", "--tsdb", "data"], args].concat(),
            dir.path(),
        )
    };
    let done = ask(&["sum(a_total - a_total offset 5m)", "--time", "600"]).expect(0);
    assert_eq!(done.stdout, "VALUE\n1200\n");
    let done = ask(&[
        "a_total", "--start", "0", "--end", "30", "--step", "15s", "-o", "json",
    ])
    .expect(0);
    let answer: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let series = serde_json::json!({
        "metric": { "__name__": "a_total", "job": "y" },
        "values": [[0, "0"], [15, "30"], [30, "60"]],
    });
    assert_eq!(answer["data"]["result"][1], series);
    let block = fs::read_dir(dir.path().join("data"))
        .expect("blocks")
        .flatten()
        .next()
        .expect("a block");
    let block = block.path().display().to_string();
    let args = [
        "promql",
        "--block",
        &block,
        "count(a_total)",
        "--time",
        "600",
    ];
    assert_eq!(
        run(&tks(), &args, dir.path()).expect(0).stdout,
        "VALUE\n2\n"
    );
    let done = ask(&["sum(", "--time", "600"]).expect(1);
    assert!(done.stderr.contains("expression:1:5"), "{}", done.stderr);
    let done = ask(&["a_total", "--max-samples", "1", "--time", "600"]).expect(1);
    assert!(done.stderr.contains("too many samples"), "{}", done.stderr);
}

/// The test files, and whether their rules and series are as they say.
const FILES: [(&str, bool); 6] = [
    ("recording.yml", true),
    ("alerting.yml", true),
    ("absent.yml", true),
    ("histograms.yml", true),
    ("failing.yml", false),
    ("bad_rules_test.yml", false),
];

fn test_files() -> PathBuf {
    root().join("tests/promql")
}

#[test]
fn rule_tests_have_the_verdicts_they_should() {
    for (file, passes) in FILES {
        let done = run(&tks(), &["promql", "test", file], &test_files()).expect(i32::from(!passes));
        assert_eq!(
            done.stdout.contains("  SUCCESS"),
            passes,
            "{file}:\n{}",
            done.text()
        );
        assert_eq!(
            done.stderr.contains("  FAILED:"),
            !passes,
            "{file}:\n{}",
            done.text()
        );
    }
    let all: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
    run(
        &tks(),
        &[&["promql", "test"], all.as_slice()].concat(),
        &test_files(),
    )
    .expect(1);
}

/// The names of the tests in `failing.yml`.
fn failing() -> Vec<String> {
    let text = fs::read_to_string(test_files().join("failing.yml")).expect("a file");
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("  - name: "));
    names.map(str::to_owned).collect()
}

#[test]
fn each_failing_rule_test_fails_and_shows_both_sides() {
    let names = failing();
    assert!(names.len() >= 7);
    for name in names {
        let args = [
            "promql",
            "test",
            "--run",
            &format!("^{name}$"),
            "failing.yml",
        ];
        let done = run(&tks(), &args, &test_files()).expect(1);
        assert!(
            done.stderr.contains(&format!("name: {name},")),
            "{name}:\n{}",
            done.text()
        );
    }
    let args = ["promql", "test", "--run", "^another value$", "failing.yml"];
    let done = run(&tks(), &args, &test_files());
    for part in [
        "expr: \"requests_total\", time: 2m",
        "- requests_total 121",
        "+ requests_total 120",
    ] {
        assert!(
            done.stderr.contains(part),
            "{part} is missing in\n{}",
            done.stderr
        );
    }
    run(
        &tks(),
        &["promql", "test", "--run", "^none$", "failing.yml"],
        &test_files(),
    )
    .expect(0);
}

/// Real promtool, of a version that knows what the files use.
fn promtool() -> Option<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let peers = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    let built = Path::new(&peers).join("bin/promtool");
    if built.is_file() {
        return Some(built);
    }
    peer("promtool", "the verdicts of promtool")
}

#[test]
fn promtool_has_the_same_verdicts() {
    let Some(promtool) = promtool() else {
        return;
    };
    // Debian's knows neither start_timestamp nor histograms nor labels of groups.
    let version = run(&promtool, &["--version"], &root()).text();
    let is_old = version.contains("version 2.");
    for (file, passes) in FILES.into_iter().filter(|_| !is_old) {
        run(&promtool, &["test", "rules", file], &test_files()).expect(i32::from(!passes));
    }
    for name in failing().into_iter().filter(|_| !is_old) {
        let args = [
            "test",
            "rules",
            "--run",
            &format!("^{name}$"),
            "failing.yml",
        ];
        run(&promtool, &args, &test_files()).expect(1);
    }
    run(&promtool, &["test", "rules", "plain.yml"], &test_files()).expect(0);
    run(&tks(), &["promql", "test", "plain.yml"], &test_files()).expect(0);
}

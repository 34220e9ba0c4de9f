//! What Prometheus forgot is still answered: the sidecar uploads, the store gateways serve.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

mod fleet;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleet::{Fleet, eventually, get, peer, run};
use serde_json::Value as Json;

const OBSERVER: &str = "local/eu-west-1/observer";
const OBSERVEE: &str = "local/eu-west-3/observee";
const PROMETHEUS: &str =
    "local/eu-west-3/observee/prometheus-kube-prometheus-stack-prometheus-0/prometheus";
const ID: &str = "local-demo-eu-west-3-observee";

/// Prometheus cuts its first block of two minutes when its head is three minutes old, and looks once a minute.
/// Blocks begin on even minutes, so that the first one may hold seconds only: then it takes the next one, two minutes later.
const FULL_BLOCK: Duration = Duration::from_secs(9 * 60);

/// What a block has to hold for a rate over 40 s at its end.
const ENOUGH: i64 = 60_000;

#[test]
fn history_is_answered_from_the_bucket_when_its_prometheus_is_gone() {
    let (Some(_), Some(promtool)) = (peer("prometheus", "history"), peer("promtool", "history"))
    else {
        return;
    };
    let fleet = Fleet::demo();
    fleet.apply().expect(0);
    let bucket = PathBuf::from(fleet.output(OBSERVEE, "storage.bucket.dir"));
    let block = uploaded_block(&bucket);
    println!("uploaded: {}", block.display());
    let url = format!("http://{}", fleet.output(OBSERVER, "query.http"));
    the_stores_page_is_the_one_of_the_article(&url);
    let (query, time) = within(&block);
    let before = eventually("an answer while Prometheus is there", || {
        answer(&url, &query, &time)
    });
    // Stopped, it hangs rather than refuses: the federation querier gives it up after its response timeout of 30 s.
    let pid = fleet.pid(PROMETHEUS).to_string();
    let stop = Command::new("kill")
        .args(["-STOP", &pid])
        .status()
        .expect("kill runs");
    assert!(stop.success());
    let after = eventually("the same answer from the bucket", || {
        let answer = answer(&url, &query, &time)?;
        (answer == before).then_some(answer)
    });
    println!("{} series answered from the bucket", after.len());
    let _ = Command::new("kill").args(["-CONT", &pid]).status();
    peers_read_the_block(&bucket, &block, &promtool, fleet.dir.path());
}

/// The first block that holds enough, once its meta.json, which comes last, is in the bucket.
fn uploaded_block(bucket: &Path) -> PathBuf {
    let start = Instant::now();
    loop {
        let entries = fs::read_dir(bucket).expect("the bucket is a folder");
        let mut blocks = entries.filter_map(Result::ok).map(|entry| entry.path());
        let enough = |meta: &Json| time(meta, "maxTime") - time(meta, "minTime") >= ENOUGH;
        if let Some(block) = blocks.find(|block| meta(block).is_some_and(|meta| enough(&meta))) {
            return block;
        }
        assert!(
            start.elapsed() < FULL_BLOCK,
            "no block of {ENOUGH} ms was uploaded in {FULL_BLOCK:?}"
        );
        sleep(Duration::from_secs(2));
    }
}

/// The `meta.json` of a block that is there whole.
fn meta(block: &Path) -> Option<Json> {
    let meta = fs::read_to_string(block.join("meta.json")).ok()?;
    Some(serde_json::from_str(&meta).expect("JSON"))
}

/// In milliseconds.
fn time(meta: &Json, name: &str) -> i64 {
    meta[name].as_i64().expect("a time")
}

/// Sidecar 1, store gateways 1 + 1, querier 1.
fn the_stores_page_is_the_one_of_the_article(url: &str) {
    let counts = eventually("both store gateways with blocks", || {
        let stores = get(&format!("{url}/api/v1/stores"), &[])?;
        let count = |kind: &str| stores["data"][kind].as_array().map_or(0, Vec::len);
        let labelled = stores["data"]["store"].as_array()?.iter().filter(|store| {
            store["labelSets"]
                .as_array()
                .is_some_and(|sets| !sets.is_empty())
        });
        (labelled.count() == 2).then(|| [count("sidecar"), count("store"), count("query")])
    });
    assert_eq!(counts, [1, 2, 1]);
}

/// A query over the observee at the end of the block.
fn within(block: &Path) -> (String, String) {
    let meta = meta(block).expect("it was uploaded");
    let labels = &meta["thanos"]["labels"];
    assert_eq!(labels["cluster"], ID, "{meta}");
    let end = time(&meta, "maxTime") - 1_000;
    let query = format!("sum by (job) (rate(process_cpu_seconds_total{{cluster=\"{ID}\"}}[40s]))");
    (query, format!("{}.{:03}", end / 1000, end % 1000))
}

/// (labels, value) of each series, or nothing while there is none.
fn answer(url: &str, query: &str, time: &str) -> Option<Vec<(String, String)>> {
    let answer = get(
        &format!("{url}/api/v1/query"),
        &[("query", query), ("time", time), ("timeout", "50s")],
    )?;
    let result = answer["data"]["result"].as_array()?;
    let mut series: Vec<(String, String)> = result
        .iter()
        .map(|s| (s["metric"].to_string(), s["value"][1].to_string()))
        .collect();
    series.sort();
    (!series.is_empty()).then_some(series)
}

/// Prometheus and Thanos take the block as one of their own.
fn peers_read_the_block(bucket: &Path, block: &Path, promtool: &Path, dir: &Path) {
    let name = block
        .file_name()
        .expect("a ULID")
        .to_string_lossy()
        .into_owned();
    let done = run(
        promtool,
        &["tsdb", "analyze", &bucket.display().to_string(), &name],
        dir,
    )
    .expect(0);
    assert!(done.text().contains(&name), "{}", done.text());
    let Some(thanos) = peer("thanos", "the block through Thanos's tools") else {
        return;
    };
    let config = dir.join("bucket.yaml");
    let text = format!(
        "type: FILESYSTEM\nconfig:\n  directory: {}\n",
        bucket.display()
    );
    fs::write(&config, text).expect("written");
    let config = format!("--objstore.config-file={}", config.display());
    let done = run(&thanos, &["tools", "bucket", "verify", &config], dir).expect(0);
    assert!(!done.stderr.contains("level=error"), "{}", done.stderr);
    let done = run(&thanos, &["tools", "bucket", "ls", &config], dir).expect(0);
    assert!(done.stdout.contains(&name), "{}", done.stdout);
}

//! Two clusters of two tenants, one of them with two replicas that scrape at other moments and have gaps.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

/// When the data begins, seconds.
pub(crate) const START: i64 = 1_700_006_400;
/// How long it goes on, seconds.
pub(crate) const LENGTH: i64 = 3600;

/// Makes the bucket: the file of its configuration.
pub(crate) fn bucket(dir: &Path, promtool: &Path) -> PathBuf {
    let bucket = dir.join("bucket");
    for (index, (cluster, tenant, replica)) in
        [("one", "a", "0"), ("one", "a", "1"), ("two", "b", "0")]
            .into_iter()
            .enumerate()
    {
        let made = dir.join(format!("made-{index}"));
        let text = made.with_extension("txt");
        fs::write(&text, metrics(index as i64)).expect("written");
        let run = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&text, &made])
            .output()
            .expect("promtool runs");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        for block in fs::read_dir(&made).expect("blocks").flatten() {
            let meta = block.path().join("meta.json");
            let mut json: Json =
                serde_json::from_slice(&fs::read(&meta).expect("a meta")).expect("JSON");
            json["thanos"] = json!({
                "labels": { "cluster": cluster, "tenant_id": tenant, "replica": replica },
                "downsample": { "resolution": 0 },
                "source": "sidecar",
            });
            fs::write(&meta, json.to_string()).expect("written");
            fs::create_dir_all(&bucket).expect("a folder");
            fs::rename(block.path(), bucket.join(block.file_name())).expect("moved");
        }
    }
    let config = dir.join("bucket.yaml");
    let text = format!(
        "type: FILESYSTEM\nconfig: {{ directory: {} }}\n",
        bucket.display()
    );
    fs::write(&config, text).expect("written");
    config
}

/// What the scrapes of one Prometheus found, as OpenMetrics.
fn metrics(shift: i64) -> String {
    let mut out = String::from("# TYPE requests counter\n");
    let times = || {
        let all = (0..LENGTH / 15).map(move |i| START + i * 15 + shift * 7);
        // Each replica misses some scrapes.
        all.filter(move |t| (t / 60 + shift * 3) % 11 != 0)
    };
    for (code, path, rate) in [("200", "/", 5), ("200", "/api", 3), ("500", "/api", 1)] {
        for t in times() {
            // Starts anew every 20 minutes.
            let value = (t - START) % 1200 * rate / 15;
            let _ = writeln!(
                out,
                "requests_total{{code=\"{code}\",path=\"{path}\"}} {value} {t}"
            );
        }
    }
    out += "# TYPE temperature gauge\n";
    for (room, base) in [("kitchen", 21.0), ("cellar", -3.5)] {
        for t in times() {
            let value = base + ((t % 97) as f64) / 10.0;
            let _ = writeln!(out, "temperature{{room=\"{room}\"}} {value} {t}");
        }
    }
    out += "# TYPE latency histogram\n";
    for (le, part) in [("0.1", 2), ("0.5", 5), ("+Inf", 6)] {
        for t in times() {
            let value = (t - START) / 15 * part;
            let _ = writeln!(out, "latency_bucket{{le=\"{le}\"}} {value} {t}");
        }
    }
    out + "# EOF\n"
}

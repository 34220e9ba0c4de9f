//! We speak the real protocol: real Thanos over our sidecar and through our ingress; our querier over a real Thanos sidecar.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

mod fleet;

use std::fs;
use std::path::Path;

use fleet::{Fleet, Running, eventually, free_address, get, peer, tks};
use serde_json::Value as Json;

const OBSERVER: &str = "local/eu-west-1/observer";
const OBSERVEE: &str = "local/eu-west-3/observee";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn series(url: &str, query: &str) -> Vec<Json> {
    let answer = get(&format!("{url}/api/v1/query"), &[("query", query)]).unwrap_or_default();
    answer["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn real_thanos_reads_us_and_we_read_real_thanos() {
    let (Some(thanos), Some(_)) = (peer("thanos", "interop"), peer("prometheus", "interop")) else {
        return;
    };
    let fleet = Fleet::demo();
    fleet.apply().expect(0);
    for compression in ["none", "snappy"] {
        real_thanos_query_goes_through_our_ingress(&fleet, &thanos, compression);
        our_querier_reads_a_real_sidecar(&fleet, &thanos, compression);
    }
    real_thanos_query_stacks_on_our_querier(&fleet, &thanos);
}

/// A rule of each kind, an alert that fires, a label that is a template.
const RULES: &str = r#"
groups:
- name: tks
  interval: 1s
  rules:
  - { record: "job:up:sum", expr: "sum by (job) (up)", labels: { team: a } }
  - { alert: Always, expr: "vector(1)", labels: { severity: page }, annotations: { summary: "{{ $value }}" } }
  - { alert: Later, expr: "vector(1)", for: 1h, labels: { severity: "{{ $value }}" } }
- name: empty
  rules: []
"#;

#[test]
fn what_a_cluster_says_of_itself_is_the_same_to_both_queriers() {
    let (Some(thanos), Some(prometheus)) =
        (peer("thanos", "interop"), peer("prometheus", "interop"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let at = free_address();
    fs::write(dir.join("rules.yaml"), RULES).expect("written");
    let config = format!(
        "global: {{ scrape_interval: 1s, external_labels: {{ cluster: one, replica: a }} }}\n\
         rule_files: [rules.yaml]\n\
         scrape_configs: [{{ job_name: self, static_configs: [{{ targets: ['{at}'] }}] }}]\n"
    );
    let file = dir.join("prometheus.yaml");
    fs::write(&file, config).expect("written");
    let args = words(&[
        &format!("--config.file={}", file.display()),
        &format!("--storage.tsdb.path={}", dir.join("data").display()),
        &format!("--web.listen-address={at}"),
    ]);
    let _prometheus = Running::start(&prometheus, &args, dir.join("prometheus.log"));
    eventually("an alert that fires", || {
        let alerts = get(&format!("http://{at}/api/v1/alerts"), &[])?;
        let mut alerts = alerts["data"]["alerts"].as_array()?.iter();
        alerts.find(|alert| alert["state"] == "firing").map(drop)
    });
    let component = |program: &Path, first: &[&str], name: &str| {
        let (grpc, http) = (free_address(), free_address());
        let mut args = words(first);
        args.extend(words(&[
            &format!("--http-address={http}"),
            &format!("--grpc-address={grpc}"),
        ]));
        let running = Running::start(program, &args, dir.join(name));
        (running, grpc, format!("http://{http}/api/v1"))
    };
    let url = format!("--prometheus.url=http://{at}");
    let (_a, real_sidecar, _) = component(&thanos, &["sidecar", &url], "thanos-sidecar.log");
    let (_b, our_sidecar, _) = component(&tks(), &["thanos", "sidecar", &url], "tks-sidecar.log");
    let endpoints = [&real_sidecar, &our_sidecar].map(|grpc| format!("--endpoint={grpc}"));
    let replica = "--query.replica-label=replica";
    let args = ["query", &endpoints[0], &endpoints[1], replica];
    let (_c, _, theirs) = component(&thanos, &args, "thanos-query.log");
    let args = ["thanos", "query", &endpoints[0], &endpoints[1], replica];
    let (_d, _, ours) = component(&tks(), &args, "tks-query.log");
    same_answers(&ours, &theirs);
}

/// Rules, targets, metadata, exemplars and statistics through two queriers over the same two sidecars.
fn same_answers(ours: &str, theirs: &str) {
    for url in [theirs, ours] {
        eventually("both sidecars", || {
            let stores = get(&format!("{url}/stores"), &[])?;
            (stores["data"]["sidecar"].as_array()?.len() == 2).then_some(())
        });
    }
    for (path, params) in [
        ("rules", &[][..]),
        ("rules", &[("type", "record")]),
        ("rules", &[("match[]", "{severity=\"page\"}")]),
        ("rules", &[("match[]", "{severity=\"\"}")]),
        ("rules", &[("rule_name[]", "Later")]),
        ("rules", &[("rule_group[]", "tks"), ("type", "alert")]),
        ("rules", &[("rule_name[]", "absent")]),
        ("rules", &[("type", "dream")]),
        ("alerts", &[]),
        ("targets", &[("state", "active")]),
        ("targets", &[("state", "dropped")]),
        ("targets", &[("state", "dream")]),
        ("metadata", &[("metric", "up")]),
        ("metadata", &[("metric", "go_goroutines")]),
        ("metadata", &[("limit", "0")]),
        (
            "query_exemplars",
            &[("query", "go_goroutines + rate(up[5m])")],
        ),
        ("status/tsdb", &[("limit", "x")]),
        ("status/tsdb", &[("match[]", "{cluster=\"another\"}")]),
    ] {
        let answer = |url: &str| {
            let mut answer = get(&format!("{url}/{path}"), params).expect("an answer in JSON");
            forget_moments(&mut answer);
            answer
        };
        assert_eq!(answer(ours), answer(theirs), "{path} {params:?}");
    }
    // A real sidecar leaves parts of the statistics out, so they are only compared in shape.
    let statistics = |url: &str| get(&format!("{url}/status/tsdb"), &[]).expect("an answer");
    let keys = |answer: &Json| -> Vec<String> {
        let data = answer["data"].as_object().expect("an object");
        data.keys().cloned().collect()
    };
    assert_eq!(keys(&statistics(ours)), keys(&statistics(theirs)));
    assert!(statistics(ours)["data"]["headStats"]["numSeries"].as_u64() > Some(100));
    println!("rules, targets, metadata, exemplars: the same answers as a real querier");
}

/// Takes out when something happened last and how long it took: the two are asked one after the other.
fn forget_moments(answer: &mut Json) {
    match answer {
        Json::Object(fields) => {
            for moment in [
                "lastScrape",
                "lastScrapeDuration",
                "lastEvaluation",
                "evaluationTime",
            ] {
                fields.remove(moment);
            }
            fields.values_mut().for_each(forget_moments);
        }
        Json::Array(items) => items.iter_mut().for_each(forget_moments),
        _ => {}
    }
}

/// With the client certificate that tks made for the observer's TLS querier.
fn real_thanos_query_goes_through_our_ingress(fleet: &Fleet, thanos: &Path, compression: &str) {
    let client =
        |what: &str| fleet.output(OBSERVER, &format!("federation/eu-west-3-observee.{what}"));
    let http = free_address();
    let args = words(&[
        "query",
        &format!("--http-address={http}"),
        &format!("--grpc-address={}", free_address()),
        &format!("--endpoint={}", fleet.output(OBSERVEE, "ingress.address")),
        "--grpc-client-tls-secure",
        &format!("--grpc-client-tls-cert={}", client("cert_file")),
        &format!("--grpc-client-tls-key={}", client("key_file")),
        &format!("--grpc-client-tls-ca={}", client("ca_file")),
        &format!(
            "--grpc-client-server-name={}",
            fleet.output(OBSERVEE, "ingress.host")
        ),
        &format!("--grpc-compression={compression}"),
    ]);
    let _thanos = Running::start(
        thanos,
        &args,
        fleet
            .dir
            .path()
            .join(format!("thanos-query-{compression}.log")),
    );
    let url = format!("http://{http}");
    let stores = eventually("our sidecar among real Thanos's stores", || {
        let stores = get(&format!("{url}/api/v1/stores"), &[])?;
        (stores["data"]["sidecar"].as_array()?.len() == 1).then_some(stores)
    });
    assert!(
        stores["data"]["sidecar"][0]["lastError"].is_null(),
        "{stores}"
    );
    let up = eventually("an answer through our ingress", || {
        let up = series(&url, "up{job=\"kube-prometheus-stack-prometheus\"}");
        (!up.is_empty()).then_some(up)
    });
    assert_eq!(up[0]["metric"]["cluster"], "local-demo-eu-west-3-observee");
    let names = get(&format!("{url}/api/v1/label/__name__/values"), &[]).expect("an answer");
    let names = names["data"].as_array().expect("names").clone();
    assert!(
        names.contains(&"up".into()) && names.contains(&"go_goroutines".into()),
        "{names:?}"
    );
    let same = get(&format!("{url}/api/v1/labels"), &[]).expect("an answer");
    assert!(
        same["data"]
            .as_array()
            .expect("names")
            .contains(&"prometheus_replica".into()),
        "{same}"
    );
    println!("real thanos query answers through our ingress, compression {compression}");
}

fn our_querier_reads_a_real_sidecar(fleet: &Fleet, thanos: &Path, compression: &str) {
    let (grpc, http) = (free_address(), free_address());
    let prometheus = fleet.output(OBSERVEE, "prometheus.url");
    let args = words(&[
        "sidecar",
        &format!("--prometheus.url={prometheus}"),
        &format!("--grpc-address={grpc}"),
        &format!("--http-address={}", free_address()),
    ]);
    let _sidecar = Running::start(
        thanos,
        &args,
        fleet
            .dir
            .path()
            .join(format!("thanos-sidecar-{compression}.log")),
    );
    let args = words(&[
        "thanos",
        "query",
        &format!("--endpoint={grpc}"),
        &format!("--http-address={http}"),
        &format!("--grpc-address={}", free_address()),
        &format!("--grpc-compression={compression}"),
    ]);
    let _query = Running::start(
        &tks(),
        &args,
        fleet
            .dir
            .path()
            .join(format!("tks-query-{compression}.log")),
    );
    let url = format!("http://{http}");
    let up = eventually("an answer from a real sidecar", || {
        let up = series(
            &url,
            "sum by (cluster, job) (rate(prometheus_http_requests_total[1m]))",
        );
        (!up.is_empty()).then_some(up)
    });
    assert_eq!(up[0]["metric"]["cluster"], "local-demo-eu-west-3-observee");
    let stores = get(&format!("{url}/api/v1/stores"), &[]).expect("an answer");
    assert_eq!(
        stores["data"]["sidecar"].as_array().map(Vec::len),
        Some(1),
        "{stores}"
    );
    println!("our querier answers over a real thanos sidecar, compression {compression}");
}

/// A querier is a StoreAPI too: the central one as the only endpoint of a real one.
fn real_thanos_query_stacks_on_our_querier(fleet: &Fleet, thanos: &Path) {
    let http = free_address();
    let args = words(&[
        "query",
        &format!("--http-address={http}"),
        &format!("--grpc-address={}", free_address()),
        &format!("--endpoint={}", fleet.output(OBSERVER, "query.grpc")),
        "--query.replica-label=prometheus_replica",
    ]);
    let _thanos = Running::start(thanos, &args, fleet.dir.path().join("thanos-stacked.log"));
    let url = format!("http://{http}");
    let ours = format!("http://{}", fleet.output(OBSERVER, "query.http"));
    let query = "count by (cluster, job) (up)";
    let theirs = eventually(
        "both clusters through a stack of real Thanos over ours",
        || {
            let found = series(&url, query);
            let clusters: std::collections::BTreeSet<String> = found
                .iter()
                .map(|s| s["metric"]["cluster"].to_string())
                .collect();
            (clusters.len() == 2).then_some(found)
        },
    );
    let sorted = |series: Vec<Json>| {
        let mut rows: Vec<String> = series
            .iter()
            .map(|s| format!("{} {}", s["metric"], s["value"][1]))
            .collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(theirs), sorted(series(&ours, query)));
    println!("real thanos query stacks on our querier");
}

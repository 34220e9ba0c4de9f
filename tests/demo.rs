//! The thread, end to end: `tks apply live/demo`, with real Prometheus servers, to one answer over two clusters, to nothing.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

mod fleet;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet::{Done, Fleet, eventually, get, peer};
use serde_json::{Value as Json, json};

const OBSERVER: &str = "local/eu-west-1/observer";
const OBSERVEE: &str = "local/eu-west-3/observee";
const QUERIER: &str = "local/eu-west-1/observer/thanos-query-0/query";
const SIDECAR: &str =
    "local/eu-west-3/observee/prometheus-kube-prometheus-stack-prometheus-0/thanos-sidecar";
const EXTERNAL: [&str; 3] = ["cluster", "prometheus", "prometheus_replica"];

/// The whole life of the demo in one test: each step stands on the one before.
#[test]
fn the_demo_lives_and_leaves_nothing() {
    if peer("prometheus", "the demo").is_none() {
        return;
    }
    let fleet = Fleet::demo();
    step("apply makes two clusters");
    let done = fleet.apply().expect(0);
    assert!(done.text().contains("Apply complete!"), "{}", done.text());
    one_query_answers_over_both(&fleet);
    the_stores_are_the_ones_of_the_article(&fleet);
    a_second_plan_is_one_line_and_cheap(&fleet);
    answers_equal_those_of_prometheus(&fleet);
    the_processes_are_small(&fleet);
    the_ingress_refuses_strangers(&fleet);
    drift_is_in_the_next_plan(&fleet);
    what_is_killed_comes_back(&fleet);
    a_dead_sidecar_is_a_warning(&fleet);
    a_second_replica_is_one_number(&fleet);
    a_third_cluster_is_one_line(&fleet);
    a_killed_supervisor_takes_its_children_along(&fleet);
    destroy_leaves_nothing(&fleet);
}

fn step(name: &str) {
    println!("--- {name}");
}

fn querier(fleet: &Fleet) -> String {
    format!("http://{}", fleet.output(OBSERVER, "query.http"))
}

fn ask(url: &str, expr: &str) -> Option<Json> {
    get(&format!("{url}/api/v1/query"), &[("query", expr)])
}

/// The values of one label over all series of an answer.
fn label_values(answer: &Json, label: &str) -> BTreeSet<String> {
    let result = answer["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    result
        .iter()
        .filter_map(|s| Some(s["metric"][label].as_str()?.to_owned()))
        .collect()
}

fn one_query_answers_over_both(fleet: &Fleet) {
    step("one query answers over both clusters");
    let url = querier(fleet);
    let clusters = eventually("an answer over both clusters", || {
        let clusters = label_values(&ask(&url, "count by (cluster) (up)")?, "cluster");
        (clusters.len() == 2).then_some(clusters)
    });
    let expected = [
        "local-demo-eu-west-1-observer",
        "local-demo-eu-west-3-observee",
    ];
    assert_eq!(clusters, expected.map(String::from).into());
    let done = fleet
        .tks(&["query", "live/demo", "count by (cluster) (up)"])
        .expect(0);
    for cluster in expected {
        assert!(done.stdout.contains(cluster), "{}", done.stdout);
    }
}

fn the_stores_are_the_ones_of_the_article(fleet: &Fleet) {
    step(
        "the TLS querier has one store, the central querier the local sidecar and the TLS querier",
    );
    let stores = |url: &str| get(&format!("{url}/api/v1/stores"), &[]).expect("an answer");
    let count = |stores: &Json, kind: &str| stores["data"][kind].as_array().map_or(0, Vec::len);
    let central = stores(&querier(fleet));
    assert_eq!(
        (count(&central, "sidecar"), count(&central, "query")),
        (1, 1),
        "{central}"
    );
    let tls = fleet.output(OBSERVER, "federation/eu-west-3-observee.http");
    let tls = stores(&format!("http://{tls}"));
    assert_eq!(
        (count(&tls, "sidecar"), count(&tls, "query")),
        (1, 0),
        "{tls}"
    );
    let labels = &tls["data"]["sidecar"][0]["labelSets"][0];
    assert_eq!(
        labels,
        &json!({
            "cluster": "local-demo-eu-west-3-observee",
            "prometheus": "monitoring/kube-prometheus-stack-prometheus",
            "prometheus_replica": "prometheus-kube-prometheus-stack-prometheus-0",
        })
    );
    fleet.tks(&["stores", "live/demo"]).expect(0);
}

fn a_second_plan_is_one_line_and_cheap(fleet: &Fleet) {
    step("a second plan is one line");
    let before = children_cpu();
    let (done, peak_kib) = watched_plan(fleet);
    let cpu = children_cpu() - before;
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{}", done.stdout);
    assert!(lines[0].starts_with("No changes."), "{}", done.stdout);
    println!(
        "a plan without changes: {cpu:.2} s of CPU, {} MiB at most",
        peak_kib / 1024
    );
    if optimised() {
        assert!(cpu < 0.3, "a plan without changes took {cpu} s of CPU");
        assert!(
            peak_kib < 60 * 1024,
            "a plan without changes took {peak_kib} KiB"
        );
    }
}

/// A plan, and the highest VmHWM seen while it ran.
fn watched_plan(fleet: &Fleet) -> (Done, u64) {
    let mut child = Command::new(fleet::tks())
        .args(["plan", "live/demo", "--detailed-exitcode"])
        .current_dir(fleet.dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tks runs");
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(status_kib(i64::from(child.id()), "VmHWM"));
        sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    let done = Done {
        code,
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    };
    (done.expect(0), peak)
}

/// CPU seconds of all children that have ended (utime and stime of the process's children, `/proc/self/stat`).
fn children_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(13) + ticks(14)) / 100.0
}

/// Figures count for the release build only.
fn optimised() -> bool {
    std::env::var_os("TKS_BIN").is_some()
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64()
}

/// Queries with `{}` where the central querier is told which cluster to look at. Every one leaves labels by which its series differ.
const QUERIES: &[&str] = &[
    "up{}",
    "up{job=\"kube-prometheus-stack-prometheus\"}",
    "up{job!=\"node-exporter\",}",
    "up{job=~\"kube.*|thanos.*\"}",
    "{__name__=~\"go_mem.*_bytes\",}",
    "process_resident_memory_bytes{}",
    "rate(prometheus_http_requests_total{}[30s])",
    "increase(prometheus_http_requests_total{}[30s])",
    "rate(process_cpu_seconds_total{}[20s])",
    "increase(prometheus_tsdb_head_samples_appended_total{}[30s])",
    "sum by (job) (up{})",
    "sum(up{})",
    "count(up{})",
    "count by (job, instance) (up{})",
    "avg by (job) (scrape_duration_seconds{})",
    "min(scrape_duration_seconds{})",
    "max without (instance) (scrape_duration_seconds{})",
    "sum without (handler, code) (rate(prometheus_http_requests_total{}[30s]))",
    "sum by (code) (increase(prometheus_http_requests_total{}[30s]))",
    "avg(rate(process_cpu_seconds_total{}[20s]))",
    "max by (job) (rate(process_cpu_seconds_total{}[20s]))",
    "min by (job) (process_open_fds{})",
    "up{} == 1",
    "up{} != bool 1",
    "process_resident_memory_bytes{} / 1024 / 1024",
    "100 * sum by (job) (rate(process_cpu_seconds_total{}[20s]))",
    "sum(scrape_samples_scraped{}) > 10",
    "-process_open_fds{}",
    "prometheus_build_info{}",
    "up{} offset 10s",
    "rate(prometheus_http_requests_total{}[20s] offset 5s)",
    "count(prometheus_http_request_duration_seconds_bucket{}) by (le)",
    "process_start_time_seconds{} * 1000 % 7",
    "2 ^ up{}",
    "scrape_samples_scraped{} <= 400",
];

/// Each query over a fixed past range, through the central querier and from the cluster's own Prometheus.
fn answers_equal_those_of_prometheus(fleet: &Fleet) {
    step("answers equal those of the two Prometheus servers");
    // Every range below must lie wholly within the life of its series: Prometheus 2 and 3 extrapolate their first seconds differently.
    sleep(Duration::from_secs(80));
    let end = free_phase(fleet, now().floor() - 10.0);
    let range =
        [("start", end - 20.0), ("end", end), ("step", 5.0)].map(|(n, v)| (n, v.to_string()));
    let url = querier(fleet);
    let mut series = 0;
    for cluster in [OBSERVER, OBSERVEE] {
        let own = fleet.output(cluster, "prometheus.url");
        let id = format!(
            "local-demo-{}",
            cluster.trim_start_matches("local/").replace('/', "-")
        );
        for query in QUERIES {
            let theirs = range_answer(&own, &query.replace("{}", "").replace(",}", "}"), &range);
            let narrowed = narrow(query, &id);
            let ours = range_answer(&url, &narrowed, &range);
            assert!(!theirs.is_empty(), "{query} compares nothing");
            series += theirs.len();
            assert_same(&narrowed, &without_external_labels(ours, &id), &theirs);
        }
    }
    println!(
        "{} queries over two clusters agree, {series} series",
        QUERIES.len()
    );
    assert!(series > 250, "only {series} series were compared");
}

/// `query` for one cluster of the fleet.
fn narrow(query: &str, id: &str) -> String {
    let matcher = format!("cluster=\"{id}\"");
    query
        .replace("{}", &format!("{{{matcher}}}"))
        .replace(",}", &format!(",{matcher}}}"))
        .replace("\"}", &format!("\",{matcher}}}"))
        .replace(&format!("{matcher},{matcher}"), &matcher)
}

/// A moment near `wanted` whose milliseconds no sample shares: Prometheus 2 counts a sample on the left edge of a range, Prometheus 3 and tks
/// do not.
fn free_phase(fleet: &Fleet, wanted: f64) -> f64 {
    let mut taken = BTreeSet::new();
    for cluster in [OBSERVER, OBSERVEE] {
        let own = fleet.output(cluster, "prometheus.url");
        let answer = ask(&own, "up[1m]").expect("an answer");
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            for point in series["values"].as_array().into_iter().flatten() {
                let ms = (point[0].as_f64().unwrap_or_default() * 1000.0).round() as i64;
                // Scrapes may be off their beat by a few milliseconds.
                taken.extend((-3..=3).map(|off| (ms + off).rem_euclid(1000)));
            }
        }
    }
    let free = (0..1000)
        .find(|phase| !taken.contains(phase))
        .expect("a free millisecond");
    wanted + f64::from(u32::try_from(free).expect("small")) / 1000.0
}

type Series = (String, Vec<(i64, f64)>, Json);

fn range_answer(url: &str, query: &str, range: &[(&str, String)]) -> Vec<Series> {
    let answer = range_json(url, query, range);
    assert!(answer.get("warnings").is_none(), "{query}: {answer}");
    matrix(&answer)
}

fn range_json(url: &str, query: &str, range: &[(&str, String)]) -> Json {
    let mut params = vec![("query", query)];
    params.extend(range.iter().map(|(name, value)| (*name, value.as_str())));
    let answer = get(&format!("{url}/api/v1/query_range"), &params).expect("an answer");
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer
}

fn matrix(answer: &Json) -> Vec<Series> {
    let result = answer["data"]["result"]
        .as_array()
        .expect("a matrix")
        .clone();
    let mut series: Vec<Series> = result.iter().map(one_series).collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

fn one_series(series: &Json) -> Series {
    let points = series["values"]
        .as_array()
        .expect("points")
        .iter()
        .map(|point| {
            let t = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
            (
                t,
                point[1]
                    .as_str()
                    .expect("a value")
                    .parse()
                    .expect("a float"),
            )
        });
    (
        sorted(&series["metric"]),
        points.collect(),
        series["metric"].clone(),
    )
}

fn sorted(labels: &Json) -> String {
    let mut pairs: Vec<String> = labels
        .as_object()
        .expect("labels")
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    pairs.sort();
    pairs.join(",")
}

/// Takes the external labels off, and checks those that are there.
fn without_external_labels(series: Vec<Series>, id: &str) -> Vec<Series> {
    let strip = |(_, points, mut labels): Series| {
        let map = labels.as_object_mut().expect("labels");
        if let Some(cluster) = map.get("cluster") {
            assert_eq!(cluster, id);
        }
        map.retain(|name, _| !EXTERNAL.contains(&name.as_str()));
        (sorted(&labels), points, labels)
    };
    let mut series: Vec<Series> = series.into_iter().map(strip).collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

fn assert_same(query: &str, ours: &[Series], theirs: &[Series]) {
    let names = |series: &[Series]| series.iter().map(|s| s.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(ours), names(theirs), "{query}: other series");
    for (our, their) in ours.iter().zip(theirs) {
        let times = |s: &Series| s.1.iter().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(
            times(our),
            times(their),
            "{query} {}: other timestamps",
            our.0
        );
        for ((t, a), (_, b)) in our.1.iter().zip(&their.1) {
            let equal = (a.is_nan() && b.is_nan()) || a == b || ((a - b) / b).abs() < 1e-9;
            assert!(equal, "{query} {} at {t}: {a}, Prometheus says {b}", our.0);
        }
    }
}

/// Resident memory and idle CPU of everything but the Prometheus processes and node-exporters.
fn the_processes_are_small(fleet: &Fleet) {
    step("the demo is small");
    let ours = || -> Vec<i64> {
        let mut pids: Vec<i64> = fleet
            .pids()
            .into_iter()
            .filter(|(name, _)| !name.ends_with("/prometheus") && !name.contains("node-exporter"))
            .map(|(_, pid)| pid)
            .collect();
        pids.push(supervisor_pid(fleet));
        pids
    };
    let pids = ours();
    // All processes run one binary: what they share of it is resident once.
    let resident: u64 = pids.iter().map(|pid| resident_kib(*pid)).sum();
    assert!(resident > 0, "no /proc/<pid>/smaps_rollup to read");
    let each: u64 = pids.iter().map(|pid| status_kib(*pid, "VmRSS")).sum();
    let before: f64 = pids.iter().map(|pid| cpu(*pid)).sum();
    sleep(Duration::from_secs(20));
    let after: f64 = pids.iter().map(|pid| cpu(*pid)).sum();
    let idle = (after - before) / 20.0 * 100.0;
    println!(
        "{} processes of ours: {} MiB resident ({} MiB if what they share is counted for each), {idle:.1}% of a core idle",
        pids.len(),
        resident / 1024,
        each / 1024
    );
    if optimised() {
        assert!(resident < 250 * 1024, "{} MiB resident", resident / 1024);
        assert!(idle < 5.0, "{idle}% of a core while idle");
    }
}

fn status_kib(pid: i64, field: &str) -> u64 {
    kib(&format!("/proc/{pid}/status"), field)
}

/// The memory of a process, shared pages divided among those who share them.
fn resident_kib(pid: i64) -> u64 {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn kib(file: &str, field: &str) -> u64 {
    let status = fs::read_to_string(file).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

fn cpu(pid: i64) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn parent(pid: i64) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    fields.get(1).and_then(|f| f.parse().ok()).unwrap_or(0)
}

fn supervisor_pid(fleet: &Fleet) -> i64 {
    parent(fleet.pid(QUERIER))
}

fn kill(pid: i64) {
    let done = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(done.success());
}

fn alive(pid: i64) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// What the ingress must refuse, told by openssl on the wire.
fn the_ingress_refuses_strangers(fleet: &Fleet) {
    step("the ingress refuses strangers");
    let address = fleet.output(OBSERVEE, "ingress.address");
    let host = fleet.output(OBSERVEE, "ingress.host");
    let client =
        |what: &str| fleet.output(OBSERVER, &format!("federation/eu-west-3-observee.{what}"));
    let (cert, key) = (client("cert_file"), client("key_file"));
    let made = |name: &str| fleet.dir.path().join(name).display().to_string();
    strangers(fleet);
    let shake = |server_name: &str, identity: Option<(&str, &str)>| {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-connect",
            &address,
            "-servername",
            server_name,
            "-alpn",
            "h2",
        ]);
        command.args(["-verify_quiet", "-brief", "-ign_eof"]);
        if let Some((cert, key)) = identity {
            command.args(["-cert", cert, "-key", key]);
        }
        // An HTTP/2 preface and an empty SETTINGS frame: an accepted client is answered with frames, a refused one with an alert.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl is installed");
        let mut stdin = child.stdin.take().expect("piped");
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        let _ = std::io::Write::write_all(&mut stdin, preface);
        sleep(Duration::from_millis(700));
        let _ = child.kill();
        let output = child.wait_with_output().expect("ended");
        drop(stdin);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.stdout.is_empty(), text)
    };
    let (answered, text) = shake(&host, Some((&cert, &key)));
    assert!(answered, "the querier's own certificate is refused: {text}");
    let foreign = (made("foreign.crt"), made("foreign.key"));
    let refused = [
        ("no certificate", shake(&host, None)),
        ("a foreign CA", shake(&host, Some((&foreign.0, &foreign.1)))),
        ("another host", shake("other.example", Some((&cert, &key)))),
    ];
    for (who, (answered, text)) in refused {
        assert!(!answered, "{who} was let in");
        println!(
            "{who}: {}",
            text.lines()
                .find(|l| l.contains("alert"))
                .unwrap_or("connection closed")
        );
    }
}

/// A client certificate of a CA that nobody trusts.
fn strangers(fleet: &Fleet) {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
                  -subj /CN=stranger -keyout foreign.key -out foreign.crt 2>/dev/null";
    let done = Command::new("sh")
        .args(["-c", script])
        .current_dir(fleet.dir.path())
        .status();
    assert!(done.expect("sh runs").success());
}

fn plan(fleet: &Fleet) -> Done {
    fleet.tks(&["plan", "live/demo", "--detailed-exitcode"])
}

fn drift_is_in_the_next_plan(fleet: &Fleet) {
    step("an edited file, a deleted bucket folder and a stopped process are in the next plan");
    let data = fleet.data_dir();
    let bucket = fleet.output(OBSERVEE, "storage.bucket.dir");
    fs::remove_dir_all(&bucket).expect("the bucket is a folder");
    let rendered = find(&data, "prometheus.yaml").expect("a rendered prometheus.yaml");
    let text = fs::read_to_string(&rendered).expect("readable");
    fs::write(&rendered, format!("{text}\n# edited\n")).expect("writable");
    // The supervisor may bring it back before the plan looks: each time a little later.
    let planned = (0..5).map(|_| {
        kill(fleet.pid(SIDECAR));
        plan(fleet).expect(2)
    });
    let mut last = None;
    for done in planned {
        let seen = done.stdout.contains("local.process");
        last = Some(done);
        if seen {
            break;
        }
    }
    let done = last.expect("a plan");
    for part in ["local.bucket", "local.file", "local.process"] {
        assert!(
            done.stdout.contains(part),
            "{part} is not in\n{}",
            done.stdout
        );
    }
    fleet.apply().expect(0);
    plan(fleet).expect(0);
    assert!(fs::metadata(&bucket).expect("made again").is_dir());
    assert_eq!(fs::read_to_string(&rendered).expect("readable"), text);
}

fn find(dir: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(dir).ok()?.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if entry.file_name() == name {
            return Some(path);
        }
    }
    None
}

fn what_is_killed_comes_back(fleet: &Fleet) {
    step("a killed component is restarted");
    let before = fleet.pid(QUERIER);
    kill(before);
    eventually("the querier's restart", || {
        let pids = fleet.pids();
        pids.iter()
            .find(|(name, pid)| name == QUERIER && *pid != before)
            .cloned()
    });
    one_query_answers_over_both(fleet);
}

fn a_dead_sidecar_is_a_warning(fleet: &Fleet) {
    step("a dead observee sidecar is a warning and partial data");
    let url = querier(fleet);
    // The supervisor brings it back, each time a little later.
    let answer = eventually("an answer without the observee", || {
        let pids = fleet.pids();
        let (_, pid) = pids.iter().find(|(name, _)| name == SIDECAR)?;
        kill(*pid);
        let answer = ask(&url, "count by (cluster) (up)")?;
        (label_values(&answer, "cluster").len() == 1).then_some(answer)
    });
    assert_eq!(answer["status"], "success", "{answer}");
    let warning = answer["warnings"][0].as_str().unwrap_or_default();
    assert!(!warning.is_empty(), "{answer}");
    println!("warning: {warning}");
    one_query_answers_over_both(fleet);
}

const REPLICA: &str =
    "local/eu-west-3/observee/prometheus-kube-prometheus-stack-prometheus-0/prometheus";
/// A series that both replicas have, and no other target than the one they share.
const SHARED: &str = "up{cluster=\"local-demo-eu-west-3-observee\",job=\"thanos-compactor\"}";

fn a_second_replica_is_one_number(fleet: &Fleet) {
    step("a second replica is one number, another interval one more, and nothing is restarted");
    let before = fleet.pids();
    let file = "local/eu-west-3/observee/cluster.yaml";
    fleet.write(
        file,
        "role: observee\nprometheus: { replicas: 2, scrape_interval: 4s }\n",
    );
    fleet.apply().expect(0);
    plan(fleet).expect(0);
    assert_kept(&before, &fleet.pids());
    let own = fleet.output(OBSERVEE, "prometheus.url");
    eventually("the other interval in the Prometheus of before", || {
        let config = get(&format!("{own}/api/v1/status/config"), &[])?;
        let config = config["data"]["yaml"].as_str()?;
        config.contains("scrape_interval: 4s").then_some(())
    });
    let tls = fleet.output(OBSERVER, "federation/eu-west-3-observee.http");
    let replicas = eventually("both replicas behind the TLS querier", || {
        let stores = get(&format!("http://{tls}/api/v1/stores"), &[])?;
        let sidecars = stores["data"]["sidecar"].as_array()?.clone();
        let label = |s: &Json| {
            s["labelSets"][0]["prometheus_replica"]
                .as_str()
                .map(str::to_owned)
        };
        let replicas: BTreeSet<_> = sidecars.iter().filter_map(label).collect();
        (replicas.len() == 2).then_some(replicas)
    });
    println!("replicas: {replicas:?}");
    two_replicas_are_one_answer(fleet);
    a_killed_replica_leaves_no_gap(fleet);
    step("with one replica again nothing of the second is left");
    fleet.write(file, "role: observee\n");
    fleet.apply().expect(0);
    let names = |pids: &[(String, i64)]| pids.iter().map(|p| p.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&fleet.pids()), names(&before));
    plan(fleet).expect(0);
    one_query_answers_over_both(fleet);
}

fn two_replicas_are_one_answer(fleet: &Fleet) {
    step("two replicas, one answer without doubles");
    let url = format!("{}/api/v1/query", querier(fleet));
    let series = |dedup: &str| {
        let answer = get(&url, &[("query", SHARED), ("dedup", dedup)])?;
        answer["data"]["result"].as_array().cloned()
    };
    eventually("the series twice without deduplication", || {
        (series("false")?.len() == 2).then_some(())
    });
    let once = series("true").expect("an answer");
    assert_eq!(once.len(), 1, "{once:?}");
    assert!(
        once[0]["metric"].get("prometheus_replica").is_none(),
        "{once:?}"
    );
}

/// Longer than deduplication takes to change over, shorter than the replica is away.
const GAP: Duration = Duration::from_secs(20);

fn a_killed_replica_leaves_no_gap(fleet: &Fleet) {
    step("a replica that is away leaves no gap");
    // The second one must have as much as is looked at.
    sleep(GAP);
    let from = now();
    while now() < from + (GAP * 3 / 2).as_secs_f64() {
        // The supervisor brings it back, each time a little later.
        let pids = fleet.pids();
        if let Some((_, pid)) = pids.iter().find(|(name, _)| name == REPLICA) {
            kill(*pid);
        }
        sleep(Duration::from_millis(100));
    }
    let to = now();
    let own = eventually("the replica is back", || {
        let own = fleet.output(OBSERVEE, "prometheus.url");
        ask(&own, "vector(1)").map(|_| own)
    });
    let range = [("start", from), ("end", to), ("step", 1.0)].map(|(n, v)| (n, v.to_string()));
    let points = |url: &str, query: &str| {
        let counted = format!("count_over_time({query}[{}s])", GAP.as_secs());
        let series = matrix(&range_json(url, &counted, &range));
        assert!(series.len() <= 1, "{series:?}");
        series.first().map_or(0, |series| series.1.len())
    };
    let all = (to - from).floor() as usize + 1;
    let alone = points(
        &own,
        &SHARED.replace("cluster=\"local-demo-eu-west-3-observee\",", ""),
    );
    assert!(alone < all, "the replica was never away: {alone} of {all}");
    assert_eq!(points(&querier(fleet), SHARED), all);
    println!("the replica alone has {alone} of {all} points, both together have all");
}

/// Every process of before is there, and is the same.
#[track_caller]
fn assert_kept(before: &[(String, i64)], after: &[(String, i64)]) {
    let kept = before.iter().all(|process| after.contains(process));
    assert!(kept, "processes were restarted:\n{before:?}\n{after:?}");
}

fn a_third_cluster_is_one_line(fleet: &Fleet) {
    step("a third cluster in a new region is one file of one line");
    let before = fleet.pids();
    fleet.write("local/ap-south-1/edge/cluster.yaml", "role: observee\n");
    let done = plan(fleet).expect(2);
    let summary = done
        .stdout
        .lines()
        .find(|l| l.starts_with("Plan:"))
        .unwrap_or_default()
        .to_owned();
    assert!(
        summary.contains("0 to change, 0 to destroy"),
        "{}",
        done.stdout
    );
    fleet.apply().expect(0);
    assert_kept(&before, &fleet.pids());
    let url = querier(fleet);
    eventually("an answer over three clusters", || {
        let clusters = label_values(&ask(&url, "count by (cluster) (up)")?, "cluster");
        (clusters.len() == 3).then_some(())
    });
    step("removing it destroys exactly its own");
    fs::remove_dir_all(fleet.path().join("local/ap-south-1")).expect("removed");
    let done = plan(fleet).expect(2);
    assert!(
        done.stdout.contains("is no longer in the tree"),
        "{}",
        done.stdout
    );
    assert!(
        done.stdout.contains("Plan: 0 to add, 0 to change"),
        "{}",
        done.stdout
    );
    fleet.apply().expect(1);
    fleet
        .tks(&[
            "apply",
            "live/demo",
            "--auto-approve",
            "--allow-cluster-removal",
        ])
        .expect(0);
    assert_eq!(fleet.pids(), before);
    plan(fleet).expect(0);
}

fn a_killed_supervisor_takes_its_children_along(fleet: &Fleet) {
    step("a killed supervisor takes its children along, and the next apply starts all again");
    let pids = fleet.pids();
    kill(supervisor_pid(fleet));
    eventually("the end of all children", || {
        pids.iter().all(|(_, pid)| !alive(*pid)).then_some(())
    });
    plan(fleet).expect(2);
    fleet.apply().expect(0);
    assert_eq!(fleet.pids().len(), pids.len());
    one_query_answers_over_both(fleet);
}

fn destroy_leaves_nothing(fleet: &Fleet) {
    step("destroy leaves no process, port or bucket");
    let pids: Vec<i64> = fleet
        .pids()
        .iter()
        .map(|(_, pid)| *pid)
        .chain([supervisor_pid(fleet)])
        .collect();
    let querier = fleet.output(OBSERVER, "query.http");
    let bucket = fleet.output(OBSERVEE, "storage.bucket.dir");
    fleet
        .tks(&["destroy", "live/demo", "--auto-approve"])
        .expect(0);
    eventually("the end of all processes", || {
        pids.iter().all(|pid| !alive(*pid)).then_some(())
    });
    assert!(
        std::net::TcpListener::bind(&querier).is_ok(),
        "{querier} is still taken"
    );
    assert!(
        !std::path::Path::new(&bucket).exists(),
        "{bucket} is still there"
    );
    let left: BTreeSet<String> = fs::read_dir(fleet.data_dir())
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    println!("left after destroy: {left:?}");
    for gone in ["buckets", "supervisor.sock"] {
        assert!(!left.contains(gone), "{gone} is left");
    }
}

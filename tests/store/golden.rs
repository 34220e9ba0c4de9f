//! A real querier over our store, and ours over either, give what a real one gave over a real store.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use super::{Lab, Whose, fleet::get};

/// What our querier answers otherwise over downsampled blocks. A mean of native histograms is the sum divided by the count; the
/// buckets of the real one are far smaller than its own count, as if they were divided again at each read. And that a range is not
/// sorted is told by later versions of PromQL only.
const EXPLAINED: &[&str] = &[
    "sum(rpc_duration_seconds)",
    "rpc_duration_seconds * 2",
    "sort_desc(node_cpu_seconds_total)",
];

#[test]
fn replicas_are_deduplicated_as_a_real_querier_did_over_a_real_store() {
    answered(&["raw-replica0", "raw-replica1"], "answers/dedup.json.gz");
}

#[test]
fn downsampled_blocks_are_read_as_a_real_querier_did_over_a_real_store() {
    answered(&["thanos-compacted"], "answers/downsampled.json.gz");
}

/// Prometheus's own answers over the same blocks. Queriers add external labels, which are removed here as those of replicas are; and
/// a real one evens out the resets of counters before PromQL sees them, which `rate` and `resets` notice where
/// two series have become one. So does ours, for the same questions.
#[test]
fn prometheus_is_answered_to_the_degree_that_a_real_querier_does() {
    let Some(lab) = Lab::find() else { return };
    let bucket = lab.bucket("bucket", &["raw-replica0"]);
    let (_store, grpc) = lab.store(Whose::Ours, &bucket, &[]);
    let flags = [
        "--query.replica-label=cluster,prometheus",
        "--enable-feature=promql-experimental-functions",
    ];
    let [ours, theirs] = [Whose::Ours, Whose::Theirs].map(|querier| {
        let (_querier, url) = lab.querier(querier, &grpc, &flags);
        println!("answers/prometheus.json.gz: querier {querier:?}");
        compare(&url, &lab.golden.join("answers/prometheus.json.gz"), &[])
    });
    let questions = |wrong: &[String]| -> BTreeSet<String> {
        let first = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        wrong.iter().map(first).collect()
    };
    let (ours, theirs) = (questions(&ours), questions(&theirs));
    // That a range is not sorted is told by later versions of PromQL.
    let is_sort = |question: &&String| question.contains("\"query\":\"sort");
    let more: Vec<_> = ours.difference(&theirs).filter(|it| !is_sort(it)).collect();
    assert!(more.is_empty(), "only ours differ: {more:?}");
    let counts = |question: &&String| ["rate(", "resets("].iter().any(|f| question.contains(f));
    let others: Vec<_> = theirs.iter().filter(|it| !counts(it)).collect();
    assert!(others.is_empty(), "no counter: {others:?}");
}

/// Asks both queriers over our store, and ours over a real one.
fn answered(blocks: &[&str], answers: &str) {
    let Some(lab) = Lab::find() else { return };
    let bucket = lab.bucket("bucket", blocks);
    for store in [Whose::Ours, Whose::Theirs] {
        let (_store, grpc) = lab.store(store, &bucket, &[]);
        for querier in [Whose::Ours, Whose::Theirs] {
            if (store, querier) != (Whose::Theirs, Whose::Theirs) {
                let (_querier, url) = lab.querier(querier, &grpc, &[]);
                println!("{answers}: querier {querier:?}, store {store:?}");
                let explained = match querier {
                    Whose::Ours => EXPLAINED,
                    Whose::Theirs => &[],
                };
                let wrong = compare(&url, &lab.golden.join(answers), explained);
                assert!(
                    wrong.is_empty(),
                    "{} differ:\n{}",
                    wrong.len(),
                    wrong.join("\n")
                );
            }
        }
    }
}

/// The answers that are others, but for those to `explained` queries.
fn compare(url: &str, answers: &Path, explained: &[&str]) -> Vec<String> {
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(answers)
        .output()
        .expect("gzip is there");
    let cases: Vec<Json> = serde_json::from_slice(&unpacked.stdout).expect("a list of answers");
    let _ = fs::metadata(answers).expect("golden answers");
    let (mut wrong, mut others) = (Vec::new(), 0);
    for case in &cases {
        let params = case["params"].as_object().expect("parameters");
        let path = if params.contains_key("start") {
            "query_range"
        } else {
            "query"
        };
        let params: Vec<(&str, String)> = params
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)))
            .collect();
        let params: Vec<(&str, &str)> = params
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = get(&format!("{url}/api/v1/{path}"), &params).unwrap_or_default();
        let query = &case["params"]["query"];
        if same_answer(&answer, &case["body"], query) {
            continue;
        }
        if query
            .as_str()
            .is_some_and(|query| explained.contains(&query))
        {
            others += 1;
        } else {
            wrong.push(format!(
                "{}\n  got  {}\n  want {}",
                case["params"],
                start(&answer),
                start(&case["body"])
            ));
        }
    }
    let same = cases.len() - others - wrong.len();
    println!(
        "{same} of {} answers are the same, {others} are others for a known reason",
        cases.len()
    );
    wrong
}

fn text(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn start(answer: &Json) -> String {
    answer.to_string().chars().take(400).collect()
}

fn same_answer(got: &Json, want: &Json, query: &Json) -> bool {
    if got["status"] != want["status"] {
        return false;
    }
    if want["status"] == "error" {
        return got["errorType"] == want["errorType"];
    }
    let (got_data, want_data) = (&got["data"], &want["data"]);
    // Which series these choose hangs on a hash.
    let chosen_by_hash = query
        .as_str()
        .is_some_and(|query| query.contains("limitk") || query.contains("limit_ratio"));
    got["warnings"].is_null() == want["warnings"].is_null()
        && got_data["resultType"] == want_data["resultType"]
        && (chosen_by_hash || same(&sorted(&got_data["result"]), &sorted(&want_data["result"])))
}

/// The order of series is nobody's promise.
fn sorted(result: &Json) -> Json {
    let Some(series) = result
        .as_array()
        .filter(|series| series.iter().all(Json::is_object))
    else {
        return result.clone();
    };
    let mut series = series.clone();
    series.sort_by_key(|series| {
        let labels = series["metric"].as_object().into_iter().flatten();
        let mut labels: Vec<String> = labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        labels.sort();
        labels
    });
    Json::Array(series)
}

fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b || close(a, b),
    }
}

fn close(a: &Json, b: &Json) -> bool {
    let number = |value: &Json| text(value).parse::<f64>().ok();
    match (number(a), number(b)) {
        (Some(a), Some(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        _ => false,
    }
}

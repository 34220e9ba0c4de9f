//! Both stores over one block of some 30,000 series, where batches, joined reads and limits show.

use proto::thanos::{LabelMatcher, SeriesRequest};

use super::data::{self, HOUR, START};
use super::differential::{Pair, compare, matchers, runtime, variants};
use super::{Lab, data::LARGE_BLOCK};

/// A lab, and the configuration of the bucket.
fn lab() -> Option<(Lab, std::path::PathBuf)> {
    let lab = Lab::without_golden()?;
    let block = data::bucket(&LARGE_BLOCK)?;
    let config = lab.config("large", &block);
    Some((lab, config))
}

fn selectors() -> Vec<Vec<LabelMatcher>> {
    [
        &["__name__=~.+"][..],
        &["__name__=http_request_duration_seconds_bucket", "code=200"],
        &["__name__=rpc_duration_seconds"],
        &["namespace=ns-3", "le!="],
        &["pod=~app-[3-5]-.*", "__name__!~http.*"],
        &[
            "__name__=node_cpu_seconds_total",
            "instance=10.0.0.7:9100",
            "cpu=1",
            "mode=idle",
        ],
        &["instance=~10.0.0.(1|39):9100", "job="],
        &["job=app", "handler!=/api/v1/items"],
        &["cluster=a", "__name__=up"],
    ]
    .into_iter()
    .map(matchers)
    .collect()
}

fn request(matchers: Vec<LabelMatcher>, times: (i64, i64)) -> SeriesRequest {
    SeriesRequest {
        min_time: times.0,
        max_time: times.1,
        matchers,
        ..SeriesRequest::default()
    }
}

#[test]
fn both_stores_answer_alike_over_a_large_block() {
    let Some((lab, bucket)) = lab() else { return };
    let whole = (START, START + 2 * HOUR);
    for flags in [
        &[][..],
        &["--debug.series-batch-size=777"],
        &[
            "--debug.series-batch-size=3001",
            "--debug.estimated-max-series-size=24",
            "--debug.estimated-max-chunk-size=100",
        ],
    ] {
        let pair = Pair::start(&lab, &bucket, flags);
        let (mut requests, mut found) = (0, 0);
        runtime().block_on(async {
            let mut clients = pair.clients();
            for (at, matchers) in selectors().into_iter().enumerate() {
                let base = request(matchers, whole);
                let mut asked = variants(&base);
                // All of everything is compared as it is; its variants cost too much memory here.
                asked.truncate(if at == 0 { 1 } else { usize::MAX });
                let middle = START + HOUR + 7 * 60_000;
                asked.push(request(base.matchers.clone(), (middle, middle + 60_000)));
                asked.push(request(base.matchers.clone(), (i64::MIN, START + 1)));
                for request in asked {
                    found += compare(&mut clients, &request).await;
                    requests += 1;
                }
            }
        });
        println!(
            "{requests} Series requests over a large block, {flags:?}, {found} series: the same"
        );
        assert!(found > 50_000, "too little was compared");
    }
}

#[test]
fn both_stores_refuse_alike_what_a_large_block_is_too_large_for() {
    let Some((lab, bucket)) = lab() else { return };
    let whole = (START, START + 2 * HOUR);
    for flag in [
        "--store.limits.request-series=9999",
        "--store.limits.request-series=25000",
        "--store.limits.request-samples=1200000",
        "--store.limits.request-samples=12000",
        "--store.grpc.downloaded-bytes-limit=100KB",
        "--store.grpc.downloaded-bytes-limit=2MB",
        "--store.grpc.downloaded-bytes-limit=12MB",
    ] {
        let pair = Pair::start(&lab, &bucket, &[flag]);
        runtime().block_on(async {
            let mut clients = pair.clients();
            for matchers in selectors() {
                compare(&mut clients, &request(matchers, whole)).await;
            }
        });
    }
}

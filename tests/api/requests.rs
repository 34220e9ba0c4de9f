//! The requests that both queriers are sent.

use super::ask::Request;
use super::data::{LENGTH, START};

/// A time within the data.
const NOW: i64 = START + LENGTH / 2 + 13;

/// Queries that mean something, one for each way through the API rather than through PromQL.
const QUERIES: &[&str] = &[
    "temperature",
    "requests_total",
    "temperature{room=\"cellar\"}",
    "temperature{cluster=\"one\"}",
    "temperature{room=~\"k.*|cellar\",cluster!=\"two\"}",
    "rate(requests_total[5m])",
    "increase(requests_total{code=\"500\"}[10m])",
    "irate(requests_total[2m])",
    "resets(requests_total[30m])",
    "delta(temperature[5m])",
    "sum by (cluster) (rate(requests_total[5m]))",
    "sum without (code, path) (requests_total)",
    "count by (room) (temperature)",
    "topk(1, temperature)",
    "quantile(0.5, temperature)",
    "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
    "max_over_time(temperature[10m])",
    "avg_over_time(temperature[10m:1m])",
    "temperature offset 10m",
    "temperature @ 1700007000",
    "temperature > bool 20",
    "requests_total / on (path) group_left sum by (path) (requests_total)",
    "requests_total unless requests_total{code=\"500\"}",
    "absent(nothing)",
    "absent_over_time(temperature[5m])",
    "nothing",
    "scalar(temperature{room=\"cellar\",cluster=\"two\"})",
    "vector(1)",
    "1 + 2",
    "\"text\"",
    "time()",
    "-temperature",
    "label_replace(temperature, \"place\", \"$1\", \"room\", \"(.).*\")",
    "sort(temperature)",
    "count_values(\"value\", floor(temperature))",
    "temperature{__name__=~\"temp.*\"}",
    "{room=\"kitchen\"}",
    "requests_total[1m]",
    "rate(temperature[5m])",
    "deriv(temperature[5m])",
    "changes(temperature[5m])",
    "1 / 0",
    "stddev_over_time(temperature[5m])",
    "timestamp(temperature)",
    "double_exponential_smoothing(temperature[5m], 0.5, 0.5)",
    "sort_by_label(temperature, \"room\")",
    "limitk(10, temperature)",
    "mad_over_time(temperature[5m])",
];

/// Queries that are wrong, each in its way.
const WRONG: &[&str] = &[
    "",
    " ",
    "sum(",
    "temperature{",
    "temperature{room}",
    "temperature{room=~\"(\"}",
    "{}",
    "{room=~\".*\"}",
    "rate(temperature)",
    "rate(temperature[5m]) +",
    "nofunction(temperature)",
    "sum(temperature) by",
    "temperature[5m]",
    "temperature offset",
    "temperature @ x",
    "1 + \"a\"",
    "temperature and 1",
    "requests_total + on (path) temperature{} + on",
    "requests_total / on (path) requests_total",
    "label_replace(temperature, \"0\", \"$1\", \"room\", \"(.*)\")",
    "topk(\"a\", temperature)",
    "count_values(\"!\", temperature)",
    "5m",
    "\u{1}",
    "temperature # a comment",
];

fn instant(query: &str) -> Request {
    Request::get("query", &[("query", query), ("time", &NOW.to_string())])
}

fn range(query: &str) -> Request {
    let (start, end) = (START + 600, START + 2400);
    Request::get("query_range", &[("query", query)])
        .with("start", &start.to_string())
        .with("end", &end.to_string())
        .with("step", "60")
}

/// Each query at once and over a range, with and without deduplication; each wrong one.
pub(crate) fn queries() -> Vec<Request> {
    let of_one = |query: &&str| {
        [
            instant(query),
            instant(query).with("dedup", "false").post(),
            range(query).post(),
            range(query).with("dedup", "false"),
        ]
    };
    QUERIES.iter().chain(WRONG).flat_map(of_one).collect()
}

/// Each parameter with values that are right and wrong.
pub(crate) fn parameters() -> Vec<Request> {
    let mut all = vec![
        Request::get("query", &[]),
        Request::get("query_range", &[]),
        Request::get("nothing", &[]),
        Request::get("query", &[("query", "1"), ("time", "5")]).post(),
        Request::get("status/buildinfo/x", &[]),
    ];
    for (name, right, wrong) in EVALUATED {
        for value in right.iter().chain(*wrong) {
            for request in [instant("temperature"), range("temperature")] {
                all.push(request.clone().with(name, value));
                all.push(request.with(name, value).post());
            }
        }
    }
    for time in TIMES {
        all.push(Request::get(
            "query",
            &[("query", "temperature"), ("time", time)],
        ));
        for name in ["start", "end"] {
            all.push(replaced(range("temperature"), name, time));
            all.push(Request::get(
                "series",
                &[("match[]", "temperature"), (name, time)],
            ));
            all.push(Request::get("labels", &[(name, time)]));
            all.push(Request::get("label/room/values", &[(name, time)]));
        }
    }
    for step in [
        "0", "-5", "0.01", "1m", "15s", "abc", "", "1e3", "99999999", "0.5",
    ] {
        all.push(replaced(range("temperature"), "step", step));
    }
    for path in [
        "labels",
        "label/room/values",
        "label/__name__/values",
        "label/nothing/values",
        "series",
    ] {
        for params in LISTED {
            all.push(Request::get(path, params));
        }
    }
    all.extend(
        ["labels", "series"].map(|path| Request::get(path, &[("match[]", "temperature")]).post()),
    );
    for name in [
        "in-valid", "%C3%A4", "0", "a%20b", "%FF", "U__a", "__name__",
    ] {
        all.push(Request::get(&format!("label/{name}/values"), &[]));
    }
    for path in ["rules", "alerts", "targets", "metadata", "stores"] {
        all.push(Request::get(path, &[]));
    }
    for query in [
        "temperature",
        "",
        "sum(",
        "1",
        "{}",
        "rate(requests_total[5m]) + temperature",
    ] {
        all.push(Request::get("query_exemplars", &[("query", query)]));
        all.push(
            Request::get(
                "query_exemplars",
                &[("query", query), ("start", "5"), ("end", "1")],
            )
            .post(),
        );
    }
    all
}

/// What queries of both kinds take: values that are right, and wrong ones.
const EVALUATED: &[(&str, &[&str], &[&str])] = &[
    ("timeout", &["5s", "5", "1h"], &["0", "abc", "-1s"]),
    ("dedup", &["true", "1", "0", "f", ""], &["abc"]),
    ("partial_response", &["true", "0"], &["abc"]),
    (
        "max_source_resolution",
        &["0", "0s", "5m", "300", "auto", "1h"],
        &["abc", "-5m"],
    ),
    (
        "replicaLabels[]",
        &["replica", "cluster", "", "nothing"],
        &[],
    ),
    (
        "storeMatch[]",
        &[
            "{__address__=\"nobody:1\"}",
            "{__address__=~\".+\"}",
            "{cluster=\"one\"}",
        ],
        &["{", "abc", "{}"],
    ),
    ("engine", &["prometheus", ""], &["abc"]),
    ("lookback_delta", &["1m", "60", "5s", "0"], &["abc", "-1"]),
    ("limit", &["0", "100"], &["1", "3", "-1", "abc", "1.5"]),
    ("stats", &["true", "all", "", "false"], &[]),
    ("analyze", &["true", "1", "false"], &[]),
    (
        "shard_info",
        &[
            "{\"shard_index\":0,\"total_shards\":2,\"by\":true,\"labels\":[\"room\"]}",
            "{\"shard_index\":1,\"total_shards\":2,\"by\":true,\"labels\":[\"room\"]}",
            "{\"shard_index\":1,\"total_shards\":3,\"by\":false,\"labels\":[\"cluster\"]}",
            "{}",
        ],
        &["abc", "[]"],
    ),
];

const TIMES: &[&str] = &[
    "1700008000",
    "1700008000.123",
    "2023-11-15T00:26:40Z",
    "2023-11-15T00:26:40.5+01:00",
    "abc",
    "-1",
    "1e400",
    "NaN",
    "",
    "0",
    "99999999999",
    "2023-11-15",
];

/// What requests for labels and series take.
const LISTED: &[&[(&str, &str)]] = &[
    &[],
    &[("match[]", "temperature")],
    &[("match[]", "temperature"), ("match[]", "requests_total")],
    &[("match[]", "nothing")],
    &[("match[]", "{room=\"cellar\"}"), ("limit", "1")],
    &[("match[]", "{__name__=~\".+\"}"), ("limit", "3")],
    &[("match[]", "{__name__=~\".+\"}"), ("limit", "0")],
    &[("match[]", "{__name__=~\".+\"}"), ("dedup", "false")],
    &[
        ("match[]", "{__name__=~\".+\"}"),
        ("replicaLabels[]", "cluster"),
    ],
    &[
        ("match[]", "{__name__=~\".+\"}"),
        ("start", "5"),
        ("end", "1"),
    ],
    &[
        ("match[]", "{__name__=~\".+\"}"),
        ("start", "0"),
        ("end", "1000"),
    ],
    &[
        ("match[]", "{cluster=\"one\"}"),
        ("start", "1700007000"),
        ("end", "1700007100"),
    ],
    &[("match[]", "temperature"), ("limit", "abc")],
    &[("match[]", "temperature"), ("limit", "-1")],
    &[("match[]", "temperature"), ("dedup", "abc")],
    &[("match[]", "temperature"), ("partial_response", "abc")],
    &[("match[]", "temperature"), ("storeMatch[]", "{")],
    &[
        ("match[]", "temperature"),
        ("storeMatch[]", "{__address__=\"nobody:1\"}"),
    ],
    &[("match[]", "{")],
    &[("match[]", "sum(temperature)")],
    &[("match[]", "{}")],
    &[("match[]", "")],
    &[("match[]", "{room=~\".*\"}")],
    &[("limit", "1")],
    &[("start", "abc")],
];

fn replaced(mut request: Request, name: &str, value: &str) -> Request {
    for (key, old) in &mut request.params {
        if *key == name {
            value.clone_into(old);
        }
    }
    request
}

/// A generator that gives the same requests each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.roll(list.len())]
    }
}

/// Queries with some parameters each, mostly right ones.
pub(crate) fn random(count: usize) -> Vec<Request> {
    let mut dice = Dice(7);
    let one = |_| {
        let query = if dice.roll(12) == 0 {
            dice.of(WRONG)
        } else {
            dice.of(QUERIES)
        };
        let mut request = match dice.roll(3) {
            0 => instant(query),
            _ => {
                let start = START - 300 + dice.roll(3000) as i64;
                let end = start + dice.roll(3000) as i64;
                let step = [1, 7, 15, 60, 301][dice.roll(5)];
                Request::get("query_range", &[("query", query)])
                    .with("start", &format!("{start}.{}", dice.roll(1000)))
                    .with("end", &end.to_string())
                    .with("step", &step.to_string())
            }
        };
        for _ in 0..dice.roll(4) {
            let (name, right, _) = dice.of(EVALUATED);
            // Each once: which of two values counts is not what is asked here.
            if request.params.iter().all(|(known, _)| *known != name) {
                request = request.with(name, dice.of(right));
            }
        }
        if dice.roll(2) == 0 {
            request.post()
        } else {
            request
        }
    };
    (0..count).map(one).collect()
}

/// The same questions by different tenants.
pub(crate) fn tenants() -> Vec<Request> {
    let questions = [
        instant("temperature"),
        instant("temperature{tenant_id=\"b\"}"),
        instant("temperature{tenant_id=~\".+\"} + temperature"),
        instant("max_over_time(temperature[5m:1m])"),
        range("sum(rate(requests_total[5m]))"),
        Request::get("series", &[("match[]", "temperature")]),
        Request::get("series", &[("match[]", "{tenant_id=\"b\"}")]),
        Request::get("series", &[]),
        Request::get("labels", &[]),
        Request::get("labels", &[("match[]", "{tenant_id!=\"\"}")]),
        Request::get("label/cluster/values", &[]),
        Request::get("label/tenant_id/values", &[]),
        Request::get("label/cluster/values", &[("match[]", "temperature")]),
    ];
    let by = [
        "X-Scope: a",
        "X-Scope: b",
        "X-Scope: nobody",
        "X-Scope: ../a",
        "THANOS-TENANT: a",
        "X-Other: a",
    ];
    let of_one = |question: &Request| by.map(|tenant| question.clone().header(tenant));
    questions.iter().flat_map(of_one).collect()
}

/// What Grafana's data source for Prometheus sends: at its health check, for its editors, for panels, exemplars and alerts.
pub(crate) fn grafana() -> Vec<Request> {
    let (start, end) = (START.to_string(), (START + LENGTH).to_string());
    let within = |request: Request| request.with("start", &start).with("end", &end);
    vec![
        Request::get("query", &[("query", "1+1"), ("time", "4")]).post(),
        Request::get("status/buildinfo", &[]),
        range("sum by (path) (rate(requests_total[1m0s]))").post(),
        instant("topk(5, temperature)").post(),
        within(Request::get("labels", &[])).post(),
        within(Request::get(
            "labels",
            &[("match[]", "{__name__=\"temperature\"}")],
        ))
        .post(),
        within(Request::get("label/__name__/values", &[])),
        within(Request::get(
            "label/room/values",
            &[("match[]", "temperature{cluster=\"one\"}")],
        )),
        within(Request::get("series", &[("match[]", "temperature")])).post(),
        within(Request::get(
            "series",
            &[("match[]", "{__name__=~\".*temp.*\"}"), ("limit", "40000")],
        )),
        Request::get("metadata", &[("limit", "5000")]),
        Request::get("metadata", &[("metric", "temperature")]),
        within(Request::get(
            "query_exemplars",
            &[("query", "rate(requests_total[1m])")],
        ))
        .post(),
        Request::get("rules", &[("type", "alert")]),
        Request::get("alerts", &[]),
    ]
}

/// Each query at whole seconds, which is what queriers tell each other.
pub(crate) fn at_whole_seconds() -> Vec<Request> {
    let of_one = |query: &&str| {
        [
            instant(query),
            range(query),
            range(query).with("dedup", "false"),
        ]
    };
    let is_stable = |query: &&&str| !query.contains("limitk") && !query.contains("mad_over");
    let queries = QUERIES.iter().filter(is_stable).chain(ACROSS);
    queries.flat_map(of_one).collect()
}

/// Queries that look across clusters.
const ACROSS: &[&str] = &[
    "sum(temperature)",
    "avg(temperature)",
    "avg by (room) (temperature)",
    "max(rate(requests_total[5m]))",
    "count(temperature)",
    "group by (room) (temperature)",
    "bottomk(2, temperature)",
    "stddev(temperature)",
    "sum(rate(requests_total[5m])) / sum(count_over_time(requests_total[5m]))",
    "max_over_time(sum(temperature)[10m:1m])",
    "sum by (code) (requests_total) / ignoring (code) group_left sum(requests_total)",
    "min without (cluster, room) (temperature)",
    "sum(temperature) or vector(0)",
    "histogram_quantile(0.5, sum by (le, cluster) (rate(latency_bucket[5m])))",
    "label_replace(temperature, \"cluster\", \"x\", \"\", \"\")",
    "sum(temperature @ 1700007000) by (cluster)",
    "quantile by (room) (0.9, temperature)",
    "sum(nothing)",
    "sum(temperature{cluster=\"two\"})",
];

//! The API over series in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode, header};
use model::{
    Batch, Cancel, Cancelled, Columns, Labels, MatchKind, Matcher, Queryable, Select, SelectError,
    Series, SeriesStream,
};
use net::metrics::Registry;
use parking_lot::Mutex;
use proto::thanos::{
    ActiveTarget, Alert, AlertInstance, AlertState, Exemplar, ExemplarData, HeadStatistics,
    LabelSet, Meta, MetricMetadata, MetricMetadataEntry, MetricMetadataRequest,
    PartialResponseStrategy, Rule, RuleGroup, RulesRequest, TargetDiscovery, TargetHealth,
    TargetsRequest, TsdbStatistics, TsdbStatisticsEntry, TsdbStatisticsRequest, rule,
};
use store::labels::label;
use store::services::{ExemplarSelect, Gathered};
use store::{CallOptions, EndpointStatus};
use tokio::sync::oneshot;
use tonic::Status;
use tower::ServiceExt as _;

use super::{Api, LabelSelect, Listing, Scope, Settings, Source, Tenancy, router};

type Pairs = &'static [(&'static str, &'static str)];

/// A sample of 1 every 10 s from 0 to 1000 s for each of these.
const SERIES: [Pairs; 3] = [
    &[("__name__", "up"), ("job", "a")],
    &[("__name__", "up"), ("job", "b")],
    &[("__name__", "down"), ("job", "\"c\"<>\n")],
];

/// What the source was asked, and what it should do.
#[derive(Debug, Default)]
struct Memory {
    scopes: Mutex<Vec<Scope>>,
    warning: Option<&'static str>,
    failure: Option<SelectError>,
    /// Selects hang until they are cancelled: one tells that it began, and then why it ended.
    hang: Mutex<Option<(oneshot::Sender<()>, oneshot::Sender<Cancelled>)>>,
    stores: Vec<EndpointStatus>,
}

impl Memory {
    /// What a service says: the items and the warning, or the failure.
    fn said<T>(&self, items: Vec<T>) -> Result<Gathered<T>, Status> {
        let warnings = self.warning.map(str::to_owned).into_iter().collect();
        match &self.failure {
            Some(error) => Err(Status::aborted(error.to_string())),
            None => Ok(Gathered { items, warnings }),
        }
    }
}

fn set(pairs: &[(&str, &str)]) -> Option<LabelSet> {
    let labels = pairs.iter().map(|(name, value)| label(*name, *value));
    Some(LabelSet {
        labels: labels.collect(),
    })
}

/// A group with an alert, as the replica says it.
fn group(replica: &str) -> RuleGroup {
    let alert = Alert {
        state: AlertState::Firing.into(),
        name: "down".into(),
        query: "up == 0".into(),
        duration_seconds: 60.0,
        labels: set(&[("replica", replica), ("severity", "page")]),
        alerts: vec![AlertInstance {
            labels: set(&[("job", "a")]),
            state: AlertState::Firing.into(),
            value: "0e+00".into(),
            ..AlertInstance::default()
        }],
        health: "ok".into(),
        evaluation_duration_seconds: 0.5,
        ..Alert::default()
    };
    RuleGroup {
        name: "g".into(),
        file: "f.yaml".into(),
        rules: vec![Rule {
            result: Some(rule::Result::Alert(alert)),
        }],
        interval: 15.0,
        partial_response_strategy: PartialResponseStrategy::Abort.into(),
        ..RuleGroup::default()
    }
}

struct Selecting(Arc<Memory>);

impl Queryable for Selecting {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        if let Some((began, ended)) = self.0.hang.lock().take() {
            let _ = began.send(());
            let why = loop {
                match cancel.check() {
                    Ok(()) => std::thread::sleep(Duration::from_millis(1)),
                    Err(why) => break why,
                }
            };
            let _ = ended.send(why);
            return Err(why.into());
        }
        if let Some(error) = &self.0.failure {
            return Err(error.clone());
        }
        let mut series: Batch = SERIES
            .iter()
            .filter_map(|pairs| series(pairs, select))
            .collect();
        series.sort_by(|a, b| a.labels.compare(&b.labels, &select.symbols));
        Ok(Box::new(Once(Some(series), self.0.warning)))
    }
}

fn series(pairs: &[(&str, &str)], select: &Select) -> Option<Series> {
    let value = |name: &str| {
        pairs
            .iter()
            .find(|(n, _)| *n == name)
            .map_or("", |(_, v)| v)
    };
    let matched = select.matchers.iter().all(|m| m.matches(value(&m.name)));
    let labels = Labels::from_pairs(pairs.iter().copied(), &select.symbols);
    let mut columns = Columns::default();
    (0..=100).for_each(|i| columns.push_float(i * 10_000, 1.0));
    matched.then(|| Series {
        labels,
        samples: Box::new(columns),
    })
}

struct Once(Option<Batch>, Option<&'static str>);

impl SeriesStream for Once {
    fn next(&mut self) -> Result<Option<Batch>, SelectError> {
        Ok(self.0.take())
    }

    fn warnings(&mut self) -> Vec<String> {
        self.1.map(str::to_owned).into_iter().collect()
    }
}

#[derive(Debug)]
struct Fake(Arc<Memory>);

#[async_trait]
impl Source for Fake {
    fn series(&self, scope: Scope) -> Box<dyn Queryable> {
        self.0.scopes.lock().push(scope);
        Box::new(Selecting(self.0.clone()))
    }

    async fn label_names(&self, scope: Scope, select: LabelSelect) -> Result<Listing, SelectError> {
        self.0.scopes.lock().push(scope);
        let values = match select.matchers.first() {
            Some(matcher) => vec!["job".to_owned(), matcher.value.clone()],
            None => vec!["__name__".to_owned(), "job".to_owned()],
        };
        let warnings = self.0.warning.map(str::to_owned).into_iter().collect();
        self.0
            .failure
            .clone()
            .map_or(Ok(Listing { values, warnings }), Err)
    }

    async fn label_values(
        &self,
        name: &str,
        _: Scope,
        select: LabelSelect,
    ) -> Result<Listing, SelectError> {
        let range = format!("{name}:{}..{}", select.start, select.end);
        Ok(Listing {
            values: vec![range],
            warnings: Vec::new(),
        })
    }

    fn stores(&self) -> Vec<EndpointStatus> {
        self.0.stores.clone()
    }

    async fn rules(&self, _: RulesRequest, _: &CallOptions) -> Result<Gathered<RuleGroup>, Status> {
        self.0.said(vec![group("0"), group("1")])
    }

    async fn targets(
        &self,
        _: TargetsRequest,
        _: &CallOptions,
    ) -> Result<Gathered<TargetDiscovery>, Status> {
        let target = ActiveTarget {
            labels: set(&[("job", "a")]),
            scrape_url: "http://a/metrics".into(),
            health: TargetHealth::Up.into(),
            last_scrape_duration: 0.25,
            ..ActiveTarget::default()
        };
        self.0.said(vec![TargetDiscovery {
            active_targets: vec![target],
            dropped_targets: Vec::new(),
        }])
    }

    async fn metadata(
        &self,
        request: MetricMetadataRequest,
        _: &CallOptions,
    ) -> Result<Gathered<MetricMetadata>, Status> {
        let meta = Meta {
            r#type: "gauge".into(),
            help: "Limit ".to_owned() + &request.limit.to_string(),
            unit: String::new(),
        };
        let entry = MetricMetadataEntry { metas: vec![meta] };
        let metadata = [("up".to_owned(), entry)].into();
        self.0.said(vec![MetricMetadata { metadata }])
    }

    async fn exemplars(
        &self,
        select: ExemplarSelect,
        _: &CallOptions,
    ) -> Result<Gathered<ExemplarData>, Status> {
        let name = select.selectors[0][0].value.clone();
        let exemplar = Exemplar {
            labels: set(&[("trace", "x")]),
            value: 0.5,
            ts: 1_500,
        };
        self.0.said(vec![ExemplarData {
            series_labels: set(&[("__name__", &name)]),
            exemplars: vec![exemplar],
        }])
    }

    async fn statistics(
        &self,
        request: TsdbStatisticsRequest,
        _: &CallOptions,
    ) -> Result<Gathered<TsdbStatistics>, Status> {
        let entry = TsdbStatisticsEntry {
            head_statistics: Some(HeadStatistics {
                num_series: u64::try_from(request.limit).expect("positive"),
                ..HeadStatistics::default()
            }),
            ..TsdbStatisticsEntry::default()
        };
        let statistics = [(String::new(), entry)].into();
        self.0.said(vec![TsdbStatistics { statistics }])
    }
}

fn app(memory: Memory, settings: Settings) -> (Router, Arc<Memory>, Registry) {
    let (memory, registry) = (Arc::new(memory), Registry::new());
    (
        router(
            Api::new(Arc::new(Fake(memory.clone())), settings, &registry),
            &registry,
        ),
        memory,
        registry,
    )
}

fn plain() -> Router {
    app(Memory::default(), Settings::default()).0
}

async fn get(app: &Router, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

async fn body(app: &Router, path: &str) -> String {
    text(get(app, path).await).await
}

#[tokio::test]
async fn an_instant_query_answers_a_vector() {
    let response = get(&plain(), "/api/v1/query?query=up&time=100.25").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert!(!response.headers().contains_key(header::CACHE_CONTROL));
    assert_eq!(
        text(response).await,
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":["#,
            r#"{"metric":{"__name__":"up","job":"a"},"value":[100.25,"1"]},"#,
            r#"{"metric":{"__name__":"up","job":"b"},"value":[100.25,"1"]}"#,
            "],\"analysis\":{}}}\n"
        )
    );
}

#[tokio::test]
async fn labels_are_escaped() {
    assert_eq!(
        body(&plain(), "/api/v1/query?query=down&time=0").await,
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":["#,
            r#"{"metric":{"__name__":"down","job":"\"c\"<>\n"},"value":[0,"1"]}"#,
            "],\"analysis\":{}}}\n"
        )
    );
}

#[tokio::test]
async fn a_range_query_may_come_as_a_form_and_without_a_step() {
    let form = "query=sum%28up%29&start=1970-01-01T00:00:10Z&end=12";
    let request = Request::post("/api/v1/query_range?query=ignored")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .expect("a request");
    let response = plain().oneshot(request).await.expect("an answer");
    assert_eq!(
        text(response).await,
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":["#,
            r#"{"metric":{},"values":[[10,"2"],[11,"2"],[12,"2"]]}"#,
            "],\"analysis\":{}}}\n"
        )
    );
}

#[tokio::test]
async fn mistakes_are_refused_in_the_queriers_words() {
    let app = plain();
    for (path, status, kind, message) in [
        (
            "query?query=sum(",
            400,
            "bad_data",
            "1:5: parse error: unclosed left parenthesis",
        ),
        (
            "query?query=up&time=x",
            400,
            "bad_data",
            r#"Invalid time value for 'time': cannot parse \"x\" to a valid timestamp"#,
        ),
        ("query?query=up&engine=x", 400, "bad_data", "'x' bad engine"),
        (
            "query?query=up&max_source_resolution=-5",
            400,
            "bad_data",
            "negative 'max_source_resolution' is not accepted. Try a positive integer",
        ),
        (
            "query_range?query=up&end=5",
            400,
            "bad_data",
            r#"cannot parse \"\" to a valid timestamp"#,
        ),
        (
            "query_range?query=up&start=6&end=5&step=1",
            400,
            "bad_data",
            "end timestamp must not be before start time",
        ),
        (
            "query_range?query=up%5B5m%5D&start=1&end=5&step=1",
            400,
            "bad_data",
            r#"invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"#,
        ),
        (
            "query?query=up&timeout=0",
            503,
            "timeout",
            "query timed out in query execution",
        ),
        ("series", 400, "bad_data", "no match[] parameter provided"),
        (
            "series?match[]=up&limit=x",
            400,
            "bad_data",
            r#"cannot parse \"x\" to a valid limit"#,
        ),
        (
            "nothing",
            404,
            "not_found",
            "no such route: /api/v1/nothing",
        ),
    ] {
        let response = get(&app, &format!("/api/v1/{path}")).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(
            response.headers()[header::CACHE_CONTROL],
            "no-store",
            "{path}"
        );
        let expected =
            format!("{{\"status\":\"error\",\"errorType\":\"{kind}\",\"error\":\"{message}\"}}\n");
        assert_eq!(text(response).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_failed_source_is_an_execution_error() {
    let failure = Some(SelectError::Source("store a:1: gone".into()));
    let (app, ..) = app(
        Memory {
            failure,
            ..Memory::default()
        },
        Settings::default(),
    );
    let response = get(&app, "/api/v1/query?query=up").await;
    assert_eq!(response.status(), 422);
    assert_eq!(
        text(response).await,
        "{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"expanding series: store a:1: gone\"}\n"
    );
    assert!(
        body(&app, "/api/v1/labels")
            .await
            .contains(r#""error":"store a:1: gone""#)
    );
}

#[tokio::test]
async fn warnings_come_along_and_forbid_caching() {
    let (app, ..) = app(
        Memory {
            warning: Some("partial"),
            ..Memory::default()
        },
        Settings::default(),
    );
    for path in [
        "query?query=count(up)&time=0",
        "series?match[]=up",
        "labels",
    ] {
        let response = get(&app, &format!("/api/v1/{path}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(
            response.headers()[header::CACHE_CONTROL],
            "no-store",
            "{path}"
        );
        let text = text(response).await;
        assert!(
            text.ends_with(",\"warnings\":[\"partial\"]}\n"),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn series_of_several_selectors_are_one_sorted_list() {
    let app = plain();
    assert_eq!(
        body(&app, "/api/v1/series?match[]=up&match[]=%7Bjob=%22b%22%7D").await,
        "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"job\":\"a\"},{\"__name__\":\"up\",\"job\":\"b\"}]}\n"
    );
    assert_eq!(
        body(&app, "/api/v1/series?match[]=up&limit=1").await,
        "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"job\":\"a\"}],\"warnings\":[\"results truncated due to limit\"]}\n"
    );
    assert_eq!(
        body(&app, "/api/v1/series?match[]=nothing").await,
        "{\"status\":\"success\",\"data\":[]}\n"
    );
}

#[tokio::test]
async fn labels_of_several_selectors_are_united_and_cut() {
    let app = plain();
    assert_eq!(
        body(&app, "/api/v1/labels?match[]=up&match[]=a").await,
        "{\"status\":\"success\",\"data\":[\"a\",\"job\",\"up\"]}\n"
    );
    assert_eq!(
        body(&app, "/api/v1/labels?limit=1").await,
        "{\"status\":\"success\",\"data\":[\"__name__\"],\"warnings\":[\"results truncated due to limit\"]}\n"
    );
    assert_eq!(
        body(&app, "/api/v1/label/a%2Fb/values?start=1&end=2.5").await,
        "{\"status\":\"success\",\"data\":[\"a/b:1000..2500\"]}\n"
    );
    assert_eq!(
        body(&app, "/api/v1/label/job/values").await,
        "{\"status\":\"success\",\"data\":[\"job:-9223309901257974000..9223309901257974999\"]}\n"
    );
    assert_eq!(get(&app, "/api/v1/label/%FF/values").await.status(), 400);
}

#[tokio::test]
async fn parameters_choose_what_is_seen() {
    let replica_labels = vec!["replica".to_owned()];
    let (app, memory, _) = app(
        Memory::default(),
        Settings {
            replica_labels,
            ..Settings::default()
        },
    );
    for path in [
        "query?query=up",
        "query?query=up&dedup=false&partial_response=0&max_source_resolution=5m",
        "query?query=up&replicaLabels[]=a&replicaLabels[]=b&storeMatch[]=%7B__address__=%22x:1%22%7D",
        "query_range?query=up&start=0&end=1000&step=500&max_source_resolution=auto",
        "labels",
    ] {
        assert_eq!(
            get(&app, &format!("/api/v1/{path}")).await.status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let default = Scope {
        replica_labels: vec!["replica".into()],
        call: CallOptions::default(),
        partial_response: true,
        max_resolution: 0,
        shard: None,
    };
    let address = Matcher::new(MatchKind::Equal, "__address__", "x:1").expect("valid");
    assert_eq!(
        *memory.scopes.lock(),
        [
            default.clone(),
            Scope {
                replica_labels: Vec::new(),
                partial_response: false,
                max_resolution: 300_000,
                ..default.clone()
            },
            Scope {
                replica_labels: vec!["a".into(), "b".into()],
                call: CallOptions {
                    store_matchers: vec![vec![address]],
                    ..CallOptions::default()
                },
                ..default.clone()
            },
            Scope {
                max_resolution: 100_000,
                ..default.clone()
            },
            Scope {
                replica_labels: Vec::new(),
                ..default
            },
        ]
    );
}

#[tokio::test]
async fn the_lookback_can_be_asked_for() {
    let app = plain();
    let found = body(&app, "/api/v1/query?query=count(up)&time=1200").await;
    assert!(found.contains(r#""value":[1200,"2"]"#), "{found}");
    let none = body(
        &app,
        "/api/v1/query?query=count(up)&time=1200&lookback_delta=1m",
    )
    .await;
    assert!(none.contains(r#""result":[]"#), "{none}");
    let far = body(
        &app,
        "/api/v1/query?query=count(up)&time=3000&max_source_resolution=1h",
    )
    .await;
    assert!(
        far.contains(r#""value":[3000,"2"]"#),
        "the lookback follows the resolution: {far}"
    );
}

#[tokio::test]
async fn stats_and_limits_are_given_when_asked_for() {
    let text = body(&plain(), "/api/v1/query?query=up&time=0&stats=all&limit=1").await;
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        json["warnings"],
        serde_json::json!(["results truncated due to limit"])
    );
    assert!(
        json["data"]["stats"]["timings"]["evalTotalTime"].is_number(),
        "{text}"
    );
    assert!(
        json["data"]["stats"]["samples"]["peakSamples"].is_number(),
        "{text}"
    );
}

#[tokio::test]
async fn stores_are_listed_by_type() {
    let store = |name: &str, error: Option<&str>| EndpointStatus {
        name: name.into(),
        component_type: "sidecar".into(),
        last_check: error.is_none().then_some(std::time::UNIX_EPOCH),
        last_error: error.map(str::to_owned),
        label_sets: vec![vec![("cluster".into(), "x".into())]],
        min_time: 1,
        max_time: i64::MAX,
    };
    let stores = vec![store("a:1", None), store("b:2", Some("gone"))];
    let (app, ..) = app(
        Memory {
            stores,
            ..Memory::default()
        },
        Settings::default(),
    );
    assert_eq!(
        body(&app, "/api/v1/stores").await,
        concat!(
            r#"{"status":"success","data":{"sidecar":["#,
            r#"{"name":"a:1","lastCheck":"1970-01-01T00:00:00Z","lastError":null,"labelSets":[{"cluster":"x"}],"minTime":1,"maxTime":9223372036854775807},"#,
            r#"{"name":"b:2","lastCheck":"0001-01-01T00:00:00Z","lastError":"gone","labelSets":[{"cluster":"x"}],"minTime":1,"maxTime":9223372036854775807}"#,
            "]}}\n"
        )
    );
    assert!(body(&app, "/stores").await.contains("<code>a:1</code>"));
    for page in ["/graph", "/status"] {
        let text = body(&app, page).await;
        assert!(text.contains("<a href=\"stores\">Stores</a>"), "{text}");
    }
    let root = get(&app, "/").await;
    assert_eq!(root.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(root.headers()["location"], "graph");
}

#[tokio::test]
async fn every_origin_may_read_and_preflights_are_answered() {
    let app = plain();
    let request = Request::options("/api/v1/query")
        .body(Body::empty())
        .expect("a request");
    let preflight = app.clone().oneshot(request).await.expect("an answer");
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    for response in [preflight, get(&app, "/api/v1/query?query=(").await] {
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(
            response.headers()[header::ACCESS_CONTROL_ALLOW_METHODS],
            "GET, POST, OPTIONS"
        );
    }
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let request = Request::get("/api/v1/query_range?query=up&start=0&end=1000&step=1")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .expect("a request");
    let response = plain().oneshot(request).await.expect("an answer");
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    assert!(
        bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() < 20_000,
        "{}",
        bytes.len()
    );
}

#[tokio::test]
async fn requests_are_counted_by_handler_and_code() {
    let (app, _, registry) = app(Memory::default(), Settings::default());
    get(&app, "/api/v1/query?query=up").await;
    get(&app, "/api/v1/query?query=(").await;
    let text = registry.text();
    for line in [
        r#"http_requests_total{code="200",handler="query",method="get"} 1"#,
        r#"http_requests_total{code="400",handler="query",method="get"} 1"#,
        r#"http_request_duration_seconds_count{code="200",handler="query",method="get"} 1"#,
        r#"http_inflight_requests{handler="query",method="get"} 0"#,
        "thanos_query_concurrent_gate_queries_max 20",
        "thanos_query_concurrent_gate_queries_in_flight 0",
        "thanos_query_concurrent_gate_queries_total 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

fn hanging() -> (Memory, oneshot::Receiver<()>, oneshot::Receiver<Cancelled>) {
    let ((began, begin), (ended, end)) = (oneshot::channel(), oneshot::channel());
    let hang = Mutex::new(Some((began, ended)));
    (
        Memory {
            hang,
            ..Memory::default()
        },
        begin,
        end,
    )
}

#[tokio::test]
async fn a_query_stops_when_its_client_disconnects() {
    let (memory, begin, end) = hanging();
    let (app, ..) = app(memory, Settings::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(net::http::serve_on(
        listener,
        app,
        net::Limits::default(),
        stop.clone(),
    ));
    let mut client = tokio::net::TcpStream::connect(address)
        .await
        .expect("connected");
    let request = b"GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client, request)
        .await
        .expect("sent");
    begin.await.expect("the query begins");
    drop(client);
    let why = tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .expect("in time");
    assert_eq!(why, Ok(Cancelled::Asked));
    stop.cancel();
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_query_beyond_the_limit_waits_and_is_refused_when_its_time_is_over() {
    let (memory, begin, end) = hanging();
    let (app, ..) = app(
        memory,
        Settings {
            max_concurrent: 1,
            ..Settings::default()
        },
    );
    let first = tokio::spawn({
        let app = app.clone();
        async move { get(&app, "/api/v1/query?query=up").await.status() }
    });
    begin.await.expect("the first query begins");
    let refused = get(&app, "/api/v1/query?query=vector(1)&timeout=20ms").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    first.abort();
    assert_eq!(end.await, Ok(Cancelled::Asked));
    let answered = get(&app, "/api/v1/query?query=vector(1)").await;
    assert_eq!(answered.status(), StatusCode::OK);
}

#[tokio::test]
async fn forms_beyond_the_limit_are_refused() {
    let request = Request::post("/api/v1/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(vec![b'a'; 11 << 20]))
        .expect("a request");
    let response = plain().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let long = format!("query={}", "a".repeat(2 << 20));
    let request = Request::post("/api/v1/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(long))
        .expect("a request");
    let text = text(plain().oneshot(request).await.expect("an answer")).await;
    assert!(text.contains("is longer than"), "{text}");
}

#[tokio::test]
async fn rules_of_replicas_are_one_and_have_the_keys_of_thanos() {
    let settings = Settings {
        replica_labels: vec!["replica".into()],
        ..Settings::default()
    };
    let (app, ..) = app(Memory::default(), settings);
    let alerts = r#"{"labels":{"job":"a"},"annotations":{},"state":"firing","value":"0e+00","partialResponseStrategy":"WARN"}"#;
    let rule = format!(
        concat!(
            r#"{{"state":"firing","name":"down","query":"up == 0","duration":60,"labels":{{"severity":"page"}},"annotations":{{}},"#,
            r#""alerts":[{alerts}],"health":"ok","evaluationTime":0.5,"lastEvaluation":"0001-01-01T00:00:00Z","keepFiringFor":0,"type":"alerting"}}"#,
        ),
        alerts = alerts
    );
    let group = format!(
        concat!(
            r#"{{"name":"g","file":"f.yaml","rules":[{rule}],"interval":15,"evaluationTime":0,"#,
            r#""lastEvaluation":"0001-01-01T00:00:00Z","limit":0,"partialResponseStrategy":"ABORT"}}"#,
        ),
        rule = rule
    );
    assert_eq!(
        body(&app, "/api/v1/rules").await,
        format!("{{\"status\":\"success\",\"data\":{{\"groups\":[{group}]}}}}\n")
    );
    assert_eq!(
        body(&app, "/api/v1/alerts").await,
        format!("{{\"status\":\"success\",\"data\":{{\"alerts\":[{alerts}]}}}}\n")
    );
    let none = body(&app, "/api/v1/alerts?rule_name[]=other").await;
    assert_eq!(
        none,
        "{\"status\":\"success\",\"data\":{\"alerts\":null}}\n"
    );
    let wrong = get(&app, "/api/v1/rules?type=dream").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_other_services_are_answered_in_prometheuss_shapes() {
    let app = plain();
    for (path, data) in [
        (
            "targets?state=active",
            concat!(
                r#"{"activeTargets":[{"discoveredLabels":{},"labels":{"job":"a"},"scrapePool":"","scrapeUrl":"http://a/metrics","globalUrl":"","#,
                r#""lastError":"","lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":0.25,"health":"up"}],"droppedTargets":[]}"#,
            ),
        ),
        (
            "metadata?limit=5",
            r#"{"up":[{"type":"gauge","help":"Limit 5","unit":""}]}"#,
        ),
        (
            "query_exemplars?query=rate(up[5m])%2Bup",
            r#"[{"seriesLabels":{"__name__":"up"},"exemplars":[{"labels":{"trace":"x"},"timestamp":1.5,"value":"0.5"}]}]"#,
        ),
        (
            "status/tsdb",
            concat!(
                r#"{"headStats":{"numSeries":10,"numLabelPairs":0,"chunkCount":0,"minTime":0,"maxTime":0},"seriesCountByMetricName":[],"#,
                r#""labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}"#,
            ),
        ),
        (
            "format_query?query=sum(up)by(job)",
            r#""sum by (job) (up)""#,
        ),
    ] {
        let answer = body(&app, &format!("/api/v1/{path}")).await;
        assert_eq!(
            answer,
            format!("{{\"status\":\"success\",\"data\":{data}}}\n"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_service_that_fails_is_internal_and_a_wrong_question_is_not() {
    let memory = Memory {
        failure: Some(SelectError::Source("store a: gone".into())),
        ..Memory::default()
    };
    let (app, ..) = app(memory, Settings::default());
    let response = get(&app, "/api/v1/targets").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        text(response)
            .await
            .contains("retrieving targets: proxy Targets: store a: gone")
    );
    for path in [
        "query_exemplars?query=sum(",
        "metadata?limit=x",
        "targets?state=x",
        "status/tsdb?limit=-1",
    ] {
        let response = get(&app, &format!("/api/v1/{path}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
    }
}

/// `GET path` as `tenant`.
async fn as_tenant(app: &Router, tenant: &str, path: &str) -> Response {
    let request = Request::get(path).header("X-Scope", tenant);
    let request = request.body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

#[tokio::test]
async fn a_tenant_sees_its_own_data_only() {
    let tenancy = Tenancy {
        header: "X-Scope".into(),
        default_tenant: "b".into(),
        enforced: Some("job".into()),
    };
    let settings = Settings {
        tenancy,
        ..Settings::default()
    };
    let (app, memory, _) = app(Memory::default(), settings);
    let ask = async |path: &str| text(as_tenant(&app, "a", path).await).await;
    for query in [
        "up",
        "up{job=\"b\"}",
        "sum_over_time(up[1m])",
        "max_over_time(up[1m:10s])",
    ] {
        let path = format!("/api/v1/query?query={}&time=100", query.replace('"', "%22"));
        let found = ask(&path).await;
        assert!(found.contains(r#""job":"a""#), "{query}: {found}");
        assert!(!found.contains(r#""job":"b""#), "{query}: {found}");
    }
    let found = ask("/api/v1/series?match[]=up").await;
    assert!(
        found.contains(r#""job":"a""#) && !found.contains(r#""job":"b""#),
        "{found}"
    );
    let found = ask("/api/v1/series?match[]={job=~%22.%2b%22}").await;
    assert!(
        found.contains(r#""job":"a""#) && !found.contains(r#""job":"b""#),
        "{found}"
    );
    // The fake source answers with the value of the first matcher.
    let found = ask("/api/v1/labels").await;
    assert!(found.contains(r#"["a","job"]"#), "{found}");
    let found = ask("/api/v1/targets").await;
    assert!(found.contains(r#""job":"a""#), "{found}");
    let found = text(as_tenant(&app, "c", "/api/v1/targets").await).await;
    assert!(!found.contains(r#""job":"a""#), "{found}");
    let found = text(as_tenant(&app, "", "/api/v1/query?query=up&time=100").await).await;
    assert!(
        found.contains(r#""job":"b""#) && !found.contains(r#""job":"a""#),
        "{found}"
    );
    let tenants: Vec<String> = {
        let scopes = memory.scopes.lock();
        scopes
            .iter()
            .map(|scope| scope.call.tenant.clone())
            .collect()
    };
    assert_eq!(tenants.last().map(String::as_str), Some("b"));
    assert!(
        tenants[..tenants.len() - 1]
            .iter()
            .all(|tenant| tenant == "a"),
        "{tenants:?}"
    );
    let refused = as_tenant(&app, "../b", "/api/v1/query?query=up").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_plan_is_told_to_those_who_ask_for_the_engine_that_has_one() {
    let app = plain();
    let query = "sum%20by%20(job)%20(rate(up[5m]))%20%2B%201";
    let path = format!("/api/v1/query_explain?query={query}");
    assert_eq!(get(&app, &path).await.status(), StatusCode::BAD_REQUEST);
    let plan = concat!(
        r#"{"name":"[binary] +","children":["#,
        r#"{"name":"[aggregate] sum by (job)","children":["#,
        r#"{"name":"[function] rate","children":[{"name":"[matrixSelector] up[5m]"}]}]},"#,
        r#"{"name":"[numberLiteral] 1"}]}"#,
    );
    let whole = format!("{{\"status\":\"success\",\"data\":{plan}}}\n");
    assert_eq!(body(&app, &format!("{path}&engine=thanos")).await, whole);
    let range = format!("/api/v1/query_range_explain?query={query}&start=0&end=60&step=10");
    assert_eq!(body(&app, &format!("{range}&engine=thanos")).await, whole);
    let analysed = format!("/api/v1/query?query={query}&time=100&engine=thanos&analyze=true");
    let answer = body(&app, &analysed).await;
    assert!(
        answer.contains(r#""analysis":{"name":"[query]","executionTime":""#),
        "{answer}"
    );
    assert!(
        answer.contains(plan) && !answer.contains("not analyzable"),
        "{answer}"
    );
}

//! A whole querier over loopback, in front of stores that live in this process.

mod faults;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use net::tls::ServerTls;
use proto::info::info_server::{Info, InfoServer};
use proto::info::{InfoRequest, InfoResponse, StoreInfo};
use proto::thanos::store_server::{Store, StoreServer};
use proto::thanos::{
    AggrChunk, Chunk, Label, LabelNamesRequest, LabelNamesResponse, LabelSet, LabelValuesRequest,
    LabelValuesResponse, Series, SeriesRequest, SeriesResponse, series_response,
};
use tokio::net::TcpListener;
use tokio_stream::Iter;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tsdb::chunk::XorAppender;

use super::{Config, serve};

/// A store with one series, `up{cluster="…"}`: the value 1 at 0 s, 10 s, … 100 s.
#[derive(Clone)]
struct OneSeries(&'static str);

type Frames = std::vec::IntoIter<Result<SeriesResponse, Status>>;

fn label(name: &str, value: &str) -> Label {
    Label {
        name: name.into(),
        value: value.into(),
    }
}

/// The value 1 at 0 s, 10 s, … 100 s.
fn ones() -> AggrChunk {
    let mut appender = XorAppender::new();
    (0..=10).for_each(|i| appender.push(i * 10_000, 1.0));
    let data = Bytes::from(appender.finish());
    let raw = Some(Chunk {
        data,
        ..Chunk::default()
    });
    AggrChunk {
        min_time: 0,
        max_time: 100_000,
        raw,
        ..AggrChunk::default()
    }
}

fn frame(series: Series) -> SeriesResponse {
    SeriesResponse {
        result: Some(series_response::Result::Series(series)),
    }
}

#[tonic::async_trait]
impl Store for OneSeries {
    type SeriesStream = Iter<Frames>;

    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let mut labels = vec![
            label("__name__", "up"),
            label("cluster", self.0),
            label("replica", "0"),
        ];
        let without = request.into_inner().without_replica_labels;
        labels.retain(|label| !without.contains(&label.name));
        let series = Series {
            labels,
            chunks: vec![ones()],
        };
        Ok(Response::new(tokio_stream::iter(vec![Ok(frame(series))])))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let names = vec![
            "__name__".to_owned(),
            "cluster".to_owned(),
            "replica".to_owned(),
        ];
        Ok(Response::new(LabelNamesResponse {
            names,
            ..LabelNamesResponse::default()
        }))
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let values = vec![self.0.to_owned()];
        Ok(Response::new(LabelValuesResponse {
            values,
            ..LabelValuesResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl Info for OneSeries {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let labels = vec![label("cluster", self.0), label("replica", "0")];
        Ok(Response::new(InfoResponse {
            label_sets: vec![LabelSet { labels }],
            component_type: "sidecar".into(),
            store: Some(StoreInfo {
                min_time: 0,
                max_time: i64::MAX,
                supports_without_replica_labels: true,
                ..StoreInfo::default()
            }),
            ..InfoResponse::default()
        }))
    }
}

/// Everything that a test starts ends with this.
struct Lab(CancellationToken);

impl Drop for Lab {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Lab {
    fn new() -> Self {
        Self(CancellationToken::new())
    }

    /// Starts a store and gives its address.
    async fn store(&self, cluster: &'static str) -> String {
        let store = OneSeries(cluster);
        let info = InfoServer::new(store.clone());
        self.serve(Routes::new(StoreServer::new(store)).add_service(info), None)
            .await
    }

    /// Serves what a test makes up, and gives its address.
    async fn serve(&self, routes: Routes, tls: Option<ServerTls>) -> String {
        let (listener, address) = listen().await;
        let (limits, stop) = (net::Limits::default(), self.0.clone());
        tokio::spawn(net::grpc::serve_on(listener, tls, routes, limits, stop));
        address.to_string()
    }

    /// Starts a querier and gives the addresses of its HTTP and gRPC, once it is ready.
    async fn querier(&self, config: Config) -> (String, String) {
        let ((http, web), (grpc, rpc)) = (listen().await, listen().await);
        tokio::spawn(serve(config, http, grpc, self.0.clone()));
        let url = format!("http://{web}");
        until(|| async { get(&url, "/-/ready").await == "OK" }).await;
        (url, rpc.to_string())
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn get(url: &str, path: &str) -> String {
    match reqwest::get(format!("{url}{path}")).await {
        Ok(response) => response.text().await.expect("a body"),
        Err(error) => error.to_string(),
    }
}

async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("in time");
}

fn config() -> Config {
    Config {
        endpoint_info_timeout: Duration::from_secs(1),
        ..Config::default()
    }
}

const UP: &str = "/api/v1/query?query=up&time=100";

fn vector(metrics: &[&str]) -> String {
    let samples: Vec<String> = metrics
        .iter()
        .map(|labels| format!(r#"{{"metric":{{"__name__":"up",{labels}}},"value":[100,"1"]}}"#))
        .collect();
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}],\"analysis\":{{}}}}}}\n",
        samples.join(",")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_querier_answers_from_all_its_stores() {
    let lab = Lab::new();
    let endpoints = vec![lab.store("x").await, lab.store("y").await];
    let replica_labels = vec!["replica".to_owned()];
    let (url, _) = lab
        .querier(Config {
            endpoints,
            replica_labels,
            ..config()
        })
        .await;
    assert_eq!(
        get(&url, UP).await,
        vector(&[r#""cluster":"x""#, r#""cluster":"y""#])
    );
    assert_eq!(
        get(&url, "/api/v1/query?query=up&time=100&dedup=false").await,
        vector(&[
            r#""cluster":"x","replica":"0""#,
            r#""cluster":"y","replica":"0""#
        ])
    );
    assert_eq!(
        get(&url, "/api/v1/labels").await,
        "{\"status\":\"success\",\"data\":[\"__name__\",\"cluster\",\"replica\"]}\n"
    );
    assert_eq!(
        get(&url, "/api/v1/label/cluster/values").await,
        "{\"status\":\"success\",\"data\":[\"x\",\"y\"]}\n"
    );
    assert_eq!(
        get(&url, "/api/v1/series?match[]=up&dedup=false").await,
        "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"cluster\":\"x\",\"replica\":\"0\"},{\"__name__\":\"up\",\"cluster\":\"y\",\"replica\":\"0\"}]}\n"
    );
    let metrics = get(&url, "/metrics").await;
    let connections = r#"thanos_store_nodes_grpc_connections{external_labels="{cluster=\"x\", replica=\"0\"}",store_type="sidecar"} 1"#;
    assert!(metrics.contains(connections), "{metrics}");
    let asked = r#"grpc_client_handled_total{grpc_type="server_stream",grpc_service="thanos.Store",grpc_method="Series",grpc_code="OK"} 6"#;
    assert!(metrics.contains(asked), "{metrics}");
    let offered = r#"grpc_server_started_total{grpc_type="server_stream",grpc_service="thanos.Store",grpc_method="Series"} 0"#;
    assert!(metrics.contains(offered), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queriers_can_be_stacked() {
    let lab = Lab::new();
    let endpoints = vec![lab.store("x").await, lab.store("y").await];
    let (_, lower) = lab
        .querier(Config {
            endpoints,
            ..config()
        })
        .await;
    let replica_labels = vec!["replica".to_owned()];
    let (url, _) = lab
        .querier(Config {
            endpoints: vec![lower],
            replica_labels,
            ..config()
        })
        .await;
    assert_eq!(
        get(&url, UP).await,
        vector(&[r#""cluster":"x""#, r#""cluster":"y""#])
    );
    let stores = get(&url, "/api/v1/stores").await;
    assert!(
        stores.starts_with(r#"{"status":"success","data":{"query":[{"name":"127.0.0.1:"#),
        "{stores}"
    );
    assert!(
        stores.contains(r#"{"cluster":"x","replica":"0"}"#),
        "{stores}"
    );
}

/// Writes a file as a careful program does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(&new, path).expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_adds_and_removes_endpoints_and_a_bad_one_changes_nothing() {
    let lab = Lab::new();
    let (x, y) = (lab.store("x").await, lab.store("y").await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sd.yaml");
    replace(&file, &format!("endpoints: [{{address: '{x}'}}]"));
    let endpoint_sd_config_files = vec![file.display().to_string()];
    let (url, _) = lab
        .querier(Config {
            endpoint_sd_config_files,
            ..config()
        })
        .await;
    let clusters = |expected: &'static str| {
        let url = url.clone();
        async move {
            let expected = format!("{{\"status\":\"success\",\"data\":[{expected}]}}\n");
            until(|| async { get(&url, "/api/v1/label/cluster/values").await == expected }).await;
        }
    };
    clusters(r#""x""#).await;
    replace(
        &file,
        &format!("endpoints: [{{address: '{x}'}}, {{address: '{y}'}}]"),
    );
    clusters(r#""x","y""#).await;
    replace(&file, "endpoints: [{adress: mistyped}]");
    let failed = "thanos_query_endpoint_config_last_reload_successful 0";
    until(|| async { get(&url, "/metrics").await.contains(failed) }).await;
    clusters(r#""x","y""#).await;
    replace(&file, &format!("endpoints: [{{address: '{y}'}}]"));
    clusters(r#""y""#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_pattern_come_and_go_with_their_endpoints() {
    let lab = Lab::new();
    let x = lab.store("x").await;
    let folder = tempfile::tempdir().expect("a folder");
    let pattern = folder.path().join("*.yaml").display().to_string();
    let (url, _) = lab
        .querier(Config {
            store_sd_files: vec![pattern],
            ..config()
        })
        .await;
    assert_eq!(
        get(&url, "/api/v1/stores").await,
        "{\"status\":\"success\",\"data\":{}}\n"
    );
    let file = folder.path().join("late.yaml");
    replace(&file, &format!("- targets: ['{x}']"));
    let listed = || async { get(&url, "/api/v1/stores").await.contains(&x) };
    until(listed).await;
    std::fs::remove_file(&file).expect("removed");
    until(|| async { !listed().await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_endpoint_that_is_down_is_a_warning_or_an_error() {
    let lab = Lab::new();
    let (unused, address) = listen().await;
    drop(unused);
    let endpoint_strict = vec![address.to_string()];
    let endpoints = vec![lab.store("x").await];
    let (url, _) = lab
        .querier(Config {
            endpoints,
            endpoint_strict,
            ..config()
        })
        .await;
    let partial = get(&url, UP).await;
    assert!(partial.contains(r#""cluster":"x""#), "{partial}");
    assert!(
        partial.contains(r#""warnings":["#) && partial.contains(&address.to_string()),
        "{partial}"
    );
    let failed = get(&url, &format!("{UP}&partial_response=false")).await;
    assert!(
        failed.starts_with(r#"{"status":"error","errorType":"execution","error":"#),
        "{failed}"
    );
    assert!(failed.contains(&address.to_string()), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_moves_the_api_but_not_the_probes() {
    let lab = Lab::new();
    let web_route_prefix = "/thanos".to_owned();
    let (url, _) = lab
        .querier(Config {
            web_route_prefix,
            ..config()
        })
        .await;
    let answer = get(&url, "/thanos/api/v1/query?query=1&time=0").await;
    assert!(answer.contains(r#""result":[0,"1"]"#), "{answer}");
    assert!(get(&url, "/").await.contains("<textarea"));
    let stores = get(&url, "/thanos/stores").await;
    assert!(stores.contains("No store is connected"), "{stores}");
    assert_eq!(get(&url, "/-/healthy").await, "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_one_endpoint() {
    let lab = Lab::new();
    let store = lab.store("x").await;
    let port = store.rsplit(':').next().expect("a port");
    let (url, _) = lab
        .querier(Config {
            endpoint_groups: vec![format!("dns+localhost:{port}")],
            ..config()
        })
        .await;
    until(|| async { get(&url, UP).await == vector(&[r#""cluster":"x","replica":"0""#]) }).await;
    let stores = get(&url, "/api/v1/stores").await;
    assert!(
        stores.contains(&format!(r#""name":"dns+localhost:{port}""#)),
        "{stores}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn relabel_rules_choose_among_the_stores() {
    let lab = Lab::new();
    let endpoints = vec![lab.store("x").await, lab.store("y").await];
    let rules = "[{action: keep, source_labels: [cluster], regex: y}]";
    let (_, lower) = lab
        .querier(Config {
            endpoints: endpoints.clone(),
            ..config()
        })
        .await;
    // A querier that has both label sets is asked for one of them.
    for endpoints in [endpoints, vec![lower]] {
        let (url, _) = lab
            .querier(Config {
                endpoints,
                relabel: store::block::Relabel::from_yaml(rules).expect("rules"),
                ..config()
            })
            .await;
        let found = get(&url, UP).await;
        assert_eq!(found, vector(&[r#""cluster":"y","replica":"0""#]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_call_to_a_querier_has_limits() {
    let lab = Lab::new();
    let endpoints = vec![lab.store("x").await, lab.store("y").await];
    for (request_series, request_samples, why) in [
        (1, 0, "failed to send series: limit 1 violated (got 2)"),
        (
            0,
            150,
            "failed to send samples: limit 150 violated (got 240)",
        ),
        (2, 240, ""),
    ] {
        let (_, lower) = lab
            .querier(Config {
                endpoints: endpoints.clone(),
                request_series,
                request_samples,
                ..config()
            })
            .await;
        let (url, _) = lab
            .querier(Config {
                endpoints: vec![lower],
                ..config()
            })
            .await;
        let found = get(&url, UP).await;
        assert_eq!(found.contains("failed to send"), !why.is_empty(), "{found}");
        assert!(found.contains(why), "{found}");
    }
}

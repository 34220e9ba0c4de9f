//! A sidecar against a scripted Prometheus on loopback, and (ignored) against the one that is installed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawForm, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::{Columns, Matcher};
use net::channel::Channel;
use parking_lot::Mutex;
use prost::Message;
use proto::info::InfoRequest;
use proto::info::info_client::InfoClient;
use proto::prometheus as wire;
use proto::thanos::series_response::Result as Frame;
use proto::thanos::store_client::StoreClient;
use proto::thanos::{LabelNamesRequest, LabelValuesRequest, Series, SeriesRequest};
use thanos::sidecar::{Config, Error, Limits, run};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tsdb::chunk::XorAppender;

const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// What the scripted Prometheus answers, and what it was asked.
#[derive(Default)]
struct Script {
    down: bool,
    /// Remote read never ends.
    hangs: bool,
    external: &'static str,
    read_type: &'static str,
    read_body: Vec<u8>,
    asked: Vec<wire::ReadRequest>,
    forms: Vec<String>,
}

type Shared = Arc<Mutex<Script>>;

fn scripted(external: &'static str) -> Shared {
    Arc::new(Mutex::new(Script {
        external,
        read_type: STREAMED,
        ..Script::default()
    }))
}

fn data(value: serde_json::Value) -> Response {
    axum::Json(serde_json::json!({"status": "success", "data": value})).into_response()
}

async fn config(State(script): State<Shared>) -> Response {
    let script = script.lock();
    if script.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let external = script.external;
    data(
        serde_json::json!({ "yaml": format!("global:\n  scrape_interval: 15s\n{external}scrape_configs: []\n") }),
    )
}

async fn read(State(script): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if script.lock().hangs {
        return std::future::pending().await;
    }
    let mut script = script.lock();
    assert_eq!(
        headers[header::CONTENT_TYPE],
        "application/x-stream-protobuf"
    );
    assert_eq!(headers[header::CONTENT_ENCODING], "snappy");
    let body = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    script
        .asked
        .push(wire::ReadRequest::decode(body.as_slice()).unwrap());
    (
        [(header::CONTENT_TYPE, script.read_type)],
        script.read_body.clone(),
    )
        .into_response()
}

async fn series(State(script): State<Shared>, RawForm(form): RawForm) -> Response {
    script
        .lock()
        .forms
        .push(String::from_utf8(form.to_vec()).unwrap());
    data(
        serde_json::json!([{"__name__": "up", "job": "b"}, {"__name__": "up", "job": "a", "replica": "9"}]),
    )
}

async fn values(Path(name): Path<String>) -> Response {
    assert_eq!(name, "job");
    data(serde_json::json!(["b", "a"]))
}

async fn serve(listener: tokio::net::TcpListener, script: Shared, stop: CancellationToken) {
    let metrics = "# TYPE x gauge\nprometheus_tsdb_lowest_timestamp_seconds 1.5\n";
    let router = Router::new()
        .route("/api/v1/status/config", get(config))
        .route("/metrics", get(move || std::future::ready(metrics)))
        .route("/api/v1/read", post(read))
        .route("/api/v1/series", post(series))
        .route(
            "/api/v1/labels",
            post(|| async { data(serde_json::json!(["__name__", "job"])) }),
        )
        .route("/api/v1/label/{name}/values", get(values))
        .with_state(script);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .unwrap();
}

async fn listener() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

struct Running {
    script: Shared,
    http: SocketAddr,
    channel: Channel,
    stop: CancellationToken,
    sidecar: JoinHandle<Result<(), Error>>,
}

async fn start(script: Shared, limits: Limits) -> Running {
    let (prometheus, address) = listener().await;
    let stop = CancellationToken::new();
    tokio::spawn(serve(prometheus, script.clone(), stop.clone()));
    start_for(script, address, limits, stop).await
}

async fn start_for(
    script: Shared,
    prometheus: SocketAddr,
    limits: Limits,
    stop: CancellationToken,
) -> Running {
    let ((grpc, grpc_address), (http, http_address)) = (listener().await, listener().await);
    drop((grpc, http));
    let config = Config {
        prometheus_url: format!("http://{prometheus}/"),
        grpc_address,
        http_address,
        grpc_grace: Duration::from_millis(200),
        get_config_interval: Duration::from_millis(20),
        get_config_timeout: Duration::from_secs(5),
        limits,
        ..Config::default()
    };
    let sidecar = tokio::spawn(run(config, stop.clone()));
    let channel = net::grpc::channel(&grpc_address.to_string(), None).unwrap();
    Running {
        script,
        http: http_address,
        channel,
        stop,
        sidecar,
    }
}

impl Running {
    async fn ready(self, ready: bool) -> Self {
        let url = format!("http://{}/-/ready", self.http);
        for _ in 0..1000 {
            let status = reqwest::get(&url)
                .await
                .map(|answer| answer.status().as_u16());
            if status.is_ok_and(|status| status == if ready { 200 } else { 503 })
                && self.info_ok().await == ready
            {
                return self;
            }
            assert!(!self.sidecar.is_finished(), "the sidecar has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("readiness never became {ready}");
    }

    async fn info_ok(&self) -> bool {
        InfoClient::new(self.channel.clone())
            .info(InfoRequest {})
            .await
            .is_ok()
    }

    fn client(&self) -> StoreClient<Channel> {
        StoreClient::new(self.channel.clone()).max_decoding_message_size(store::MAX_MESSAGE)
    }

    async fn collect(&self, request: SeriesRequest) -> Result<Vec<Series>, tonic::Status> {
        let mut stream = self.client().series(request).await?.into_inner();
        let mut found = Vec::new();
        while let Some(response) = stream.message().await? {
            match response.result {
                Some(Frame::Series(series)) => found.push(series),
                Some(Frame::Batch(batch)) => found.extend(batch.series),
                other => panic!("unexpected {other:?}"),
            }
        }
        Ok(found)
    }

    fn answer(&self, series: &[(&[(&str, &str)], usize)]) {
        let frames = series
            .iter()
            .flat_map(|(labels, samples)| frame(labels, *samples));
        self.script.lock().read_body = frames.collect();
    }

    async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.http))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }
}

fn wire_labels(labels: &[(&str, &str)]) -> Vec<wire::Label> {
    labels
        .iter()
        .map(|(n, v)| wire::Label {
            name: (*n).into(),
            value: (*v).into(),
        })
        .collect()
}

fn frame(labels: &[(&str, &str)], samples: usize) -> Vec<u8> {
    let mut appender = XorAppender::new();
    for at in 0..samples {
        appender.push(at as i64 * 1000, at as f64);
    }
    let chunk = wire::Chunk {
        min_time_ms: 0,
        max_time_ms: samples as i64 * 1000 - 1000,
        r#type: wire::chunk::Encoding::Xor.into(),
        data: appender.finish().into(),
    };
    let series = wire::ChunkedSeries {
        labels: wire_labels(labels),
        chunks: vec![chunk],
    };
    let message = wire::ChunkedReadResponse {
        chunked_series: vec![series],
        query_index: 0,
    }
    .encode_to_vec();
    let mut out = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend(crc32c::crc32c(&message).to_be_bytes());
    out.extend(message);
    out
}

fn request(matchers: &[Matcher]) -> SeriesRequest {
    SeriesRequest {
        max_time: 10_000,
        matchers: store::matchers::to_wire(matchers),
        ..Default::default()
    }
}

fn pairs(series: &Series) -> Vec<(&str, &str)> {
    series
        .labels
        .iter()
        .map(|label| (label.name.as_str(), label.value.as_str()))
        .collect()
}

const EXTERNAL: &str = "  external_labels:\n    cluster: eu\n    replica: \"0\"\n";

fn up() -> Matcher {
    Matcher::equal("__name__", "up")
}

#[tokio::test]
async fn series_have_external_labels_and_come_sorted() {
    let sidecar = start(scripted(EXTERNAL), Limits::default())
        .await
        .ready(true)
        .await;
    // Prometheus's order; with external labels the first is last, as `cluster` comes before `job`.
    sidecar.answer(&[
        (&[("__name__", "up"), ("cluster", "other"), ("job", "z")], 3),
        (&[("__name__", "up"), ("job", "a")], 200),
        (&[("__name__", "up"), ("job", "a")], 2),
    ]);
    let found = sidecar
        .collect(request(&[Matcher::equal("cluster", "eu"), up()]))
        .await
        .unwrap();
    let labels: Vec<_> = found.iter().map(pairs).collect();
    let expected = |job| {
        vec![
            ("__name__", "up"),
            ("cluster", "eu"),
            ("job", job),
            ("replica", "0"),
        ]
    };
    assert_eq!(labels, [expected("a"), expected("z")]);
    // One series went on in the next frame; the chunk's encoding is numbered from 0 here.
    assert_eq!(found[0].chunks.len(), 2);
    let raw = found[1].chunks[0].raw.as_ref().unwrap();
    assert_eq!(raw.r#type, 0);
    let mut columns = Columns::default();
    tsdb::chunk::decode(tsdb::chunk::Encoding::Xor, &raw.data, &mut columns).unwrap();
    assert_eq!(columns.t, [0, 1000, 2000]);
    let asked = sidecar.script.lock().asked.remove(0);
    assert_eq!(asked.accepted_response_types, [1, 0]);
    // The matcher on the external label was answered here, and nothing before the lowest time is asked for.
    assert_eq!(asked.queries[0].matchers.len(), 1);
    assert_eq!(
        (
            asked.queries[0].start_timestamp_ms,
            asked.queries[0].end_timestamp_ms
        ),
        (1500, 10_000)
    );

    let without = SeriesRequest {
        without_replica_labels: vec!["replica".into()],
        response_batch_size: 64,
        ..request(&[up()])
    };
    let found = sidecar.collect(without).await.unwrap();
    assert_eq!(
        pairs(&found[0]),
        [("__name__", "up"), ("cluster", "eu"), ("job", "a")]
    );
}

#[tokio::test]
async fn external_labels_decide_before_prometheus_is_asked() {
    let sidecar = start(scripted(EXTERNAL), Limits::default())
        .await
        .ready(true)
        .await;
    assert_eq!(
        sidecar
            .collect(request(&[Matcher::equal("cluster", "us"), up()]))
            .await
            .unwrap(),
        []
    );
    let status = sidecar
        .collect(request(&[Matcher::equal("cluster", "eu")]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.message(),
        "no matchers specified (excluding external labels)"
    );
    let early = SeriesRequest {
        max_time: 1000,
        ..request(&[up()])
    };
    assert_eq!(sidecar.collect(early).await.unwrap(), []);
    assert_eq!(sidecar.script.lock().asked.len(), 0);
}

#[tokio::test]
async fn labels_and_series_without_chunks_come_from_the_http_api() {
    let sidecar = start(scripted(EXTERNAL), Limits::default())
        .await
        .ready(true)
        .await;
    let info = InfoClient::new(sidecar.channel.clone())
        .info(InfoRequest {})
        .await
        .unwrap()
        .into_inner();
    let store = info.store.unwrap();
    assert_eq!(info.component_type, "sidecar");
    assert_eq!((store.min_time, store.max_time), (1500, i64::MAX));
    assert!(store.supports_without_replica_labels && store.supports_sharding);

    let names = LabelNamesRequest {
        end: 10_000,
        without_replica_labels: vec!["replica".into()],
        ..Default::default()
    };
    let names = sidecar
        .client()
        .label_names(names)
        .await
        .unwrap()
        .into_inner()
        .names;
    assert_eq!(names, ["__name__", "cluster", "job"]);
    let ask = |label: &str, matchers: &[Matcher]| LabelValuesRequest {
        label: label.into(),
        end: 10_000,
        matchers: store::matchers::to_wire(matchers),
        ..Default::default()
    };
    let mut client = sidecar.client();
    let jobs = client
        .label_values(ask("job", &[]))
        .await
        .unwrap()
        .into_inner()
        .values;
    assert_eq!(jobs, ["a", "b"]);
    let clusters = client
        .label_values(ask("cluster", &[up()]))
        .await
        .unwrap()
        .into_inner()
        .values;
    assert_eq!(clusters, ["eu"]);
    let none = ask("cluster", &[Matcher::equal("replica", "7")]);
    assert_eq!(
        client.label_values(none).await.unwrap().into_inner().values,
        [""; 0]
    );

    let skip = SeriesRequest {
        skip_chunks: true,
        ..request(&[up()])
    };
    let found = sidecar.collect(skip).await.unwrap();
    let jobs: Vec<_> = found.iter().map(|series| pairs(series)[2]).collect();
    assert_eq!(jobs, [("job", "a"), ("job", "b")]);
    assert_eq!(pairs(&found[0])[3], ("replica", "0"));
    let form = sidecar.script.lock().forms.pop().unwrap();
    assert_eq!(
        form,
        "start=1.500&end=10.000&match%5B%5D=%7B__name__%3D%22up%22%7D"
    );
}

#[tokio::test]
async fn samples_are_encoded_where_prometheus_cannot_stream_chunks() {
    let sidecar = start(scripted(EXTERNAL), Limits::default())
        .await
        .ready(true)
        .await;
    let samples = (0..250)
        .map(|t| wire::Sample {
            value: t as f64,
            timestamp: t * 10,
        })
        .collect();
    let series = wire::TimeSeries {
        labels: wire_labels(&[("job", "a")]),
        samples,
        ..Default::default()
    };
    let answer = wire::ReadResponse {
        results: vec![wire::QueryResult {
            timeseries: vec![series],
        }],
    };
    {
        let mut script = sidecar.script.lock();
        script.read_type = "application/x-protobuf";
        script.read_body = snap::raw::Encoder::new()
            .compress_vec(&answer.encode_to_vec())
            .unwrap();
    }
    let found = sidecar.collect(request(&[up()])).await.unwrap();
    let times: Vec<_> = found[0]
        .chunks
        .iter()
        .map(|chunk| (chunk.min_time, chunk.max_time))
        .collect();
    assert_eq!(times, [(0, 1190), (1200, 2390), (2400, 2490)]);
    sidecar.script.lock().read_body = vec![0xff; 40];
    assert_eq!(
        sidecar.collect(request(&[up()])).await.unwrap_err().code(),
        Code::Internal
    );
}

#[tokio::test]
async fn hostile_answers_are_errors_that_say_what_is_wrong() {
    let sidecar = start(scripted(EXTERNAL), Limits::default())
        .await
        .ready(true)
        .await;
    let mut damaged = frame(&[("job", "a")], 5);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut garbage = vec![3];
    garbage.extend(crc32c::crc32c(&[0xff; 3]).to_be_bytes());
    garbage.extend([0xff; 3]);
    let short = frame(&[("job", "a")], 5)[..20].to_vec();
    for (body, what) in [
        (damaged, "checksum"),
        (garbage, "cannot be read"),
        (short, "inside a frame"),
        (vec![0xff; 30], "no number"),
    ] {
        sidecar.script.lock().read_body = body;
        let status = sidecar.collect(request(&[up()])).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains(what), "{}", status.message());
    }
}

#[tokio::test]
async fn what_exceeds_a_limit_is_refused() {
    let limits = Limits {
        request_series: 1,
        ..Limits::default()
    };
    let sidecar = start(scripted(EXTERNAL), limits).await.ready(true).await;
    sidecar.answer(&[(&[("job", "a")], 5)]);
    assert_eq!(sidecar.collect(request(&[up()])).await.unwrap().len(), 1);
    sidecar.answer(&[(&[("job", "a")], 5), (&[("job", "b")], 5)]);
    let status = sidecar.collect(request(&[up()])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "failed to send series: limit 1 violated (got 2)"
    );
    let metrics = sidecar.metrics().await;
    for (reason, refused) in [("series", 1), ("chunks", 0)] {
        let dropped =
            format!("thanos_store_selects_dropped_total{{reason=\"{reason}\"}} {refused}\n");
        assert!(metrics.contains(&dropped), "{metrics}");
    }
}

#[tokio::test]
async fn a_chunk_counts_as_its_most_samples() {
    let limits = Limits {
        request_samples: 130,
        ..Limits::default()
    };
    let sidecar = start(scripted(EXTERNAL), limits).await.ready(true).await;
    sidecar.answer(&[(&[("job", "a")], 5)]);
    assert_eq!(sidecar.collect(request(&[up()])).await.unwrap().len(), 1);
    sidecar.answer(&[(&[("job", "a")], 5), (&[("job", "b")], 5)]);
    let status = sidecar.collect(request(&[up()])).await.unwrap_err();
    assert_eq!(
        status.message(),
        "failed to send samples: limit 130 violated (got 240)"
    );
}

#[tokio::test]
async fn a_sidecar_waits_for_prometheus_and_notices_when_it_goes_and_returns() {
    let script = scripted(EXTERNAL);
    script.lock().down = true;
    let sidecar = start(script.clone(), Limits::default())
        .await
        .ready(false)
        .await;
    let serving = |sidecar: &Running| {
        let mut client = HealthClient::new(sidecar.channel.clone());
        async move {
            client
                .check(HealthCheckRequest::default())
                .await
                .map(|answer| answer.into_inner().status)
        }
    };
    assert!(
        serving(&sidecar).await.is_err(),
        "gRPC starts once Prometheus answers"
    );
    script.lock().down = false;
    let sidecar = sidecar.ready(true).await;
    assert_eq!(serving(&sidecar).await.unwrap(), 1);
    assert!(
        sidecar
            .metrics()
            .await
            .contains("thanos_sidecar_prometheus_up 1")
    );
    script.lock().down = true;
    let sidecar = sidecar.ready(false).await;
    assert!(
        sidecar
            .metrics()
            .await
            .contains("thanos_sidecar_prometheus_up 0")
    );
    let not_serving = || async { serving(&sidecar).await.unwrap() == 2 };
    for _ in 0..100 {
        if not_serving().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(not_serving().await, "gRPC's health says the same");
    script.lock().down = false;
    let sidecar = sidecar.ready(true).await;
    sidecar.stop.cancel();
    assert!(sidecar.sidecar.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_call_that_does_not_end_holds_up_the_end_for_its_grace_period() {
    let script = scripted(EXTERNAL);
    script.lock().hangs = true;
    let sidecar = start(script, Limits::default()).await.ready(true).await;
    let (stop, channel) = (sidecar.stop.clone(), sidecar.channel.clone());
    let call =
        tokio::spawn(async move { StoreClient::new(channel).series(request(&[up()])).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = std::time::Instant::now();
    stop.cancel();
    sidecar.sidecar.await.unwrap().unwrap();
    let held_up = told.elapsed();
    assert!(held_up >= Duration::from_millis(200), "{held_up:?}");
    assert!(held_up < Duration::from_secs(5), "{held_up:?}");
    call.abort();
}

#[tokio::test]
async fn a_prometheus_without_external_labels_is_refused() {
    let sidecar = start(scripted(""), Limits::default()).await;
    let error = sidecar.sidecar.await.unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no external labels configured on Prometheus server http://127.0.0.1:")
    );
}

/// Milliseconds.
const YEAR_2100: i64 = 4_102_444_800_000;

/// Ends with the test.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "needs prometheus in PATH and some seconds"]
async fn an_installed_prometheus_is_served_by_streamed_remote_read() {
    let folder = std::env::temp_dir().join(format!("tks-sidecar-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (listener, address) = listener().await;
    drop(listener);
    let config = format!(
        "global:\n  scrape_interval: 200ms\n{EXTERNAL}scrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['{address}']\n"
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let prometheus = std::process::Command::new("prometheus")
        .arg(format!(
            "--config.file={}",
            folder.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _prometheus = Process(prometheus);
    let stop = CancellationToken::new();
    let sidecar = start_for(scripted(""), address, Limits::default(), stop)
        .await
        .ready(true)
        .await;
    let all = |matcher| SeriesRequest {
        max_time: YEAR_2100,
        response_batch_size: 64,
        ..request(&[matcher])
    };
    // Prometheus takes some seconds to its first scrape.
    let (mut found, mut columns) = (Vec::new(), Columns::default());
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        found = sidecar.collect(all(up())).await.unwrap();
        columns.clear();
        for chunk in found.iter().flat_map(|series| &series.chunks) {
            let raw = chunk.raw.as_ref().unwrap();
            tsdb::chunk::decode(tsdb::chunk::Encoding::Xor, &raw.data, &mut columns).unwrap();
        }
        if columns.t.len() > 5 {
            break;
        }
    }
    assert_eq!(found.len(), 1);
    assert_eq!(pairs(&found[0])[1], ("cluster", "eu"));
    assert!(
        columns.t.len() > 5 && columns.v.iter().all(|v| *v == 1.0),
        "{columns:?}"
    );
    let many = sidecar
        .collect(all(Matcher::equal("job", "self")))
        .await
        .unwrap();
    assert!(many.len() > 300, "{}", many.len());
    assert!(
        many.windows(2)
            .all(|pair| store::labels::compare(&pair[0].labels, &pair[1].labels).is_lt())
    );
    let skip = SeriesRequest {
        skip_chunks: true,
        ..all(Matcher::equal("job", "self"))
    };
    assert_eq!(sidecar.collect(skip).await.unwrap().len(), many.len());
    let names = LabelNamesRequest {
        end: i64::MAX,
        ..Default::default()
    };
    let names = sidecar
        .client()
        .label_names(names)
        .await
        .unwrap()
        .into_inner()
        .names;
    assert!(names.contains(&"replica".to_owned()) && names.contains(&"instance".to_owned()));
    let values = LabelValuesRequest {
        label: "job".into(),
        end: i64::MAX,
        ..Default::default()
    };
    assert_eq!(
        sidecar
            .client()
            .label_values(values)
            .await
            .unwrap()
            .into_inner()
            .values,
        ["self"]
    );
    let _ = std::fs::remove_dir_all(folder);
}

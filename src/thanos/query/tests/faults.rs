//! Ten stores, one of which is bad: the answer is right, or says what is missing and whose it is; or it is refused with the name.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::Stream;
use futures::future::join_all;
use net::metrics::Registry;
use proto::thanos::store_client::StoreClient;
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use store::{StoreSet, StoreSetConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::super::dns::tests::{A, SERVICE, names_of, wire};
use super::super::endpoints::Endpoints;
use super::*;

/// The clusters of the good stores; the bad one's is `z`.
const GOOD: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Hangs,
    HangsAfterAFrame,
    IsUnsorted,
    SendsBadChunks,
    SendsUnknownChunks,
    IsEndless,
    RepeatsItself,
    WarnsForEver,
    Dies,
}

/// A store that is not as it should be, and how many of its calls are open.
#[derive(Clone)]
struct Bad {
    fault: Fault,
    open: Arc<AtomicUsize>,
    called: Arc<Notify>,
}

impl Bad {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            open: Arc::default(),
            called: Arc::default(),
        }
    }

    fn enter(&self) -> Inside {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.called.notify_one();
        Inside(self.open.clone())
    }
}

/// A call that is open; dropped with it.
struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The `n`th series of the bad store.
fn bad_series(n: usize) -> Series {
    let labels = vec![
        label("__name__", "up"),
        label("cluster", "z"),
        label("n", &format!("{n:09}")),
        label("text", &"x".repeat(1000)),
    ];
    Series {
        labels,
        chunks: vec![ones()],
    }
}

fn with_data(data: Vec<u8>, encoding: i32) -> Series {
    let mut series = bad_series(0);
    let raw = Chunk {
        data: data.into(),
        r#type: encoding,
        hash: 0,
    };
    series.chunks[0].raw = Some(raw);
    series
}

impl Fault {
    /// The `n`th frame; `None` at the end.
    async fn frame(self, n: usize) -> Option<Result<SeriesResponse, Status>> {
        let series = match (self, n) {
            (Self::Hangs, _) | (Self::HangsAfterAFrame, 1..) => std::future::pending().await,
            (Self::Dies, 1) => return Some(Err(Status::internal("it broke"))),
            (Self::HangsAfterAFrame | Self::Dies, 0) => bad_series(0),
            (Self::IsUnsorted, 0 | 1) => bad_series(2 - n),
            (Self::SendsBadChunks, 0) => with_data(vec![0, 200, 1, 2, 3], 0),
            (Self::SendsUnknownChunks, 0) => with_data(vec![0, 0], 77),
            (Self::IsEndless, n) => bad_series(n),
            (Self::RepeatsItself, _) => bad_series(0),
            (Self::WarnsForEver, n) => return Some(Ok(warning(format!("oh {n}")))),
            _ => return None,
        };
        Some(Ok(frame(series)))
    }
}

fn warning(text: String) -> SeriesResponse {
    SeriesResponse {
        result: Some(series_response::Result::Warning(text)),
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<SeriesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Store for Bad {
    type SeriesStream = Answers;

    async fn series(
        &self,
        _: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let (inside, fault) = (self.enter(), self.fault);
        let next = move |(n, inside)| async move { Some((fault.frame(n).await?, (n + 1, inside))) };
        let frames = futures::stream::unfold((0, inside), next);
        Ok(Response::new(Box::pin(frames)))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let _inside = self.enter();
        std::future::pending().await
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let _inside = self.enter();
        std::future::pending().await
    }
}

fn routes(bad: &Bad) -> Routes {
    let info = InfoServer::new(OneSeries("z"));
    Routes::new(StoreServer::new(bad.clone())).add_service(info)
}

impl Lab {
    /// A querier of the good stores and of `bad`.
    async fn ten(&self, bad: &str, config: Config) -> String {
        let mut endpoints = join_all(GOOD.map(|cluster| self.store(cluster))).await;
        endpoints.push(bad.to_owned());
        let (url, _) = self
            .querier(Config {
                endpoints,
                ..config
            })
            .await;
        url
    }
}

fn hasty() -> Config {
    Config {
        store_response_timeout: Duration::from_millis(300),
        held_limit: 100_000,
        ..config()
    }
}

/// Ones at 100 s of the good stores, by cluster.
const BY_CLUSTER: &str = "/api/v1/query?query=sum+by+(cluster)(up)&time=100";

async fn json(url: &str, path: &str) -> Value {
    let text = get(url, path).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The good stores' numbers are there and right; warnings, if any, are returned.
fn warnings_of(answer: &Value) -> String {
    assert_eq!(answer["status"], "success", "{answer}");
    let samples = answer["data"]["result"].as_array().expect("a vector");
    let of = |cluster: &str| {
        let mut found = samples.iter();
        found
            .find(|sample| sample["metric"]["cluster"] == *cluster)
            .map(|sample| sample["value"].to_string())
    };
    for cluster in GOOD {
        assert_eq!(of(cluster).as_deref(), Some("[100,\"1\"]"), "{answer}");
    }
    answer["warnings"].to_string()
}

/// Asks for partial answers and for whole ones: what is missing is said, with the store's address and `why`.
async fn is_told(url: &str, address: &str, why: &str) {
    let warnings = warnings_of(&json(url, BY_CLUSTER).await);
    assert!(
        warnings.contains(address) && warnings.contains(why),
        "{warnings}"
    );
    is_refused(
        url,
        &format!("{BY_CLUSTER}&partial_response=false"),
        address,
        why,
    )
    .await;
}

async fn is_refused(url: &str, path: &str, address: &str, why: &str) {
    let answer = json(url, path).await;
    let error = answer["error"].to_string();
    assert_eq!(answer["errorType"], "execution", "{answer}");
    assert!(error.contains(address) && error.contains(why), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_misbehaves_is_a_warning_or_an_error_that_names_it() {
    let lab = Lab::new();
    for (fault, why) in [
        (Fault::Hangs, "failed to receive any data in 300ms"),
        (
            Fault::HangsAfterAFrame,
            "failed to receive any data in 300ms",
        ),
        (Fault::IsUnsorted, "out of order"),
        (Fault::Dies, "it broke"),
        (Fault::IsEndless, "sent more than 100000 bytes"),
        (Fault::RepeatsItself, "sent more than 100000 bytes"),
        (Fault::WarnsForEver, "sent more than 100 warnings"),
    ] {
        let bad = Bad::new(fault);
        let address = lab.serve(routes(&bad), None).await;
        let url = lab.ten(&address, hasty()).await;
        if fault != Fault::WarnsForEver {
            is_told(&url, &address, why).await;
        } else {
            let warnings = warnings_of(&json(&url, BY_CLUSTER).await);
            assert!(warnings.contains(&address) && warnings.contains(why));
        }
        until(|| async { bad.open.load(Ordering::SeqCst) == 0 }).await;
    }
}

/// What was read cannot be taken back, so such an answer is refused, as Thanos does it.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_cannot_be_decoded_are_an_error_that_names_the_store() {
    let lab = Lab::new();
    for (fault, why) in [
        (Fault::SendsBadChunks, "series {"),
        (Fault::SendsUnknownChunks, "unknown chunk encoding"),
    ] {
        let address = lab.serve(routes(&Bad::new(fault)), None).await;
        let url = lab.ten(&address, hasty()).await;
        for partial in [true, false] {
            let path = format!("{BY_CLUSTER}&partial_response={partial}");
            is_refused(&url, &path, &address, why).await;
        }
    }
}

/// A service whose answers are no messages.
async fn garbage() -> impl axum::response::IntoResponse {
    let mut body = vec![0, 0, 0, 0, 40];
    body.extend([0xff; 40]);
    ([("content-type", "application/grpc")], body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_answers_garbage_is_named() {
    let lab = Lab::new();
    let info = Routes::new(InfoServer::new(OneSeries("z"))).into_axum_router();
    let router = info.route("/thanos.Store/Series", axum::routing::post(garbage));
    let address = lab.serve(Routes::from(router), None).await;
    let url = lab.ten(&address, hasty()).await;
    is_told(&url, &address, "failed to decode").await;
}

/// Passes bytes on to `target`, until it is told to stop.
async fn relay(target: String, stop: Arc<Notify>) -> String {
    let (listener, address) = listen().await;
    let pass = async move {
        let mut passing = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&target).await.expect("a store");
            passing.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = stop.notified() => {}
            () = pass => {}
        }
    });
    address.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_disappears_amid_its_answer_is_named_until_it_is_left_out() {
    let lab = Lab::new();
    for partial in [true, false] {
        let bad = Bad::new(Fault::HangsAfterAFrame);
        let stop = Arc::new(Notify::new());
        let address = relay(lab.serve(routes(&bad), None).await, stop.clone()).await;
        let url = lab.ten(&address, config()).await;
        let path = format!("{BY_CLUSTER}&partial_response={partial}");
        let ask = async { json(&url, &path).await };
        let cut = async {
            bad.called.notified().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.notify_one();
        };
        let (answer, ()) = tokio::join!(ask, cut);
        let told = match partial {
            true => warnings_of(&answer),
            false => answer["error"].to_string(),
        };
        assert!(told.contains(&address), "{told}");
        // Its Info fails too: whole answers are those of the others.
        until(|| async {
            let answer = json(&url, &format!("{BY_CLUSTER}&partial_response=false")).await;
            answer["status"] == "success" && warnings_of(&answer) == "null"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_told() {
    let lab = Lab::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let cert = params.self_signed(&key).expect("a certificate").pem();
    std::fs::write(path("cert.pem"), cert).expect("written");
    std::fs::write(path("key.pem"), key.serialize_pem()).expect("written");
    let tls = ServerTls {
        cert: path("cert.pem"),
        key: path("key.pem"),
        ..ServerTls::default()
    };
    let address = lab.serve(routes(&Bad::new(Fault::Dies)), Some(tls)).await;
    let mut good = join_all(GOOD.map(|cluster| lab.store(cluster))).await;
    let sd = format!(
        "endpoints: [{{address: '{address}', strict: true, client_config: {{server_name: localhost, tls_config: {{ca_file: '{}'}}}}}}]",
        path("cert.pem").display()
    );
    let (url, _) = lab
        .querier(Config {
            endpoints: std::mem::take(&mut good),
            endpoint_sd_config: Some(sd),
            ..hasty()
        })
        .await;
    is_told(&url, &address, "certificate expired").await;
    let stores = get(&url, "/api/v1/stores").await;
    assert!(stores.contains("certificate expired"), "{stores}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_fails_keeps_its_addresses_and_one_that_moves_takes_the_querier_along() {
    let lab = Lab::new();
    let port = |address: String| -> u16 {
        let port = address.rsplit(':').next().map(str::parse);
        port.expect("a port").expect("a number")
    };
    let [x, y] = [lab.store("x").await, lab.store("y").await].map(port);
    let at = Arc::new(parking_lot::Mutex::new(None));
    let known = at.clone();
    let records = move |name: &[u8], kind: u16| match (*known.lock(), kind) {
        (Some(port), SERVICE) if name == wire("_grpc._tcp.store.test") => {
            vec![[[0, 0, port].map(u16::to_be_bytes).concat(), wire("a.test")].concat()]
        }
        (Some(_), A) if name == wire("a.test") => vec![vec![127, 0, 0, 1]],
        _ => Vec::new(),
    };
    let config = Config {
        endpoints: vec!["dnssrv+_grpc._tcp.store.test".to_owned()],
        ..config()
    };
    let set = StoreSet::new(StoreSetConfig::default(), None);
    let mut endpoints = Endpoints::new(&config, set.clone(), &Registry::new()).expect("endpoints");
    endpoints.names = names_of(Box::new(records)).await;
    for (now, expected) in [
        (None, None),
        (Some(x), Some(x)),
        (None, Some(x)),
        (Some(y), Some(y)),
    ] {
        *at.lock() = now;
        endpoints.refresh().await;
        set.update().await;
        let found: Vec<_> = set
            .statuses()
            .into_iter()
            .map(|status| status.name)
            .collect();
        let expected: Vec<_> = expected
            .map(|port| format!("127.0.0.1:{port}"))
            .into_iter()
            .collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_queries_at_once_are_answered_in_turn_or_refused() {
    let lab = Lab::new();
    let endpoints = vec![lab.store("x").await, lab.store("y").await];
    let (url, _) = lab
        .querier(Config {
            endpoints,
            max_concurrent: 4,
            ..config()
        })
        .await;
    let expected = vector(&[
        r#""cluster":"x","replica":"0""#,
        r#""cluster":"y","replica":"0""#,
    ]);
    let client = reqwest::Client::new();
    let ask = |path: String| {
        let answer = client.get(format!("{url}{path}")).send();
        async {
            answer
                .await
                .expect("an answer")
                .text()
                .await
                .expect("a body")
        }
    };
    let answers = join_all((0..1000).map(|_| ask(UP.to_owned()))).await;
    assert!(answers.iter().all(|answer| *answer == expected));
    // Who cannot wait long enough is told so, and nothing else.
    let short = format!("{UP}&timeout=50ms");
    let answers = join_all((0..1000).map(|_| ask(short.clone()))).await;
    let late = |answer: &String| answer.contains(r#""errorType":"timeout""#);
    assert!(
        answers
            .iter()
            .all(|answer| *answer == expected || late(answer))
    );
    let metrics = get(&url, "/metrics").await;
    assert!(metrics.contains("thanos_query_concurrent_gate_queries_max 4"));
    until(|| async {
        let metrics = get(&url, "/metrics").await;
        metrics.contains("thanos_query_concurrent_gate_queries_in_flight 0")
    })
    .await;
}

/// How long the calls of `bad` stay open after their client went away.
async fn after_leaving(bad: &Bad, client: tokio::task::JoinHandle<()>) -> Duration {
    bad.called.notified().await;
    // All that it asks for is under way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let left = Instant::now();
    client.abort();
    while bad.open.load(Ordering::SeqCst) > 0 {
        assert!(left.elapsed() < Duration::from_secs(10), "it goes on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    left.elapsed()
}

/// Sends a request and keeps the connection open.
fn visitor(url: &str, head: &str, body: &str) -> tokio::task::JoinHandle<()> {
    let address = url.trim_start_matches("http://").to_owned();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("a querier");
        stream.write_all(request.as_bytes()).await.expect("sent");
        std::future::pending::<()>().await;
        drop(stream);
    })
}

const SOON: Duration = Duration::from_millis(100);

/// The best of some tries, and the first that is good enough: on a busy machine most may be late.
async fn soonest(bad: &Bad, client: impl Fn() -> tokio::task::JoinHandle<()>) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        best = best.min(after_leaving(bad, client()).await);
        if best < SOON {
            break;
        }
    }
    best
}

/// Reads all series of a StoreAPI.
async fn reader(address: String) {
    let request = SeriesRequest {
        max_time: 100_000,
        matchers: store::matchers::to_wire(&[model::Matcher::equal("__name__", "up")]),
        ..SeriesRequest::default()
    };
    let mut client = StoreClient::connect(format!("http://{address}"))
        .await
        .expect("a querier");
    let mut answer = client
        .series(request)
        .await
        .expect("an answer")
        .into_inner();
    while let Ok(Some(_)) = answer.message().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn work_ends_within_100_ms_after_the_client_left() {
    let lab = Lab::new();
    let bad = Bad::new(Fault::HangsAfterAFrame);
    let address = lab.serve(routes(&bad), None).await;
    let mut endpoints = join_all(GOOD.map(|cluster| lab.store(cluster))).await;
    endpoints.push(address);
    let (url, rpc) = lab
        .querier(Config {
            endpoints,
            ..config()
        })
        .await;
    let requests = [
        ("GET /api/v1/query?query=up&time=100", ""),
        (
            "GET /api/v1/query_range?query=up&start=0&end=100&step=10",
            "",
        ),
        ("POST /api/v1/query", "query=up&time=100"),
        ("GET /api/v1/series?match[]=up&start=0&end=100", ""),
        ("GET /api/v1/labels", ""),
        ("GET /api/v1/label/cluster/values", ""),
    ];
    for (head, body) in requests {
        let took = soonest(&bad, || visitor(&url, head, body)).await;
        assert!(took < SOON, "{head}: {took:?}");
    }
    let took = soonest(&bad, || tokio::spawn(reader(rpc.clone()))).await;
    assert!(took < SOON, "StoreAPI: {took:?}");
}

//! A proxy over StoreAPI servers on loopback: order, batches, partial answers, dedup, cancellation.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Cancel, Columns, Matcher, Queryable, Select, SelectError, Symbols};
use net::Limits;
use parking_lot::Mutex;
use proto::info::info_server::{Info, InfoServer};
use proto::info::{InfoRequest, InfoResponse, StoreInfo};
use proto::thanos::series_response::Result as Frame;
use proto::thanos::store_client::StoreClient;
use proto::thanos::store_server::{Store, StoreServer};
use proto::thanos::{
    AggrChunk, Chunk, Label, LabelNamesRequest, LabelNamesResponse, LabelSet, LabelValuesRequest,
    LabelValuesResponse, Series, SeriesBatch, SeriesRequest, SeriesResponse,
};
use store::labels::label;
use store::{
    CallOptions, EndpointSpec, FanOut, FanOutOptions, Item, Proxy, ProxyConfig, ProxyServer,
    StoreSet, StoreSetConfig, info_server,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tsdb::chunk::XorAppender;

/// What a scripted store does at the end of its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Then {
    #[default]
    End,
    Die,
    Hang,
}

#[derive(Clone, Debug, Default)]
struct Script {
    external: Vec<Label>,
    frames: Vec<Frame>,
    then: Then,
    strips: bool,
    names: Vec<&'static str>,
    seen: Arc<Mutex<Vec<SeriesRequest>>>,
    tenants: Arc<Mutex<Vec<String>>>,
    hanging: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Store for Script {
    type SeriesStream = ReceiverStream<Result<SeriesResponse, Status>>;

    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let tenant = request
            .metadata()
            .get("thanos-tenant")
            .and_then(|t| t.to_str().ok());
        self.tenants
            .lock()
            .push(tenant.unwrap_or_default().to_owned());
        self.seen.lock().push(request.into_inner());
        let (sender, receiver) = mpsc::channel(1);
        let script = self.clone();
        tokio::spawn(async move {
            for frame in script.frames {
                let _ = sender
                    .send(Ok(SeriesResponse {
                        result: Some(frame),
                    }))
                    .await;
            }
            match script.then {
                Then::End => {}
                Then::Die => drop(sender.send(Err(Status::unavailable("died"))).await),
                Then::Hang => {
                    script.hanging.fetch_add(1, Ordering::SeqCst);
                    sender.closed().await;
                    script.hanging.fetch_sub(1, Ordering::SeqCst);
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        if self.then == Then::Die {
            return Err(Status::unavailable("died"));
        }
        let names = self.names.iter().map(ToString::to_string).collect();
        Ok(Response::new(LabelNamesResponse {
            names,
            ..Default::default()
        }))
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let values = self.names.iter().map(ToString::to_string).collect();
        Ok(Response::new(LabelValuesResponse {
            values,
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl Info for Script {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(InfoResponse {
            label_sets: vec![LabelSet {
                labels: self.external.clone(),
            }],
            component_type: "sidecar".into(),
            store: Some(StoreInfo {
                min_time: 0,
                max_time: 1_000_000,
                supports_without_replica_labels: self.strips,
                ..Default::default()
            }),
            ..Default::default()
        }))
    }
}

async fn serve(routes: Routes) -> (String, CancellationToken) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let limits = Limits {
        grace: Duration::ZERO,
        ..Limits::default()
    };
    tokio::spawn(net::grpc::serve_on(
        listener,
        None,
        routes,
        limits,
        stop.clone(),
    ));
    (address, stop)
}

async fn start(script: &Script) -> String {
    let routes =
        Routes::new(StoreServer::new(script.clone())).add_service(InfoServer::new(script.clone()));
    serve(routes).await.0
}

fn spec(address: impl Into<String>) -> EndpointSpec {
    EndpointSpec {
        address: address.into(),
        ..EndpointSpec::default()
    }
}

async fn proxy_over(scripts: &[Script], config: ProxyConfig) -> Arc<Proxy> {
    let stores = StoreSet::new(StoreSetConfig::default(), None);
    let mut specs = Vec::new();
    for script in scripts {
        specs.push(spec(start(script).await));
    }
    stores.set_endpoints(specs);
    stores.update().await;
    Proxy::new(stores, config)
}

fn chunk(from: i64, to: i64) -> AggrChunk {
    let mut appender = XorAppender::new();
    for t in (from..=to).step_by(10) {
        appender.push(t, 1.0);
    }
    let raw = Chunk {
        r#type: 0,
        data: appender.finish().into(),
        hash: 0,
    };
    AggrChunk {
        min_time: from,
        max_time: to,
        raw: Some(raw),
        ..Default::default()
    }
}

fn series(pairs: &[(&str, &str)], chunks: Vec<AggrChunk>) -> Series {
    Series {
        labels: pairs.iter().map(|(n, v)| label(*n, *v)).collect(),
        chunks,
    }
}

fn batch(series: Vec<Series>) -> Frame {
    Frame::Batch(SeriesBatch { series })
}

fn request(abort: bool) -> SeriesRequest {
    SeriesRequest {
        max_time: 1000,
        matchers: store::matchers::to_wire(&[Matcher::equal("job", "x")]),
        partial_response_strategy: i32::from(abort),
        response_batch_size: 64,
        ..Default::default()
    }
}

async fn collect(
    proxy: &Proxy,
    request: SeriesRequest,
) -> Result<(Vec<Series>, Vec<String>), Status> {
    let mut merged = proxy.series(request, &CallOptions::default())?;
    let (mut series, mut warnings) = (Vec::new(), Vec::new());
    while let Some(item) = merged.next(64, 1 << 20).await? {
        match item {
            Item::Batch(batch) => series.extend(batch.decoded()),
            Item::Warning(text) => warnings.push(text),
        }
    }
    Ok((series, warnings))
}

#[tokio::test]
async fn answers_are_merged_in_label_order_and_chunks_united() {
    let a = Script {
        frames: vec![
            batch(vec![
                series(&[("a", "1")], vec![chunk(0, 50)]),
                series(&[("a", "3")], vec![chunk(0, 50)]),
            ]),
            Frame::Series(series(&[("a", "3")], vec![chunk(60, 90)])),
        ],
        ..Script::default()
    };
    let b = Script {
        frames: vec![
            Frame::Series(series(&[("a", "2")], vec![])),
            Frame::Series(series(&[("a", "3")], vec![chunk(60, 90), chunk(100, 120)])),
        ],
        ..Script::default()
    };
    let proxy = proxy_over(&[a.clone(), b], ProxyConfig::default()).await;
    let (found, warnings) = collect(&proxy, request(true)).await.unwrap();
    let expected = [
        series(&[("a", "1")], vec![chunk(0, 50)]),
        series(&[("a", "2")], vec![]),
        series(
            &[("a", "3")],
            vec![chunk(0, 50), chunk(60, 90), chunk(100, 120)],
        ),
    ];
    assert_eq!(found, expected);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(*a.tenants.lock(), ["default-tenant"]);
    assert_eq!(a.seen.lock()[0].response_batch_size, 64);
    let (cut, _) = collect(
        &proxy,
        SeriesRequest {
            limit: 2,
            ..request(true)
        },
    )
    .await
    .unwrap();
    assert_eq!(cut, expected[..2]);
}

#[tokio::test]
async fn a_store_that_dies_is_a_warning_or_the_end() {
    let dying = Script {
        frames: vec![Frame::Series(series(&[("a", "1")], vec![]))],
        then: Then::Die,
        ..Script::default()
    };
    let alive = Script {
        frames: vec![Frame::Series(series(&[("a", "2")], vec![]))],
        names: vec!["job"],
        ..Script::default()
    };
    let proxy = proxy_over(&[dying, alive], ProxyConfig::default()).await;
    let (found, warnings) = collect(&proxy, request(false)).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("receive series from Addr: 127.0.0.1:"),
        "{warnings:?}"
    );
    assert!(
        warnings[0].ends_with("code = Unavailable desc = died"),
        "{warnings:?}"
    );
    let status = collect(&proxy, request(true)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Aborted);

    let names = |strategy| LabelNamesRequest {
        end: 10,
        partial_response_strategy: strategy,
        ..Default::default()
    };
    let (found, warnings) = proxy
        .label_names(names(0), &CallOptions::default())
        .await
        .unwrap();
    assert_eq!((found, warnings.len()), (vec!["job".to_owned()], 1));
    assert!(
        proxy
            .label_names(names(1), &CallOptions::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_silent_store_is_given_up_after_the_response_timeout() {
    let silent = Script {
        then: Then::Hang,
        ..Script::default()
    };
    let config = ProxyConfig {
        response_timeout: Some(Duration::from_millis(50)),
        ..Default::default()
    };
    let proxy = proxy_over(std::slice::from_ref(&silent), config).await;
    let (_, warnings) = collect(&proxy, request(false)).await.unwrap();
    assert!(
        warnings[0].starts_with("failed to receive any data in 50ms from Addr: "),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn only_stores_that_may_have_an_answer_are_asked() {
    let eu = Script {
        external: vec![label("cluster", "eu")],
        ..Script::default()
    };
    let us = Script {
        external: vec![label("cluster", "us")],
        ..Script::default()
    };
    let proxy = proxy_over(&[eu.clone(), us.clone()], ProxyConfig::default()).await;
    let mut asked = request(true);
    asked
        .matchers
        .extend(store::matchers::to_wire(&[Matcher::equal("cluster", "eu")]));
    collect(&proxy, asked.clone()).await.unwrap();
    assert_eq!((eu.seen.lock().len(), us.seen.lock().len()), (1, 0));
    collect(
        &proxy,
        SeriesRequest {
            min_time: 2_000_000,
            max_time: 3_000_000,
            ..asked
        },
    )
    .await
    .unwrap();
    assert_eq!(eu.seen.lock().len(), 1);
    let status = collect(
        &proxy,
        SeriesRequest {
            matchers: vec![],
            ..request(true)
        },
    )
    .await
    .unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn replica_labels_are_stripped_here_where_a_store_cannot() {
    let plain = Script {
        frames: vec![batch(vec![
            series(
                &[("a", "1"), ("replica", "0"), ("z", "9")],
                vec![chunk(0, 50)],
            ),
            series(
                &[("a", "1"), ("replica", "1"), ("z", "1")],
                vec![chunk(0, 50)],
            ),
            series(
                &[("a", "1"), ("replica", "2"), ("z", "9")],
                vec![chunk(60, 90)],
            ),
        ])],
        ..Script::default()
    };
    let able = Script {
        strips: true,
        ..Script::default()
    };
    let proxy = proxy_over(&[plain.clone(), able.clone()], ProxyConfig::default()).await;
    let asked = SeriesRequest {
        without_replica_labels: vec!["replica".into()],
        ..request(true)
    };
    let (found, _) = collect(&proxy, asked.clone()).await.unwrap();
    let expected = [
        series(&[("a", "1"), ("z", "1")], vec![chunk(0, 50)]),
        series(&[("a", "1"), ("z", "9")], vec![chunk(0, 50), chunk(60, 90)]),
    ];
    assert_eq!(found, expected);
    assert_eq!(plain.seen.lock()[0].without_replica_labels, [""; 0]);
    assert_eq!(able.seen.lock()[0].without_replica_labels, ["replica"]);

    let tight = proxy_over(
        &[plain],
        ProxyConfig {
            resort_limit: 10,
            ..Default::default()
        },
    )
    .await;
    let (_, warnings) = collect(
        &tight,
        SeriesRequest {
            partial_response_strategy: 0,
            ..asked
        },
    )
    .await
    .unwrap();
    assert!(warnings[0].contains("exceed the 10 bytes"), "{warnings:?}");
}

#[tokio::test]
async fn a_store_that_sends_out_of_order_is_refused() {
    let careless = Script {
        frames: vec![batch(vec![
            series(&[("a", "2")], vec![]),
            series(&[("a", "1")], vec![]),
        ])],
        ..Script::default()
    };
    let proxy = proxy_over(&[careless], ProxyConfig::default()).await;
    let (_, warnings) = collect(&proxy, request(false)).await.unwrap();
    assert!(
        warnings[0].ends_with("sent series out of order at {a=\"1\"}"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn a_querier_is_a_store_itself_and_answers_in_batches() {
    let many = (100..300)
        .map(|n| series(&[("n", &n.to_string())], vec![chunk(0, 50)]))
        .collect();
    let leaf = Script {
        external: vec![label("cluster", "eu")],
        frames: vec![batch(many)],
        ..Script::default()
    };
    let inner = proxy_over(&[leaf], ProxyConfig::default()).await;
    let served = ProxyServer::new(inner.clone(), Default::default());
    let routes = Routes::new(served).add_service(info_server(inner));
    let (address, _stop) = serve(routes).await;
    let mut client = StoreClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let mut stream = client.series(request(true)).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        match response.result {
            Some(Frame::Batch(batch)) => sizes.push(batch.series.len()),
            other => panic!("not a batch: {other:?}"),
        }
    }
    assert_eq!(sizes, [64, 64, 64, 8]);

    let stores = StoreSet::new(StoreSetConfig::default(), None);
    stores.set_endpoints(vec![spec(address)]);
    stores.update().await;
    let status = &stores.statuses()[0];
    assert_eq!(status.component_type, "query");
    assert_eq!(
        status.label_sets,
        [[("cluster".to_owned(), "eu".to_owned())]]
    );
    assert_eq!((status.min_time, status.max_time), (0, 1_000_000));
    let outer = Proxy::new(stores, ProxyConfig::default());
    let single = SeriesRequest {
        response_batch_size: 0,
        ..request(true)
    };
    assert_eq!(collect(&outer, single).await.unwrap().0.len(), 200);
}

#[tokio::test]
async fn endpoints_come_go_and_fail_as_their_info_says() {
    let script = Script::default();
    let routes = Routes::new(InfoServer::new(script));
    let (address, stop) = serve(routes).await;
    let config = StoreSetConfig {
        unhealthy_timeout: Duration::ZERO,
        ..Default::default()
    };
    let (patient, hasty) = (
        StoreSet::new(StoreSetConfig::default(), None),
        StoreSet::new(config, None),
    );
    let dead = EndpointSpec {
        strict: true,
        ..spec("127.0.0.1:1")
    };
    for stores in [&patient, &hasty] {
        stores.set_endpoints(vec![
            spec(&address),
            spec("127.0.0.1:2"),
            dead.clone(),
            spec("no address"),
        ]);
        stores.update().await;
        let listed: Vec<_> = stores
            .statuses()
            .into_iter()
            .map(|s| (s.name, s.last_error.is_none()))
            .collect();
        assert_eq!(
            listed,
            [(address.clone(), true), ("127.0.0.1:1".to_owned(), false)]
        );
    }
    stop.cancel();
    while patient.statuses()[0].last_error.is_none() {
        patient.update().await;
    }
    assert!(patient.statuses()[0].last_check.is_some());
    while hasty.statuses().len() == 2 {
        hasty.update().await;
    }
    assert_eq!(hasty.statuses()[0].name, "127.0.0.1:1");
}

fn select(matchers: Vec<Matcher>) -> Select {
    Select::new(Arc::new(Symbols::new()), matchers, 0, 1_000_000)
}

/// What a compute thread does: drain, decode.
fn drain(
    fan_out: &FanOut,
    select: &Select,
    cancel: &Cancel,
) -> Result<(Vec<(String, Vec<i64>)>, Vec<String>), SelectError> {
    let mut stream = fan_out.select(select, cancel)?;
    let mut found = Vec::new();
    while let Some(batch) = stream.next()? {
        for series in batch {
            let mut columns = Columns::default();
            series.samples.read(&mut columns)?;
            found.push((series.labels.display(&select.symbols), columns.t));
        }
    }
    Ok((found, stream.warnings()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_two_stores_are_read_as_one_series() {
    let replica = |replica: &str, from: i64| Script {
        external: vec![label("replica", replica)],
        frames: vec![Frame::Series(series(
            &[("job", "x")],
            vec![chunk(from, from + 50)],
        ))],
        strips: true,
        ..Script::default()
    };
    let dying = Script {
        then: Then::Die,
        ..Script::default()
    };
    let proxy = proxy_over(
        &[replica("0", 100), replica("1", 103), dying],
        ProxyConfig::default(),
    )
    .await;
    let options = FanOutOptions {
        partial_response: true,
        replica_labels: vec!["replica".into()],
        ..Default::default()
    };
    let fan_out = FanOut::new(proxy, tokio::runtime::Handle::current(), options);
    let work = move || {
        drain(
            &fan_out,
            &select(vec![Matcher::equal("job", "x")]),
            &Cancel::new(),
        )
    };
    let (found, warnings) = tokio::task::spawn_blocking(work).await.unwrap().unwrap();
    assert_eq!(
        found,
        [("{job=\"x\"}".to_owned(), vec![100, 110, 120, 130, 140, 150])]
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_query_ends_and_so_do_its_calls() {
    let silent = Script {
        then: Then::Hang,
        ..Script::default()
    };
    let proxy = proxy_over(std::slice::from_ref(&silent), ProxyConfig::default()).await;
    let fan_out = FanOut::new(
        proxy,
        tokio::runtime::Handle::current(),
        FanOutOptions::default(),
    );
    let cancel = Cancel::new();
    let flag = cancel.clone();
    let work = tokio::task::spawn_blocking(move || {
        drain(&fan_out, &select(vec![Matcher::equal("job", "x")]), &flag)
    });
    while silent.hanging.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    cancel.cancel(model::Cancelled::Asked);
    assert_eq!(work.await.unwrap(), Err(model::Cancelled::Asked.into()));
    while silent.hanging.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

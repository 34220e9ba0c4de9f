//! Stores that have their answers encoded already: servers of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use net::Limits;
use prost::Message as _;
use proto::info::info_server::{Info, InfoServer};
use proto::info::{InfoRequest, InfoResponse, StoreInfo, TsdbInfo};
use proto::thanos::{LabelSet, SeriesRequest};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Status};

use crate::data::{START, Scrapes, Stock};

/// Stores that run until they are dropped.
pub(crate) struct Stores {
    pub(crate) addresses: Vec<String>,
    /// Series of all stores together.
    pub(crate) series: usize,
    pub(crate) scrapes: Scrapes,
    sent: Arc<AtomicU64>,
    shutdown: CancellationToken,
    runtime: Runtime,
}

#[derive(Clone)]
struct Fake {
    stock: Arc<Stock>,
    scrapes: Scrapes,
    /// The time from the first frame to the last.
    takes: Duration,
    sent: Arc<AtomicU64>,
}

impl Stores {
    /// `count` stores that share `series` evenly. The first one takes its time to send them, the others none.
    pub(crate) fn start(count: usize, series: usize, scrapes: Scrapes, takes: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (shutdown, sent) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let start = |place: usize| {
            let fake = Fake {
                stock: Arc::new(Stock::new(place, series / count, scrapes)),
                scrapes,
                takes: if place == 0 { takes } else { Duration::ZERO },
                sent: sent.clone(),
            };
            runtime.block_on(fake.listen(shutdown.clone()))
        };
        Self {
            addresses: (0..count).map(start).collect(),
            series: series / count * count,
            scrapes,
            sent,
            shutdown,
            runtime,
        }
    }

    /// Bytes of series that were sent since this was asked before.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.swap(0, Ordering::Relaxed)
    }

    /// Where the stores run.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Fake {
    async fn listen(self, shutdown: CancellationToken) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let info = InfoServer::new(self.clone());
        let series = Router::new().route("/thanos.Store/Series", post(series));
        let routes = Routes::from(series.with_state(self)).add_service(info);
        let limits = Limits {
            grace: Duration::ZERO,
            ..Limits::default()
        };
        tokio::spawn(net::grpc::serve_on(
            listener, None, routes, limits, shutdown,
        ));
        address
    }

    /// The frames of an answer, each when it is due, and the trailers that end a call well.
    fn answer(
        &self,
        request: &SeriesRequest,
    ) -> impl Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + use<> {
        let frames = self.stock.frames(request);
        let (sent, count) = (self.sent.clone(), frames.len());
        let pause = self.takes / u32::try_from(count.max(2) - 1).unwrap_or(u32::MAX);
        let data = stream::iter(0..count).then(move |at| {
            let frame = frames[at].clone();
            sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
            async move {
                if at > 0 && !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Ok(Frame::data(frame))
            }
        });
        let good = http::HeaderValue::from_static("0");
        let trailers = http::HeaderMap::from_iter([(GRPC_STATUS, good)]);
        data.chain(stream::iter([Ok(Frame::trailers(trailers))]))
    }
}

const GRPC_STATUS: http::HeaderName = http::HeaderName::from_static("grpc-status");

/// Whatever is asked for, the store has it, and nothing else.
async fn series(State(fake): State<Fake>, request: axum::extract::Request) -> Response {
    let body = to_bytes(request.into_body(), 1 << 20).await;
    let body = body.expect("a small request");
    let request = SeriesRequest::decode(&body[5..]).expect("a request");
    let kind = [(http::header::CONTENT_TYPE, "application/grpc")];
    (kind, Body::new(StreamBody::new(fake.answer(&request)))).into_response()
}

#[tonic::async_trait]
impl Info for Fake {
    async fn info(&self, _: Request<InfoRequest>) -> Result<tonic::Response<InfoResponse>, Status> {
        let labels = Some(LabelSet {
            labels: self.stock.external(),
        });
        let (min_time, max_time) = (START, self.scrapes.end());
        let store = StoreInfo {
            min_time,
            max_time,
            supports_sharding: true,
            supports_without_replica_labels: true,
            tsdb_infos: vec![TsdbInfo {
                labels: labels.clone(),
                min_time,
                max_time,
            }],
            ..StoreInfo::default()
        };
        Ok(tonic::Response::new(InfoResponse {
            label_sets: labels.into_iter().collect(),
            component_type: "sidecar".to_owned(),
            store: Some(store),
            ..InfoResponse::default()
        }))
    }
}

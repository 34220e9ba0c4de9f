//! Questions to a querier, over HTTP and over gRPC.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message as _;
use proto::thanos::label_matcher::Type;
use proto::thanos::series_response::Result as Frame;
use proto::thanos::store_client::StoreClient;
use proto::thanos::{LabelMatcher, Series, SeriesRequest};
use serde_json::Value as Json;

use crate::answers;
use crate::data::{METRIC, REPLICA, START, Scrapes};
use crate::querier::Querier;

/// A question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// `Series` of StoreAPI; whether replicas become one.
    Series { merged: bool },
    /// `/api/v1/series`.
    Labels,
    /// `/api/v1/query` at the last scrape.
    Instant(&'static str),
    /// `/api/v1/query_range` over everything, every five minutes.
    Range(&'static str),
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// A digest of each series.
    Series(Vec<u64>),
    Body(Vec<u8>),
}

/// An answer with what it took.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) answer: Answer,
    pub(crate) bytes: usize,
    /// Until the first frame.
    pub(crate) first: Duration,
    pub(crate) whole: Duration,
}

impl Ask {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Series { merged: false } => "gRPC Series".to_owned(),
            Self::Series { merged: true } => "gRPC Series, merged".to_owned(),
            Self::Labels => "/api/v1/series".to_owned(),
            Self::Instant(query) | Self::Range(query) => query.replace(METRIC, "x"),
        }
    }

    /// Asks; digests are taken if answers are compared.
    pub(crate) fn of(self, querier: &Querier, scrapes: Scrapes, compared: bool) -> Asked {
        let (start, end) = (START / 1000, scrapes.end() / 1000);
        let target = match self {
            Self::Series { merged } => {
                return series(querier, request(scrapes, merged), compared);
            }
            Self::Labels => format!(
                "/api/v1/series?match[]={}&start={start}&end={end}",
                encoded(METRIC)
            ),
            Self::Instant(query) => format!("/api/v1/query?query={}&time={end}", encoded(query)),
            Self::Range(query) => format!(
                "/api/v1/query_range?query={}&start={start}&end={end}&step=300",
                encoded(query)
            ),
        };
        let begun = Instant::now();
        let body = get(&querier.http, &target);
        let body = body.unwrap_or_else(|| panic!("{target} fails"));
        Asked {
            bytes: body.len(),
            answer: Answer::Body(body),
            first: begun.elapsed(),
            whole: begun.elapsed(),
        }
    }

    /// Where two answers differ.
    pub(crate) fn difference(self, ours: &Answer, theirs: &Answer) -> Option<String> {
        match (ours, theirs) {
            (Answer::Series(ours), Answer::Series(theirs)) => (ours != theirs).then(|| {
                let (a, b) = (ours.len(), theirs.len());
                format!("{a} series here, {b} there, or different ones")
            }),
            (Answer::Body(ours), Answer::Body(theirs)) if ours == theirs => None,
            (Answer::Body(ours), Answer::Body(theirs)) => {
                let json = |body: &[u8]| serde_json::from_slice::<Json>(body).expect("JSON");
                answers::difference(&json(ours), &json(theirs))
            }
            _ => Some("answers of two kinds".to_owned()),
        }
    }
}

fn request(scrapes: Scrapes, merged: bool) -> SeriesRequest {
    let without = merged.then(|| REPLICA.to_owned());
    SeriesRequest {
        min_time: START,
        max_time: scrapes.end(),
        matchers: vec![LabelMatcher {
            r#type: Type::Eq.into(),
            name: "__name__".to_owned(),
            value: METRIC.to_owned(),
        }],
        without_replica_labels: without.into_iter().collect(),
        response_batch_size: 64,
        ..SeriesRequest::default()
    }
}

fn series(querier: &Querier, request: SeriesRequest, compared: bool) -> Asked {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut digests = Vec::new();
    let mut add = |series: &Series| {
        if compared {
            let mut hasher = DefaultHasher::new();
            hasher.write(&series.encode_to_vec());
            digests.push(hasher.finish());
        }
    };
    let (mut bytes, mut first) = (0, None);
    let begun = Instant::now();
    runtime.block_on(async {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", querier.grpc))
            .expect("an address")
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        let client = StoreClient::new(endpoint.connect_lazy());
        let mut client = client.max_decoding_message_size(1 << 30);
        let frames = client.series(request).await.expect("an answer");
        let mut frames = frames.into_inner();
        while let Some(frame) = frames.message().await.expect("a whole answer") {
            first.get_or_insert_with(|| begun.elapsed());
            bytes += frame.encoded_len() + 5;
            match frame.result {
                Some(Frame::Series(series)) => add(&series),
                Some(Frame::Batch(batch)) => batch.series.iter().for_each(&mut add),
                other => panic!("not a series: {other:?}"),
            }
        }
    });
    Asked {
        answer: Answer::Series(digests),
        bytes,
        first: first.unwrap_or_default(),
        whole: begun.elapsed(),
    }
}

/// The body of an answer with status 200.
pub(crate) fn get(address: &str, target: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {target} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let good = answer.get(9..12) == Some(b"200");
    good.then(|| answer.split_off(head + 4))
}

/// Percent-encoded, as a part of a query string.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

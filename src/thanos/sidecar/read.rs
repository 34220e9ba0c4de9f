//! Remote read: series of Prometheus as series of the StoreAPI.
//!
//! Streamed chunks are passed on as they are. A Prometheus (or another server) that only answers with
//! samples has them encoded into chunks here.

use prost::Message;
use proto::prometheus::read_request::ResponseType;
use proto::prometheus::{
    self as wire, ChunkedReadResponse, ChunkedSeries, Query, ReadRequest, ReadResponse, TimeSeries,
};
use proto::thanos::{AggrChunk, Chunk, Label, LabelMatcher, Series};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tsdb::chunk::XorAppender;

use super::frames::Frames;
use super::limits::Allowance;
use super::prometheus::{Prometheus, PrometheusError};

const PATH: &str = "/api/v1/read";
/// The most samples in a chunk that is made here, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;
/// The most bytes an answer of samples may have, packed or not, where no limit is set.
const SAMPLED_LIMIT: usize = 1 << 30;

type Result<T> = std::result::Result<T, PrometheusError>;

/// All series that match, in the order of the answer, within `limits`. `change` puts the labels in their
/// final form, and says whether the series is wanted.
pub(crate) async fn read(
    prometheus: &Prometheus,
    range: (i64, i64),
    matchers: Vec<LabelMatcher>,
    limits: &Allowance,
    change: impl FnMut(&mut Vec<Label>) -> bool,
) -> Result<Vec<Series>> {
    let request = prometheus
        .post(PATH)
        .header(CONTENT_ENCODING, "snappy")
        .header(CONTENT_TYPE, "application/x-stream-protobuf")
        .header("x-prometheus-remote-read-version", "0.1.0")
        .body(pack(range, matchers)?);
    let response = prometheus.send(request, PATH).await?;
    let url = prometheus.url(PATH);
    let mut taken = Taken {
        series: Vec::new(),
        limits,
        change,
    };
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    match kind.unwrap_or_default() {
        kind if kind.starts_with("application/x-streamed-protobuf") => {
            streamed(response, url, &mut taken).await?;
        }
        kind if kind.starts_with("application/x-protobuf") => {
            sampled(response, url, &mut taken).await?;
        }
        kind => {
            let reason = format!("unknown content type {kind:?}");
            return Err(PrometheusError::Answer { url, reason });
        }
    }
    Ok(taken.series)
}

fn pack((start, end): (i64, i64), matchers: Vec<LabelMatcher>) -> Result<Vec<u8>> {
    // The two protocols number the kinds of matchers alike.
    let matcher = |m: LabelMatcher| wire::LabelMatcher {
        r#type: m.r#type,
        name: m.name,
        value: m.value,
    };
    let query = Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: matchers.into_iter().map(matcher).collect(),
        hints: None,
    };
    let request = ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![
            ResponseType::StreamedXorChunks.into(),
            ResponseType::Samples.into(),
        ],
    };
    snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .map_err(|error| {
            PrometheusError::Limit(format!("matchers are too large for a request: {error}"))
        })
}

async fn streamed<C>(mut response: Response, url: String, taken: &mut Taken<'_, C>) -> Result<()>
where
    C: FnMut(&mut Vec<Label>) -> bool,
{
    let mut frames = Frames::default();
    let broken = |source| PrometheusError::Frame {
        url: url.clone(),
        source,
    };
    while let Some(bytes) = part(&mut response, &url).await? {
        frames.extend(&bytes);
        while let Some(message) = frames.next().map_err(broken)? {
            let message =
                ChunkedReadResponse::decode(message).map_err(|error| PrometheusError::Answer {
                    url: url.clone(),
                    reason: error.to_string(),
                })?;
            for series in message.chunked_series {
                taken.add(from_chunked(series, &url)?)?;
            }
        }
    }
    frames.end().map_err(broken)
}

async fn part(response: &mut Response, url: &str) -> Result<Option<bytes::Bytes>> {
    response
        .chunk()
        .await
        .map_err(|source| PrometheusError::Request {
            url: url.to_owned(),
            source: source.without_url(),
        })
}

async fn sampled<C>(mut response: Response, url: String, taken: &mut Taken<'_, C>) -> Result<()>
where
    C: FnMut(&mut Vec<Label>) -> bool,
{
    let limit = match taken.limits.most_bytes {
        0 => SAMPLED_LIMIT,
        limit => limit,
    };
    let too_large = || {
        PrometheusError::Limit(format!(
            "answer of {url} exceeds the limit of {limit} bytes"
        ))
    };
    let bad = |reason: String| PrometheusError::Answer {
        url: url.clone(),
        reason,
    };
    let mut body = Vec::new();
    while let Some(bytes) = part(&mut response, &url).await? {
        if body.len() + bytes.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&bytes);
    }
    if snap::raw::decompress_len(&body).map_err(|error| bad(error.to_string()))? > limit {
        return Err(too_large());
    }
    let body = snap::raw::Decoder::new()
        .decompress_vec(&body)
        .map_err(|error| bad(error.to_string()))?;
    let answer = ReadResponse::decode(body.as_slice()).map_err(|error| bad(error.to_string()))?;
    for series in answer
        .results
        .into_iter()
        .flat_map(|result| result.timeseries)
    {
        if !series.histograms.is_empty() {
            return Err(bad("native histograms as samples are not supported".into()));
        }
        taken.add(from_samples(series))?;
    }
    Ok(())
}

fn labels(labels: Vec<wire::Label>) -> Vec<Label> {
    labels
        .into_iter()
        .map(|label| Label {
            name: label.name,
            value: label.value,
        })
        .collect()
}

fn from_chunked(series: ChunkedSeries, url: &str) -> Result<Series> {
    let chunk = |chunk: wire::Chunk| {
        // Prometheus numbers encodings from 1, the StoreAPI from 0.
        if !(1..=3).contains(&chunk.r#type) {
            let reason = format!("chunk encoding {} is unknown", chunk.r#type);
            return Err(PrometheusError::Answer {
                url: url.to_owned(),
                reason,
            });
        }
        let raw = Chunk {
            r#type: chunk.r#type - 1,
            data: chunk.data,
            hash: 0,
        };
        Ok(aggr_chunk(chunk.min_time_ms, chunk.max_time_ms, raw))
    };
    let chunks = series
        .chunks
        .into_iter()
        .map(chunk)
        .collect::<Result<_>>()?;
    Ok(Series {
        labels: labels(series.labels),
        chunks,
    })
}

fn from_samples(series: TimeSeries) -> Series {
    let chunk = |samples: &[wire::Sample]| {
        let mut appender = XorAppender::new();
        for sample in samples {
            appender.push(sample.timestamp, sample.value);
        }
        let raw = Chunk {
            r#type: 0,
            data: appender.finish().into(),
            hash: 0,
        };
        let time = |sample: Option<&wire::Sample>| sample.map_or(0, |sample| sample.timestamp);
        aggr_chunk(time(samples.first()), time(samples.last()), raw)
    };
    let chunks = series.samples.chunks(CHUNK_SAMPLES).map(chunk).collect();
    Series {
        labels: labels(series.labels),
        chunks,
    }
}

fn aggr_chunk(min_time: i64, max_time: i64, raw: Chunk) -> AggrChunk {
    AggrChunk {
        min_time,
        max_time,
        raw: Some(raw),
        ..AggrChunk::default()
    }
}

/// Series taken so far, held to the limits.
struct Taken<'l, C> {
    series: Vec<Series>,
    limits: &'l Allowance,
    change: C,
}

impl<C: FnMut(&mut Vec<Label>) -> bool> Taken<'_, C> {
    fn add(&mut self, mut series: Series) -> Result<()> {
        if !(self.change)(&mut series.labels) {
            return Ok(());
        }
        self.limits.content(&series)?;
        // A large series goes on in the next frame.
        match self.series.last_mut() {
            Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
            _ => {
                self.limits.series(1)?;
                self.series.push(series);
            }
        }
        Ok(())
    }
}

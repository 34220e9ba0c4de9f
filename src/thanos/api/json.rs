//! The JSON of an answer, written piece by piece: a large matrix becomes 64 KiB pieces while the client reads
//! them, not one tree of values.
//!
//! The format is Prometheus's query API as Thanos's querier speaks it: `data` has `analysis` always, and
//! sample values are printed without exponents (Go's format `f`).

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use model::{FloatHistogram, Labels, Symbols, Timestamp};
use promql::{Answer, AnswerValue, RangeSeries};
use serde::Serialize;

/// A piece is handed on once it is this large.
const PIECE: usize = 64 << 10;
/// Points written at a time.
const POINTS: usize = 1024;

/// A `success` with this data.
pub(super) fn success(data: &impl Serialize, warnings: Vec<String>) -> Response {
    let mut text = br#"{"status":"success","data":"#.to_vec();
    push_json(&mut text, data);
    push_warnings(&mut text, &warnings);
    text.extend_from_slice(b"}\n");
    respond(Body::from(text), !warnings.is_empty())
}

/// A `success` with an array of label sets.
pub(super) fn label_sets(
    sets: Vec<Labels>,
    symbols: Arc<Symbols>,
    warnings: Vec<String>,
) -> Response {
    let has_warnings = !warnings.is_empty();
    respond(body(set_pieces(sets, symbols, warnings)), has_warnings)
}

fn set_pieces(
    sets: Vec<Labels>,
    symbols: Arc<Symbols>,
    warnings: Vec<String>,
) -> impl Iterator<Item = Bytes> {
    let mut sets = sets.into_iter().enumerate();
    let mut head = Some(br#"{"status":"success","data":["#);
    let mut over = false;
    std::iter::from_fn(move || {
        let mut out = Vec::new();
        out.extend(head.take().into_iter().flatten());
        while out.len() < PIECE && !over {
            if let Some((at, labels)) = sets.next() {
                push_comma(&mut out, at);
                push_labels(&mut out, &labels, &symbols);
            } else {
                out.push(b']');
                push_warnings(&mut out, &warnings);
                out.extend_from_slice(b"}\n");
                over = true;
            }
        }
        (!out.is_empty()).then(|| out.into())
    })
}

/// What fits into one piece is sent with its length.
fn body(mut pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else {
        return Body::from(first);
    };
    let all = [first, second].into_iter().chain(pieces);
    Body::from_stream(futures::stream::iter(
        all.map(Ok::<_, std::convert::Infallible>),
    ))
}

/// A `success` with the answer to a query. Notes on the query stand among the warnings, but only what a store
/// could not give forbids to cache the answer.
pub(super) fn answer(
    answer: Answer,
    stats: Option<Stats>,
    analysis: Option<&impl Serialize>,
) -> Response {
    let has_warnings = !answer.warnings.is_empty();
    let mut pieces = Pieces::new(answer, stats);
    if let Some(analysis) = analysis.and_then(|it| serde_json::to_string(it).ok()) {
        pieces.analysis = analysis;
    }
    respond(body(pieces), has_warnings)
}

/// The field `stats`, with the names of Prometheus. Times are in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub(super) queue_time: f64,
    pub(super) eval_time: f64,
    pub(super) total_samples: u64,
    pub(super) peak_samples: u64,
}

impl Stats {
    fn push(self, out: &mut Vec<u8>) {
        let Self {
            queue_time,
            eval_time,
            total_samples,
            peak_samples,
        } = self;
        let total = queue_time + eval_time;
        let _ = write!(
            out,
            r#"{{"timings":{{"evalTotalTime":{eval_time},"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":{eval_time},"execQueueTime":{queue_time},"execTotalTime":{total}}},"samples":{{"totalQueryableSamples":{total_samples},"peakSamples":{peak_samples}}}}}"#
        );
    }
}

/// The body of the answer to a query, piece by piece.
pub fn answer_json(answer: Answer) -> impl Iterator<Item = Bytes> {
    Pieces::new(answer, None)
}

fn respond(body: Body, no_store: bool) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if no_store {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// An answer on its way out.
struct Pieces {
    symbols: Arc<Symbols>,
    rest: Rest,
    stats: Option<Stats>,
    /// A JSON object.
    analysis: String,
    warnings: Vec<String>,
}

/// What is not written yet.
enum Rest {
    All(AnswerValue),
    Series {
        next: std::vec::IntoIter<RangeSeries>,
        open: Option<OpenSeries>,
        first: bool,
    },
    Nothing,
}

/// A series of which not all points are written.
struct OpenSeries {
    series: RangeSeries,
    floats: usize,
    histograms: usize,
}

impl From<RangeSeries> for OpenSeries {
    fn from(series: RangeSeries) -> Self {
        Self {
            series,
            floats: 0,
            histograms: 0,
        }
    }
}

impl OpenSeries {
    /// Writes some more points; `false` if there are none left. A kind of which there is none is not named.
    fn push_points(&mut self, out: &mut Vec<u8>) -> bool {
        let RangeSeries {
            points, histograms, ..
        } = &self.series;
        if self.floats < points.len() {
            push_some(
                out,
                br#","values":["#,
                points,
                &mut self.floats,
                |out, (t, v)| {
                    push_point(out, *t, *v);
                },
            );
            return true;
        }
        if self.histograms < histograms.len() {
            let done = &mut self.histograms;
            push_some(
                out,
                br#","histograms":["#,
                histograms,
                done,
                |out, (t, h)| {
                    push_histogram_point(out, *t, h);
                },
            );
            return true;
        }
        false
    }
}

/// Writes items from `done` on, at most about a piece of them, in an array that `head` opens.
fn push_some<T>(
    out: &mut Vec<u8>,
    head: &[u8],
    items: &[T],
    done: &mut usize,
    push: impl Fn(&mut Vec<u8>, &T),
) {
    if *done == 0 {
        out.extend_from_slice(head);
    }
    for item in items.iter().skip(*done).take(POINTS) {
        push_comma(out, *done);
        push(out, item);
        *done += 1;
        if out.len() >= PIECE {
            break;
        }
    }
    if *done == items.len() {
        out.push(b']');
    }
}

impl Pieces {
    fn new(answer: Answer, stats: Option<Stats>) -> Self {
        let Answer {
            symbols,
            value,
            mut warnings,
            infos,
            ..
        } = answer;
        warnings.extend(infos);
        Self {
            symbols,
            rest: Rest::All(value),
            stats,
            analysis: "{}".to_owned(),
            warnings,
        }
    }

    fn push_head(&mut self, out: &mut Vec<u8>, value: AnswerValue) {
        let kind = type_name(&value);
        let _ = write!(
            out,
            r#"{{"status":"success","data":{{"resultType":"{kind}","result":"#
        );
        match value {
            AnswerValue::Scalar(t, v) => push_point(out, t, v),
            AnswerValue::String(t, text) => {
                out.push(b'[');
                push_time(out, t);
                out.push(b',');
                push_json(out, &text);
                out.push(b']');
            }
            AnswerValue::Vector(samples) => {
                out.push(b'[');
                for (at, sample) in samples.iter().enumerate() {
                    push_comma(out, at);
                    out.extend_from_slice(br#"{"metric":"#);
                    push_labels(out, &sample.labels, &self.symbols);
                    match &sample.histogram {
                        None => {
                            out.extend_from_slice(br#","value":"#);
                            push_point(out, sample.t, sample.v);
                        }
                        Some(histogram) => {
                            out.extend_from_slice(br#","histogram":"#);
                            push_histogram_point(out, sample.t, histogram);
                        }
                    }
                    out.push(b'}');
                }
            }
            AnswerValue::Matrix(series) => {
                out.push(b'[');
                self.rest = Rest::Series {
                    next: series.into_iter(),
                    open: None,
                    first: true,
                };
                return;
            }
        }
        let is_array = kind == "vector";
        self.push_tail(out, is_array);
    }

    /// One step of a matrix: the head of a series, or some of its points.
    fn push_series(&mut self, out: &mut Vec<u8>) {
        let Rest::Series { next, open, first } = &mut self.rest else {
            return;
        };
        let Some(series) = open else {
            match next.next() {
                Some(series) => {
                    push_comma(out, usize::from(!std::mem::take(first)));
                    out.extend_from_slice(br#"{"metric":"#);
                    push_labels(out, &series.labels, &self.symbols);
                    *open = Some(OpenSeries::from(series));
                }
                None => self.push_tail(out, true),
            }
            return;
        };
        if !series.push_points(out) {
            out.push(b'}');
            *open = None;
        }
    }

    fn push_tail(&mut self, out: &mut Vec<u8>, is_array: bool) {
        if is_array {
            out.push(b']');
        }
        if let Some(stats) = self.stats {
            out.extend_from_slice(br#","stats":"#);
            stats.push(out);
        }
        out.extend_from_slice(br#","analysis":"#);
        out.extend_from_slice(self.analysis.as_bytes());
        out.push(b'}');
        push_warnings(out, &self.warnings);
        out.extend_from_slice(b"}\n");
        self.rest = Rest::Nothing;
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while out.len() < PIECE {
            match std::mem::replace(&mut self.rest, Rest::Nothing) {
                Rest::All(value) => self.push_head(&mut out, value),
                Rest::Nothing => break,
                series @ Rest::Series { .. } => {
                    self.rest = series;
                    self.push_series(&mut out);
                }
            }
        }
        (!out.is_empty()).then(|| out.into())
    }
}

fn type_name(value: &AnswerValue) -> &'static str {
    match value {
        AnswerValue::Scalar(..) => "scalar",
        AnswerValue::String(..) => "string",
        AnswerValue::Vector(_) => "vector",
        AnswerValue::Matrix(_) => "matrix",
    }
}

fn push_comma(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

fn push_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Strings, maps of strings and numbers into memory: nothing can fail.
    let _ = serde_json::to_writer(out, value);
}

/// Most texts need no escapes, and are copied.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    // Without a way out, which compilers need to look at many bytes at a time.
    if text
        .as_bytes()
        .iter()
        .fold(false, |any, byte| any | is_special(byte))
    {
        return push_json(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn push_warnings(out: &mut Vec<u8>, warnings: &[String]) {
    if !warnings.is_empty() {
        out.extend_from_slice(br#","warnings":"#);
        push_json(out, warnings);
    }
}

fn push_labels(out: &mut Vec<u8>, labels: &Labels, symbols: &Symbols) {
    out.push(b'{');
    for (at, (name, value)) in labels.iter(symbols).enumerate() {
        push_comma(out, at);
        push_text(out, name);
        out.push(b':');
        push_text(out, value);
    }
    out.push(b'}');
}

fn push_point(out: &mut Vec<u8>, t: Timestamp, v: f64) {
    out.push(b'[');
    push_time(out, t);
    out.extend_from_slice(b",\"");
    push_value(out, v);
    out.extend_from_slice(b"\"]");
}

fn push_histogram_point(out: &mut Vec<u8>, t: Timestamp, h: &FloatHistogram) {
    out.push(b'[');
    push_time(out, t);
    out.push(b',');
    push_histogram(out, h);
    out.push(b']');
}

/// Count, sum and the populated buckets. A bucket begins with a number that says which of its bounds are inside of it:
/// the upper one (0), the lower one (1), none (2) or both (3).
fn push_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.extend_from_slice(br#"{"count":""#);
    push_value(out, h.count);
    out.extend_from_slice(br#"","sum":""#);
    push_value(out, h.sum);
    out.push(b'"');
    let populated = h.all().filter(|bucket| bucket.count != 0.0);
    let mut buckets = 0;
    for bucket in populated {
        if buckets == 0 {
            out.extend_from_slice(br#","buckets":["#);
        }
        push_comma(out, buckets);
        buckets += 1;
        let inside = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        };
        out.extend_from_slice(&[b'[', inside]);
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.extend_from_slice(b",\"");
            push_value(out, v);
            out.push(b'"');
        }
        out.push(b']');
    }
    if buckets > 0 {
        out.push(b']');
    }
    out.push(b'}');
}

/// Seconds, with as many digits as the milliseconds need.
fn push_time(out: &mut Vec<u8>, t: Timestamp) {
    let (seconds, ms) = (t.unsigned_abs() / 1000, t.unsigned_abs() % 1000);
    let sign = if t < 0 { "-" } else { "" };
    let _ = match ms {
        0 => write!(out, "{sign}{seconds}"),
        ms if ms % 100 == 0 => write!(out, "{sign}{seconds}.{}", ms / 100),
        ms if ms % 10 == 0 => write!(out, "{sign}{seconds}.{:02}", ms / 10),
        ms => write!(out, "{sign}{seconds}.{ms:03}"),
    };
}

/// The shortest digits that read back the same, never an exponent.
fn push_value(out: &mut Vec<u8>, v: f64) {
    let _ = match v {
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        v if v.is_nan() => write!(out, "NaN"),
        v => write!(out, "{v}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_of(value: AnswerValue, symbols: Symbols, warnings: Vec<String>) -> Answer {
        let (symbols, stats) = (symbols.into(), promql::Stats::default());
        Answer {
            symbols,
            value,
            warnings,
            infos: Vec::new(),
            stats,
        }
    }

    fn text_of(value: AnswerValue, warnings: Vec<String>) -> String {
        let answer = answer_of(value, Symbols::new(), warnings);
        let bytes: Vec<u8> = Pieces::new(answer, None).flatten().collect();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn times_have_no_trailing_zeros() {
        for (t, text) in [
            (1_700_000_000_123, "1700000000.123"),
            (1_700_000_000_100, "1700000000.1"),
            (1_700_000_000_020, "1700000000.02"),
            (1_700_000_000_000, "1700000000"),
            (5, "0.005"),
            (-500, "-0.5"),
            (0, "0"),
        ] {
            let mut out = Vec::new();
            push_time(&mut out, t);
            assert_eq!(out, text.as_bytes(), "{t}");
        }
    }

    #[test]
    fn values_are_printed_as_the_querier_prints_them() {
        for (v, text) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut out = Vec::new();
            push_value(&mut out, v);
            assert_eq!(out, text.as_bytes(), "{v}");
        }
    }

    #[test]
    fn notes_on_the_query_do_not_forbid_caching() {
        let mut noted = answer_of(AnswerValue::Scalar(0, 1.0), Symbols::new(), Vec::new());
        noted.infos.push("PromQL info: x".to_owned());
        assert!(
            !answer(noted, None, None::<&()>)
                .headers()
                .contains_key(header::CACHE_CONTROL)
        );
    }

    #[test]
    fn scalars_and_strings_are_pairs() {
        assert_eq!(
            text_of(AnswerValue::Scalar(1_500, 2.5), Vec::new()),
            "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.5,\"2.5\"],\"analysis\":{}}}\n"
        );
        assert_eq!(
            text_of(AnswerValue::String(0, "a\"b".into()), vec!["w".into()]),
            "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[0,\"a\\\"b\"],\"analysis\":{}},\"warnings\":[\"w\"]}\n"
        );
    }

    #[test]
    fn an_empty_matrix_is_an_empty_array() {
        assert_eq!(
            text_of(AnswerValue::Matrix(Vec::new()), Vec::new()),
            "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[],\"analysis\":{}}}\n"
        );
    }

    #[test]
    fn a_large_matrix_comes_in_pieces_that_join_to_valid_json() {
        let symbols = Symbols::new();
        let series = |name: &str, len: i64| RangeSeries {
            labels: Labels::from_pairs([("__name__", name)], &symbols),
            points: (0..len).map(|t| (t * 1000, t as f64)).collect(),
            ..RangeSeries::default()
        };
        let value = AnswerValue::Matrix(vec![series("a", 11_000), series("b", 0), series("c", 1)]);
        let answer = answer_of(value, symbols, Vec::new());
        let pieces: Vec<Bytes> = Pieces::new(answer, None).collect();
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|piece| piece.len() < PIECE + POINTS * 40));
        let json: serde_json::Value = serde_json::from_slice(&pieces.concat()).expect("JSON");
        let result = &json["data"]["result"];
        assert_eq!(result[0]["values"].as_array().map(Vec::len), Some(11_000));
        assert_eq!(
            result[0]["values"][10_999],
            serde_json::json!([10_999, "10999"])
        );
        assert_eq!(result[1], serde_json::json!({"metric": {"__name__": "b"}}));
        assert_eq!(
            result[2],
            serde_json::json!({"metric": {"__name__": "c"}, "values": [[0, "0"]]})
        );
    }

    fn histogram() -> Arc<FloatHistogram> {
        let span = |offset, length| vec![model::Span { offset, length }].into();
        Arc::new(FloatHistogram {
            zero_threshold: 0.25,
            zero_count: 3.0,
            count: 42.0,
            sum: 34593.34,
            positive_spans: span(0, 3),
            positive_buckets: vec![12.0, 0.0, 21.0],
            negative_spans: span(0, 1),
            negative_buckets: vec![6.0],
            ..FloatHistogram::default()
        })
    }

    const HISTOGRAM: &str = r#"{"count":"42","sum":"34593.34","buckets":[[1,"-1","-0.5","6"],[3,"-0.25","0.25","3"],[0,"0.5","1","12"],[0,"2","4","21"]]}"#;

    #[test]
    fn histograms_come_with_their_populated_buckets() {
        let sample = promql::InstantSample {
            t: 1_500,
            histogram: Some(histogram()),
            ..promql::InstantSample::default()
        };
        let text = text_of(AnswerValue::Vector(vec![sample]), Vec::new());
        let expected = format!(r#""result":[{{"metric":{{}},"histogram":[1.5,{HISTOGRAM}]}}]"#);
        assert!(text.contains(&expected), "{text}");
    }

    #[test]
    fn an_empty_histogram_has_no_buckets() {
        let mut out = Vec::new();
        push_histogram(&mut out, &FloatHistogram::default());
        assert_eq!(out, br#"{"count":"0","sum":"0"}"#);
    }

    #[test]
    fn a_series_of_both_kinds_has_both_arrays() {
        let series = RangeSeries {
            points: vec![(0, 1.0)],
            histograms: vec![(1_000, histogram()), (2_000, histogram())],
            ..RangeSeries::default()
        };
        let text = text_of(AnswerValue::Matrix(vec![series]), Vec::new());
        let expected = format!(
            r#"{{"metric":{{}},"values":[[0,"1"]],"histograms":[[1,{HISTOGRAM}],[2,{HISTOGRAM}]]}}"#
        );
        assert!(text.contains(&expected), "{text}");
    }

    #[test]
    fn many_histograms_come_in_pieces() {
        let series = RangeSeries {
            histograms: (0..5_000).map(|t| (t, histogram())).collect(),
            ..RangeSeries::default()
        };
        let answer = answer_of(
            AnswerValue::Matrix(vec![series]),
            Symbols::new(),
            Vec::new(),
        );
        let pieces: Vec<Bytes> = Pieces::new(answer, None).collect();
        assert!(pieces.iter().all(|piece| piece.len() < PIECE + 1000));
        let json: serde_json::Value = serde_json::from_slice(&pieces.concat()).expect("JSON");
        let histograms = json["data"]["result"][0]["histograms"].as_array();
        assert_eq!(histograms.map(Vec::len), Some(5_000));
    }
}

//! Two replicas of 48 hours as one: what a querier takes beside the real one, and what deduplication takes beside the bare
//! decoding of both replicas.

use std::sync::Arc;
use std::time::Duration;

use model::{Cancel, Columns, MatchKind, Matcher, Queryable as _, Select, Symbols};
use proto::thanos::series_response::Result as Frame;
use proto::thanos::store_client::StoreClient;
use proto::thanos::{AggrChunk, SeriesRequest};
use store::{
    CallOptions, EndpointSpec, FanOut, FanOutOptions, Proxy, ProxyConfig, StoreSet, StoreSetConfig,
};
use tsdb::chunk::{Encoding, decode};

use crate::ask::Ask;
use crate::data::{METRIC, REPLICA, START, Scrapes};
use crate::fake::Stores;
use crate::fanout::{self, GOAL};
use crate::loopback::spent;
use crate::querier::Programs;
use crate::support::Size;

/// Deduplication may take so much of the bare decoding.
const DECODING_GOAL: f64 = 2.0;
/// The best of so many rounds counts.
const ROUNDS: usize = 5;

/// 48 hours.
const REGULAR: Scrapes = Scrapes {
    step: 30_000,
    count: 5760,
    jitter: 0,
    gaps: 0,
};
/// As scrapes really are.
const JITTER: Scrapes = Scrapes {
    jitter: 10,
    gaps: 500,
    ..REGULAR
};

const ASKS: [Ask; 3] = [
    Ask::Instant("sum(sum_over_time(http_requests_total[2d]))"),
    Ask::Range("sum(http_requests_total)"),
    Ask::Range("sum(rate(http_requests_total[10m]))"),
];

/// Returns what missed its goal.
pub(crate) fn measure(programs: &Programs, size: Size) -> Vec<String> {
    let series = if size == Size::Full { 2000 } else { 200 };
    let mut missed = Vec::new();
    for (kind, scrapes) in [("regular", REGULAR), ("jitter and gaps", JITTER)] {
        let stores = Stores::start(2, series, scrapes, Duration::ZERO);
        println!(
            "\n== Two replicas of 48 h, {} series of each, {kind}",
            series / 2
        );
        missed.extend(beside_decoding(&stores));
        println!(
            "{:<34} | {:>9} {:>9} {:>6} | {:>8} {:>8} {:>6} | {:>9}",
            "", "CPU ms", "Thanos", "ratio", "MiB", "Thanos", "ratio", "ns/sample"
        );
        for ask in ASKS {
            missed.extend(beside_thanos(programs, &stores, ask));
        }
    }
    missed
}

fn beside_thanos(programs: &Programs, stores: &Stores, ask: Ask) -> Vec<String> {
    let [ours, theirs] = fanout::compare(programs, stores, ask, &[]);
    let (cpu, memory) = (ours.cpu / theirs.cpu, ours.peak / theirs.peak);
    let samples = (stores.series * stores.scrapes.count) as f64;
    let name = ask.name();
    println!(
        "{name:<34} | {:>9.2} {:>9.2} {cpu:>6.3} | {:>8.1} {:>8.1} {memory:>6.3} | {:>9.2}",
        ours.cpu * 1e3,
        theirs.cpu * 1e3,
        ours.peak,
        theirs.peak,
        ours.cpu * 1e9 / samples,
    );
    let ratios = [("CPU", cpu), ("memory", memory)];
    let over = ratios.iter().filter(|(_, found)| *found > GOAL);
    over.map(|(kind, found)| format!("replicas, {name}: {kind} {found:.3}, not {GOAL}"))
        .collect()
}

/// In this process: each series read through the store room, and the same chunks decoded alone.
fn beside_decoding(stores: &Stores) -> Vec<String> {
    let chunks = stores.runtime().block_on(fetch(stores));
    let samples = (stores.series * stores.scrapes.count) as f64;
    let decoding = best(|| decoded(&chunks)) * 1e9 / samples;
    let mut missed = Vec::new();
    println!("decoding of both: {decoding:.2} ns a sample");
    for function in ["", "rate"] {
        let fan_out = fan_out(stores);
        let merged = best(|| deduplicated(&fan_out, stores, function)) * 1e9 / samples;
        let ratio = merged / decoding;
        let what = if function.is_empty() {
            "gauges"
        } else {
            "counters"
        };
        println!(
            "deduplicated as {what}: {merged:.2} ns a sample of both, {ratio:.2} of the decoding"
        );
        if ratio > DECODING_GOAL {
            missed.push(format!("replicas as {what}: {ratio:.2} of the decoding"));
        }
    }
    missed
}

/// CPU seconds of the best round.
fn best(work: impl Fn() -> f64) -> f64 {
    (0..ROUNDS).map(|_| work()).fold(f64::INFINITY, f64::min)
}

/// All chunks of both stores.
async fn fetch(stores: &Stores) -> Vec<Vec<AggrChunk>> {
    let mut all = Vec::new();
    for address in &stores.addresses {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let client = StoreClient::new(endpoint.expect("an address").connect_lazy());
        let mut client = client.max_decoding_message_size(1 << 30);
        let answer = client.series(SeriesRequest::default()).await;
        let mut frames = answer.expect("an answer").into_inner();
        while let Some(frame) = frames.message().await.expect("a whole answer") {
            match frame.result {
                Some(Frame::Series(series)) => all.push(series.chunks),
                other => panic!("not a series: {other:?}"),
            }
        }
    }
    all
}

/// CPU seconds.
fn decoded(series: &[Vec<AggrChunk>]) -> f64 {
    let (begun, mut out) = (spent(), Columns::default());
    for chunks in series {
        out.clear();
        for raw in chunks.iter().filter_map(|chunk| chunk.raw.as_ref()) {
            decode(Encoding::Xor, &raw.data, &mut out).expect("samples");
        }
        std::hint::black_box(&out);
    }
    spent() - begun
}

fn fan_out(stores: &Stores) -> FanOut {
    let set = StoreSet::new(StoreSetConfig::default(), None);
    let spec = |address: &String| EndpointSpec {
        address: address.clone(),
        ..EndpointSpec::default()
    };
    let handle = stores.runtime().handle().clone();
    let _inside = handle.enter();
    set.set_endpoints(stores.addresses.iter().map(spec).collect());
    handle.block_on(set.update());
    let options = FanOutOptions {
        replica_labels: vec![REPLICA.to_owned()],
        call: CallOptions::default(),
        ..FanOutOptions::default()
    };
    let proxy = Proxy::new(set, ProxyConfig::default());
    FanOut::new(proxy, handle.clone(), options)
}

/// CPU seconds that reading takes; waiting for series is not counted.
fn deduplicated(fan_out: &FanOut, stores: &Stores, function: &str) -> f64 {
    let name = Matcher::new(MatchKind::Equal, "__name__", METRIC).expect("a matcher");
    let symbols = Arc::new(Symbols::new());
    let mut select = Select::new(symbols, vec![name], START, stores.scrapes.end());
    select.hints.function = function.to_owned();
    let mut stream = fan_out
        .select(&select, &Cancel::default())
        .expect("a stream");
    let (mut total, mut out, mut series) = (0.0, Columns::default(), 0);
    while let Some(batch) = stream.next().expect("a batch") {
        let begun = spent();
        for one in &batch {
            out.clear();
            one.samples.read(&mut out).expect("samples");
            series += 1;
            std::hint::black_box(&out);
        }
        total += spent() - begun;
    }
    assert_eq!(series * 2, stores.series, "every series has two replicas");
    total
}

//! The querier's HTTP API beside a real `thanos query`, over the same stores: hundreds of requests, right and wrong, get the same
//! status, headers, types and values; and what Grafana's Prometheus data source sends is answered in the shape that it expects.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

#[path = "api/ask.rs"]
mod ask;
#[path = "api/data.rs"]
mod data;
mod fleet;
#[path = "api/requests.rs"]
mod requests;

use std::path::{Path, PathBuf};

use ask::{Answer, Request, ask, difference};
use fleet::{Running, eventually, free_address, peer, tks};

/// A store over the data of [`data`], and whatever queriers are started over it.
struct Lab {
    thanos: PathBuf,
    dir: tempfile::TempDir,
    store: String,
    _store: Running,
}

/// A program, and the words that make a querier of it.
type Program<'p> = (&'p Path, &'p [&'p str]);

impl Lab {
    fn start() -> Option<Self> {
        let (thanos, promtool) = (peer("thanos", "api")?, peer("promtool", "api")?);
        let dir = tempfile::tempdir().expect("a folder");
        let bucket = data::bucket(dir.path(), &promtool);
        let (store, http) = (free_address(), free_address());
        let args = [
            "thanos".to_owned(),
            "store".to_owned(),
            format!("--objstore.config-file={}", bucket.display()),
            format!("--data-dir={}", dir.path().join("store").display()),
            format!("--grpc-address={store}"),
            format!("--http-address={http}"),
        ];
        let running = Running::start(&tks(), &args, dir.path().join("store.log"));
        Some(Self {
            thanos,
            dir,
            store,
            _store: running,
        })
    }

    /// A querier over `endpoints`: its URL.
    fn querier(
        &self,
        (program, first): Program<'_>,
        endpoints: &[&str],
        flags: &[&str],
    ) -> (Running, String) {
        let (running, http, _) = self.start_querier((program, first), endpoints, flags);
        (running, format!("http://{http}"))
    }

    /// A querier over the store, with its gRPC address.
    fn leaf(&self, program: Program<'_>, flag: &str) -> (Running, String) {
        let (running, _, grpc) = self.start_querier(program, &[&self.store], &[flag]);
        (running, grpc)
    }

    fn start_querier(
        &self,
        (program, first): Program<'_>,
        endpoints: &[&str],
        flags: &[&str],
    ) -> (Running, String, String) {
        let (http, grpc) = (free_address(), free_address());
        let mut args: Vec<String> = first.iter().map(ToString::to_string).collect();
        args.extend(
            endpoints
                .iter()
                .map(|endpoint| format!("--endpoint={endpoint}")),
        );
        args.extend([
            format!("--http-address={http}"),
            format!("--grpc-address={grpc}"),
            "--query.replica-label=replica".to_owned(),
        ]);
        args.extend(flags.iter().map(ToString::to_string));
        let log = self
            .dir
            .path()
            .join(format!("{}.log", http.replace(':', "-")));
        let running = Running::start(program, &args, log);
        eventually("the endpoints among the querier's", || {
            let stores = fleet::get(&format!("http://{http}/api/v1/stores"), &[])?;
            let kinds = stores["data"].as_object()?.values();
            let known = kinds.filter_map(|kind| kind.as_array()).flatten().count();
            (known == endpoints.len()).then_some(())
        });
        (running, http, grpc)
    }

    /// Both queriers with the same flags over the store: ours and the real one, with their URLs.
    fn queriers(&self, flags: &[&str]) -> [(Running, String); 2] {
        let ours: Program<'_> = (&tks(), &["thanos", "query"]);
        [ours, (&self.thanos, &["query"])]
            .map(|program| self.querier(program, &[&self.store], flags))
    }

    /// Sends each request to both queriers. What differs is printed; all of it has to be explained.
    fn compare(&self, what: &str, flags: &[&str], requests: &[Request]) -> Vec<String> {
        let [(_ours, ours), (_theirs, theirs)] = self.queriers(flags);
        let (mut wrong, mut explained) = (Vec::new(), 0);
        for request in requests {
            let pair: [Answer; 2] = [ask(&ours, request), ask(&theirs, request)];
            match difference(&pair[0], &pair[1]) {
                None => {}
                Some(_) if ask::explained(request, &pair[0], &pair[1]).is_some() => explained += 1,
                Some(why) => wrong.push(format!(
                    "{request}\n  {why}\n  ours   {}\n  theirs {}",
                    pair[0], pair[1]
                )),
            }
        }
        let (all, same) = (requests.len(), requests.len() - wrong.len() - explained);
        println!(
            "{what}: {same} of {all} answers are the same, {explained} are others for a known reason"
        );
        wrong
    }
}

#[test]
fn requests_get_the_answers_of_a_real_querier() {
    let Some(lab) = Lab::start() else { return };
    let mut wrong = Vec::new();
    wrong.extend(lab.compare("parameters", &[], &requests::parameters()));
    wrong.extend(lab.compare("queries", &[], &requests::queries()));
    wrong.extend(lab.compare("random requests", &[], &requests::random(300)));
    let strict = ["--no-query.partial-response", "--query.auto-downsampling"];
    wrong.extend(lab.compare("without partial answers", &strict, &requests::random(60)));
    let chain = [
        "--deduplication.func=chain",
        "--enable-feature=promql-experimental-functions",
    ];
    wrong.extend(lab.compare(
        "chain, experimental functions",
        &chain,
        &requests::queries(),
    ));
    let tenants = [
        "--query.enforce-tenancy",
        "--query.tenant-header=X-Scope",
        "--query.default-tenant-id=b",
    ];
    wrong.extend(lab.compare("tenants", &tenants, &requests::tenants()));
    wrong.extend(lab.compare("what Grafana sends", &[], &requests::grafana()));
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A fleet of two leaves, each with one cluster, under one querier that has them evaluate what they can.
#[test]
fn queries_are_evaluated_by_the_queriers_below() {
    let Some(lab) = Lab::start() else { return };
    let thanos = lab.thanos.clone();
    let (ours, theirs): (Program<'_>, Program<'_>) =
        ((&tks(), &["thanos", "query"]), (&thanos, &["query"]));
    let (_local, local) = lab.querier(ours, &[&lab.store], &[]);
    let mut wrong = Vec::new();
    for (leaves, top, what) in [
        (ours, ours, "ours over ours"),
        (theirs, ours, "ours over theirs"),
        (ours, theirs, "theirs over ours"),
    ] {
        let leaf = |cluster: &str| {
            let rules = format!("[{{action: keep, source_labels: [cluster], regex: {cluster}}}]");
            lab.leaf(leaves, &format!("--selector.relabel-config={rules}"))
        };
        let (one, two) = (leaf("one"), leaf("two"));
        let mode = ["--query.mode=distributed", "--query.promql-engine=thanos"];
        let (_top, url) = lab.querier(top, &[&one.1, &two.1], &mode);
        let (mut same, mut all) = (0, 0);
        for request in requests::at_whole_seconds() {
            // The real one deduplicates whatever it is told, and makes vectors of ranges.
            if top == theirs && (request.has("dedup") || request.has_query("requests_total[1m]")) {
                continue;
            }
            let (here, there) = (ask(&local, &request), ask(&url, &request));
            all += 1;
            match ask::difference_of_values(&there, &here) {
                None => same += 1,
                Some(why) => wrong.push(format!(
                    "{what}: {request}\n  {why}\n  there {there}\n  here  {here}"
                )),
            }
        }
        println!("{what}: {same} of {all} answers are those of one querier");
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

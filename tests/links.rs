//! Queriers over stores behind nginx with mutual TLS and behind bad links: the answers are those of no link at all, or a warning
//! names the store; and when the link is well again, so are the answers. Our querier and a real one, over our store and a real one.

#![allow(
    clippy::print_stdout,
    reason = "figures and steps are for whoever reads the log"
)]

#[path = "api/ask.rs"]
#[allow(dead_code, reason = "shared with the suite of the API")]
mod ask;
#[path = "api/data.rs"]
mod data;
mod fleet;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ask::{Answer, Request, ask, difference_of_values};
use fleet::{Running, eventually, free_address, peer, tks};

/// The name in nginx's certificate.
const HOST: &str = "store.tks.test";

struct Peers {
    thanos: PathBuf,
    promtool: PathBuf,
    nginx: PathBuf,
    toxiproxy: PathBuf,
}

impl Peers {
    fn find() -> Option<Self> {
        let find = |program| peer(program, "links");
        Some(Self {
            thanos: find("thanos")?,
            promtool: find("promtool")?,
            nginx: find("nginx")?,
            toxiproxy: find("toxiproxy-server")?,
        })
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// A CA, a certificate for nginx and one for queriers.
fn certificates(dir: &Path) {
    let script = format!(
        "set -e
         key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
         openssl req -x509 $key -days 1 -subj /CN=ca -keyout ca.key -out ca.crt
         for name in {HOST} querier; do
           openssl req $key -subj /CN=$name -keyout $name.key -out $name.csr
           printf 'subjectAltName=DNS:%s' $name > ext
           openssl x509 -req -days 1 -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile ext -out $name.crt
         done"
    );
    let made = Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir)
        .output();
    let made = made.expect("openssl is installed");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// nginx as people put it before a store: HTTP/2, TLS, client certificates.
fn nginx(program: &Path, dir: &Path, store: &str) -> (Running, String) {
    let listen = free_address();
    let at = dir.display();
    let text = format!(
        "worker_processes 1; daemon off; pid {at}/nginx.pid; error_log {at}/nginx-error.log;
         events {{ worker_connections 512; }}
         http {{
           access_log off;
           client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;
           uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;
           server {{
             listen {listen} ssl http2; server_name {HOST};
             ssl_certificate {at}/{HOST}.crt; ssl_certificate_key {at}/{HOST}.key;
             ssl_client_certificate {at}/ca.crt; ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3;
             location / {{ client_max_body_size 0; grpc_pass grpc://{store}; }}
           }}
         }}"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, text).expect("written");
    let args = words([
        "-c",
        &file.display().to_string(),
        "-e",
        &format!("{at}/nginx-error.log"),
    ]);
    (
        Running::start(program, &args, dir.join("nginx.log")),
        listen,
    )
}

/// A relay that makes a link bad.
struct Link {
    api: String,
    address: String,
    _relay: Running,
}

impl Link {
    fn start(program: &Path, dir: &Path, upstream: &str) -> Self {
        let (api, address) = (free_address(), free_address());
        let (host, port) = api.rsplit_once(':').expect("an address");
        let args = words(["-host", host, "-port", port]);
        let relay = Running::start(program, &args, dir.join("toxiproxy.log"));
        let link = Self {
            api,
            address,
            _relay: relay,
        };
        let body = format!(
            r#"{{"name":"link","listen":"{}","upstream":"{upstream}","enabled":true}}"#,
            link.address
        );
        eventually("the relay", || link.call("POST", "proxies", &body));
        link
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Option<()> {
        let url = format!("http://{}/{path}", self.api);
        let done = Command::new("curl")
            .args(["-sf", "-X", method, "-d", body, &url])
            .output();
        done.expect("curl runs").status.success().then_some(())
    }

    /// Makes the way back to the querier bad.
    fn worsen(&self, kind: &str, attributes: &str) {
        let body = format!(r#"{{"name":"{kind}","type":"{kind}","attributes":{{{attributes}}}}}"#);
        self.call("POST", "proxies/link/toxics", &body)
            .expect("a toxic");
    }

    fn mend(&self) {
        self.call("POST", "reset", "").expect("mended");
    }
}

fn querier(program: &Path, first: &[&str], dir: &Path, flags: &[String]) -> (Running, String) {
    let http = free_address();
    let mut args: Vec<String> = first.iter().map(ToString::to_string).collect();
    args.extend([
        format!("--http-address={http}"),
        format!("--grpc-address={}", free_address()),
        "--query.replica-label=replica".to_owned(),
    ]);
    args.extend_from_slice(flags);
    let log = dir.join(format!("{}.log", http.replace(':', "-")));
    let running = Running::start(program, &args, log);
    let url = format!("http://{http}");
    eventually("the store among the querier's", || well(&url));
    (running, url)
}

/// Whether the querier has a store without an error.
fn well(url: &str) -> Option<()> {
    let stores = fleet::get(&format!("{url}/api/v1/stores"), &[])?;
    let stores = stores["data"]["store"].as_array()?;
    (stores.len() == 1 && stores[0]["lastError"].is_null()).then_some(())
}

fn requests() -> Vec<Request> {
    let range = |query: &str| {
        let (start, end) = (data::START, data::START + data::LENGTH);
        Request::get(
            "query_range",
            &[("query", query), ("step", "30"), ("timeout", "20s")],
        )
        .with("start", &start.to_string())
        .with("end", &end.to_string())
    };
    [
        "temperature",
        "sum by (cluster) (rate(requests_total[5m]))",
        "{__name__=~\".+\"}",
    ]
    .map(range)
    .to_vec()
}

#[test]
fn answers_come_whole_or_name_the_store_whatever_the_link() {
    let Some(peers) = Peers::find() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let bucket = data::bucket(dir.path(), &peers.promtool);
    certificates(dir.path());
    for (program, first, what) in [
        (tks(), &["thanos", "store"][..], "our store"),
        (peers.thanos.clone(), &["store"][..], "a real store"),
    ] {
        let (grpc, http) = (free_address(), free_address());
        let mut args: Vec<String> = first.iter().map(ToString::to_string).collect();
        args.extend([
            format!("--objstore.config-file={}", bucket.display()),
            format!("--data-dir={}", dir.path().join(&grpc).display()),
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
        ]);
        let log = dir
            .path()
            .join(format!("store-{}.log", grpc.replace(':', "-")));
        let _store = Running::start(&program, &args, log);
        over(&peers, dir.path(), &grpc, what);
    }
}

/// Both queriers over one store.
fn over(peers: &Peers, dir: &Path, store: &str, what: &str) {
    let direct = [format!("--endpoint={store}")];
    let (_direct, direct) = querier(&tks(), &["thanos", "query"], dir, &direct);
    let expected: Vec<Answer> = requests()
        .iter()
        .map(|request| ask(&direct, request))
        .collect();
    assert!(
        expected.iter().all(|answer| answer.status == "200"),
        "{expected:?}"
    );
    let (_nginx, nginx) = nginx(&peers.nginx, dir, store);
    let link = Link::start(&peers.toxiproxy, dir, &nginx);
    let at = dir.display();
    let endpoints = format!(
        "endpoints:\n- address: {}\n  client_config:\n    server_name: {HOST}\n    tls_config: {{ ca_file: {at}/ca.crt, cert_file: {at}/querier.crt, key_file: {at}/querier.key }}\n",
        link.address
    );
    let file = dir.join("endpoints.yaml");
    fs::write(&file, endpoints).expect("written");
    let flags = [format!("--endpoint.sd-config-file={}", file.display())];
    let (_ours, ours) = querier(&tks(), &["thanos", "query"], dir, &flags);
    let (_theirs, theirs) = querier(&peers.thanos, &["query"], dir, &flags);
    for (url, whose) in [(&ours, "ours"), (&theirs, "theirs")] {
        let all = |name: &str| {
            for (request, expected) in requests().iter().zip(&expected) {
                let answer = ask(url, request);
                let difference = difference_of_values(&answer, expected);
                assert_eq!(
                    difference, None,
                    "{whose} over {what}, {name}: {request}\n{answer}"
                );
            }
        };
        all("a good link");
        for (kind, attributes) in [
            ("latency", r#""latency":150,"jitter":100"#),
            ("bandwidth", r#""rate":200"#),
            (
                "slicer",
                r#""average_size":700,"size_variation":500,"delay":100"#,
            ),
        ] {
            link.worsen(kind, attributes);
            all(kind);
            link.mend();
        }
        // Cut in the middle of an answer, again and again.
        link.worsen("limit_data", r#""bytes":6000"#);
        let (mut whole, mut named) = (0, 0);
        for (request, expected) in requests().iter().zip(&expected) {
            let answer = ask(url, request);
            let said = answer.body.to_string();
            match difference_of_values(&answer, expected) {
                None => whole += 1,
                Some(_) if said.contains(&link.address) => named += 1,
                // The endpoint was found gone before the question.
                Some(_) if well(url).is_none() => named += 1,
                Some(why) => panic!("{whose} over {what}, cut: {request}: {why}\n{answer}"),
            }
        }
        println!("{whose} over {what}, cut: {whole} whole, {named} with what went wrong");
        link.mend();
        eventually("the store is there again", || well(url));
        all("mended");
    }
}

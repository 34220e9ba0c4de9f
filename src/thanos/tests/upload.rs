//! Uploads beside a real Prometheus, compared with those of a real Thanos sidecar. What is not installed
//! is left out, and said so.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "what is left out is said")]

mod peers;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peers::{Process, free, peer};
use serde_json::Value;
use thanos::sidecar::{Config, Error, Uploads, run};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

fn output(program: &Path, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{args:?}: {text}");
    text
}

async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A Prometheus with blocks of some hours ago.
struct Scene {
    dir: tempfile::TempDir,
    promtool: PathBuf,
    prometheus: SocketAddr,
    /// When it began, so that blocks made twice have the same times.
    now: Duration,
    _process: Process,
}

impl Scene {
    async fn start(flags: &[&str]) -> Option<Self> {
        let (program, promtool) = (peer("prometheus")?, peer("promtool")?);
        let dir = tempfile::tempdir().unwrap();
        let prometheus = free();
        let config = dir.path().join("prometheus.yml");
        let labels = "global:\n  external_labels: { cluster: eu, replica: \"0\" }\n";
        fs::write(&config, labels).unwrap();
        let mut args = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={prometheus}"),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let scene = Self {
            promtool,
            prometheus,
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap(),
            _process: Process::start(&program, &args),
            dir,
        };
        eventually("Prometheus listens", || {
            std::net::TcpStream::connect(prometheus).is_ok()
        })
        .await;
        Some(scene)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Blocks with samples from so many hours ago on.
    fn make_blocks(&self, hours_ago: u64) {
        let from = self.now.as_secs() - hours_ago * 3600;
        let samples = (0..90).flat_map(|minute| {
            let at = from + minute * 60;
            (0..5).map(move |series| format!("up{{i=\"{series}\"}} {minute} {at}\n"))
        });
        let text = format!("# TYPE up gauge\n{}# EOF\n", samples.collect::<String>());
        let file = self.dir.path().join("samples.om");
        fs::write(&file, text).unwrap();
        let (file, data) = (file.display().to_string(), self.data());
        let args = ["tsdb", "create-blocks-from", "openmetrics", &file];
        output(
            &self.promtool,
            &[&args[..], &[&data.display().to_string()]].concat(),
        );
    }

    /// Says of all blocks that they were compacted, as those of a Prometheus that did so before.
    fn compacted(&self) {
        for entry in fs::read_dir(self.data()).unwrap() {
            let meta = entry.unwrap().path().join("meta.json");
            if let Ok(text) = fs::read_to_string(&meta) {
                fs::write(&meta, text.replace("\"level\": 1", "\"level\": 2")).unwrap();
            }
        }
    }

    /// Our sidecar, uploading to a bucket.
    fn sidecar(&self, bucket: &str) -> (JoinHandle<Result<(), Error>>, CancellationToken) {
        self.sidecar_at(free(), bucket, false)
    }

    fn sidecar_at(
        &self,
        http_address: SocketAddr,
        bucket: &str,
        upload_compacted: bool,
    ) -> (JoinHandle<Result<(), Error>>, CancellationToken) {
        let bucket = objstore::Config::parse(bucket).unwrap();
        let mut uploads = Uploads {
            // So long that only the first look and the last one happen.
            interval: Duration::from_secs(3600),
            ..Uploads::new(bucket, self.data())
        };
        uploads.shipper.upload_compacted = upload_compacted;
        let config = Config {
            prometheus_url: format!("http://{}", self.prometheus),
            grpc_address: free(),
            http_address,
            get_config_interval: Duration::from_millis(200),
            uploads: Some(uploads),
            ..Config::default()
        };
        let stop = CancellationToken::new();
        (tokio::spawn(run(config, stop.clone())), stop)
    }

    fn record(&self, name: &str) -> Vec<String> {
        let text = fs::read(self.data().join(name)).unwrap_or_default();
        let record: Value = serde_json::from_slice(&text).unwrap_or_default();
        let ids = record["uploaded"].as_array().cloned().unwrap_or_default();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }
}

fn folder(path: &Path) -> String {
    format!(
        "{{type: FILESYSTEM, config: {{directory: \"{}\"}}}}",
        path.display()
    )
}

/// Every file below a folder, the time of upload replaced.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let timeless = text
                .lines()
                .filter(|line| !line.contains("\"upload_time\""));
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            found.insert(name, timeless.collect::<Vec<_>>().join("\n"));
        }
    }
    found
}

const EQUAL: [&str; 2] = [
    "--storage.tsdb.min-block-duration=2h",
    "--storage.tsdb.max-block-duration=2h",
];

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_those_of_a_real_sidecar_byte_for_byte() {
    let Some(thanos) = peer("thanos") else {
        return;
    };
    let Some(scene) = Scene::start(&EQUAL).await else {
        return;
    };
    scene.make_blocks(9);
    let (ours, theirs) = (
        scene.dir.path().join("ours"),
        scene.dir.path().join("theirs"),
    );
    let (sidecar, stop) = scene.sidecar(&folder(&ours));
    eventually("we uploaded", || {
        !scene.record("thanos.shipper.json").is_empty()
    })
    .await;

    let real = Process::start(
        &thanos,
        &[
            "sidecar".to_owned(),
            format!("--prometheus.url=http://{}", scene.prometheus),
            format!("--tsdb.path={}", scene.data().display()),
            format!("--http-address={}", free()),
            format!("--grpc-address={}", free()),
            "--shipper.meta-file-name=theirs.json".to_owned(),
            format!("--objstore.config={}", folder(&theirs)),
        ],
    );
    eventually("Thanos uploaded", || {
        !scene.record("theirs.json").is_empty()
    })
    .await;
    drop(real);
    let records = ["thanos.shipper.json", "theirs.json"]
        .map(|name| fs::read_to_string(scene.data().join(name)).unwrap());
    assert_eq!(records[0], records[1]);
    assert_eq!(files(&ours), files(&theirs));
    assert!(files(&ours).len() >= 3);

    // Told to stop, we look once more.
    let before = scene.record("thanos.shipper.json").len();
    scene.make_blocks(20);
    stop.cancel();
    sidecar.await.unwrap().unwrap();
    assert!(scene.record("thanos.shipper.json").len() > before);
    accepted_by_thanos(
        &thanos,
        &folder(&ours),
        &scene.record("thanos.shipper.json"),
    );
    let analysis = output(
        &scene.promtool,
        &["tsdb", "analyze", &ours.display().to_string()],
    );
    assert!(analysis.contains("\nSeries: 5\n"), "{analysis}");
}

/// What a sidecar says of its uploads: dir_syncs, dir_sync_failures, uploads, upload_compacted_done and more.
async fn shipper(http: SocketAddr) -> BTreeMap<String, f64> {
    let Ok(answer) = reqwest::get(format!("http://{http}/metrics")).await else {
        return BTreeMap::new();
    };
    let text = answer.text().await.unwrap();
    let samples = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("thanos_shipper_")?.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    samples.collect()
}

/// [`shipper`], once the first look is over.
async fn looked(http: SocketAddr) -> BTreeMap<String, f64> {
    for _ in 0..300 {
        let said = shipper(http).await;
        let over = said.get("upload_compacted_done") == Some(&1.0)
            || said.get("dir_sync_failures_total") > Some(&0.0);
        if over {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no look at the folder: {:?}", shipper(http).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_blocks_are_uploaded_as_by_a_real_sidecar_unless_they_overlap() {
    let Some(thanos) = peer("thanos") else {
        return;
    };
    let Some(scene) = Scene::start(&EQUAL).await else {
        return;
    };
    let at = |name: &str| scene.dir.path().join(name);
    let both = async || {
        let (ours, theirs) = (free(), free());
        let (sidecar, stop) = scene.sidecar_at(ours, &folder(&at("ours")), true);
        let _real = Process::start(
            &thanos,
            &[
                "sidecar".to_owned(),
                format!("--prometheus.url=http://{}", scene.prometheus),
                format!("--tsdb.path={}", scene.data().display()),
                format!("--http-address={theirs}"),
                format!("--grpc-address={}", free()),
                "--shipper.meta-file-name=theirs.json".to_owned(),
                "--shipper.upload-compacted".to_owned(),
                format!("--objstore.config={}", folder(&at("theirs"))),
            ],
        );
        let said = (looked(ours).await, looked(theirs).await);
        stop.cancel();
        sidecar.await.unwrap().unwrap();
        said
    };
    scene.make_blocks(20);
    scene.make_blocks(9);
    scene.compacted();
    let (ours, theirs) = both().await;
    assert_eq!(ours, theirs);
    assert_eq!(ours["upload_compacted_done"], 1.0);
    assert_eq!(files(&at("ours")), files(&at("theirs")));

    // The same times once more.
    scene.make_blocks(9);
    scene.compacted();
    let before = files(&at("ours"));
    let (ours, theirs) = both().await;
    assert_eq!(ours, theirs);
    assert_eq!(ours["upload_compacted_done"], 0.0);
    assert_eq!(files(&at("ours")), before);
    assert_eq!(files(&at("theirs")), before);
}

/// Thanos's own tools find every block and nothing wrong with any.
fn accepted_by_thanos(thanos: &Path, bucket: &str, blocks: &[String]) {
    let config = format!("--objstore.config={bucket}");
    let inspected = output(thanos, &["tools", "bucket", "inspect", &config]);
    for block in blocks {
        assert!(inspected.contains(block), "{inspected}");
    }
    let issues = ["-i", "index_known_issues", "-i", "overlapped_blocks"];
    let verified = output(
        thanos,
        &[&["tools", "bucket", "verify", &config][..], &issues].concat(),
    );
    assert!(
        !verified.contains("level=warn") && !verified.contains("level=error"),
        "{verified}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_to_s3_are_read_by_a_real_thanos() {
    let (Some(thanos), Some(gateway)) = (peer("thanos"), peer("versitygw")) else {
        return;
    };
    let Some(scene) = Scene::start(&EQUAL).await else {
        return;
    };
    scene.make_blocks(5);
    let (s3, data) = (free(), scene.dir.path().join("s3"));
    fs::create_dir_all(data.join("blocks")).unwrap();
    let args = format!(
        "--access KEY --secret SECRET --port {s3} posix {}",
        data.display()
    );
    let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
    let _gateway = Process::start(&gateway, &args);
    eventually("S3 listens", || std::net::TcpStream::connect(s3).is_ok()).await;
    let bucket = format!(
        "{{type: S3, prefix: a/b, config: {{bucket: blocks, endpoint: \"{s3}\", insecure: true, access_key: KEY, secret_key: SECRET}}}}"
    );
    let (sidecar, stop) = scene.sidecar(&bucket);
    eventually("we uploaded", || {
        !scene.record("thanos.shipper.json").is_empty()
    })
    .await;
    stop.cancel();
    sidecar.await.unwrap().unwrap();
    accepted_by_thanos(&thanos, &bucket, &scene.record("thanos.shipper.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_compacts_its_blocks_is_refused() {
    let Some(scene) = Scene::start(&[]).await else {
        return;
    };
    let (sidecar, _stop) = scene.sidecar(&folder(&scene.dir.path().join("bucket")));
    let ended = tokio::time::timeout(Duration::from_secs(10), sidecar).await;
    let error = ended.unwrap().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Unfit(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("Compaction needs to be disabled"),
        "{error}"
    );
}

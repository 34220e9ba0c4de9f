//! Hosts, and the real protocol against versitygw where it is installed.

#![allow(clippy::print_stdout, reason = "what is left out is said")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use net::metrics::Registry;

use super::*;
use crate::{Bucket, Config};

fn host_of(keys: &str) -> Host {
    let text = format!("type: S3\nconfig:\n  bucket: blocks\n{keys}");
    match Config::parse(&text).unwrap().kind {
        crate::config::Kind::S3(s3) => host(&s3, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn amazons_hosts_have_the_bucket_and_the_region_in_them() {
    let amazon = host_of("  endpoint: s3.eu-west-3.amazonaws.com\n");
    assert_eq!(
        (amazon.url.as_str(), amazon.region.as_str()),
        (
            "https://blocks.s3.dualstack.eu-west-3.amazonaws.com",
            "eu-west-3"
        )
    );
    let plain = host_of(
        "  endpoint: s3.amazonaws.com\n  region: us-west-2\n  disable_dualstack: true\n  bucket_lookup_type: path\n",
    );
    assert_eq!(plain.url, "https://s3.us-west-2.amazonaws.com");
    assert!(!plain.bucket_in_host);
    // Hosts of a network of one's own are left as they are.
    let private =
        host_of("  endpoint: vpce-1.s3.eu-west-1.vpce.amazonaws.com\n  region: eu-west-1\n");
    assert_eq!(
        private.url,
        "https://blocks.vpce-1.s3.eu-west-1.vpce.amazonaws.com"
    );
}

#[test]
fn other_hosts_have_the_bucket_in_the_path() {
    let local = host_of("  endpoint: minio:9000\n  insecure: true\n");
    assert_eq!(
        (local.url.as_str(), local.region.as_str()),
        ("http://minio:9000", "us-east-1")
    );
    assert!(!local.bucket_in_host);
    let named = host_of("  endpoint: minio:9000\n  bucket_lookup_type: virtual-hosted\n");
    assert_eq!(named.url, "https://blocks.minio:9000");
}

/// A versitygw that ends with the test.
struct Gateway {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn versitygw() -> Option<PathBuf> {
    let home = std::env::var("HOME").ok()?;
    let peers = std::env::var("TKS_PEERS").unwrap_or(format!("{home}/.cache/tks-peers"));
    let program = PathBuf::from(peers).join("bin/versitygw");
    let found = program.exists();
    assert!(
        found || std::env::var_os("TKS_REQUIRE_PEERS").is_none(),
        "versitygw is not installed"
    );
    found.then_some(program)
}

impl Gateway {
    fn start() -> Option<Self> {
        let Some(program) = versitygw() else {
            println!("left out: S3, because `versitygw` is not installed");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let (data, versions) = (dir.path().join("data"), dir.path().join("versions"));
        // A folder of the gateway's is a bucket.
        std::fs::create_dir_all(data.join("blocks")).unwrap();
        std::fs::create_dir(&versions).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new(program)
            .args(["--access", "KEY", "--secret", "SECRET", "--port"])
            .arg(format!("127.0.0.1:{port}"))
            .args(["posix", "--versioning-dir"])
            .args([&versions, &data])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let gateway = Self {
            child,
            port,
            _dir: dir,
        };
        let until = Instant::now() + Duration::from_secs(15);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "versitygw does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(gateway)
    }

    fn bucket(&self, bucket: &str, secret: &str, more: &str) -> Bucket {
        let port = self.port;
        let text = format!(
            "type: S3\nprefix: a/b\nconfig:\n  bucket: {bucket}\n  endpoint: 127.0.0.1:{port}\n  insecure: true\n  access_key: KEY\n  secret_key: {secret}\n  max_retries: 2\n{more}"
        );
        Bucket::open(&Config::parse(&text).unwrap(), &Registry::new()).unwrap()
    }
}

#[tokio::test]
async fn a_real_s3_server_takes_and_gives_every_kind_of_object() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    let bucket = gateway.bucket("blocks", "SECRET", "  put_user_metadata: { owner: me }\n");
    crate::bucket::tests::behaves(&bucket).await;
    let parts = gateway.bucket("blocks", "SECRET", "  part_size: 5242880\n");
    crate::bucket::tests::takes_large_objects(&parts, (11 << 20) + 1).await;
    let limited = "  http_config: { max_conns_per_host: 1 }\n  disable_multipart: true\n";
    let limited = gateway.bucket("blocks", "SECRET", limited);
    crate::bucket::tests::takes_large_objects(&limited, 6 << 20).await;
}

#[tokio::test]
async fn a_wrong_secret_is_denied_and_a_bucket_that_is_absent_is_not_found() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    let wrong = gateway.bucket("blocks", "WRONG", "");
    let error = wrong.get("x", 9).await.unwrap_err();
    assert!(error.is_denied(), "{error:?}");
    assert!(wrong.iter("").await.unwrap_err().is_denied());
    let absent = gateway.bucket("nowhere", "SECRET", "");
    assert!(absent.iter("").await.unwrap_err().is_not_found());
    let error = absent.upload("x", "1".into()).await.unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("nowhere"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_that_names_the_bucket() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = format!(
        "type: S3\nconfig: {{ bucket: b, endpoint: '127.0.0.1:{port}', insecure: true, access_key: a, secret_key: b, max_retries: 1 }}\n"
    );
    let bucket = Bucket::open(&Config::parse(&text).unwrap(), &Registry::new()).unwrap();
    let error = bucket.get("x/meta.json", 9).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("bucket b: get x/meta.json failed"),
        "{error}"
    );
}

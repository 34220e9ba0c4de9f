use std::time::Duration;

use super::*;

const EVERY_KEY: &str = r#"
type: s3
prefix: /teks/eu/
config:
  bucket: blocks
  endpoint: s3.eu-west-1.amazonaws.com
  region: eu-west-1
  disable_dualstack: true
  aws_sdk_auth: false
  access_key: AK
  insecure: true
  signature_version2: false
  secret_key: "not to be seen"
  session_token: "nor this"
  put_user_metadata: { owner: me }
  http_config:
    idle_conn_timeout: 1m30s
    response_header_timeout: 3m
    insecure_skip_verify: false
    tls_handshake_timeout: 10s
    expect_continue_timeout: 1s
    max_idle_conns: 50
    max_idle_conns_per_host: 40
    max_conns_per_host: 30
    tls_config: { ca_file: /ca, cert_file: /c, key_file: /k, server_name: "", insecure_skip_verify: false }
    disable_compression: false
  trace: { enable: true }
  list_objects_version: v2
  bucket_lookup_type: path
  send_content_md5: true
  disable_multipart: true
  part_size: 67108864
  sse_config: { type: SSE-KMS, kms_key_id: key, kms_encryption_context: {}, encryption_key: "" }
  sts_endpoint: https://sts.example
  max_retries: 3
"#;

#[test]
fn every_key_of_an_s3_bucket_is_read() {
    let config = Config::parse(EVERY_KEY).unwrap();
    assert_eq!(config.prefix, "teks/eu");
    assert_eq!(config.name(), "blocks");
    let Kind::S3(s3) = config.kind else {
        panic!("{config:?}")
    };
    assert_eq!(
        s3.http_config.response_header_timeout,
        Duration::from_secs(180)
    );
    assert_eq!(s3.http_config.idle_conn_timeout, Duration::from_secs(90));
    assert_eq!(s3.http_config.max_conns_per_host, 30);
    assert_eq!(s3.put_user_metadata["owner"], "me");
    assert_eq!(s3.bucket_lookup_type, Lookup::Path);
    assert_eq!(s3.sse_config.r#type, SseType::Kms);
    assert_eq!((s3.part_size, s3.max_retries), (64 << 20, 3));
    assert_eq!(s3.sts_endpoint, "https://sts.example");
    assert!(s3.insecure && s3.disable_multipart && s3.trace.enable);
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", Config::parse(EVERY_KEY).unwrap());
    assert!(shown.contains("AK"), "{shown}");
    assert!(
        !shown.contains("not to be seen") && !shown.contains("nor this"),
        "{shown}"
    );
}

fn error(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    let text = "type: S3\nconfig:\n  bucket: b\n  endpoint: e\n  buckett: c\n";
    let message = error(text);
    assert!(
        message.contains("buckett") && message.contains("line 5"),
        "{message}"
    );
    let deep = "type: S3\nconfig:\n  bucket: b\n  endpoint: e\n  http_config:\n    timeout: 3s\n";
    let message = error(deep);
    assert!(
        message.contains("timeout") && message.contains("line 6"),
        "{message}"
    );
    let top = "type: FILESYSTEM\nconfig: { directory: /d }\nprefixx: a\n";
    assert!(error(top).contains("prefixx"), "{}", error(top));
}

#[test]
fn kinds_that_are_not_built_say_so_and_unknown_ones_too() {
    assert!(error("type: gcs\nconfig: {}\n").contains("GCS is not built yet"));
    assert!(error("type: FTP\nconfig: {}\n").contains("FTP is not supported"));
    assert!(error("config: {}\n").contains("type"));
}

#[test]
fn what_contradicts_itself_or_is_missing_is_refused_by_key() {
    let with = |keys: &str| {
        error(&format!(
            "type: S3\nconfig:\n  bucket: b\n  endpoint: e\n{keys}"
        ))
    };
    for (keys, wanted) in [
        ("  access_key: A\n", "`secret_key`"),
        ("  secret_key: A\n", "`access_key`"),
        (
            "  access_key: A\n  secret_key: B\n  aws_sdk_auth: true\n",
            "`aws_sdk_auth`",
        ),
        ("  signature_version2: true\n", "`signature_version2`"),
        ("  list_objects_version: v1\n", "`list_objects_version`"),
        ("  part_size: 1024\n", "`part_size`"),
        (
            "  sse_config: { type: SSE-KMS }\n",
            "`sse_config.kms_key_id`",
        ),
        (
            "  sse_config: { type: SSE-C }\n",
            "`sse_config.encryption_key`",
        ),
        (
            "  http_config: { tls_config: { cert_file: /c } }\n",
            "key_file",
        ),
        ("  http_config: { idle_conn_timeout: soon }\n", "line 5"),
        ("  bucket_lookup_type: dns\n", "line 5"),
    ] {
        let message = with(keys);
        assert!(message.contains(wanted), "{keys}: {message}");
    }
    assert!(error("type: S3\nconfig: { endpoint: e }\n").contains("`bucket`"));
    assert!(error("type: S3\nconfig: { bucket: b }\n").contains("`endpoint`"));
    let scheme = "type: S3\nconfig: { bucket: b, endpoint: 'https://e' }\n";
    assert!(error(scheme).contains("without a scheme"));
    assert!(error("type: FILESYSTEM\n").contains("`config`"));
}

#[test]
fn an_empty_configuration_is_no_bucket_and_a_file_is_read() {
    assert_eq!(Config::load(&Source::Inline(" \n".into())).unwrap(), None);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("objstore.yaml");
    let missing = Config::load(&Source::File(file.clone())).unwrap_err();
    assert!(missing.to_string().contains("objstore.yaml"), "{missing}");
    // PATH is set wherever tests run.
    std::fs::write(
        &file,
        "type: FILESYSTEM\nconfig: { directory: '/x$(PATH)' }\n",
    )
    .unwrap();
    let config = Config::load(&Source::File(file)).unwrap().unwrap();
    let path = std::env::var("PATH").unwrap();
    assert!(config.name().contains(&path), "{}", config.name());
}

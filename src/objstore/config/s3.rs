//! The keys of an S3 bucket, with Thanos's names and defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::ConfigError;

/// `config` of type S3.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    pub bucket: String,
    /// `host` or `host:port`.
    pub endpoint: String,
    pub region: String,
    /// Amazon's own hosts are asked by their IPv4-only names.
    pub disable_dualstack: bool,
    /// Credentials from the environment and the machine only, never from keys here.
    pub aws_sdk_auth: bool,
    pub access_key: String,
    /// HTTP instead of HTTPS.
    pub insecure: bool,
    /// Refused: no server of today needs it.
    pub signature_version2: bool,
    pub secret_key: Secret,
    pub session_token: Secret,
    pub put_user_metadata: BTreeMap<String, String>,
    pub http_config: HttpConfig,
    pub trace: TraceConfig,
    /// `v2`, or empty for the same.
    pub list_objects_version: String,
    pub bucket_lookup_type: Lookup,
    /// Accepted: every request signs the SHA-256 of what it carries, which proves more.
    pub send_content_md5: bool,
    pub disable_multipart: bool,
    /// Bytes of a part of a multipart upload. Thanos's default is 64 MiB, of which it holds several in
    /// memory; the bytes of the object are the same with any.
    pub part_size: u64,
    pub sse_config: SseConfig,
    pub sts_endpoint: String,
    pub max_retries: usize,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            endpoint: String::new(),
            region: String::new(),
            disable_dualstack: false,
            aws_sdk_auth: false,
            access_key: String::new(),
            insecure: false,
            signature_version2: false,
            secret_key: Secret::default(),
            session_token: Secret::default(),
            put_user_metadata: BTreeMap::new(),
            http_config: HttpConfig::default(),
            trace: TraceConfig::default(),
            list_objects_version: String::new(),
            bucket_lookup_type: Lookup::Auto,
            send_content_md5: true,
            disable_multipart: false,
            part_size: 16 << 20,
            sse_config: SseConfig::default(),
            sts_endpoint: String::new(),
            max_retries: 10,
        }
    }
}

/// Text that no log and no error shows.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "unset"
        } else {
            "<secret>"
        })
    }
}

/// Whether the bucket's name is in the host or in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Lookup {
    /// In the host at Amazon, in the path elsewhere.
    #[serde(rename = "auto", alias = "")]
    Auto,
    #[serde(rename = "virtual-hosted")]
    VirtualHosted,
    #[serde(rename = "path")]
    Path,
}

/// `http_config`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    #[serde(deserialize_with = "duration")]
    pub idle_conn_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub response_header_timeout: Duration,
    pub insecure_skip_verify: bool,
    #[serde(deserialize_with = "duration")]
    pub tls_handshake_timeout: Duration,
    /// Accepted: `Expect: 100-continue` is never sent.
    #[serde(deserialize_with = "duration")]
    pub expect_continue_timeout: Duration,
    /// Idle connections to all hosts; one bucket has one host.
    pub max_idle_conns: usize,
    pub max_idle_conns_per_host: usize,
    /// Requests at a time; 0 is no limit.
    pub max_conns_per_host: usize,
    pub tls_config: TlsConfig,
    /// Accepted: compression is never asked for.
    pub disable_compression: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            idle_conn_timeout: Duration::from_secs(90),
            response_header_timeout: Duration::from_secs(120),
            insecure_skip_verify: false,
            tls_handshake_timeout: Duration::from_secs(10),
            expect_continue_timeout: Duration::from_secs(1),
            max_idle_conns: 100,
            max_idle_conns_per_host: 100,
            max_conns_per_host: 0,
            tls_config: TlsConfig::default(),
            disable_compression: false,
        }
    }
}

/// `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The only authorities that are trusted, when set.
    pub ca_file: PathBuf,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Refused unless empty or the endpoint's own host.
    pub server_name: String,
    pub insecure_skip_verify: bool,
}

/// `trace`: accepted; requests are logged at level debug by their library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceConfig {
    pub enable: bool,
}

/// `sse_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SseConfig {
    pub r#type: SseType,
    pub kms_key_id: String,
    pub kms_encryption_context: BTreeMap<String, String>,
    /// A file with the 32 bytes of the key.
    pub encryption_key: PathBuf,
}

/// Who encrypts at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SseType {
    #[default]
    #[serde(rename = "")]
    None,
    #[serde(rename = "SSE-S3")]
    S3,
    #[serde(rename = "SSE-KMS")]
    Kms,
    #[serde(rename = "SSE-C")]
    Customer,
}

impl S3Config {
    /// Refuses what contradicts itself and what is not built.
    pub(super) fn checked(self) -> Result<Self, ConfigError> {
        let refuse = |key, reason: &str| {
            Err(ConfigError::Key {
                key,
                reason: reason.to_owned(),
            })
        };
        if self.bucket.is_empty() {
            return refuse("bucket", "missing");
        }
        if self.endpoint.is_empty() {
            return refuse("endpoint", "missing");
        }
        if self.endpoint.contains('/') {
            return refuse(
                "endpoint",
                "must be host or host:port, without a scheme or a path",
            );
        }
        self.check_credentials()?;
        if self.signature_version2 {
            return refuse("signature_version2", "not built yet, only version 4 is");
        }
        if !matches!(self.list_objects_version.as_str(), "" | "v2") {
            return refuse("list_objects_version", "not built yet, only v2 is");
        }
        if self.part_size < 5 << 20 {
            return refuse("part_size", "S3 takes no part under 5242880 bytes");
        }
        self.check_encryption()?;
        self.check_tls()?;
        Ok(self)
    }

    fn check_credentials(&self) -> Result<(), ConfigError> {
        let refuse = |key, reason: &str| {
            Err(ConfigError::Key {
                key,
                reason: reason.to_owned(),
            })
        };
        match (self.access_key.is_empty(), self.secret_key.0.is_empty()) {
            (false, true) => refuse("secret_key", "missing beside access_key"),
            (true, false) => refuse("access_key", "missing beside secret_key"),
            (false, false) if self.aws_sdk_auth => {
                refuse("aws_sdk_auth", "cannot stand beside access_key")
            }
            _ => Ok(()),
        }
    }

    fn check_encryption(&self) -> Result<(), ConfigError> {
        let sse = &self.sse_config;
        let (key, reason) = match sse.r#type {
            SseType::Kms if sse.kms_key_id.is_empty() => {
                ("sse_config.kms_key_id", "missing for SSE-KMS")
            }
            SseType::Customer if sse.encryption_key.as_os_str().is_empty() => {
                ("sse_config.encryption_key", "missing for SSE-C")
            }
            _ if !sse.kms_encryption_context.is_empty() => {
                ("sse_config.kms_encryption_context", "not built yet")
            }
            _ => return Ok(()),
        };
        Err(ConfigError::Key {
            key,
            reason: reason.to_owned(),
        })
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let tls = &self.http_config.tls_config;
        let missing = |key| {
            Err(ConfigError::Key {
                key,
                reason: "missing beside the other half of the pair".to_owned(),
            })
        };
        match (
            tls.cert_file.as_os_str().is_empty(),
            tls.key_file.as_os_str().is_empty(),
        ) {
            (true, false) => return missing("http_config.tls_config.cert_file"),
            (false, true) => return missing("http_config.tls_config.key_file"),
            _ => {}
        }
        let host = self.endpoint.split(':').next().unwrap_or_default();
        if tls.server_name.is_empty() || tls.server_name == host {
            return Ok(());
        }
        Err(ConfigError::Key {
            key: "http_config.tls_config.server_name",
            reason: "not built yet for a name that is not the endpoint's".to_owned(),
        })
    }
}

/// `1m30s`, as Go and Prometheus write it.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bad = || serde::de::Error::custom(format!("{text:?} is not a duration such as 1m30s"));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    parsed.try_into().map_err(|_| bad())
}

//! How a sidecar speaks HTTP to its Prometheus: Thanos's HTTP client configuration, `--prometheus.http-client`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use net::tls::{ClientTls, TlsError, Version};
use objstore::Secret;
use reqwest::{Client, ClientBuilder, Proxy, RequestBuilder, Url};
use serde::{Deserialize, Deserializer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A configuration that cannot be used, or a secret that cannot be read when it is needed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("HTTP client configuration: {0}")]
    Yaml(String),
    #[error("HTTP client configuration: {0}")]
    Meaning(&'static str),
    #[error("HTTP client configuration: tls_config")]
    Tls(#[from] TlsError),
    #[error("HTTP client configuration: cannot read {key} {}", path.display())]
    Secret {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make an HTTP client for Prometheus {url}")]
    Build {
        url: String,
        #[source]
        source: reqwest::Error,
    },
}

/// The configuration. Secrets in files are read for each request, as they may be renewed; certificates at the start.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpClient {
    basic_auth: Option<BasicAuth>,
    bearer_token: Secret,
    bearer_token_file: PathBuf,
    proxy_url: String,
    tls_config: TlsConfig,
    transport_config: Transport,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BasicAuth {
    username: String,
    password: Secret,
    password_file: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    ca_file: PathBuf,
    cert_file: PathBuf,
    key_file: PathBuf,
    server_name: String,
    insecure_skip_verify: bool,
}

/// Zero is the client's default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Transport {
    /// Accepted: one Prometheus is one host.
    #[allow(dead_code, reason = "part of the format")]
    max_idle_conns: usize,
    max_idle_conns_per_host: usize,
    #[serde(deserialize_with = "duration")]
    idle_conn_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    response_header_timeout: Duration,
    /// Accepted: `Expect: 100-continue` is never sent.
    #[allow(dead_code, reason = "part of the format")]
    #[serde(deserialize_with = "duration")]
    expect_continue_timeout: Duration,
    /// Accepted: what bounds requests here are the limits of Series calls.
    #[allow(dead_code, reason = "part of the format")]
    max_conns_per_host: usize,
    disable_compression: bool,
    #[serde(deserialize_with = "duration")]
    tls_handshake_timeout: Duration,
}

impl HttpClient {
    /// Reads a configuration; nothing is the defaults.
    ///
    /// # Errors
    /// [`ClientError`], when it is not valid or contradicts itself.
    pub fn from_yaml(text: &str) -> Result<Self, ClientError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self =
            serde_yaml::from_str(text).map_err(|error| ClientError::Yaml(error.to_string()))?;
        config
            .check()
            .map_or(Ok(config), |flaw| Err(ClientError::Meaning(flaw)))
    }

    fn check(&self) -> Option<&'static str> {
        let credentials = [
            self.basic_auth.is_some(),
            !self.bearer_token.0.is_empty(),
            is_set(&self.bearer_token_file),
        ];
        if credentials.iter().filter(|given| **given).count() > 1 {
            return Some("only one of basic_auth, bearer_token and bearer_token_file can be given");
        }
        let basic = self.basic_auth.as_ref()?;
        (!basic.password.0.is_empty() && is_set(&basic.password_file))
            .then_some("only one of password and password_file can be given in basic_auth")
    }

    /// A client of the Prometheus at `url`.
    pub(super) fn build(&self, url: &str) -> Result<Client, ClientError> {
        let failed = |source: reqwest::Error| ClientError::Build {
            url: url.to_owned(),
            source,
        };
        let mut builder = Client::builder().user_agent(concat!("tks/", env!("CARGO_PKG_VERSION")));
        if let Some(tls) = self.tls(url)? {
            let config = tls.load(&[b"h2", b"http/1.1"])?;
            builder = builder.tls_backend_preconfigured((*config).clone());
        }
        if !self.proxy_url.is_empty() {
            builder = builder.proxy(Proxy::all(&self.proxy_url).map_err(failed)?);
        }
        let client = self
            .transport_config
            .apply(builder)
            .build()
            .map_err(failed)?;
        // An address that is none is found here, not at the first request.
        client.get(url).build().map_err(failed)?;
        Ok(client)
    }

    /// What is configured of TLS, if anything is.
    fn tls(&self, url: &str) -> Result<Option<ClientTls>, ClientError> {
        let tls = &self.tls_config;
        let file = |path: &PathBuf| is_set(path).then(|| path.clone());
        let host = Url::parse(url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        if !tls.server_name.is_empty() && host.as_ref() != Some(&tls.server_name) {
            return Err(ClientError::Meaning(
                "tls_config.server_name must be the host in --prometheus.url, where it is verified",
            ));
        }
        // As any HTTP client of Go's.
        let none = ClientTls {
            min_version: Version::V12,
            ..ClientTls::default()
        };
        let tls = ClientTls {
            ca: file(&tls.ca_file),
            cert: file(&tls.cert_file),
            key: file(&tls.key_file),
            server_name: None,
            skip_verify: tls.insecure_skip_verify,
            ..none
        };
        Ok((tls != none).then_some(tls))
    }

    /// The request with what Prometheus is to know us by.
    pub(super) fn authorise(&self, request: RequestBuilder) -> Result<RequestBuilder, ClientError> {
        if let Some(basic) = &self.basic_auth {
            let password = secret("password_file", &basic.password, &basic.password_file)?;
            return Ok(request.basic_auth(&basic.username, Some(password)));
        }
        let token = secret(
            "bearer_token_file",
            &self.bearer_token,
            &self.bearer_token_file,
        )?;
        Ok(if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        })
    }
}

impl Transport {
    fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let given = |limit: Duration| (!limit.is_zero()).then_some(limit);
        let mut builder = builder
            .connect_timeout(given(self.tls_handshake_timeout).unwrap_or(CONNECT_TIMEOUT))
            .gzip(!self.disable_compression);
        if let Some(limit) = given(self.response_header_timeout) {
            builder = builder.read_timeout(limit);
        }
        if let Some(limit) = given(self.idle_conn_timeout) {
            builder = builder.pool_idle_timeout(limit);
        }
        match self.max_idle_conns_per_host {
            0 => builder,
            most => builder.pool_max_idle_per_host(most),
        }
    }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn secret(key: &'static str, value: &Secret, file: &Path) -> Result<String, ClientError> {
    if !is_set(file) {
        return Ok(value.0.clone());
    }
    let content = std::fs::read_to_string(file).map_err(|source| ClientError::Secret {
        key,
        path: file.to_owned(),
        source,
    })?;
    Ok(content.trim().to_owned())
}

/// Nanoseconds, which is what Thanos takes, or `1m30s`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Nanoseconds(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Nanoseconds(count) => Ok(Duration::from_nanos(count)),
        Written::Text(text) => match model::parse_duration(&text) {
            Ok(ms) => Ok(Duration::from_millis(ms.unsigned_abs())),
            Err(error) => Err(serde::de::Error::custom(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(yaml: &str) -> Option<String> {
        let config = HttpClient::from_yaml(yaml).unwrap();
        let request = config.build("http://p:9090").unwrap().get("http://p:9090");
        let request = config.authorise(request).unwrap().build().unwrap();
        let value = request.headers().get("authorization")?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn credentials_are_sent_and_files_are_read_each_time() {
        assert_eq!(header(""), None);
        assert_eq!(header("bearer_token: tok").unwrap(), "Bearer tok");
        // As a real sidecar sends it.
        let basic = "basic_auth: { username: 'u$(HOME)', password: p }";
        assert_eq!(header(basic).unwrap(), "Basic dSQoSE9NRSk6cA==");
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = format!("bearer_token_file: {}", file.path().display());
        for token in ["one", "two"] {
            std::fs::write(file.path(), format!("{token}\n")).unwrap();
            assert_eq!(header(&config).unwrap(), format!("Bearer {token}"));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (yaml, why) in [
            (
                "{ bearer_token: t, basic_auth: { username: u } }",
                "only one of",
            ),
            (
                "basic_auth: { username: u, password: p, password_file: f }",
                "only one of",
            ),
            ("basic_atuh: { username: u }", "basic_atuh"),
            (
                "transport_config: { idle_conn_timeout: soon }",
                "HTTP client configuration",
            ),
        ] {
            let error = HttpClient::from_yaml(yaml).unwrap_err().to_string();
            assert!(error.contains(why), "{yaml}: {error}");
        }
        let build = |yaml: &str| {
            let built = HttpClient::from_yaml(yaml)
                .unwrap()
                .build("https://prometheus:9090");
            net::log::chain(&built.unwrap_err())
        };
        let error = build("tls_config: { ca_file: /none.pem }");
        assert!(error.contains("/none.pem"), "{error}");
        let error = build("tls_config: { cert_file: /cert.pem }");
        assert!(error.contains("needs both"), "{error}");
        let error = build("tls_config: { server_name: another }");
        assert!(error.contains("--prometheus.url"), "{error}");
        assert!(build("proxy_url: 'no proxy'").contains("cannot make an HTTP client"));
    }

    #[test]
    fn durations_are_nanoseconds_or_text() {
        let yaml =
            "transport_config: { idle_conn_timeout: 5000000000, response_header_timeout: 1m }";
        let transport = HttpClient::from_yaml(yaml).unwrap().transport_config;
        assert_eq!(transport.idle_conn_timeout, Duration::from_secs(5));
        assert_eq!(transport.response_header_timeout, Duration::from_secs(60));
    }
}

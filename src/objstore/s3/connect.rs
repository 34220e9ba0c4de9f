//! Connections that show a client certificate: the one thing that `ClientOptions` cannot say.

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};

use super::read;
use crate::config::{ConfigError, HttpConfig};

/// A connector whose client is made once, with the certificate in it.
#[derive(Debug)]
pub(super) struct WithIdentity(reqwest::Client);

impl WithIdentity {
    pub(super) fn new(http: &HttpConfig) -> Result<Self, ConfigError> {
        let tls = &http.tls_config;
        let mut pem = read(&tls.cert_file)?;
        pem.push(b'\n');
        pem.extend(read(&tls.key_file)?);
        let identity = reqwest::Identity::from_pem(&pem).map_err(bad("cert_file"))?;
        let skip = http.insecure_skip_verify || tls.insecure_skip_verify;
        let mut builder = reqwest::Client::builder()
            .identity(identity)
            .danger_accept_invalid_certs(skip)
            .pool_idle_timeout(http.idle_conn_timeout)
            .pool_max_idle_per_host(http.max_idle_conns_per_host)
            .no_gzip();
        if !http.tls_handshake_timeout.is_zero() {
            builder = builder.connect_timeout(http.tls_handshake_timeout);
        }
        if !http.response_header_timeout.is_zero() {
            builder = builder.read_timeout(http.response_header_timeout);
        }
        if !tls.ca_file.as_os_str().is_empty() {
            let pem = read(&tls.ca_file)?;
            let authorities =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(bad("ca_file"))?;
            builder = builder.tls_certs_only(authorities);
        }
        Ok(Self(builder.build().map_err(bad("cert_file"))?))
    }
}

fn bad(file: &'static str) -> impl Fn(reqwest::Error) -> ConfigError {
    let key = match file {
        "ca_file" => "http_config.tls_config.ca_file",
        _ => "http_config.tls_config.cert_file",
    };
    move |error| ConfigError::Key {
        key,
        reason: net::log::chain(&error),
    }
}

impl HttpConnector for WithIdentity {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

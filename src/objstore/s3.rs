//! An S3 client from its configuration.

mod connect;
mod credentials;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::client::ReqwestConnector;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider,
};

use crate::config::{ConfigError, Lookup, S3Config, SseType};

/// A request, its retries included, ends within this.
const RETRY_TIMEOUT: Duration = Duration::from_secs(180);
const AMAZON: &str = "amazonaws.com";

/// The client. Nothing is asked of the bucket yet.
pub(crate) fn open(config: &S3Config) -> Result<AmazonS3, ConfigError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let host = host(config, variable("AWS_REGION"));
    // What is not configured (web identity, container and instance roles) comes from the environment;
    // what is configured stands above it.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket)
        .with_region(&host.region)
        .with_config(AmazonS3ConfigKey::S3Endpoint, &host.url)
        .with_virtual_hosted_style_request(host.bucket_in_host)
        .with_allow_http(config.insecure)
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: config.max_retries,
            retry_timeout: RETRY_TIMEOUT,
        })
        .with_client_options(options(config)?);
    builder = connector(builder, config)?;
    builder = encryption(builder, config)?;
    if !config.sts_endpoint.is_empty() {
        builder = builder.with_config(AmazonS3ConfigKey::StsEndpoint, &config.sts_endpoint);
    }
    if !config.access_key.is_empty() {
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(given(config))));
    } else if let Some(credential) = credentials::of_files(&variable) {
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    }
    builder.build().map_err(|source| ConfigError::Open {
        bucket: config.bucket.clone(),
        source,
    })
}

fn given(config: &S3Config) -> AwsCredential {
    let token = &config.session_token.0;
    AwsCredential {
        key_id: config.access_key.clone(),
        secret_key: config.secret_key.0.clone(),
        token: (!token.is_empty()).then(|| token.clone()),
    }
}

/// Where requests go.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    url: String,
    region: String,
    bucket_in_host: bool,
}

fn host(config: &S3Config, region_of_environment: Option<String>) -> Host {
    let amazon = config.endpoint == AMAZON || config.endpoint.ends_with(".amazonaws.com");
    let region = region(config, amazon)
        .or(region_of_environment)
        .unwrap_or_else(|| "us-east-1".to_owned());
    let bucket_in_host = match config.bucket_lookup_type {
        // A certificate for *.s3.… does not cover a bucket with dots.
        Lookup::Auto => amazon && !config.bucket.contains('.'),
        Lookup::VirtualHosted => true,
        Lookup::Path => false,
    };
    let scheme = if config.insecure { "http" } else { "https" };
    let plain =
        amazon && config.endpoint.split('.').count() <= 4 && config.endpoint.starts_with("s3.");
    let endpoint = match (plain, config.disable_dualstack) {
        (true, false) => format!("s3.dualstack.{region}.{AMAZON}"),
        (true, true) => format!("s3.{region}.{AMAZON}"),
        (false, _) => config.endpoint.clone(),
    };
    let url = if bucket_in_host {
        format!("{scheme}://{}.{endpoint}", config.bucket)
    } else {
        format!("{scheme}://{endpoint}")
    };
    Host {
        url,
        region,
        bucket_in_host,
    }
}

/// As configured, else as Amazon's host says it: `s3.eu-west-1.amazonaws.com`.
fn region(config: &S3Config, amazon: bool) -> Option<String> {
    if !config.region.is_empty() {
        return Some(config.region.clone());
    }
    let inner = config.endpoint.strip_prefix("s3.")?.strip_suffix(AMAZON)?;
    let name = inner.trim_end_matches('.').rsplit('.').next()?;
    (amazon && !name.is_empty()).then(|| name.to_owned())
}

fn options(config: &S3Config) -> Result<ClientOptions, ConfigError> {
    let http = &config.http_config;
    let idle = match http.max_idle_conns {
        0 => http.max_idle_conns_per_host,
        all => http.max_idle_conns_per_host.min(all),
    };
    let mut options = ClientOptions::new()
        .with_allow_http(config.insecure)
        // Large objects take as long as they take; what must not happen is silence.
        .with_timeout_disabled()
        .with_pool_idle_timeout(http.idle_conn_timeout)
        .with_pool_max_idle_per_host(idle);
    // As in Go, 0 is no limit.
    options = match http.response_header_timeout {
        Duration::ZERO => options.with_read_timeout_disabled(),
        limit => options.with_read_timeout(limit),
    };
    options = match http.tls_handshake_timeout {
        Duration::ZERO => options.with_connect_timeout_disabled(),
        limit => options.with_connect_timeout(limit),
    };
    if http.insecure_skip_verify || http.tls_config.insecure_skip_verify {
        options = options.with_allow_invalid_certificates(true);
    }
    let authorities = &http.tls_config.ca_file;
    if authorities.as_os_str().is_empty() {
        return Ok(options);
    }
    let pem = read(authorities)?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| ConfigError::Key {
        key: "http_config.tls_config.ca_file",
        reason: error.to_string(),
    })?;
    options = options.with_no_system_certificates(true);
    Ok(certificates
        .into_iter()
        .fold(options, ClientOptions::with_root_certificate))
}

fn connector(builder: AmazonS3Builder, config: &S3Config) -> Result<AmazonS3Builder, ConfigError> {
    let http = &config.http_config;
    if http.tls_config.cert_file.as_os_str().is_empty() {
        return Ok(builder.with_http_connector(ReqwestConnector::default()));
    }
    Ok(builder.with_http_connector(connect::WithIdentity::new(http)?))
}

fn encryption(builder: AmazonS3Builder, config: &S3Config) -> Result<AmazonS3Builder, ConfigError> {
    let sse = &config.sse_config;
    Ok(match sse.r#type {
        SseType::None => builder,
        SseType::S3 => {
            let key = "aws_server_side_encryption".parse();
            let key: AmazonS3ConfigKey = key.map_err(|source| ConfigError::Open {
                bucket: config.bucket.clone(),
                source,
            })?;
            builder.with_config(key, "AES256")
        }
        SseType::Kms => builder.with_sse_kms_encryption(&sse.kms_key_id),
        SseType::Customer => {
            use base64::Engine as _;
            let key = read(&sse.encryption_key)?;
            if key.len() != 32 {
                return Err(ConfigError::Key {
                    key: "sse_config.encryption_key",
                    reason: format!("the file holds {} bytes, a key has 32", key.len()),
                });
            }
            builder.with_ssec_encryption(base64::engine::general_purpose::STANDARD.encode(key))
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

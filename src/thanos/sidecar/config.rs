//! What a sidecar is told; defaults are those of Thanos's flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use net::tls::ServerTls;

use super::client::HttpClient;
use super::reloader::Reloads;
use crate::shipper;

/// The settings of a sidecar.
#[derive(Clone, Debug)]
pub struct Config {
    /// `http://host:port`, with a path where Prometheus has a route prefix.
    pub prometheus_url: String,
    pub prometheus_client: HttpClient,
    pub grpc_address: SocketAddr,
    pub http_address: SocketAddr,
    /// How long calls in flight may take once the sidecar is told to stop; the same for HTTP.
    pub grpc_grace: Duration,
    pub http_grace: Duration,
    /// Plaintext when absent.
    pub grpc_server_tls: Option<ServerTls>,
    /// How long an upload waits for external labels.
    pub ready_timeout: Duration,
    /// Between two looks at Prometheus.
    pub get_config_interval: Duration,
    /// For one look.
    pub get_config_timeout: Duration,
    /// Nothing older is announced or served.
    pub min_time: MinTime,
    pub limits: Limits,
    /// Nothing is uploaded when absent.
    pub uploads: Option<Uploads>,
    /// Nothing is reloaded where no file is named.
    pub reloads: Reloads,
}

/// What a sidecar uploads of its Prometheus.
#[derive(Clone, Debug)]
pub struct Uploads {
    pub bucket: objstore::Config,
    pub shipper: shipper::Options,
    /// Upload although Prometheus compacts blocks itself.
    pub ignore_unequal_block_size: bool,
    /// Between two looks at the TSDB's folder.
    pub interval: Duration,
    /// How long the last look may take after the sidecar is told to stop.
    pub flush: Duration,
}

impl Uploads {
    /// Thanos's defaults for a bucket and a TSDB's folder.
    #[must_use]
    pub fn new(bucket: objstore::Config, tsdb_path: impl Into<std::path::PathBuf>) -> Self {
        Self {
            bucket,
            shipper: shipper::Options::new(tsdb_path),
            ignore_unequal_block_size: false,
            interval: Duration::from_secs(30),
            flush: Duration::from_secs(30),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self {
            prometheus_url: "http://localhost:9090".to_owned(),
            prometheus_client: HttpClient::default(),
            grpc_address: any(10901),
            http_address: any(10902),
            grpc_grace: Duration::from_secs(120),
            http_grace: Duration::from_secs(120),
            grpc_server_tls: None,
            ready_timeout: Duration::from_secs(600),
            get_config_interval: Duration::from_secs(30),
            get_config_timeout: Duration::from_secs(30),
            min_time: MinTime::default(),
            limits: Limits::default(),
            uploads: None,
            reloads: Reloads::default(),
        }
    }
}

/// What one request may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series of a request; 0 is no limit.
    pub request_series: u64,
    /// Samples of a request, counted as 120 per chunk; 0 is no limit.
    pub request_samples: u64,
    /// Bytes that a request may hold while its series are sorted; 0 is no limit.
    pub request_bytes: usize,
    /// Series requests at a time; more wait.
    pub concurrent_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_series: 0,
            request_samples: 0,
            request_bytes: 1 << 30,
            concurrent_requests: 20,
        }
    }
}

/// A point in time, fixed or moving with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinTime {
    /// Milliseconds since 1970.
    At(i64),
    /// Milliseconds that are added to the time of use.
    FromNow(i64),
}

impl Default for MinTime {
    /// `0000-01-01T00:00:00Z`.
    fn default() -> Self {
        Self::At(-62_167_219_200_000)
    }
}

/// Text that is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an RFC 3339 time nor a duration such as -2w")]
pub struct MinTimeError(String);

impl MinTime {
    /// Milliseconds since 1970, at the time `now`.
    #[must_use]
    pub fn at(self, now: i64) -> i64 {
        match self {
            Self::At(time) => time,
            Self::FromNow(offset) => now.saturating_add(offset),
        }
    }
}

impl FromStr for MinTime {
    type Err = MinTimeError;

    fn from_str(text: &str) -> Result<Self, MinTimeError> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::At(time.as_millisecond()));
        }
        if let Some(time) = last_days(text) {
            return Ok(Self::At(time));
        }
        let (sign, duration) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let offset = model::parse_duration(duration).map_err(|_| MinTimeError(text.to_owned()))?;
        Ok(Self::FromNow(sign * offset))
    }
}

/// UTC times in the last day that a year of four digits has, which a timestamp with every offset cannot hold: Thanos's end of time,
/// 9999-12-31T23:59:59Z, is one.
fn last_days(text: &str) -> Option<model::Timestamp> {
    let time: jiff::civil::DateTime = text.strip_suffix('Z')?.parse().ok()?;
    let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    i64::try_from(time.duration_since(epoch).as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_fixed_or_move_with_the_clock() {
        assert_eq!("0000-01-01T00:00:00Z".parse(), Ok(MinTime::default()));
        assert_eq!("-2w".parse(), Ok(MinTime::FromNow(-1_209_600_000)));
        assert_eq!(MinTime::FromNow(-1000).at(5000), 4000);
        let end = MinTime::At(253_402_300_799_000);
        assert_eq!("9999-12-31T23:59:59Z".parse(), Ok(end));
        assert!("9999-12-32T23:59:59Z".parse::<MinTime>().is_err());
        assert!("yesterday".parse::<MinTime>().is_err());
    }
}

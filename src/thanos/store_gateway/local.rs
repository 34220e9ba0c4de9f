//! The blocks of a bucket as a source of series for this process alone: a store gateway on the loopback, and a querier's
//! proxy in front of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use model::{Cancel, Queryable, Select, SelectError, SeriesStream};
use net::Limits;
use net::metrics::Registry;
use net::probe::Probe;
use objstore::Bucket;
use store::{EndpointSpec, FanOut, FanOutOptions, Proxy, ProxyConfig, StoreSet, StoreSetConfig};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Config, Error, gateway, routes};

/// The series of a bucket. The runtime that opened it must live as long.
#[derive(Debug)]
pub struct Local {
    series: FanOut,
    _serving: DropGuard,
}

impl Local {
    /// Looks at the bucket once and opens what is there. `max_resolution` is the coarsest downsampling that is taken, in
    /// milliseconds; 0 is raw samples only. Of `config`, addresses and intervals do not matter.
    ///
    /// # Errors
    /// [`Error`], when the bucket cannot be read.
    pub async fn open(config: &Config, max_resolution: i64) -> Result<Self, Error> {
        let registry = Registry::new();
        let bucket = Bucket::open(&config.bucket, &registry)?;
        let store = Arc::new(gateway(config, bucket, &registry));
        store.initial_sync().await?;
        let probe = Probe::new("store");
        probe.ready();
        let listener = net::port::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr().map_err(Error::Address)?.to_string();
        let shutdown = CancellationToken::new();
        let limits = Limits::default();
        let serving = net::grpc::serve_on(
            listener,
            None,
            routes(&store, &probe),
            limits,
            shutdown.clone(),
        );
        tokio::spawn(serving);
        let set = StoreSet::new(StoreSetConfig::default(), None);
        set.set_endpoints(vec![EndpointSpec {
            address,
            strict: true,
            ..EndpointSpec::default()
        }]);
        set.update().await;
        let options = FanOutOptions {
            max_resolution,
            ..FanOutOptions::default()
        };
        let proxy = Proxy::new(set, ProxyConfig::default());
        Ok(Self {
            series: FanOut::new(proxy, Handle::current(), options),
            _serving: shutdown.drop_guard(),
        })
    }
}

impl Queryable for Local {
    fn select(
        &self,
        select: &Select,
        cancel: &Cancel,
    ) -> Result<Box<dyn SeriesStream>, SelectError> {
        self.series.select(select, cancel)
    }
}

//! `thanos store`: a StoreAPI over the blocks of a bucket.
//!
//! Start: look at the bucket (again for half a minute, while that fails), then be ready and serve gRPC. After that, the
//! bucket is looked at again at every interval; while that fails, the blocks that are known are served.

mod config;
mod local;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net::calls::Calls;
use net::metrics::Registry;
use net::probe::Probe;
use objstore::Bucket;
use proto::info::info_server::InfoServer;
use store::block::Filter;
use store::bucket::{
    BucketStore, Budget, GatewayInfo, GatewayServer, Metrics, StoreConfig, SyncError,
};
use store::services::METHODS;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use config::Config;
pub use local::Local;
pub use store::block::{Discovery, Relabel, RelabelError};
pub use store::bucket::{Estimates, Limits};

/// How long the first look at the bucket is tried.
const FIRST_SYNC: Duration = Duration::from_secs(30);
/// Between two of its tries.
const RETRY: Duration = Duration::from_secs(10);
/// Between two looks for idle index headers.
const IDLE_CHECK: Duration = Duration::from_secs(60);

/// Why a store gateway ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the bucket cannot be opened")]
    Bucket(#[from] objstore::ConfigError),
    #[error("--min-time is later than --max-time")]
    Times,
    #[error("bucket store initial sync")]
    Sync(#[from] SyncError),
    #[error(transparent)]
    Net(#[from] net::NetError),
    #[error("the loopback has no address")]
    Address(#[source] std::io::Error),
}

/// Runs until `shutdown`.
///
/// # Errors
/// [`Error`], when an address cannot be listened on or the bucket cannot be read at the start.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let now = now();
    if config.min_time.at(now) > config.max_time.at(now) {
        return Err(Error::Times);
    }
    let registry = Registry::new();
    let probe = Probe::new("store");
    let bucket = Bucket::open(&config.bucket, &registry)?;
    let store = Arc::new(gateway(&config, bucket, &registry));

    // Whichever part ends first ends the others.
    let all = shutdown.child_token();
    let calls = Calls::of_server(METHODS, &registry);
    let admin = net::http::admin_router(probe.clone(), registry);
    let limits = net::Limits::with_grace(config.http_grace);
    let http = net::http::serve(config.http_address, admin, limits, all.clone());
    let ended = |result| {
        all.cancel();
        result
    };
    let work = serve_and_sync(&config, store, probe, calls, all.clone());
    let (http, work) = tokio::join!(async { ended(http.await.map_err(Error::from)) }, async {
        ended(work.await)
    });
    work.and(http)
}

fn gateway(config: &Config, bucket: Bucket, registry: &Registry) -> BucketStore {
    let store_config = StoreConfig {
        data_dir: config.cache_index_header.then(|| config.data_dir.clone()),
        discovery: config.discovery,
        meta_fetch_concurrency: config.block_meta_fetch_concurrency,
        block_sync_concurrency: config.block_sync_concurrency,
        limits: config.limits.clone(),
        max_concurrency: config.max_concurrency,
        estimates: config.estimates,
        series_batch: config.series_batch,
        lazy_headers: config.lazy_headers,
        lazy_download: config.lazy_download,
    };
    let budget = Budget::new(config.memory_budget, config.memory_patience);
    let (min_time, max_time) = (config.min_time, config.max_time);
    let filter = Filter {
        min_time: 0,
        max_time: 0,
        relabel: config.relabel.clone(),
        consistency_delay: millis(config.consistency_delay),
        deletion_delay: millis(config.ignore_deletion_marks_delay),
    };
    let filter = move || {
        let now = now();
        Filter {
            min_time: min_time.at(now),
            max_time: max_time.at(now),
            ..filter.clone()
        }
    };
    BucketStore::new(bucket, store_config, budget, Metrics::new(registry), filter)
}

async fn serve_and_sync(
    config: &Config,
    store: Arc<BucketStore>,
    probe: Probe,
    calls: Calls,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let start = Instant::now();
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        synced = first_sync(&store) => synced?,
    }
    tracing::info!(init_duration = ?start.elapsed(), "bucket store ready");
    probe.ready();
    let routes = calls.counting(routes(&store, &probe));
    let tls = config.grpc_server_tls.clone();
    let limits = net::Limits::with_grace(config.grpc_grace);
    let grpc = net::grpc::serve(config.grpc_address, tls, routes, limits, shutdown.clone());
    let grpc = async {
        let result = grpc.await;
        shutdown.cancel();
        result
    };
    let (grpc, ()) = tokio::join!(grpc, keep_current(config, &store, &probe, &shutdown));
    Ok(grpc?)
}

/// The services of a gateway.
fn routes(store: &Arc<BucketStore>, probe: &Probe) -> Routes {
    let info = GatewayInfo {
        store: store.clone(),
        ready: probe.clone(),
    };
    Routes::new(net::grpc::health(probe))
        .add_service(GatewayServer::new(store.clone()))
        .add_service(InfoServer::new(info))
}

async fn first_sync(store: &BucketStore) -> Result<(), SyncError> {
    let start = Instant::now();
    loop {
        match store.initial_sync().await {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() + RETRY > FIRST_SYNC => return Err(error),
            Err(error) => {
                tracing::warn!(err = %net::log::chain(&error), "initial sync failed, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Looks at the bucket at every interval, until `shutdown`.
async fn keep_current(
    config: &Config,
    store: &BucketStore,
    probe: &Probe,
    shutdown: &CancellationToken,
) {
    let mut next_sync = tokio::time::Instant::now() + config.sync_interval;
    loop {
        let wake = next_sync.min(tokio::time::Instant::now() + IDLE_CHECK);
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep_until(wake) => {}
        }
        store.close_idle_headers(config.lazy_idle_timeout).await;
        if wake < next_sync {
            continue;
        }
        next_sync = tokio::time::Instant::now() + config.sync_interval;
        tokio::select! {
            () = shutdown.cancelled() => break,
            synced = store.sync() => if let Err(error) = synced {
                tracing::warn!(err = %net::log::chain(&error), "syncing blocks failed");
            }
        }
    }
    probe.not_ready("shutting down");
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

//! `thanos sidecar`: a StoreAPI in front of one Prometheus, over its HTTP API and streamed remote read.
//!
//! Start: wait for Prometheus, learn its external labels (there must be some) and its lowest time, then
//! serve gRPC. After that, both are refreshed at every interval; while that fails, the sidecar is not ready.
//! With a bucket, finished blocks are shipped to it meanwhile ([`crate::shipper`]).

mod answers;
mod client;
mod config;
mod frames;
mod limits;
mod prometheus;
mod read;
mod reloader;
mod select;
mod server;
mod services;
mod state;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use net::calls::Calls;
use net::metrics::Registry;
use net::probe::Probe;
use proto::info::info_server::InfoServer;
use proto::thanos::exemplars_server::ExemplarsServer;
use proto::thanos::metadata_server::MetadataServer;
use proto::thanos::rules_server::RulesServer;
use proto::thanos::status_server::StatusServer;
use proto::thanos::store_server::StoreServer;
use proto::thanos::targets_server::TargetsServer;
use store::services::METHODS;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

pub use client::{ClientError, HttpClient};
pub use config::{Config, Limits, MinTime, MinTimeError, Uploads};
pub use prometheus::PrometheusError;
pub use reloader::{ExpandError, Method, ReloadError, Reloads, SourceError};

use prometheus::Prometheus;
use reloader::Reloader;
use server::Sidecar;
use state::State;
use upload::Upload;

/// Why a sidecar ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no external labels configured on Prometheus server {url}, uniquely identifying external labels must be configured"
    )]
    NoExternalLabels { url: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Reload(#[from] ReloadError),
    #[error(transparent)]
    Bucket(#[from] objstore::ConfigError),
    /// Prometheus would compact blocks away before they are uploaded.
    #[error("{0}")]
    Unfit(String),
    #[error("aborting as no external labels found after waiting {0:?}")]
    NoLabelsInTime(Duration),
    #[error(transparent)]
    Net(#[from] net::NetError),
}

/// Runs until `shutdown`.
///
/// # Errors
/// [`Error`], when an address cannot be listened on or Prometheus has no external labels.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let registry = Registry::new();
    let probe = Probe::new("sidecar");
    let (health, health_service) = tonic_health::server::health_reporter();
    set_serving(&health, false).await;
    let prometheus = Prometheus::new(&config.prometheus_url, &config.prometheus_client)?;
    let reloader = Reloader::new(&config.reloads, prometheus.clone(), &registry);
    let state = Arc::new(State::new(prometheus, &config, &registry));
    let sidecar = Sidecar::new(state.clone(), config.limits.clone(), &registry);
    let upload = Upload::open(&config, &registry)?;

    // Whichever part ends first ends the others.
    let all = shutdown.child_token();
    let calls = Calls::of_server(METHODS, &registry);
    let admin = net::http::admin_router(probe.clone(), registry);
    let http = serve_http(&config, admin, all.clone());
    let routes = Routes::new(health_service);
    let work = serve_and_watch(
        &config,
        sidecar,
        Watched { probe, health },
        (routes, calls),
        all.clone(),
    );
    let ended = |result| {
        all.cancel();
        result
    };
    let (http, work, reload, ship) = tokio::join!(
        async { ended(http.await) },
        async { ended(work.await) },
        async { ended(reloader.run(&all).await.map_err(Error::from)) },
        async {
            match &upload {
                Some(upload) => ended(upload.run(&config, &state, &all).await),
                None => Ok(()),
            }
        }
    );
    work.and(reload).and(ship).and(http)
}

/// Who is told about readiness.
#[derive(Clone)]
struct Watched {
    probe: Probe,
    health: HealthReporter,
}

async fn serve_and_watch(
    config: &Config,
    sidecar: Sidecar,
    watched: Watched,
    (routes, calls): (Routes, Calls),
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let state = sidecar.state.clone();
    if !boot(config, &state, &watched, &shutdown).await? {
        return Ok(());
    }
    let routes = routes
        .add_service(
            StoreServer::new(sidecar.clone())
                .max_decoding_message_size(store::MAX_MESSAGE)
                .max_encoding_message_size(store::MAX_MESSAGE),
        )
        .add_service(InfoServer::new(sidecar.clone()))
        .add_service(RulesServer::new(sidecar.clone()))
        .add_service(TargetsServer::new(sidecar.clone()))
        .add_service(MetadataServer::new(sidecar.clone()))
        .add_service(ExemplarsServer::new(sidecar.clone()))
        .add_service(StatusServer::new(sidecar));
    let routes = calls.counting(routes);
    let grpc = serve_grpc(config, routes, shutdown.clone());
    let watch = watch(config, &state, &watched, &shutdown);
    let (grpc, ()) = tokio::join!(
        async {
            let result = grpc.await;
            shutdown.cancel();
            result
        },
        watch
    );
    grpc
}

async fn serve_grpc(
    config: &Config,
    routes: Routes,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (address, tls) = (config.grpc_address, config.grpc_server_tls.clone());
    let limits = net::Limits::with_grace(config.grpc_grace);
    Ok(net::grpc::serve(address, tls, routes, limits, shutdown).await?)
}

async fn serve_http(
    config: &Config,
    router: axum::Router,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let limits = net::Limits::with_grace(config.http_grace);
    Ok(net::http::serve(config.http_address, router, limits, shutdown).await?)
}

/// Waits for the first answer of Prometheus; `false` when asked to stop before.
async fn boot(
    config: &Config,
    state: &State,
    watched: &Watched,
    shutdown: &CancellationToken,
) -> Result<bool, Error> {
    loop {
        let refreshed = tokio::select! {
            () = shutdown.cancelled() => return Ok(false),
            refreshed = look(config, state) => refreshed?,
        };
        match refreshed {
            Ok(()) => {
                report(watched, &Ok(())).await;
                return Ok(true);
            }
            Err(PrometheusError::NoExternalLabels) => {
                return Err(Error::NoExternalLabels {
                    url: config.prometheus_url.clone(),
                });
            }
            Err(error) => {
                tracing::warn!(err = %net::log::chain(&error), "failed to fetch initial external labels. Is Prometheus running? Retrying");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(false),
            () = tokio::time::sleep(config.get_config_interval) => {}
        }
    }
}

/// The first look: with uploads, Prometheus must not compact before anything is known of it.
async fn look(config: &Config, state: &State) -> Result<Result<(), PrometheusError>, Error> {
    if let Some(uploads) = &config.uploads {
        let limit = config.get_config_timeout;
        match state.flags(limit).await {
            Ok(flags) => upload::check(uploads, flags)?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(state.refresh(config.get_config_timeout).await)
}

/// Refreshes at every interval, until `shutdown`.
async fn watch(config: &Config, state: &State, watched: &Watched, shutdown: &CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(config.get_config_interval) => {}
        }
        let refreshed = tokio::select! {
            () = shutdown.cancelled() => break,
            refreshed = state.refresh(config.get_config_timeout) => refreshed,
        };
        report(watched, &refreshed).await;
    }
    watched.probe.not_ready("shutting down");
    set_serving(&watched.health, false).await;
}

async fn report(watched: &Watched, refreshed: &Result<(), PrometheusError>) {
    match refreshed {
        Ok(()) => watched.probe.ready(),
        Err(error) => {
            tracing::warn!(err = %net::log::chain(error), "heartbeat failed");
            watched.probe.not_ready(net::log::chain(error));
        }
    }
    set_serving(&watched.health, refreshed.is_ok()).await;
}

async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    health.set_service_status("", status).await;
}

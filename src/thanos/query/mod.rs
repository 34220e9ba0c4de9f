//! The component `query`: PromQL over everything that its endpoints have.
//!
//! Flags and files name the endpoints ([`endpoints`]); a [`store::StoreSet`] checks them, a [`store::Proxy`] asks
//! them; the HTTP API is [`crate::api`]; and as the proxy is served over gRPC too, queriers can be stacked.

mod config;
mod dns;
mod endpoints;
mod metrics;
mod pattern;
mod remote;
mod sdfile;
mod services;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use net::calls::Calls;
use net::metrics::Registry;
use net::probe::Probe;
use net::{Limits, NetError};
use store::services::METHODS;
use store::{Proxy, ProxyConfig, StoreSet, StoreSetConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::{self, Api};
pub use config::{Config, ConnectionLabel, GrpcClient};
use endpoints::Endpoints;
pub use sdfile::SdFileError;
use source::Stores;
pub use store::Deduplication;

/// The component's name.
const COMPONENT: &str = "query";

/// Why a querier cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on, or TLS files cannot be used.
    #[error(transparent)]
    Net(#[from] NetError),
    /// `--endpoint.sd-config` says something that cannot be understood.
    #[error(transparent)]
    Endpoints(#[from] SdFileError),
}

/// Runs a querier until `shutdown`, then lets requests in flight finish.
///
/// # Errors
/// [`Error::Net`] when it cannot listen.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let http = net::port::listen(config.http_address).await?;
    let grpc = net::port::listen(config.grpc_address).await?;
    tracing::info!(http = %config.http_address, grpc = %config.grpc_address, "starting query node");
    serve(config, http, grpc, shutdown).await
}

/// [`run`] on listeners that are open already.
async fn serve(
    config: Config,
    http: TcpListener,
    grpc: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let registry = Registry::new();
    let probe = Probe::new(COMPONENT);
    let times = StoreSetConfig {
        info_interval: config.endpoint_info_timeout,
        info_timeout: config.endpoint_info_timeout,
        unhealthy_timeout: config.store_unhealthy_timeout,
    };
    let set = StoreSet::new(times, Some(Calls::of_clients(METHODS, &registry)));
    registry.register_collector(metrics::Connections {
        set: set.clone(),
        labels: config.connection_labels.clone(),
    });
    let proxy = Proxy::new(set.clone(), proxy_config(&config));
    let source = Stores {
        set: set.clone(),
        proxy: proxy.clone(),
        timeout: config.timeout,
        deduplication: config.deduplication,
        distributed: config.distributed.then(|| remote::Mode {
            partition: config.partition_labels.clone(),
            replica_labels: config.replica_labels(),
        }),
    };
    let api = Api::new(Arc::new(source), config.settings(), &registry);
    let router = under(&config.prefix(), api::router(api.clone(), &registry))
        .merge(net::http::admin_router(probe.clone(), registry.clone()));
    let limits = store::bucket::Limits {
        request_series: config.request_series,
        request_samples: config.request_samples,
        ..Default::default()
    };
    let (health, health_server) = tonic_health::server::health_reporter();
    let routes = Routes::new(store::ProxyServer::new(proxy.clone(), limits))
        .add_service(store::info_server(proxy.clone()))
        .add_service(health_server);
    let routes = services::add(routes, &proxy);
    let routes = routes.add_service(remote::server(api));
    let routes = Calls::of_server(METHODS, &registry).counting(routes);

    let mut endpoints = Endpoints::new(&config, set.clone(), &registry)?;
    endpoints.refresh().await;
    let tls = config.grpc_server_tls.clone();
    let limits = Limits::with_grace(config.grpc_grace);
    let serve_grpc = net::grpc::serve_on(grpc, tls, routes, limits, shutdown.clone());
    let limits = Limits::with_grace(config.http_grace);
    let serve_http = async {
        net::http::serve_on(http, router, limits, shutdown.clone()).await;
        Ok(())
    };
    let background = async {
        tokio::join!(
            set.clone().run(shutdown.clone()),
            endpoints.run(shutdown.clone()),
            readiness(&set, &probe, &health, &shutdown),
        );
        Ok(())
    };
    tokio::try_join!(serve_http, serve_grpc, background)?;
    Ok(())
}

fn proxy_config(config: &Config) -> ProxyConfig {
    let timeout = config.store_response_timeout;
    ProxyConfig {
        response_timeout: (timeout > Duration::ZERO).then_some(timeout),
        component: COMPONENT.to_owned(),
        selector_labels: config.selector_labels.clone(),
        relabel: config.relabel.clone(),
        held_limit: config.held_limit,
        ..ProxyConfig::default()
    }
}

/// The API under a prefix, to which `/` leads. Probes and metrics stay where they are.
fn under(prefix: &str, api: Router) -> Router {
    if prefix.is_empty() {
        return api;
    }
    let target = prefix.to_owned();
    let redirect = get(move || std::future::ready(Redirect::temporary(&target)));
    let with_slash = format!("{prefix}/");
    Router::new()
        .route("/", redirect.clone())
        .route(&with_slash, redirect)
        .nest(prefix, api)
}

/// Ready from the first round of checks until shutdown; the gRPC health service says the same.
async fn readiness(
    set: &StoreSet,
    probe: &Probe,
    health: &HealthReporter,
    shutdown: &CancellationToken,
) {
    health
        .set_service_status("", ServingStatus::NotServing)
        .await;
    tokio::select! {
        () = set.first_update() => {}
        () = shutdown.cancelled() => return,
    }
    probe.ready();
    health.set_service_status("", ServingStatus::Serving).await;
    shutdown.cancelled().await;
    probe.not_ready("shutting down");
    health
        .set_service_status("", ServingStatus::NotServing)
        .await;
}

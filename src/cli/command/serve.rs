//! The commands that serve: components, the ingress, the supervisor. They log, and end on SIGINT or SIGTERM.

use std::future::Future;

use tokio_util::sync::CancellationToken;

use crate::Exit;
use crate::args::{IngressArgs, LogArgs, QueryArgs, SidecarArgs, SuperviseArgs, ThanosCommand};
use crate::diagnostic::{Failure, Result};
use crate::session;

/// Async workers of a server; queries compute on threads of their own.
const WORKERS: usize = 2;

pub(crate) fn thanos(component: ThanosCommand) -> Result<Exit> {
    match component {
        ThanosCommand::Sidecar(args) => {
            log(&args.log);
            let config = sidecar(*args);
            serve(|shutdown| thanos::sidecar::run(config, shutdown))
        }
        ThanosCommand::Query(args) => {
            log(&args.log);
            let config = query(*args);
            serve(|shutdown| thanos::query::run(config, shutdown))
        }
    }
}

pub(crate) fn ingress(args: &IngressArgs) -> Result<Exit> {
    log(&args.log);
    serve(|shutdown| net::ingress::run(&args.config, shutdown))
}

pub(crate) fn supervise(args: &SuperviseArgs) -> Result<Exit> {
    net::log::init("info", net::log::Format::Logfmt);
    let served = provider::supervisor::serve(&args.data_dir, &session::executable()?);
    served
        .map(|()| Exit::Done)
        .map_err(|e| Failure::from_error(&e))
}

fn log(args: &LogArgs) {
    net::log::init(&args.level, args.format);
}

fn serve<E, F>(run: impl FnOnce(CancellationToken) -> F) -> Result<Exit>
where
    E: std::error::Error + 'static,
    F: Future<Output = std::result::Result<(), E>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("cannot start", &e))?;
    let served = runtime.block_on(async { run(net::shutdown::on_signals()).await });
    served
        .map(|()| Exit::Done)
        .map_err(|e| Failure::from_error(&e))
}

fn sidecar(args: SidecarArgs) -> thanos::sidecar::Config {
    thanos::sidecar::Config {
        grpc_server_tls: args.listen.server_tls(),
        http_address: args.listen.http_address,
        grpc_address: args.listen.grpc_address,
        prometheus_url: args.prometheus_url,
        ready_timeout: args.ready_timeout,
        get_config_interval: args.get_config_interval,
        get_config_timeout: args.get_config_timeout,
        limits: thanos::sidecar::Limits {
            request_series: args.request_series,
            request_samples: args.request_samples,
            ..Default::default()
        },
        ..Default::default()
    }
}

fn query(args: QueryArgs) -> thanos::query::Config {
    thanos::query::Config {
        grpc_server_tls: args.listen.server_tls(),
        grpc_client: args.grpc_client(),
        http_address: args.listen.http_address,
        grpc_address: args.listen.grpc_address,
        endpoints: args.endpoint,
        endpoint_strict: args.endpoint_strict,
        endpoint_sd_config_files: args.endpoint_sd_config_file,
        sd_reload_interval: args.endpoint_sd_reload_interval,
        replica_labels: args.replica_label,
        timeout: args.timeout,
        lookback_delta: args.lookback_delta,
        max_concurrent: args.max_concurrent,
        default_step: args.default_step,
        partial_response: !args.no_partial_response,
        store_response_timeout: args.store_response_timeout,
        selector_labels: args.selector_label,
        ..Default::default()
    }
}

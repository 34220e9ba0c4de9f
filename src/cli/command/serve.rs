//! The commands that serve: components, the ingress, the supervisor. They log, and end on SIGINT or SIGTERM.

use std::future::Future;

use tokio_util::sync::CancellationToken;

use crate::Exit;
use crate::args::tools::Tool;
use crate::args::{IngressArgs, LogArgs, SidecarArgs, StoreArgs, SuperviseArgs, ThanosCommand};
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::Printer;

/// Async workers of a server; queries compute on threads of their own.
const WORKERS: usize = 2;

pub(crate) fn thanos(component: ThanosCommand, printer: &Printer) -> Result<Exit> {
    match component {
        ThanosCommand::Sidecar(args) => {
            log(&args.log);
            let config = sidecar(*args)?;
            serve(|shutdown| thanos::sidecar::run(config, shutdown))
        }
        ThanosCommand::Store(args) => {
            log(&args.log);
            let config = store(*args)?;
            serve(|shutdown| thanos::store_gateway::run(config, shutdown))
        }
        ThanosCommand::Query(args) => {
            log(&args.log);
            let config = args.config()?;
            serve(|shutdown| thanos::query::run(config, shutdown))
        }
        ThanosCommand::Compact(args) => {
            log(&args.log);
            let config = args.config()?;
            serve(|shutdown| thanos::compact::run(config, shutdown))
        }
        ThanosCommand::Tools(args) => {
            let Tool::Bucket(args) = args.tool;
            super::tools::run(args.command, printer)
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

fn sidecar(args: SidecarArgs) -> Result<thanos::sidecar::Config> {
    let bucket = args.objstore.load();
    let bucket = bucket.map_err(|error| Failure::from_error(&error))?;
    let uploads = bucket.map(|bucket| thanos::sidecar::Uploads {
        shipper: args.shipper.options(),
        ignore_unequal_block_size: args.shipper.ignore_unequal_block_size,
        ..thanos::sidecar::Uploads::new(bucket, &args.shipper.tsdb_path)
    });
    Ok(thanos::sidecar::Config {
        grpc_server_tls: args.listen.server_tls(),
        http_address: args.listen.http_address,
        grpc_address: args.listen.grpc_address,
        http_grace: args.listen.http_grace,
        grpc_grace: args.listen.grpc_grace,
        prometheus_client: args.http_client.load()?,
        prometheus_url: args.prometheus_url,
        ready_timeout: args.ready_timeout,
        get_config_interval: args.get_config_interval,
        get_config_timeout: args.get_config_timeout,
        limits: thanos::sidecar::Limits {
            request_series: args.request_series,
            request_samples: args.request_samples,
            ..Default::default()
        },
        min_time: args.min_time,
        uploads,
        reloads: args.reloader.reloads(),
    })
}

fn store(args: StoreArgs) -> Result<thanos::store_gateway::Config> {
    let bucket = args.objstore.required()?;
    let relabel = args.relabel.load()?;
    Ok(thanos::store_gateway::Config {
        grpc_server_tls: args.listen.server_tls(),
        http_address: args.listen.http_address,
        grpc_address: args.listen.grpc_address,
        http_grace: args.listen.http_grace,
        grpc_grace: args.listen.grpc_grace,
        data_dir: args.data_dir,
        cache_index_header: !args.no_cache_index_header,
        sync_interval: args.sync_interval,
        block_sync_concurrency: args.block_sync_concurrency,
        block_meta_fetch_concurrency: args.block_meta_fetch_concurrency,
        discovery: match args.discovery.as_str() {
            "recursive" => thanos::store_gateway::Discovery::Recursive,
            _ => thanos::store_gateway::Discovery::Concurrent,
        },
        min_time: args.min_time,
        max_time: args.max_time,
        relabel,
        consistency_delay: args.consistency_delay,
        ignore_deletion_marks_delay: args.ignore_deletion_marks_delay,
        limits: thanos::store_gateway::Limits {
            request_series: args.request_series,
            request_samples: args.request_samples,
            downloaded_bytes: args.downloaded_bytes,
        },
        max_concurrency: args.max_concurrency,
        memory_budget: args.memory_budget,
        lazy_headers: args.lazy_headers,
        lazy_idle_timeout: args.lazy_idle_timeout,
        lazy_download: args.lazy_download == "lazy",
        estimates: thanos::store_gateway::Estimates {
            series: args.estimated_series,
            chunk: args.estimated_chunk,
        },
        series_batch: args.series_batch,
        ..thanos::store_gateway::Config::new(bucket)
    })
}

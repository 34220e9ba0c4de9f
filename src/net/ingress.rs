//! The TLS gateway in front of a sidecar: who shows the right certificate for the right host reaches the
//! backend, everybody else ends in the handshake.
//!
//! A connection passes four doors, each of which answers with a TLS alert when it stays shut: the host
//! asked for (SNI, RFC 6066) must be a route; HTTP/2 must be offered (ALPN, RFC 7301); the client's
//! certificate must come from the route's CAs, be in its time and for clients; and one of its names must
//! be pinned. Then each request must name the same host (else 421, RFC 9110 15.5.20), and is streamed
//! to the backend over HTTP/2 without TLS, trailers included.
//!
//! The configuration and its files are re-read when they change. What is open stays open; a set of files
//! that cannot be used is logged and the old one stays.

mod config;
mod gateway;
mod identity;
mod metrics;
mod outcome;
mod proxy;
mod route;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::http::admin_router;
use crate::metrics::Registry;
use crate::probe::Probe;
use crate::{Limits, http, port, watch};

pub use config::{Config, Error, RouteConfig};
use gateway::Gateway;
use route::Table;

/// Serves the ingress that this file describes, until `shutdown`; follows the file and the certificates
/// that it names. `listen`, `http` and `max_connections` are those of the start.
///
/// # Errors
/// [`Error`] when the first configuration cannot be used or an address cannot be listened on.
pub async fn run(config_path: &Path, shutdown: CancellationToken) -> Result<(), Error> {
    let registry = Registry::new();
    let probe = Probe::new("ingress");
    let (reloads, table) = Reloads::start(config_path)?;
    let config = table.config.clone();
    let listener = port::listen(config.listen).await?;
    let admin_listener = port::listen(config.http).await?;
    tracing::info!(address = %config.listen, http = %config.http, "listening for TLS clients");
    let gateway = Arc::new(Gateway::new(table, &registry));
    let admin = http::serve_on(
        admin_listener,
        admin_router(probe.clone(), registry),
        Limits::default(),
        shutdown.clone(),
    );
    probe.ready();
    tokio::join!(
        admin,
        reloads.follow(&gateway, &shutdown),
        Arc::clone(&gateway).run(listener, shutdown.clone()),
        async {
            shutdown.cancelled().await;
            probe.not_ready("shutting down");
        },
    );
    Ok(())
}

/// The configuration on disk, followed.
struct Reloads {
    path: PathBuf,
    watched: Vec<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl Reloads {
    /// Reads the configuration, and everything that changes from then on is a change to follow.
    fn start(path: &Path) -> Result<(Self, Table), Error> {
        let watched = Self::files(path, &Config::load(path)?);
        let changes = watch::files(watched.clone());
        let table = Table::load(path)?;
        let mut reloads = Self {
            path: path.to_owned(),
            watched,
            changes,
        };
        reloads.watch(&table);
        Ok((reloads, table))
    }

    fn files(path: &Path, config: &Config) -> Vec<PathBuf> {
        std::iter::once(path.to_owned())
            .chain(config.files().cloned())
            .collect()
    }

    /// Watches what this table was made of. `true` when that is not what was watched so far.
    fn watch(&mut self, table: &Table) -> bool {
        let files = Self::files(&self.path, &table.config);
        let other = files != self.watched;
        if other {
            self.changes = watch::files(files.clone());
            self.watched = files;
        }
        other
    }

    async fn follow(mut self, gateway: &Gateway, shutdown: &CancellationToken) {
        loop {
            let changed = tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.changes.recv() => changed,
            };
            if changed.is_none() {
                // The watcher could not start and has said so; there is nothing to follow.
                return shutdown.cancelled().await;
            }
            self.reload(gateway);
        }
    }

    fn reload(&mut self, gateway: &Gateway) {
        let loaded = Table::load(&self.path).and_then(|table| {
            // Files named for the first time may have changed before they were watched: read again.
            if self.watch(&table) {
                Table::load(&self.path)
            } else {
                Ok(table)
            }
        });
        match loaded {
            Ok(table) => {
                tracing::info!(path = %self.path.display(), routes = table.len(), "reloaded configuration");
                gateway.replace(table);
            }
            Err(error) => {
                let err = &error as &dyn std::error::Error;
                tracing::error!(
                    err,
                    "cannot use the changed configuration, keeping the old one"
                );
                gateway.kept();
            }
        }
    }
}

//! Routes as they are served: the configuration with its files read.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use super::config::{Config, Error, RouteConfig};
use super::identity::Pinned;
use crate::tls::{H2, TlsError, Version, authorities, certificates, harden, server_builder};

/// All routes of one configuration.
pub(super) struct Table {
    pub(super) config: Config,
    routes: HashMap<String, Arc<Route>>,
}

/// One host.
pub(super) struct Route {
    pub(super) host: String,
    pub(super) backend: String,
    pub(super) tls: Arc<ServerConfig>,
    /// When the certificate ends, seconds since 1970.
    pub(super) not_after: i64,
}

impl Table {
    /// Reads the configuration and every file it names.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let config = Config::load(path)?;
        let routes = config
            .routes
            .iter()
            .map(|route| {
                let loaded = Route::load(route).map_err(|error| Error::Route {
                    host: route.host.clone(),
                    source: Box::new(error),
                })?;
                Ok((route.host.clone(), Arc::new(loaded)))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { config, routes })
    }

    pub(super) fn get(&self, host: &str) -> Option<&Arc<Route>> {
        self.routes.get(&host.to_ascii_lowercase())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }
}

impl Route {
    fn load(config: &RouteConfig) -> Result<Self, TlsError> {
        let roots = authorities(&config.client_ca_file)?;
        let unusable = |source| TlsError::Unusable {
            what: "CA bundle",
            path: config.client_ca_file.clone(),
            source,
        };
        let pinned = Pinned::new(roots, &config.host, &config.identities).map_err(unusable)?;
        let (cert, key) = (&config.cert_file, &config.key_file);
        let mut tls = server_builder(cert, key, Some(Arc::new(pinned)), Version::V12)?;
        tls.alpn_protocols = vec![H2.to_vec()];
        harden(&mut tls);
        Ok(Self {
            host: config.host.clone(),
            backend: config.backend.clone(),
            tls: Arc::new(tls),
            not_after: not_after(&config.cert_file)?,
        })
    }
}

fn not_after(path: &Path) -> Result<i64, TlsError> {
    let chain = certificates(path)?;
    let leaf = chain
        .first()
        .and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    let (_, leaf) = leaf.ok_or_else(|| TlsError::Empty {
        what: "X.509 certificate",
        path: path.to_owned(),
    })?;
    Ok(leaf.validity().not_after.timestamp())
}

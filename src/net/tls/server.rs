//! The server's side: a configuration from files, replaced as a whole when one of them changes.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};

use super::{
    ServerTls, Stamp, TlsError, Version, authorities, certificates, private_key, provider,
};

impl ServerTls {
    /// Reads the files now.
    ///
    /// # Errors
    /// [`TlsError`] that names the file and what is wrong with it.
    pub fn load(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = match &self.client_ca {
            Some(path) => Some(client_verifier(path)?),
            None => None,
        };
        let mut config = server_builder(&self.cert, &self.key, verifier, self.min_version)?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        harden(&mut config);
        Ok(Arc::new(config))
    }

    fn stamps(&self) -> Vec<Stamp> {
        let files = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        files
            .into_iter()
            .flatten()
            .map(|path| Stamp::of(path))
            .collect()
    }
}

fn client_verifier(bundle: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(authorities(bundle)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| TlsError::Unusable {
            what: "CA bundle",
            path: bundle.to_owned(),
            source: rustls::Error::General(error.to_string()),
        })
}

/// TLS of this version and later with this certificate; without a verifier, clients show none.
pub(crate) fn server_builder(
    cert: &Path,
    key: &Path,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    min_version: Version,
) -> Result<ServerConfig, TlsError> {
    let unusable = |source| TlsError::Unusable {
        what: "certificate",
        path: cert.into(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(min_version.and_later())
        .map_err(unusable)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    builder
        .with_single_cert(certificates(cert)?, private_key(key)?)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                cert: cert.into(),
                key: key.into(),
            },
            source => unusable(source),
        })
}

/// No session resumption, so that every connection checks the client's certificate anew.
pub(crate) fn harden(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

/// A configuration that follows its files.
#[derive(Debug)]
pub(crate) struct Reloading {
    files: ServerTls,
    alpn: &'static [&'static [u8]],
    current: ArcSwap<ServerConfig>,
    /// Of the files when they were last tried, well or not: a broken set is reported once.
    tried: Mutex<Vec<Stamp>>,
}

impl Reloading {
    pub(crate) fn new(files: ServerTls, alpn: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        // Stamped before reading: a change in between is seen at the next connection.
        let tried = Mutex::new(files.stamps());
        let current = ArcSwap::new(files.load(alpn)?);
        Ok(Self {
            files,
            alpn,
            current,
            tried,
        })
    }

    /// What a new connection should use. Looks at the files' stamps; on an error the old one stays.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let stamps = self.files.stamps();
        let mut tried = self.tried.lock();
        if *tried != stamps {
            *tried = stamps;
            match self.files.load(self.alpn) {
                Ok(config) => {
                    self.current.store(config);
                    tracing::info!(cert = %self.files.cert.display(), "reloaded TLS files");
                }
                Err(error) => tracing::error!(
                    err = &error as &dyn std::error::Error,
                    "cannot reload TLS files, keeping the old ones"
                ),
            }
        }
        self.current.load_full()
    }
}

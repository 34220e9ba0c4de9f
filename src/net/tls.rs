//! TLS from files, with rustls over aws-lc-rs.
//!
//! The provider is named in every configuration, so nothing here depends on what `main` installed.
//! Sessions are never resumed where clients show certificates: a resumed session would skip the check.

mod client;
mod pem;
mod server;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
mod version;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

pub(crate) use pem::{authorities, certificates, private_key};
pub(crate) use server::{Reloading, harden, server_builder};
pub(crate) use stamp::Stamp;
pub use version::Version;

/// The ALPN name of HTTP/2.
pub(crate) const H2: &[u8] = b"h2";

/// A server's certificate and key, and the authorities its clients' certificates must come from
/// (`None`: clients need no certificate). All files are PEM and re-read when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// The certificate chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key (PKCS#8, SEC1 or PKCS#1).
    pub key: PathBuf,
    /// One or several CA certificates.
    pub client_ca: Option<PathBuf>,
    /// The oldest version that clients may speak.
    pub min_version: Version,
}

/// How a client checks a server, and what it shows of itself. All files are PEM and re-read on each
/// new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// CA certificates to trust; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain, leaf first; needs `key`.
    pub cert: Option<PathBuf>,
    /// The client's private key; needs `cert`.
    pub key: Option<PathBuf>,
    /// The name to ask for (SNI), to verify and to send as `:authority`; `None`: the address's host.
    pub server_name: Option<String>,
    /// Accept any server certificate.
    pub skip_verify: bool,
    /// The oldest version that the server may speak.
    pub min_version: Version,
}

/// TLS material that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} {}", path.display())]
    Read {
        /// `certificate`, `private key`, `CA bundle`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not well-formed PEM.
    #[error("{what} {} is not valid PEM", path.display())]
    Pem {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A PEM file without the section that is needed.
    #[error("{} holds no {what}", path.display())]
    Empty {
        /// What is missing.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error("private key {} does not belong to certificate {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The content is PEM, but not what a TLS library can use.
    #[error("{what} {} cannot be used", path.display())]
    Unusable {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// A certificate without a key, or the other way round.
    #[error("a client certificate needs both a certificate and a key file, only {} is given", given.display())]
    Half {
        /// The file that is given.
        given: PathBuf,
    },
    /// No trusted certificate on this system.
    #[error("no CA certificate is installed on this system, and no CA file is given")]
    NoSystemRoots,
    /// A name that cannot be verified in a certificate.
    #[error("{name:?} is neither a DNS name nor an IP address")]
    ServerName {
        /// What was given.
        name: String,
    },
}

/// Installs the one TLS provider for libraries that ask for a process-wide one. Call first in `main`;
/// a second call changes nothing.
pub fn install_default() {
    // `Err` means that somebody installed a provider before: there is only one in this binary.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The one provider.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

#[cfg(test)]
mod tests {
    use super::testing::{Leaf, Pki};
    use super::*;
    use crate::log::chain;

    fn server_error(pki: &Pki, change: impl FnOnce(&mut ServerTls)) -> String {
        let mut tls = pki.server();
        change(&mut tls);
        chain(&tls.load(&[H2]).unwrap_err())
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
        let pki = Pki::new();
        pki.server().load(&[H2]).unwrap();
        let path = |name: &str| pki.path(name).display().to_string();

        let error = server_error(&pki, |tls| tls.cert = pki.path("none.pem"));
        let wanted = format!("cannot read certificate {}: No such file", path("none.pem"));
        assert!(error.starts_with(&wanted), "{error}");

        let error = server_error(&pki, |tls| tls.key = pki.path("server.pem"));
        assert_eq!(
            error,
            format!("{} holds no private key", path("server.pem"))
        );

        let error = server_error(&pki, |tls| tls.client_ca = Some(pki.path("server.key")));
        assert_eq!(
            error,
            format!("{} holds no certificate", path("server.key"))
        );

        let error = server_error(&pki, |tls| tls.key = pki.path("client.key"));
        let (key, cert) = (path("client.key"), path("server.pem"));
        assert_eq!(
            error,
            format!("private key {key} does not belong to certificate {cert}")
        );

        std::fs::write(pki.path("bad.pem"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        let error = server_error(&pki, |tls| tls.cert = pki.path("bad.pem"));
        assert!(
            error.contains(&path("bad.pem")) && error.contains("valid PEM"),
            "{error}"
        );

        let half = ClientTls {
            key: None,
            ..pki.client()
        };
        let error = half.load(&[H2]).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("only {} is given", path("client.pem"))),
            "{error}"
        );
    }

    #[test]
    fn a_server_takes_changed_files_and_keeps_the_old_ones_when_they_are_broken() {
        let pki = Pki::new();
        let reloading = Reloading::new(pki.server(), &[H2]).unwrap();
        let first = reloading.current();
        assert!(Arc::ptr_eq(&first, &reloading.current()));
        testing::replace(&pki.path("server.key"), "nothing");
        assert!(Arc::ptr_eq(&first, &reloading.current()), "a broken key");
        pki.write("server", &pki.authority.issue(&Leaf::server("server.test")));
        assert!(!Arc::ptr_eq(&first, &reloading.current()), "a new pair");
    }
}

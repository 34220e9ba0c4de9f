//! Certificates, keys and CA bundles out of PEM files (RFC 7468), with errors that name the file.

use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";
const BUNDLE: &str = "CA bundle";

/// All certificates of a file, in its order; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all_certificates(path, CERTIFICATE)
}

/// The first private key of a file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path, KEY)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound => TlsError::Empty {
            what: KEY,
            path: path.to_owned(),
        },
        source => TlsError::Pem {
            what: KEY,
            path: path.to_owned(),
            source,
        },
    })
}

/// The certificates of a file as trust anchors; at least one.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in all_certificates(path, BUNDLE)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Unusable {
                what: BUNDLE,
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

fn all_certificates(
    path: &Path,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path, what)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|source| TlsError::Pem {
        what,
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            what: CERTIFICATE,
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

//! Who a client is: the names in its certificate, and which of them may come in.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;

use crate::tls::provider;

/// Verifies chain, time and purpose as WebPKI does, then that the leaf has a pinned name.
#[derive(Debug)]
pub(super) struct Pinned {
    chain: Arc<dyn ClientCertVerifier>,
    host: String,
    identities: Vec<String>,
}

impl Pinned {
    pub(super) fn new(
        roots: RootCertStore,
        host: &str,
        identities: &[String],
    ) -> Result<Self, Error> {
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self {
            chain,
            host: host.to_owned(),
            identities: identities.to_vec(),
        })
    }
}

/// The URI names, DNS names and common names of a certificate, in this order.
pub(super) fn names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative
        .iter()
        .flat_map(|names| &names.value.general_names);
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in alternative {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(host) => hosts.push((*host).to_owned()),
            _ => {}
        }
    }
    let common = certificate.subject().iter_common_name();
    uris.append(&mut hosts);
    uris.extend(common.filter_map(|name| name.as_str().ok().map(str::to_owned)));
    uris
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        let seen = names(leaf);
        if seen.iter().any(|name| self.identities.contains(name)) {
            return Ok(verified);
        }
        tracing::warn!(host = %self.host, identity = %seen.join(","), "client is not pinned");
        Err(Error::InvalidCertificate(
            CertificateError::ApplicationVerificationFailure,
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

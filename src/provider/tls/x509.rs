//! Making and reading certificates (X.509 v3, RFC 5280): ECDSA P-384 for authorities, P-256 for those they sign.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType,
    SerialNumber, date_time_ymd,
};
use x509_parser::pem::parse_x509_pem;

use super::validity::Span;
use crate::properties::sha256;

/// A certificate and its private key, in PEM.
pub(super) struct Pair {
    pub(super) cert_pem: String,
    pub(super) key_pem: String,
    /// SHA-256 of the certificate's DER.
    pub(super) fingerprint: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum X509Error {
    #[error("cannot sign")]
    Sign(#[source] rcgen::Error),
    #[error("the system has no random numbers")]
    Random,
    #[error("not a certificate in PEM")]
    NotACertificate,
    #[error("not a private key in PEM")]
    NotAKey,
    #[error("the key is not that of the certificate")]
    OtherKey,
    #[error("not the certificate of an authority")]
    NotAnAuthority,
    #[error("{0:?} has letters that are not ASCII")]
    NotAscii(String),
}

/// What a certificate says of itself.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) not_after: Timestamp,
    pub(super) fingerprint: String,
    is_ca: bool,
    public_key: Vec<u8>,
}

/// What to put into a leaf certificate.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) common_name: String,
    pub(super) dns_names: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
    pub(super) uris: Vec<String>,
    pub(super) server: bool,
    pub(super) client: bool,
    pub(super) span: Span,
}

/// A new authority that signs leaves only (path length 0), by its own signature.
pub(super) fn authority(
    common_name: &str,
    organization: Option<&str>,
    span: Span,
) -> Result<Pair, X509Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(X509Error::Sign)?;
    let mut params = params(common_name, span)?;
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(X509Error::Sign)?;
    Ok(pair(&certificate, &key))
}

/// A new key and its certificate, signed by the authority of `ca_cert_pem`.
pub(super) fn leaf(leaf: &Leaf, ca_cert_pem: &str, ca_key_pem: &str) -> Result<Pair, X509Error> {
    let ca_key = KeyPair::from_pem(ca_key_pem).map_err(|_| X509Error::NotAKey)?;
    let issuer =
        Issuer::from_ca_cert_pem(ca_cert_pem, ca_key).map_err(|_| X509Error::NotACertificate)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(X509Error::Sign)?;
    let mut params = params(&leaf.common_name, leaf.span)?;
    // Explicitly no authority: only then is the subject's key identifier written.
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = [
        leaf.server.then_some(ExtendedKeyUsagePurpose::ServerAuth),
        leaf.client.then_some(ExtendedKeyUsagePurpose::ClientAuth),
    ]
    .into_iter()
    .flatten()
    .collect();
    params.subject_alt_names = alternative_names(leaf)?;
    let certificate = params.signed_by(&key, &issuer).map_err(X509Error::Sign)?;
    Ok(pair(&certificate, &key))
}

fn alternative_names(leaf: &Leaf) -> Result<Vec<SanType>, X509Error> {
    let ascii = |text: &String| {
        Ia5String::try_from(text.as_str()).map_err(|_| X509Error::NotAscii(text.clone()))
    };
    let dns = leaf
        .dns_names
        .iter()
        .map(|name| ascii(name).map(SanType::DnsName));
    let uris = leaf.uris.iter().map(|uri| ascii(uri).map(SanType::URI));
    let addresses = leaf
        .ip_addresses
        .iter()
        .map(|address| Ok(SanType::IpAddress(*address)));
    dns.chain(uris).chain(addresses).collect()
}

fn params(common_name: &str, span: Span) -> Result<CertificateParams, X509Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // The library's dates are of a crate of its own; they can be counted up from a day.
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(span.not_before);
    params.not_after = epoch + since_epoch(span.not_after);
    params.serial_number = Some(serial()?);
    Ok(params)
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default())
}

/// 126 random bits between a sign bit of 0 and a first bit of 1: positive, and of one length.
fn serial() -> Result<SerialNumber, X509Error> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| X509Error::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Pair {
    Pair {
        cert_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        fingerprint: sha256(certificate.der()),
    }
}

/// What the (first) certificate of `cert_pem` says.
pub(super) fn facts(cert_pem: &str) -> Result<Facts, X509Error> {
    let (_, pem) = parse_x509_pem(cert_pem.as_bytes()).map_err(|_| X509Error::NotACertificate)?;
    let certificate = pem.parse_x509().map_err(|_| X509Error::NotACertificate)?;
    let not_after = certificate.validity().not_after.timestamp();
    Ok(Facts {
        not_after: Timestamp::from_second(not_after).unwrap_or(Timestamp::MAX),
        fingerprint: sha256(&pem.contents),
        is_ca: certificate.is_ca(),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

impl Facts {
    /// That `key_pem` is the private key of this certificate.
    pub(super) fn check_key(&self, key_pem: &str) -> Result<(), X509Error> {
        let key = KeyPair::from_pem(key_pem).map_err(|_| X509Error::NotAKey)?;
        let ours = key.public_key_raw() == self.public_key;
        if ours {
            Ok(())
        } else {
            Err(X509Error::OtherKey)
        }
    }

    /// That this certificate may sign others.
    pub(super) fn check_authority(&self) -> Result<(), X509Error> {
        if self.is_ca {
            Ok(())
        } else {
            Err(X509Error::NotAnAuthority)
        }
    }
}

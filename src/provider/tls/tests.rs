use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use plan::Allocator;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::*;

use super::*;

/// 2026-01-01.
const START: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

struct NoPorts;

impl Allocator for NoPorts {
    fn port(
        &mut self,
        _: &str,
        _: Option<u16>,
        _: &dyn Fn(u16) -> bool,
    ) -> Result<u16, ProviderError> {
        Err(ProviderError::new("no ports here"))
    }
}

struct Bench {
    tls: Tls,
    now: Arc<AtomicI64>,
}

impl Bench {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&now);
        let tls = Tls::new(Arc::new(move || {
            Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap()
        }));
        Self { tls, now }
    }

    fn plan(&self, kind: &str, properties: &Attributes, prior: Option<&Attributes>) -> Planned {
        self.try_plan(kind, properties, prior).unwrap()
    }

    fn try_plan(
        &self,
        kind: &str,
        properties: &Attributes,
        prior: Option<&Attributes>,
    ) -> Result<Planned, ProviderError> {
        let address = address(kind);
        let allocator = &mut NoPorts;
        self.tls.plan(PlanRequest {
            address: &address,
            properties,
            prior,
            allocator,
        })
    }

    async fn make(&self, kind: &str, properties: &Attributes) -> Attributes {
        let Planned::Attributes {
            attributes,
            replace,
        } = self.plan(kind, properties, None)
        else {
            panic!("skipped");
        };
        assert!(replace.is_empty());
        assert!(!attributes["cert_pem"].is_known());
        self.tls
            .create(&address(kind), &attributes, "")
            .await
            .unwrap()
    }

    async fn authority(&self) -> Attributes {
        self.make(
            "tls.ca",
            &of(&[("common_name", "pio-thanos-observer".into())]),
        )
        .await
    }
}

fn address(kind: &str) -> Address {
    format!("local/eu-west-1/observer/pki:{kind}.x")
        .parse()
        .unwrap()
}

fn of(pairs: &[(&str, Value)]) -> Attributes {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn list(texts: &[&str]) -> Value {
    texts.iter().copied().collect()
}

fn leaf_of(ca: &Attributes) -> Attributes {
    of(&[
        ("ca_cert_pem", ca["cert_pem"].clone()),
        ("ca_key_pem", ca["key_pem"].clone()),
        ("common_name", "observer".into()),
        (
            "dns_names",
            list(&["thanos-sidecar.observee.example.org", "localhost"]),
        ),
        ("ip_addresses", list(&["127.0.0.1"])),
        ("uris", list(&["spiffe://demo/observer/x"])),
        ("usages", list(&["server", "client"])),
    ])
}

fn der(attributes: &Attributes) -> Vec<u8> {
    let pem = attributes["cert_pem"].as_text().unwrap();
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn replaced(planned: &Planned) -> Vec<&str> {
    let Planned::Attributes { replace, .. } = planned else {
        panic!("skipped")
    };
    replace.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn an_authority_signs_leaves_and_nothing_else() {
    let ca = Bench::new().authority().await;
    let der = der(&ca);
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(cert.subject().to_string(), "CN=pio-thanos-observer");
    let constraints = cert.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = cert.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    let life = cert.validity().not_after.timestamp() - START;
    assert_eq!(life, 10 * 365 * DAY);
    assert!(matches!(ca["key_pem"], Value::Secret(_)));
    assert_eq!(
        cert.public_key().subject_public_key.data.len(),
        97,
        "a point of P-384"
    );
}

#[tokio::test]
async fn a_leaf_is_accepted_by_those_who_trust_its_authority() {
    let bench = Bench::new();
    let ca = bench.authority().await;
    let leaf = bench.make("tls.certificate", &leaf_of(&ca)).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(&ca).into()).unwrap();
    let roots = Arc::new(roots);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(START as u64 + 60));
    let cert = CertificateDer::from(der(&leaf));

    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    clients
        .build()
        .unwrap()
        .verify_client_cert(&cert, &[], now)
        .unwrap();

    let servers = rustls::client::WebPkiServerVerifier::builder_with_provider(roots, provider);
    let servers = servers.build().unwrap();
    let verify = |name: &str| {
        use rustls::client::danger::ServerCertVerifier;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        servers.verify_server_cert(&cert, &[], &name, &[], now)
    };
    verify("thanos-sidecar.observee.example.org").unwrap();
    verify("127.0.0.1").unwrap();
    verify("other.example.org").unwrap_err();

    let key = leaf["key_pem"].as_text().unwrap();
    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_leaf_carries_its_names_usages_and_key_identifiers() {
    let bench = Bench::new();
    let ca = bench.authority().await;
    let mut properties = leaf_of(&ca);
    properties.insert("usages".into(), list(&["client"]));
    let der = der(&bench.make("tls.certificate", &properties).await);
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    let usage = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    let names = &cert
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert!(names.contains(&GeneralName::URI("spiffe://demo/observer/x")));
    assert!(names.contains(&GeneralName::IPAddress(&[127, 0, 0, 1])));
    assert!(names.contains(&GeneralName::DNSName("localhost")));
    let ids: Vec<&str> = cert
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(_) => Some("authority"),
            ParsedExtension::SubjectKeyIdentifier(_) => Some("subject"),
            _ => None,
        })
        .collect();
    assert!(
        ids.contains(&"authority") && ids.contains(&"subject"),
        "{ids:?}"
    );
    assert!(!cert.is_ca());
}

#[tokio::test]
async fn serial_numbers_are_never_twice_the_same() {
    let bench = Bench::new();
    let serial = |attributes: &Attributes| {
        let der = der(attributes);
        X509Certificate::from_der(&der)
            .unwrap()
            .1
            .raw_serial()
            .to_vec()
    };
    let (a, b) = (bench.authority().await, bench.authority().await);
    assert_eq!(serial(&a).len(), 16);
    assert_ne!(serial(&a), serial(&b));
}

#[tokio::test]
async fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
    let bench = Bench::new();
    let ca = bench.authority().await;
    let properties = leaf_of(&ca);
    let leaf = bench.make("tls.certificate", &properties).await;
    let again = bench.plan("tls.certificate", &properties, Some(&leaf));
    assert_eq!(
        again,
        Planned::Attributes {
            attributes: leaf.clone(),
            replace: Vec::new()
        }
    );

    bench.now.store(START + 59 * DAY, Ordering::SeqCst);
    assert!(replaced(&bench.plan("tls.certificate", &properties, Some(&leaf))).is_empty());
    bench.now.store(START + 60 * DAY, Ordering::SeqCst);
    let renewed = bench.plan("tls.certificate", &properties, Some(&leaf));
    assert_eq!(replaced(&renewed), ["renew_after"]);
    assert!(
        replaced(&bench.plan(
            "tls.ca",
            &of(&[("common_name", "pio-thanos-observer".into())]),
            Some(&ca)
        ))
        .is_empty()
    );
    bench.now.store(START + 9 * 365 * DAY, Ordering::SeqCst);
    let old = bench.plan(
        "tls.ca",
        &of(&[("common_name", "pio-thanos-observer".into())]),
        Some(&ca),
    );
    assert_eq!(replaced(&old), ["not_after"]);
}

#[tokio::test]
async fn whatever_is_signed_makes_another_certificate_and_nothing_else_does() {
    let bench = Bench::new();
    let ca = bench.authority().await;
    let properties = leaf_of(&ca);
    let leaf = bench.make("tls.certificate", &properties).await;
    let other_ca = bench.authority().await;
    for (name, value) in [
        ("common_name", Value::from("other")),
        ("dns_names", list(&["localhost"])),
        ("ip_addresses", list(&[])),
        ("uris", Value::Null),
        ("usages", list(&["client"])),
        ("validity", "30d".into()),
        ("ca_cert_pem", other_ca["cert_pem"].clone()),
        ("ca_cert_pem", Value::unknown("tls.ca.x.cert_pem")),
    ] {
        let mut changed = properties.clone();
        changed.insert(name.to_owned(), value);
        let planned = bench.plan("tls.certificate", &changed, Some(&leaf));
        assert_eq!(replaced(&planned), [name]);
    }
    let mut same = properties.clone();
    same.insert(
        "dns_names".into(),
        list(&["localhost", "thanos-sidecar.observee.example.org"]),
    );
    same.insert("validity".into(), "90d".into());
    assert!(replaced(&bench.plan("tls.certificate", &same, Some(&leaf))).is_empty());
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_not_there_yet_can_be_planned() {
    let bench = Bench::new();
    let mut properties = leaf_of(&bench.authority().await);
    properties.insert("ca_cert_pem".into(), Value::unknown("the authority"));
    properties.insert("ca_key_pem".into(), Value::unknown("the authority"));
    let Planned::Attributes { attributes, .. } = bench.plan("tls.certificate", &properties, None)
    else {
        panic!("skipped");
    };
    assert!(!attributes["renew_after"].is_known());
    let error = bench
        .tls
        .create(&address("tls.certificate"), &attributes, "")
        .await
        .unwrap_err();
    assert_eq!(error.message, "`ca_cert_pem` still waits for the authority");
}

#[tokio::test]
async fn a_record_that_is_damaged_reads_as_gone() {
    let bench = Bench::new();
    let ca = bench.authority().await;
    let address = address("tls.ca");
    assert_eq!(
        bench.tls.read(&address, &ca).await.unwrap(),
        Some(ca.clone())
    );
    let other = bench.authority().await;
    assert_eq!(
        bench.tls.create(&address, &ca, "").await.unwrap(),
        ca,
        "what is planned to stay stays"
    );
    for (name, value) in [
        ("cert_pem", Value::from("garbage")),
        ("cert_pem", other["cert_pem"].clone()),
        ("key_pem", other["key_pem"].clone()),
        ("fingerprint", "00".into()),
        ("key_pem", Value::Null),
    ] {
        let mut damaged = ca.clone();
        damaged.insert(name.to_owned(), value);
        assert_eq!(
            bench.tls.read(&address, &damaged).await.unwrap(),
            None,
            "{name}"
        );
    }
}

#[tokio::test]
async fn mistakes_name_their_property() {
    let bench = Bench::new();
    let ca = bench.authority().await;
    for (name, value) in [
        ("usages", list(&["signing"])),
        ("usages", list(&[])),
        ("ip_addresses", list(&["localhost"])),
        ("dns_names", list(&["a b"])),
        ("uris", list(&["nowhere"])),
        ("validity", "soon".into()),
        ("common_name", "x".repeat(65).into()),
        ("colour", "blue".into()),
    ] {
        let mut properties = leaf_of(&ca);
        properties.insert(name.to_owned(), value);
        let error = bench
            .try_plan("tls.certificate", &properties, None)
            .unwrap_err();
        assert_eq!(error.property.as_deref(), Some(name), "{error}");
    }
    let mut properties = leaf_of(&ca);
    properties.insert(
        "ca_key_pem".into(),
        bench.authority().await["key_pem"].clone(),
    );
    let error = bench
        .tls
        .create(&address("tls.certificate"), &properties, "")
        .await
        .unwrap_err();
    assert_eq!(error.property.as_deref(), Some("ca_key_pem"));
}

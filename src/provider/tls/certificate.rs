//! `tls.certificate`: a certificate for a server, a client or both, signed by a `tls.ca`. P-256, renewed after two thirds of its life.

use std::net::IpAddr;

use jiff::Timestamp;
use plan::{Kind, PlanRequest, Planned, ProviderError};
use stack::{Attributes, Value};

use super::validity::{self, Span};
use super::x509::{self, Leaf, X509Error};
use super::{check_common_name, is_due, planned, record};
use crate::properties::Properties;

pub(super) const KIND: Kind = Kind {
    name: "tls.certificate",
    properties: &[
        "ca_cert_pem",
        "ca_key_pem",
        "common_name",
        "dns_names",
        "ip_addresses",
        "uris",
        "usages",
        "validity",
    ],
    computed: &[
        "cert_pem",
        "key_pem",
        "not_before",
        "not_after",
        "renew_after",
        "fingerprint",
    ],
};

const VALIDITY: &str = "90d";

/// What of the wish is known so far; lists that are not are empty here, and checked once they are.
struct Wanted<'a> {
    ca: Option<(&'a str, &'a str)>,
    common_name: &'a str,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    uris: Vec<String>,
    server: bool,
    client: bool,
    seconds: i64,
}

fn wanted(properties: Properties<'_>) -> Result<Wanted<'_>, ProviderError> {
    let common_name = properties.required("common_name")?.unwrap_or_default();
    check_common_name(common_name)?;
    let ca = properties
        .required("ca_cert_pem")?
        .zip(properties.required("ca_key_pem")?);
    let (server, client) = usages(properties)?;
    let validity = properties.text("validity")?.unwrap_or(VALIDITY);
    Ok(Wanted {
        ca,
        common_name,
        dns_names: names(properties, "dns_names", is_host)?,
        ip_addresses: addresses(properties)?,
        uris: names(properties, "uris", |uri| {
            uri.is_ascii() && uri.contains(':')
        })?,
        server,
        client,
        seconds: validity::parse("validity", validity)?,
    })
}

fn usages(properties: Properties<'_>) -> Result<(bool, bool), ProviderError> {
    let (mut server, mut client) = (false, false);
    let Some(usages) = properties.texts("usages")? else {
        return Ok((true, true));
    };
    for usage in usages {
        match usage.as_str() {
            "server" => server = true,
            "client" => client = true,
            other => {
                let message = format!("`usages` has {other:?}");
                let error = ProviderError::new(message).property("usages");
                return Err(error.help("write server, client or both"));
            }
        }
    }
    if server || client {
        return Ok((server, client));
    }
    Err(ProviderError::new("`usages` is empty")
        .property("usages")
        .help("write server or client"))
}

/// A DNS name, perhaps with a wildcard as its first label.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(fits)
    };
    name.len() <= 253
        && name
            .strip_prefix("*.")
            .unwrap_or(name)
            .split('.')
            .all(label)
}

fn names(
    properties: Properties<'_>,
    property: &str,
    fits: fn(&str) -> bool,
) -> Result<Vec<String>, ProviderError> {
    let names = properties.texts(property)?.unwrap_or_default();
    match names.iter().find(|name| !fits(name)) {
        None => Ok(names),
        Some(name) => {
            let message = format!("`{property}` has {name:?}, which cannot be one");
            Err(ProviderError::new(message).property(property))
        }
    }
}

fn addresses(properties: Properties<'_>) -> Result<Vec<IpAddr>, ProviderError> {
    let texts = properties.texts("ip_addresses")?.unwrap_or_default();
    let parse = |text: &String| {
        let message = || format!("`ip_addresses` has {text:?}, which is none");
        text.parse()
            .map_err(|_| ProviderError::new(message()).property("ip_addresses"))
    };
    texts.iter().map(parse).collect()
}

pub(super) fn plan(request: &PlanRequest<'_>, now: Timestamp) -> Result<Planned, ProviderError> {
    wanted(Properties(request.properties))?;
    const NAMES: &str = "a certificate's names are signed";
    let none = || Value::List(Vec::new());
    let signed = [
        ("ca_cert_pem", Value::Null, "another authority signs it"),
        ("common_name", Value::Null, NAMES),
        ("dns_names", none(), NAMES),
        ("ip_addresses", none(), NAMES),
        ("uris", none(), NAMES),
        ("usages", none(), "a certificate's usages are signed"),
        (
            "validity",
            VALIDITY.into(),
            "a certificate's dates are signed",
        ),
    ];
    let due = is_due(request.prior, "renew_after", now);
    let due = due.then_some(("renew_after", "two thirds of its life are over"));
    Ok(planned(request, KIND.computed, &signed, due))
}

pub(super) fn make(planned: &Attributes, now: Timestamp) -> Result<Attributes, ProviderError> {
    let wanted = wanted(Properties(planned))?;
    let (ca_cert_pem, ca_key_pem) = wanted.ca.unwrap_or_default();
    let span = Span::from(
        now,
        wanted.seconds,
        Some(authority_ends(ca_cert_pem, ca_key_pem, now)?),
    );
    let leaf = Leaf {
        common_name: wanted.common_name.to_owned(),
        dns_names: wanted.dns_names,
        ip_addresses: wanted.ip_addresses,
        uris: wanted.uris,
        server: wanted.server,
        client: wanted.client,
        span,
    };
    let pair = x509::leaf(&leaf, ca_cert_pem, ca_key_pem).map_err(|error| {
        let message = format!("cannot make the certificate of {:?}", leaf.common_name);
        ProviderError::new(message).source(error)
    })?;
    let mut attributes = planned.clone();
    record(&mut attributes, pair, span);
    attributes.insert("renew_after".into(), span.after(2, 3).to_string().into());
    Ok(attributes)
}

/// Until when the authority can vouch; an error when it cannot.
fn authority_ends(cert: &str, key: &str, now: Timestamp) -> Result<Timestamp, ProviderError> {
    let wrong = |property: &str, error: X509Error| {
        ProviderError::new(format!("`{property}` cannot be used"))
            .property(property)
            .source(error)
    };
    let facts = x509::facts(cert).map_err(|error| wrong("ca_cert_pem", error))?;
    facts
        .check_authority()
        .map_err(|error| wrong("ca_cert_pem", error))?;
    facts
        .check_key(key)
        .map_err(|error| wrong("ca_key_pem", error))?;
    if facts.not_after > now {
        return Ok(facts.not_after);
    }
    let message = format!("the authority's certificate expired at {}", facts.not_after);
    Err(ProviderError::new(message).property("ca_cert_pem"))
}

//! Certificate authorities and certificates. State is their only home, so nothing outside can drift: what can change is what the
//! module wants, and the time. Anything that is signed cannot change in place, so a change is a replacement.

mod authority;
mod certificate;
mod validity;
mod x509;

use async_trait::async_trait;
use plan::{Kind, PlanRequest, Planned, Provider, ProviderError};
use stack::{Address, Attributes, Value};

use crate::Clock;
use crate::properties::{refuse_strange, refuse_unknown};

/// What a change of something signed means to a reader of the plan.
type Signed = (&'static str, Value, &'static str);

/// Serves `tls.ca` and `tls.certificate`.
pub struct Tls {
    clock: Clock,
}

impl Tls {
    /// Certificates are dated and renewed by `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }

    fn make(&self, kind: &str, planned: &Attributes) -> Result<Attributes, ProviderError> {
        let now = (self.clock)();
        match kind {
            "tls.ca" => {
                refuse_unknown(&authority::KIND, planned)?;
                authority::make(planned, now)
            }
            "tls.certificate" => {
                refuse_unknown(&certificate::KIND, planned)?;
                certificate::make(planned, now)
            }
            _ => Err(stranger(kind)),
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Tls {
    fn kinds(&self) -> Vec<Kind> {
        vec![authority::KIND, certificate::KIND]
    }

    fn plan(&self, request: PlanRequest<'_>) -> Result<Planned, ProviderError> {
        let now = (self.clock)();
        match request.address.kind.as_str() {
            "tls.ca" => {
                refuse_strange(&authority::KIND, request.properties)?;
                authority::plan(&request, now)
            }
            "tls.certificate" => {
                refuse_strange(&certificate::KIND, request.properties)?;
                certificate::plan(&request, now)
            }
            kind => Err(stranger(kind)),
        }
    }

    /// `None` when what is recorded is no certificate with its key any more: then a new one is made.
    async fn read(
        &self,
        _: &Address,
        prior: &Attributes,
    ) -> Result<Option<Attributes>, ProviderError> {
        Ok(is_whole(prior).then(|| prior.clone()))
    }

    async fn create(
        &self,
        address: &Address,
        planned: &Attributes,
        _: &str,
    ) -> Result<Attributes, ProviderError> {
        // Kept by its plan: what it waited for turned out to be what was signed before.
        if is_whole(planned) {
            return Ok(planned.clone());
        }
        self.make(&address.kind, planned)
    }

    /// Only what is not signed changes in place: the certificate stays.
    async fn update(
        &self,
        address: &Address,
        _: &Attributes,
        planned: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        self.create(address, planned, "").await
    }

    /// State forgets it.
    async fn delete(&self, _: &Address, _: &Attributes) -> Result<(), ProviderError> {
        Ok(())
    }
}

fn stranger(kind: &str) -> ProviderError {
    ProviderError::new(format!("tls serves no {kind}"))
}

fn is_whole(prior: &Attributes) -> bool {
    let text = |name: &str| prior.get(name).and_then(Value::as_text);
    let (Some(cert_pem), Some(key_pem)) = (text("cert_pem"), text("key_pem")) else {
        return false;
    };
    x509::facts(cert_pem).is_ok_and(|facts| {
        Some(facts.fingerprint.as_str()) == text("fingerprint") && facts.check_key(key_pem).is_ok()
    })
}

/// The plan of something signed: the prior computed attributes when nothing of `signed` differs and `due` is none, else unknown ones.
fn planned(
    request: &PlanRequest<'_>,
    computed: &[&str],
    signed: &[Signed],
    due: Option<(&str, &str)>,
) -> Planned {
    let mut replace: Vec<(String, String)> = Vec::new();
    if let Some(prior) = request.prior {
        for (name, default, why) in signed {
            if effective(prior, name, default) != effective(request.properties, name, default) {
                replace.push(((*name).to_owned(), (*why).to_owned()));
            }
        }
        if let Some((name, why)) = due {
            replace.push((name.to_owned(), why.to_owned()));
        }
    }
    let kept = request.prior.filter(|_| replace.is_empty());
    let mut attributes = request.properties.clone();
    for name in computed {
        let value = kept.and_then(|prior| prior.get(*name).cloned());
        let value = value.unwrap_or_else(|| Value::unknown(format!("{}.{name}", request.address)));
        attributes.insert((*name).to_owned(), value);
    }
    Planned::Attributes {
        attributes,
        replace,
    }
}

/// What a property says: its default when absent; a list in order, because names are a set.
fn effective(attributes: &Attributes, name: &str, default: &Value) -> Value {
    match attributes.get(name) {
        None | Some(Value::Null) => default.clone(),
        Some(Value::List(list)) => {
            let mut list = list.clone();
            list.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
            list.dedup();
            Value::List(list)
        }
        Some(value) => value.clone(),
    }
}

/// When the recorded moment `name` has come.
fn is_due(prior: Option<&Attributes>, name: &str, now: jiff::Timestamp) -> bool {
    let moment = prior
        .and_then(|prior| prior.get(name))
        .and_then(Value::as_text);
    moment
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .is_some_and(|moment| now >= moment)
}

/// The computed attributes that both kinds have.
fn record(attributes: &mut Attributes, pair: x509::Pair, span: validity::Span) {
    let secret = Value::Secret(stack::Secret::new(pair.key_pem));
    attributes.insert("cert_pem".into(), pair.cert_pem.into());
    attributes.insert("key_pem".into(), secret);
    attributes.insert("fingerprint".into(), pair.fingerprint.into());
    attributes.insert("not_before".into(), span.not_before.to_string().into());
    attributes.insert("not_after".into(), span.not_after.to_string().into());
}

/// A name that fits into a certificate (RFC 5280, ub-common-name).
fn check_common_name(name: &str) -> Result<(), ProviderError> {
    if name.chars().count() <= 64 {
        return Ok(());
    }
    let message = format!("`common_name` is {name:?}, longer than the 64 letters of X.509");
    Err(ProviderError::new(message).property("common_name"))
}

#[cfg(test)]
mod tests;

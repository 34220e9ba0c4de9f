//! `tls.ca`: an authority of the fleet's own. P-384, signs leaves and revocation lists only.

use jiff::Timestamp;
use plan::{Kind, PlanRequest, Planned, ProviderError};
use stack::{Attributes, Value};

use super::validity::{self, Span};
use super::{check_common_name, planned, record, x509};
use crate::properties::Properties;

pub(super) const KIND: Kind = Kind {
    name: "tls.ca",
    properties: &["common_name", "organization", "validity"],
    computed: &[
        "cert_pem",
        "key_pem",
        "not_before",
        "not_after",
        "fingerprint",
    ],
};

const VALIDITY: &str = "10y";

struct Wanted<'a> {
    common_name: Option<&'a str>,
    organization: Option<&'a str>,
    seconds: i64,
}

fn wanted(properties: Properties<'_>) -> Result<Wanted<'_>, ProviderError> {
    let common_name = properties.required("common_name")?;
    common_name.map_or(Ok(()), check_common_name)?;
    let validity = properties.text("validity")?.unwrap_or(VALIDITY);
    Ok(Wanted {
        common_name,
        organization: properties.text("organization")?,
        seconds: validity::parse("validity", validity)?,
    })
}

pub(super) fn plan(request: &PlanRequest<'_>, now: Timestamp) -> Result<Planned, ProviderError> {
    wanted(Properties(request.properties))?;
    let signed = [
        ("common_name", Value::Null, "an authority's name is signed"),
        ("organization", Value::Null, "an authority's name is signed"),
        (
            "validity",
            VALIDITY.into(),
            "an authority's dates are signed",
        ),
    ];
    let due =
        is_old(request.prior, now).then_some(("not_after", "nine tenths of its life are over"));
    Ok(planned(request, KIND.computed, &signed, due))
}

/// All that an authority signed must be made anew after it, and trusted before that: early enough.
fn is_old(prior: Option<&Attributes>, now: Timestamp) -> bool {
    let moment = |name: &str| prior?.get(name)?.as_text()?.parse::<Timestamp>().ok();
    let (Some(not_before), Some(not_after)) = (moment("not_before"), moment("not_after")) else {
        return false;
    };
    now >= Span {
        not_before,
        not_after,
    }
    .after(9, 10)
}

pub(super) fn make(planned: &Attributes, now: Timestamp) -> Result<Attributes, ProviderError> {
    let wanted = wanted(Properties(planned))?;
    let span = Span::from(now, wanted.seconds, None);
    let common_name = wanted.common_name.unwrap_or_default();
    let pair = x509::authority(common_name, wanted.organization, span).map_err(|error| {
        ProviderError::new(format!("cannot make the authority {common_name:?}")).source(error)
    })?;
    let mut attributes = planned.clone();
    record(&mut attributes, pair, span);
    Ok(attributes)
}

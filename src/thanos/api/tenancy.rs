//! Whose a request is, and that tenants see their own data only, as Thanos's querier does it.

use http::HeaderMap;
use model::{MatchKind, Matcher};
use promql::Expr;
use store::{CallOptions, DEFAULT_TENANT};

use super::Api;
use super::error::ApiError;
use super::params::Params;

/// The header that is looked at when the configured one is absent, and that components use among each other.
const HEADER: &str = "thanos-tenant";

/// How tenants are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// The header that names the tenant.
    pub header: String,
    /// The tenant of a request without a header.
    pub default_tenant: String,
    /// The label that says whose a series is: a tenant sees those only that have its name there. `None`: everybody sees
    /// everything.
    pub enforced: Option<String>,
}

impl Default for Tenancy {
    fn default() -> Self {
        Self {
            header: HEADER.to_owned(),
            default_tenant: DEFAULT_TENANT.to_owned(),
            enforced: None,
        }
    }
}

impl Tenancy {
    fn tenant(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        let named = |name: &str| headers.get(name).filter(|value| !value.is_empty());
        let tenant = match named(&self.header).or_else(|| named(HEADER)) {
            None => self.default_tenant.clone(),
            Some(value) => {
                let text = value.to_str();
                text.map_err(|_| invalid())?.to_owned()
            }
        };
        // It becomes a part of paths where data is received.
        if tenant.contains('/') {
            return Err(invalid());
        }
        Ok(tenant)
    }
}

fn invalid() -> ApiError {
    ApiError::bad_data("tenant name not valid")
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// What is passed on to stores.
    pub(super) options: CallOptions,
    /// What all that the caller sees matches.
    only: Option<Matcher>,
}

impl Api {
    pub(super) fn caller(&self, params: &Params) -> Result<Caller, ApiError> {
        let tenancy = &self.settings.tenancy;
        let tenant = tenancy.tenant(params.headers())?;
        let only = match &tenancy.enforced {
            None => None,
            Some(label) => {
                let matcher = Matcher::new(MatchKind::Equal, label, tenant.clone());
                Some(matcher.map_err(|error| ApiError::bad_data(error.to_string()))?)
            }
        };
        let id = params.headers().get("x-request-id");
        let request_id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let options = CallOptions {
            tenant,
            request_id,
            only: only.clone(),
            ..CallOptions::default()
        };
        Ok(Caller { options, only })
    }
}

impl Caller {
    /// Whatever is asked of the label becomes what the caller may see. A name's matcher stays the last.
    pub(super) fn restrict(&self, matchers: &mut Vec<Matcher>) {
        if let Some(only) = &self.only {
            matchers.retain(|matcher| matcher.name != only.name);
            matchers.insert(0, only.clone());
        }
    }

    /// Every `match[]`, restricted. Where there is none and the caller may not see everything, one that selects all that it may.
    pub(super) fn selectors(&self, params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let mut sets = params.selectors("match[]")?;
        for set in &mut sets {
            self.restrict(set);
        }
        if let (true, Some(only)) = (sets.is_empty(), &self.only) {
            sets.push(vec![only.clone()]);
        }
        Ok(sets)
    }

    pub(super) fn restrict_all(&self, expr: &mut Expr) {
        expr.change_selectors(&mut |selector| self.restrict(&mut selector.matchers));
    }

    /// Whether the caller may see something with these labels.
    pub(super) fn sees<'l>(&self, mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| labels.any(|(name, value)| name == only.name && only.matches(value)))
    }
}

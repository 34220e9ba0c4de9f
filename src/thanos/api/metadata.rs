//! `series`, `labels` and `label/<name>/values`.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use model::{
    Cancel, Cancelled, Labels, Matcher, Queryable, Select, SelectError, Symbols, Timestamp,
};

use super::error::ApiError;
use super::json;
use super::params::Params;
use super::query::{TRUNCATED, millis, now};
use super::{Api, LabelSelect, Listing, Scope};

/// All of time, as Thanos writes it on the wire.
pub(super) const FOREVER: (Timestamp, Timestamp) =
    (-9_223_309_901_257_974_000, 9_223_309_901_257_974_999);

/// `GET|POST /api/v1/labels`.
pub(super) async fn names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let source = api.source.clone();
    let ask = |scope, select| {
        let source = source.clone();
        async move { source.label_names(scope, select).await }
    };
    api.list(&params, ask).await
}

/// `GET /api/v1/label/<name>/values`.
pub(super) async fn values(
    State(api): State<Arc<Api>>,
    name: Result<Path<String>, axum::extract::rejection::PathRejection>,
    params: Params,
) -> Result<Response, ApiError> {
    // The path is the name, percent-decoded; it is refused when that is not UTF-8.
    let Path(name) = name.map_err(|error| {
        ApiError::bad_data(format!("invalid label name: {}", error.body_text()))
    })?;
    if name.is_empty() {
        return Err(ApiError::bad_data(r#"invalid label name: """#));
    }
    let source = api.source.clone();
    let ask = |scope, select| {
        let (source, name) = (source.clone(), name.clone());
        async move { source.label_values(&name, scope, select).await }
    };
    api.list(&params, ask).await
}

/// `GET|POST /api/v1/series`.
pub(super) async fn series(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = params.metadata_range(api.metadata_range())?;
    let caller = api.caller(&params)?;
    let sets = caller.selectors(&params)?;
    let limit = params.limit()?;
    // Only labels are asked for: any resolution has them.
    let scope = Scope {
        max_resolution: i64::MAX,
        ..api.scope(&params, &caller)?
    };
    let source = api.source.series(scope);
    let work = move |cancel: &Cancel| Ok(collect(&*source, sets, range, limit, cancel)?);
    let found = api
        .lookups
        .run(params.timeout(api.settings.timeout)?, work)
        .await?;
    Ok(json::label_sets(found.sets, found.symbols, found.warnings))
}

impl Api {
    fn metadata_range(&self) -> (Timestamp, Timestamp) {
        match millis(self.settings.metadata_range) {
            0 => FOREVER,
            range => (now() - range, now()),
        }
    }

    /// Asks once for each `match[]`, or once for everything, and answers the union.
    async fn list<F, R>(&self, params: &Params, ask: F) -> Result<Response, ApiError>
    where
        F: Fn(Scope, LabelSelect) -> R,
        R: Future<Output = Result<Listing, SelectError>>,
    {
        let (start, end) = params.metadata_range(self.metadata_range())?;
        let limit = params.limit()?;
        let caller = self.caller(params)?;
        // Replica labels stay visible here.
        let scope = self.scope_as_it_is(params, &caller)?;
        let mut sets = caller.selectors(params)?;
        if sets.is_empty() {
            sets.push(Vec::new());
        }
        let select = |matchers| LabelSelect {
            matchers,
            start,
            end,
            limit: limit_below(limit),
        };
        let asked = sets
            .into_iter()
            .map(|matchers| ask(scope.clone(), select(matchers)));
        let timeout = params.timeout(self.settings.timeout)?;
        let listings = tokio::time::timeout(timeout, futures::future::try_join_all(asked))
            .await
            .map_err(|_| ApiError::from(Cancelled::TimedOut))??;
        let Listing { values, warnings } = union(listings, limit);
        Ok(json::success(&values, warnings))
    }
}

/// One more than is shown, to see that there is more.
fn limit_below(limit: usize) -> usize {
    if limit == 0 {
        0
    } else {
        limit.saturating_add(1)
    }
}

fn union(listings: Vec<Listing>, limit: usize) -> Listing {
    let mut values = BTreeSet::new();
    let mut warnings = Vec::new();
    for listing in listings {
        values.extend(listing.values);
        warnings.extend(listing.warnings);
    }
    let mut values: Vec<String> = values.into_iter().collect();
    if limit > 0 && values.len() > limit {
        values.truncate(limit);
        warnings.push(TRUNCATED.to_owned());
    }
    Listing { values, warnings }
}

struct Found {
    sets: Vec<Labels>,
    symbols: Arc<Symbols>,
    warnings: Vec<String>,
}

/// The label sets of all series that any of `sets` matches, sorted.
fn collect(
    source: &dyn Queryable,
    sets: Vec<Vec<Matcher>>,
    (mint, maxt): (Timestamp, Timestamp),
    limit: usize,
    cancel: &Cancel,
) -> Result<Found, SelectError> {
    let symbols = Arc::new(Symbols::new());
    let (mut found, mut warnings) = (Vec::new(), Vec::new());
    let several = sets.len() > 1;
    for matchers in sets {
        let mut select = Select::new(symbols.clone(), matchers, mint, maxt);
        select.skip_samples = true;
        select.limit = limit_below(limit);
        let mut left = if limit == 0 { usize::MAX } else { select.limit };
        let mut stream = source.select(&select, cancel)?;
        while left > 0 {
            cancel.check()?;
            let Some(batch) = stream.next()? else { break };
            let labels = batch.into_iter().take(left).map(|series| series.labels);
            let before = found.len();
            found.extend(labels);
            left -= found.len() - before;
        }
        warnings.extend(stream.warnings());
    }
    // One answer is in order already, each set once.
    if several {
        found.sort_by(|a: &Labels, b| a.compare(b, &symbols));
        found.dedup();
    }
    if limit > 0 && found.len() > limit {
        found.truncate(limit);
        warnings.push(TRUNCATED.to_owned());
    }
    Ok(Found {
        sets: found,
        symbols,
        warnings,
    })
}

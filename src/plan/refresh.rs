//! What is really there: every recorded resource is read through its provider, several at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use stack::{Address, Attributes, ClusterPath, Diagnostic, Diagnostics};

use crate::journal::Intent;
use crate::selection::Scope;
use crate::shroud::Shroud;
use crate::{Engine, Event, PlanError, Provider, ProviderError, Recorded, ResourceError, State};

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between the first two looks for something that may still be invisible; doubled each time.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// The real attributes of every recorded resource in `scope`, `None` for what is gone. `wanted` ones without a provider are left
/// out: the tree's mistake is told with its place.
pub(crate) async fn refresh(
    engine: &Engine<'_>,
    states: &BTreeMap<ClusterPath, State>,
    wanted: &BTreeSet<&Address>,
    scope: &Scope,
) -> Result<BTreeMap<Address, Option<Attributes>>, PlanError> {
    let recorded = || {
        let all = states.values().flat_map(|state| &state.resources);
        all.filter(|(address, _)| scope.has(address))
    };
    if !engine.options.refresh {
        let taken = |(address, recorded): (&Address, &Recorded)| {
            (address.clone(), Some(recorded.attributes.clone()))
        };
        return Ok(recorded().map(taken).collect());
    }
    let mut reads = Vec::new();
    let mut unserved = Vec::new();
    for (address, recorded) in recorded() {
        match engine.providers.provider(&address.kind) {
            Some(provider) => reads.push(read(engine, provider, address, recorded)),
            None if wanted.contains(address) => {}
            None => unserved.push(Diagnostic::new(format!(
                "`{address}` is recorded, and nothing here serves `{}`",
                address.kind
            ))),
        }
    }
    if !unserved.is_empty() {
        return Err(Diagnostics(unserved).into());
    }
    engine.progress.event(Event::Refreshing {
        resources: reads.len(),
    });
    let parallelism = engine.options.parallelism.max(1);
    let mut reads = futures::stream::iter(reads).buffer_unordered(parallelism);
    let (mut real, mut failed) = (BTreeMap::new(), Vec::new());
    while let Some((address, result)) = reads.next().await {
        if engine.options.stop.is_stopped() {
            return Err(PlanError::Interrupted);
        }
        match result {
            Ok(attributes) => {
                engine.progress.event(Event::Refreshed {
                    address: address.clone(),
                });
                real.insert(address.clone(), attributes);
            }
            Err(source) => failed.push(ResourceError {
                address: address.clone(),
                source,
            }),
        }
    }
    failed.sort_by(|a, b| a.address.cmp(&b.address));
    if failed.is_empty() {
        Ok(real)
    } else {
        Err(PlanError::Refresh(failed))
    }
}

/// What the creates whose end nobody saw have made, as far as their providers can tell.
pub(crate) async fn find(
    engine: &Engine<'_>,
    in_flight: &BTreeMap<Address, Intent>,
    scope: &Scope,
) -> Result<BTreeMap<Address, Attributes>, PlanError> {
    let (mut found, mut failed) = (BTreeMap::new(), Vec::new());
    for (address, intent) in in_flight.iter().filter(|(it, _)| scope.has(it)) {
        let Some(provider) = engine.providers.provider(&address.kind) else {
            continue;
        };
        // However long ago the clock says that it was begun: what is not found now is left behind for good.
        let young = Young::new(provider);
        let look = || provider.find(address, &intent.planned, &intent.token);
        match appearing(engine, None, &young, look).await {
            Ok(Some(attributes)) => {
                let shroud = Shroud::of([&intent.planned]);
                found.insert(address.clone(), shroud.cover(attributes));
            }
            Ok(None) => {}
            Err(source) => failed.push(ResourceError {
                address: address.clone(),
                source,
            }),
        }
    }
    if failed.is_empty() {
        Ok(found)
    } else {
        Err(PlanError::Refresh(failed))
    }
}

/// How long something that was made lately may still be invisible.
pub(crate) struct Young(Duration);

impl Young {
    /// Of something that was made at `created` (RFC 3339). A clock that was put back makes nothing younger than it is now.
    pub(crate) fn since(created: &str, provider: &dyn Provider) -> Self {
        let settles = provider.settles();
        let Some(created) = (!settles.is_zero()).then(|| created.parse::<jiff::Timestamp>().ok())
        else {
            return Self(Duration::ZERO);
        };
        let age = created.map(|created| jiff::Timestamp::now().duration_since(created));
        let age = age.and_then(|age| Duration::try_from(age).ok());
        // Times are written in whole seconds.
        let age = age
            .unwrap_or_default()
            .saturating_sub(Duration::from_secs(1));
        Self(settles.saturating_sub(age))
    }

    /// Whether it is visible, if it is there.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_zero()
    }

    /// Of something that was made just now.
    pub(crate) fn new(provider: &dyn Provider) -> Self {
        Self(provider.settles())
    }
}

/// Looks until something is there, as long as it may still be invisible.
pub(crate) async fn appearing<F: Future<Output = Result<Option<Attributes>, ProviderError>>>(
    engine: &Engine<'_>,
    timeout: Option<Duration>,
    young: &Young,
    mut look: impl FnMut() -> F,
) -> Result<Option<Attributes>, ProviderError> {
    let until = tokio::time::Instant::now() + young.0;
    let mut delay = FIRST_LOOK;
    loop {
        let found = retrying(engine, timeout, |_, _, _| {}, &mut look).await?;
        let now = tokio::time::Instant::now();
        if found.is_some() || now >= until || engine.options.stop.is_stopped() {
            return Ok(found);
        }
        tokio::time::sleep(delay.min(until - now)).await;
        delay = (delay * 2).min(LONGEST_PAUSE);
    }
}

async fn read<'a>(
    engine: &Engine<'_>,
    provider: &dyn Provider,
    address: &'a Address,
    recorded: &Recorded,
) -> (&'a Address, Result<Option<Attributes>, ProviderError>) {
    let prior = &recorded.attributes;
    let young = Young::since(&recorded.created, provider);
    let timeout = recorded.lifecycle.timeout;
    let result = appearing(engine, timeout, &young, || provider.read(address, prior)).await;
    let shroud = Shroud::of([prior, &recorded.properties]);
    (
        address,
        result.map(|found| found.map(|attributes| shroud.cover(attributes))),
    )
}

/// Calls until it succeeds, fails for good, fails too often, takes too long (`timeout`, else what the engine's options say), or
/// stopping is asked for.
pub(crate) async fn retrying<T, F: Future<Output = Result<T, ProviderError>>>(
    engine: &Engine<'_>,
    timeout: Option<Duration>,
    told: impl FnMut(u32, Duration, &ProviderError),
    call: impl FnMut() -> F,
) -> Result<T, ProviderError> {
    let tries = tries(engine, told, call);
    let Some(timeout) = timeout.or(engine.options.timeout) else {
        return tries.await;
    };
    let late = |_| {
        let seconds = timeout.as_secs_f64();
        ProviderError::new(format!("not done within {seconds} s, and given up"))
            .help("what was begun may still come about: the next run looks; --timeout (or `timeout` of its lifecycle) waits longer")
    };
    tokio::time::timeout(timeout, tries)
        .await
        .map_err(late)
        .flatten()
}

async fn tries<T, F: Future<Output = Result<T, ProviderError>>>(
    engine: &Engine<'_>,
    mut told: impl FnMut(u32, Duration, &ProviderError),
    mut call: impl FnMut() -> F,
) -> Result<T, ProviderError> {
    let mut delay = engine.options.retry_delay;
    for attempt in 1.. {
        match call().await {
            Err(error) if error.retry && attempt <= engine.options.retries => {
                told(attempt, delay, &error);
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = engine.options.stop.stopped() => return Err(error),
                }
                delay = (delay * 2).min(LONGEST_PAUSE);
            }
            result => return result,
        }
    }
    Err(ProviderError::new("tried too often"))
}

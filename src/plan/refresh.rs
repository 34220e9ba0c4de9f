//! What is really there: every recorded resource is read through its provider, several at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use stack::{Address, Attributes, ClusterPath, Diagnostic, Diagnostics};

use crate::selection::Scope;
use crate::shroud::Shroud;
use crate::{Engine, Event, PlanError, Provider, ProviderError, Recorded, ResourceError, State};

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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

async fn read<'a>(
    engine: &Engine<'_>,
    provider: &dyn Provider,
    address: &'a Address,
    recorded: &Recorded,
) -> (&'a Address, Result<Option<Attributes>, ProviderError>) {
    let prior = &recorded.attributes;
    let result = retrying(engine, |_, _, _| {}, || provider.read(address, prior)).await;
    let shroud = Shroud::of([prior, &recorded.properties]);
    (
        address,
        result.map(|found| found.map(|attributes| shroud.cover(attributes))),
    )
}

/// Calls until it succeeds, fails for good, fails too often, takes too long, or stopping is asked for.
pub(crate) async fn retrying<T, F: Future<Output = Result<T, ProviderError>>>(
    engine: &Engine<'_>,
    told: impl FnMut(u32, Duration, &ProviderError),
    call: impl FnMut() -> F,
) -> Result<T, ProviderError> {
    let tries = tries(engine, told, call);
    let Some(timeout) = engine.options.timeout else {
        return tries.await;
    };
    let late = |_| {
        let seconds = timeout.as_secs_f64();
        ProviderError::new(format!("not done within {seconds} s, and given up"))
            .help("what was begun may still come about: the next run looks; --timeout waits longer")
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

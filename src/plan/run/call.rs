//! Calls to providers: what they are told, what they tell, and what is told of them.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use stack::Attributes;

use super::Landed;
use crate::diff::contradiction;
use crate::refresh::{Young, appearing, retrying};
use crate::schedule::Step;
use crate::shroud::Shroud;
use crate::{Action, Change, Engine, Event, Failure, Provider, ProviderError};

/// What a finished call to a provider tells.
pub(super) struct Outcome {
    pub(super) node: usize,
    pub(super) elapsed: Duration,
    pub(super) result: Result<Option<Made>, ProviderError>,
}

/// What was made.
pub(super) struct Made {
    pub(super) attributes: Attributes,
    pub(super) properties: Attributes,
    /// What is not as it was to be made.
    pub(super) otherwise: Option<String>,
}

/// What is to be made.
pub(super) struct Making {
    pub(super) planned: Attributes,
    pub(super) properties: Attributes,
    pub(super) token: String,
}

/// One finished call, and all others that are finished too: they are saved together.
pub(super) fn finished(
    first: Option<Landed>,
    flying: &mut FuturesUnordered<BoxFuture<'_, Landed>>,
) -> Vec<Landed> {
    let mut outcomes = Vec::from_iter(first);
    while let Some(Some(outcome)) = flying.next().now_or_never() {
        outcomes.push(outcome);
    }
    outcomes
}

pub(super) async fn make(
    engine: &Engine<'_>,
    provider: &dyn Provider,
    change: &Change,
    making: Making,
    node: usize,
) -> Outcome {
    let Making {
        planned,
        properties,
        token,
    } = making;
    let begun = Instant::now();
    let timeout = change.lifecycle.timeout;
    let step = (change, Step::Make);
    let tell = |attempt, delay, error: &ProviderError| retried(engine, step, attempt, delay, error);
    let result = match (change.action, &change.before) {
        (Action::Update, Some(before)) => {
            retrying(engine, timeout, tell, || {
                provider.update(&change.address, before, &planned)
            })
            .await
        }
        _ => {
            let create = || provider.create(&change.address, &planned, &token);
            retrying(engine, timeout, tell, create).await
        }
    };
    // The texts of what was to be made tell which of its attributes are secret.
    let result = result.map(|attributes| {
        let attributes = Shroud::of([&planned]).cover(attributes);
        Some(Made {
            otherwise: contradiction(&planned, &attributes),
            attributes,
            properties,
        })
    });
    if let Ok(Some(made)) = &result {
        be_seen(engine, provider, change, made).await;
    }
    Outcome {
        node,
        elapsed: begun.elapsed(),
        result,
    }
}

/// Waits until what was made is there for whoever reads it, where the service takes its time. If it never is, the next plan
/// looks again.
async fn be_seen(engine: &Engine<'_>, provider: &dyn Provider, change: &Change, made: &Made) {
    let young = Young::new(provider);
    if change.action != Action::Update && !young.is_over() {
        let read = || provider.read(&change.address, &made.attributes);
        let _ = appearing(engine, change.lifecycle.timeout, &young, read).await;
    }
}

pub(super) async fn remove(
    engine: &Engine<'_>,
    provider: &dyn Provider,
    change: &Change,
    node: usize,
) -> Outcome {
    let begun = Instant::now();
    let timeout = change.lifecycle.timeout;
    let ends = matches!(change.action, Action::Delete | Action::Replace);
    let mut result = Ok(None);
    for prior in change
        .deposed
        .iter()
        .chain(change.before.iter().filter(|_| ends))
    {
        let step = (change, Step::Remove);
        let tell =
            |attempt, delay, error: &ProviderError| retried(engine, step, attempt, delay, error);
        result = retrying(engine, timeout, tell, || {
            provider.delete(&change.address, prior)
        })
        .await
        .map(|()| None);
        if result.is_err() {
            break;
        }
    }
    Outcome {
        node,
        elapsed: begun.elapsed(),
        result,
    }
}

fn retried(
    engine: &Engine<'_>,
    (change, step): (&Change, Step),
    attempt: u32,
    delay: Duration,
    error: &ProviderError,
) {
    let address = change.address.clone();
    let action = told(change, step).unwrap_or(change.action);
    let error = shroud_of(change).redact(&error.to_string());
    engine.progress.event(Event::Retrying {
        address,
        action,
        attempt,
        delay,
        error,
    });
}

/// What a step is called where it is told: a replacement is a delete and a create. `None`: not worth telling.
pub(super) fn told(change: &Change, step: Step) -> Option<Action> {
    match (change.action, step) {
        (Action::Replace, Step::Make) => Some(Action::Create),
        (Action::NoOp | Action::Skipped, Step::Make) => None,
        (Action::Forget, _) => Some(Action::Forget),
        (_, Step::Remove) => Some(Action::Delete),
        (action, Step::Make) => Some(action),
    }
}

fn shroud_of(change: &Change) -> Shroud {
    Shroud::of(
        [&change.properties]
            .into_iter()
            .chain(&change.before)
            .chain(&change.after),
    )
}

pub(super) fn redacted(change: &Change, failure: Failure) -> Failure {
    match failure {
        Failure::Provider(error) => {
            let message = shroud_of(change).redact(&error.message);
            Failure::Provider(ProviderError { message, ..error })
        }
        other => other,
    }
}

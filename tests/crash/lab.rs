//! The tks that is killed: the real one, with one provider more, `lab`, whose things are in a [`Ledger`], and with points at
//! which it ends itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use plan::{Event, Kind, PlanRequest, Planned, Provider, ProviderError};
use stack::{Address, Attributes, Value};

use crate::ledger::{Ledger, Thing};

/// Where the ledger is: the process that has it is the tks of the lab.
pub(crate) const LEDGER: &str = "TKS_LAB_LEDGER";
/// `KILL 17`: at which point what is sent to itself, and then.
pub(crate) const POINT: &str = "TKS_LAB_POINT";
/// Things in use cannot be removed.
pub(crate) const STRICT: &str = "TKS_LAB_STRICT";

static PASSED: AtomicUsize = AtomicUsize::new(0);

/// Runs the real command line.
pub(crate) fn main(ledger: PathBuf) -> ExitCode {
    let ledger = Ledger::at(ledger);
    cli::main_with(cli::Extension {
        providers: Box::new(move || vec![Arc::new(Lab(ledger.clone())) as Arc<dyn Provider>]),
        hears: Box::new(|event| {
            if let Some(name) = named(event) {
                point(name);
            }
        }),
    })
}

fn named(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Planned { .. } => "planned",
        Event::Applying { .. } => "applying",
        Event::Started { .. } => "started",
        Event::Journaled { .. } => "journaled",
        Event::Finished { .. } => "finished",
        Event::Failed { .. } => "failed",
        Event::Saved { .. } => "saved",
        Event::Closed { .. } => "closed",
        _ => return None,
    })
}

/// One point of a run: this is where it may end, or its disk.
fn point(name: &str) {
    let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    let Ok(ledger) = std::env::var(LEDGER).map(PathBuf::from) else {
        return;
    };
    let turn = fs::read_to_string(ledger.join("turn")).unwrap_or_default();
    if let Some((at, command)) = turn.split_once('\t')
        && at.parse() == Ok(passed)
    {
        let _ = Command::new("sh").args(["-c", command]).status();
    }
    let Ok(asked) = std::env::var(POINT) else {
        return;
    };
    let Some((signals, at)) = asked.rsplit_once(' ') else {
        return;
    };
    if signals == "COUNT" {
        let _ = fs::write(ledger.join("points"), passed.to_string());
    } else if at.parse() == Ok(passed) {
        let _ = fs::write(ledger.join("point"), name);
        signals.split(' ').for_each(send);
    }
}

/// A signal to oneself arrives when it arrives.
fn send(signal: &str) {
    let pid = std::process::id().to_string();
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), &pid])
        .status();
    let patience = if signal == "KILL" { 5000 } else { 20 };
    std::thread::sleep(Duration::from_millis(patience));
}

struct Lab(Ledger);

const PROPERTIES: &[&str] = &["size", "fixed", "from"];

impl Lab {
    /// What a fault does before the work (`None`: go on), and what after it.
    async fn fault(&self, what: &str, address: &Address) -> Result<Option<String>, ProviderError> {
        point("before");
        let fault = self.0.fault(what, &address.name);
        match fault.as_deref() {
            Some("fail") => return Err(ProviderError::new("out of order")),
            Some("hang") => std::future::pending::<()>().await,
            Some("panic") => panic!("a bug of a provider, on purpose"),
            _ => {}
        }
        tokio::task::yield_now().await;
        Ok(fault)
    }

    fn answer(fault: Option<String>, thing: &Thing) -> Result<Attributes, ProviderError> {
        point("after");
        let mut attributes = attributes_of(thing);
        match fault.as_deref() {
            Some("late") => return Err(ProviderError::new("done, and said to have failed")),
            Some("again") => {
                return Err(ProviderError {
                    retry: true,
                    ..ProviderError::new("done, and said to have failed for now")
                });
            }
            Some("lie") => drop(attributes.insert("size".to_owned(), "a lie".into())),
            _ => {}
        }
        Ok(attributes)
    }
}

fn attributes_of(thing: &Thing) -> Attributes {
    let told = thing.attributes.iter();
    let told = told.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let id = ("id".to_owned(), Value::from(thing.id.as_str()));
    told.chain([id]).collect()
}

fn texts(attributes: &Attributes) -> BTreeMap<String, String> {
    let known = attributes
        .iter()
        .filter(|(name, _)| PROPERTIES.contains(&name.as_str()));
    let known = known.filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned())));
    known.collect()
}

fn id_of(attributes: &Attributes) -> Option<&str> {
    attributes.get("id").and_then(Value::as_text)
}

#[async_trait]
impl Provider for Lab {
    fn kinds(&self) -> Vec<Kind> {
        vec![Kind {
            name: "lab.thing",
            properties: PROPERTIES,
            computed: &["id"],
        }]
    }

    fn plan(&self, request: PlanRequest<'_>) -> Result<Planned, ProviderError> {
        let fixed = |attributes: &Attributes| attributes.get("fixed").cloned();
        let moved = request
            .prior
            .is_some_and(|prior| fixed(prior) != fixed(request.properties));
        let kept = request.prior.filter(|_| !moved);
        let kept = kept.and_then(|prior| prior.get("id").cloned());
        let id = kept.unwrap_or_else(|| Value::unknown(format!("{}.id", request.address)));
        let mut attributes = request.properties.clone();
        attributes.insert("id".to_owned(), id);
        let why = ("fixed".to_owned(), "it is cast in stone".to_owned());
        Ok(Planned::Attributes {
            attributes,
            replace: moved.then_some(why).into_iter().collect(),
        })
    }

    async fn read(
        &self,
        address: &Address,
        prior: &Attributes,
    ) -> Result<Option<Attributes>, ProviderError> {
        let fault = self.0.fault("read", &address.name);
        if fault.as_deref() == Some("hang") {
            std::future::pending::<()>().await;
        }
        let thing = id_of(prior).and_then(|id| self.0.seen(id));
        Ok(thing.map(|thing| attributes_of(&thing)))
    }

    async fn find(
        &self,
        _: &Address,
        _: &Attributes,
        token: &str,
    ) -> Result<Option<Attributes>, ProviderError> {
        let same = self.0.things().into_iter().find(|it| it.token == token);
        let seen = same.and_then(|thing| self.0.seen(&thing.id));
        Ok(seen.map(|thing| attributes_of(&thing)))
    }

    fn settles(&self) -> Duration {
        // Twice as long as it takes: a second is what times are told in.
        Duration::from_millis(2 * self.0.hidden_ms())
    }

    async fn create(
        &self,
        address: &Address,
        planned: &Attributes,
        token: &str,
    ) -> Result<Attributes, ProviderError> {
        let fault = self.fault("create", address).await?;
        let thing = self.0.make(&address.to_string(), token, texts(planned));
        Self::answer(fault, &thing)
    }

    async fn update(
        &self,
        address: &Address,
        prior: &Attributes,
        planned: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        let fault = self.fault("update", address).await?;
        let there = id_of(prior).and_then(|id| self.0.things().into_iter().find(|it| it.id == id));
        let there = there.ok_or_else(|| ProviderError::new("it is gone"))?;
        let thing = self.0.change(there, texts(planned));
        Self::answer(fault, &thing)
    }

    async fn delete(&self, address: &Address, prior: &Attributes) -> Result<(), ProviderError> {
        self.fault("delete", address).await?;
        if let Some(id) = id_of(prior) {
            let user = self
                .0
                .user_of(id)
                .filter(|_| std::env::var_os(STRICT).is_some());
            if let Some(user) = user {
                let message = format!("{id} is in use by {} ({})", user.id, user.address);
                return Err(ProviderError::new(message));
            }
            self.0.remove(id);
        }
        point("after");
        Ok(())
    }
}

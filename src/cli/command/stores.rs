//! `tks stores`: the stores page of every querier of a fleet.

use serde_json::{Map, Value as Json};

use super::engine::runtime;
use super::output;
use crate::Exit;
use crate::args::StoresArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Printer, table};

const HEAD: [&str; 5] = ["QUERIER", "TYPE", "ENDPOINT", "STATUS", "LABELS"];

pub(crate) fn run(args: &StoresArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(args.path.as_deref(), &args.tree)?;
    let queriers = queriers(&fleet)?;
    let answers = runtime()?.block_on(async {
        let mut answers = Map::new();
        for (name, address) in queriers {
            answers.insert(
                name,
                stores(&address)
                    .await
                    .map_err(|e| Failure::from_error(&e))?,
            );
        }
        Ok::<_, Failure>(answers)
    })?;
    if args.json {
        printer.out(&format!("{:#}", Json::Object(answers)))?;
    } else {
        printer.out(&table(
            &HEAD,
            answers.iter().flat_map(|(name, answer)| rows(name, answer)),
        ))?;
    }
    Ok(Exit::Done)
}

/// (unit, address) of every unit that says it answers queries.
fn queriers(fleet: &Fleet) -> Result<Vec<(String, String)>> {
    let outputs = output::recorded(fleet)?;
    let found = outputs.into_iter().filter_map(|(path, outputs)| {
        let asks = path.unit == "query" || path.unit.starts_with("federation/");
        let address = outputs
            .get("http")
            .and_then(|value| value.as_text().map(str::to_owned));
        asks.then_some((path.to_string(), address?))
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        let dir = fleet.dir();
        return Err(
            Failure::new(format!("{dir} has no querier that is applied"))
                .help(format!("tks apply {dir}")),
        );
    }
    Ok(found)
}

async fn stores(address: &str) -> reqwest::Result<Json> {
    let answer: Json = reqwest::get(format!("http://{address}/api/v1/stores"))
        .await?
        .json()
        .await?;
    Ok(answer.get("data").cloned().unwrap_or_default())
}

fn rows(querier: &str, stores: &Json) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (kind, of_kind) in stores.as_object().into_iter().flatten() {
        for store in of_kind.as_array().into_iter().flatten() {
            let text = |name: &str| store.get(name).and_then(Json::as_str);
            rows.push(vec![
                querier.to_owned(),
                kind.clone(),
                text("name").unwrap_or_default().to_owned(),
                text("lastError").unwrap_or("UP").to_owned(),
                labels(store),
            ]);
        }
    }
    rows
}

fn labels(store: &Json) -> String {
    let sets = store.get("labelSets").and_then(Json::as_array);
    let set = |set: &Json| {
        let pairs = set.as_object().into_iter().flatten();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    };
    sets.into_iter()
        .flatten()
        .map(set)
        .collect::<Vec<_>>()
        .join(" ")
}

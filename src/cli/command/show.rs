//! `tks show`: a plan file, or what is recorded, for a person or in the shape of `terraform show -json`.

use std::path::Path;

use plan::{Plan, Recorded};
use serde_json::{Map, Value as Json, json};
use stack::{Address, Value};

use super::{plan_json, state};
use crate::Exit;
use crate::args::{ShowArgs, TreeArgs};
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Detail, Printer, render_plan};

pub(crate) fn run(args: &ShowArgs, printer: &Printer) -> Result<Exit> {
    let text = if args.what.is_file() && !is_yaml(&args.what) {
        let plan = load(&args.what, &args.tree)?;
        match args.json {
            true => format!("{:#}", plan_json::plan(&plan)),
            false => render_plan(&plan, Detail::of(args.full), printer.colours_stdout()),
        }
    } else {
        let fleet = session::fleet_at(Some(&args.what), &args.tree)?;
        match args.json {
            true => format!("{:#}", state_json(&fleet)?),
            false => described(&fleet)?,
        }
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

/// A cluster may be a file of the tree.
fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "yaml")
}

/// A plan from its file, opened with its own fleet's key.
fn load(file: &Path, tree: &TreeArgs) -> Result<Plan> {
    let store = session::fleet_of_plan(file, tree)?.store();
    Plan::load(file, &store).map_err(|e| Failure::from_error(&e))
}

fn described(fleet: &Fleet) -> Result<String> {
    let found = state::recorded(fleet, &[])?;
    if found.is_empty() {
        return Ok("Nothing is recorded.".to_owned());
    }
    let texts: Vec<String> = found
        .iter()
        .map(|(address, recorded)| state::described(address, recorded))
        .collect();
    Ok(texts.join("\n\n"))
}

fn state_json(fleet: &Fleet) -> Result<Json> {
    let found = state::recorded(fleet, &[])?;
    let resources = found.iter().map(|(address, it)| resource_json(address, it));
    let outputs = super::output::recorded(fleet)?;
    let outputs = outputs.iter().flat_map(|(unit, values)| {
        let told = move |(name, value): (&String, &Value)| {
            let sensitive = matches!(value, Value::Secret(_));
            let told = json!({ "sensitive": sensitive, "value": plan_json::json(value) });
            (format!("{unit}.{name}"), told)
        };
        values.iter().map(told)
    });
    Ok(json!({
        "format_version": "1.0",
        "tks_version": env!("CARGO_PKG_VERSION"),
        "fleet": fleet.live.name,
        "values": {
            "outputs": outputs.collect::<Map<_, _>>(),
            "root_module": { "resources": resources.collect::<Vec<_>>() },
        },
    }))
}

/// One resource of a state, with Terraform's field names plus `unit`. Secrets are null.
pub(crate) fn resource_json(address: &Address, recorded: &Recorded) -> Json {
    let needs: Vec<String> = recorded.depends_on.iter().map(Address::to_string).collect();
    json!({
        "address": address.to_string(),
        "unit": address.unit.to_string(),
        "mode": "managed",
        "type": address.kind,
        "name": address.name,
        "index": address.key,
        "provider_name": address.kind.split('.').next(),
        "values": plan_json::clear(&recorded.attributes),
        "sensitive_values": plan_json::secrets(&recorded.attributes),
        "depends_on": needs,
        "created": recorded.created,
    })
}

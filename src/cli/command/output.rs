//! `tks output`: what the units of a fleet offer.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use stack::{Attributes, UnitPath, Value};

use super::plan_json;
use crate::Exit;
use crate::args::OutputArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Printer, short};

/// Outputs of every unit of the selected clusters, as recorded.
pub(crate) fn recorded(fleet: &Fleet) -> Result<BTreeMap<UnitPath, Attributes>> {
    let mut outputs = fleet
        .store()
        .outputs()
        .map_err(|e| Failure::from_error(&e))?;
    outputs.retain(|unit, _| fleet.selects(&unit.cluster));
    Ok(outputs)
}

pub(crate) fn run(args: &OutputArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(Some(&args.path), &args.tree)?;
    let outputs = recorded(&fleet)?;
    if outputs.is_empty() {
        let dir = fleet.dir();
        return Err(
            Failure::new(format!("{dir} has no outputs: nothing is applied"))
                .help(format!("tks apply {dir}")),
        );
    }
    let text = match &args.name {
        Some(name) => one(&outputs, name)?,
        None if args.json => format!("{:#}", all_json(&outputs)),
        None => all(&outputs),
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

/// `<unit>.<output>`, with further steps into maps: bare if it is a text.
fn one(outputs: &BTreeMap<UnitPath, Attributes>, name: &str) -> Result<String> {
    let (unit, path) = name.split_once('.').unwrap_or((name, ""));
    let mut units = outputs.iter().filter(|(path, _)| path.unit == unit);
    let Some((first, attributes)) = units.next() else {
        let known: Vec<&str> = outputs.keys().map(|path| path.unit.as_str()).collect();
        return Err(Failure::new(format!("there is no unit `{unit}`"))
            .help(format!("there are {}", known.join(", "))));
    };
    if let Some((second, _)) = units.next() {
        return Err(Failure::new(format!(
            "`{unit}` is in several clusters: {first}, {second}"
        ))
        .help("name the folder of a cluster"));
    }
    let mut steps = path.split('.').filter(|step| !step.is_empty());
    let value = steps.try_fold(Value::Map(attributes.clone()), |value, step| {
        value.as_map().and_then(|map| map.get(step)).cloned()
    });
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(value) => Ok(plan_json::json(&value).to_string()),
        None => {
            let known: Vec<&str> = attributes.keys().map(String::as_str).collect();
            Err(
                Failure::new(format!("unit `{unit}` has no output `{path}`"))
                    .help(format!("it has {}", known.join(", "))),
            )
        }
    }
}

fn all(outputs: &BTreeMap<UnitPath, Attributes>) -> String {
    let unit = |(path, attributes): (&UnitPath, &Attributes)| {
        let lines = attributes
            .iter()
            .map(|(name, value)| format!("  {name} = {}", line(value)));
        std::iter::once(path.to_string())
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let shown = outputs
        .iter()
        .filter(|(_, attributes)| !attributes.is_empty());
    shown.map(unit).collect::<Vec<_>>().join("\n")
}

/// Certificates and the like are told by their size.
fn line(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains('\n') => {
            format!("(text of {} lines)", text.lines().count())
        }
        value => short(value),
    }
}

fn all_json(outputs: &BTreeMap<UnitPath, Attributes>) -> Json {
    let value = |value: &Value| {
        serde_json::json!({
            "sensitive": matches!(value, Value::Secret(_)),
            "value": plan_json::json(value),
        })
    };
    let unit = |(path, attributes): (&UnitPath, &Attributes)| {
        let outputs = attributes.iter().map(|(name, v)| (name.clone(), value(v)));
        (
            path.to_string(),
            Json::Object(outputs.collect::<Map<_, _>>()),
        )
    };
    Json::Object(outputs.iter().map(unit).collect())
}

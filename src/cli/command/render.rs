//! `tks render`: what units really see, with what is recorded.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use stack::{Address, Attributes, Diagnostics, Known, UnitPath, Value};

use super::engine::plan_failure;
use crate::Exit;
use crate::args::RenderArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::Printer;

pub(crate) fn run(args: &RenderArgs, printer: &Printer) -> Result<Exit> {
    let mut all = Map::new();
    let fleets = session::fleets(args.path.as_deref(), &args.tree)?;
    let several = fleets.len() > 1;
    for fleet in fleets {
        let rendered = rendered(&fleet, args)?;
        if several {
            all.insert(fleet.live.name, Json::Object(rendered));
        } else {
            all = rendered;
        }
    }
    let all = Json::Object(all);
    let text = if args.json {
        format!("{all:#}")
    } else {
        yaml(&all)?
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

/// What is recorded, as expressions read it.
pub(super) struct RecordedAttributes(HashMap<Address, Attributes>);

impl RecordedAttributes {
    pub(super) fn of(fleet: &Fleet) -> Result<Self> {
        let states = fleet.states()?.into_values();
        let resources = states.flat_map(|state| state.resources);
        Ok(Self(
            resources
                .map(|(address, it)| (address, it.attributes))
                .collect(),
        ))
    }
}

impl Known for RecordedAttributes {
    fn attributes(&self, address: &Address) -> Option<&Attributes> {
        self.0.get(address)
    }
}

fn rendered(fleet: &Fleet, args: &RenderArgs) -> Result<Map<String, Json>> {
    let mut universe = fleet.universe(&fleet.states()?);
    let selection = fleet.selection(&args.choice)?;
    if selection.asks_for_files() {
        universe = universe.read(&fleet.stack);
    }
    let picked = selection.pick(&universe).map_err(plan_failure)?;
    let known = RecordedAttributes::of(fleet)?;
    let mut units = Map::new();
    let mut mistakes = Diagnostics::default();
    for unit in &fleet.stack.units {
        if !fleet.selects(&unit.path.cluster) || !picked.has_some_of(&unit.path) {
            continue;
        }
        let resources = fleet
            .stack
            .resources
            .iter()
            .map(|resource| &resource.address);
        let resources: Vec<&Address> = resources
            .filter(|it| it.unit == unit.path && picked.has(it))
            .collect();
        match render_unit(fleet, &unit.path, &resources, &known) {
            Ok(mut rendered) => {
                rendered.shift_insert(0, "module".to_owned(), unit.module.clone().into());
                units.insert(unit.path.to_string(), Json::Object(rendered));
            }
            Err(more) => mistakes.extend(more),
        }
    }
    mistakes.or(units).map_err(Failure::from)
}

fn render_unit(
    fleet: &Fleet,
    unit: &UnitPath,
    resources: &[&Address],
    known: &RecordedAttributes,
) -> std::result::Result<Map<String, Json>, Diagnostics> {
    let mut rendered = Map::new();
    let inputs = fleet.stack.inputs(unit, known)?;
    rendered.insert("inputs".to_owned(), shown_map(&inputs));
    let mut told = Map::new();
    for address in resources {
        let properties = fleet.stack.properties(address, known)?;
        let key = address
            .key
            .as_ref()
            .map_or(String::new(), |key| format!("[{key:?}]"));
        told.insert(
            format!("{}.{}{key}", address.kind, address.name),
            shown_map(&properties),
        );
    }
    rendered.insert("resources".to_owned(), Json::Object(told));
    let outputs = fleet.stack.outputs(unit, known)?;
    rendered.insert("outputs".to_owned(), shown_map(&outputs));
    Ok(rendered)
}

fn shown_map(attributes: &Attributes) -> Json {
    let pairs = attributes.iter();
    Json::Object(
        pairs
            .map(|(name, value)| (name.clone(), shown(value)))
            .collect(),
    )
}

/// A value for a reader: what is secret or not yet known is said in words.
pub(super) fn shown(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Secret(_) => "(sensitive value)".into(),
        Value::Unknown(unknown) => {
            let of: Vec<&str> = unknown.of.iter().map(String::as_str).collect();
            format!("(known after apply: {})", of.join(", ")).into()
        }
        Value::List(values) => values.iter().map(shown).collect(),
        Value::Map(map) => shown_map(map),
    }
}

/// Without the last line's end.
pub(super) fn yaml(json: &Json) -> Result<String> {
    let text = serde_yaml::to_string(json).map_err(|error| Failure::from_error(&error))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

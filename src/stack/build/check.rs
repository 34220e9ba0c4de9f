//! Every expression of a stack, evaluated once with nothing known: what is wrong, and what reads what.

use std::collections::BTreeSet;

use super::evaluation::{Evaluation, Scope};
use super::expand::Nothing;
use super::sources::{Presence, Sources, UnitSource};
use crate::expr::Term;
use crate::module::Input;
use crate::{Address, Attributes, ClusterPath, Diagnostic, Diagnostics, Known, Resource, Value};

/// All resources in address order, with their dependencies.
pub(super) fn resources(sources: &Sources, mistakes: &mut Vec<Diagnostic>) -> Vec<Resource> {
    let evaluation = Evaluation::new(sources, &Nothing);
    let mut resources = Vec::with_capacity(sources.resources.len());
    for (number, source) in sources.resources.iter().enumerate() {
        let (result, reads) = evaluation.tracked(|| properties(&evaluation, sources, number));
        if let Err(more) = result {
            mistakes.extend(more.0);
        }
        let definition = source.definition();
        resources.push(Resource {
            address: source.address.clone(),
            depends_on: dependencies(sources, number, &reads),
            lifecycle: definition.lifecycle.clone(),
            position: definition.position.clone(),
        });
    }
    resources.sort_by(|left, right| left.address.cmp(&right.address));
    resources
}

/// What the properties read, and what `depends_on` names.
fn dependencies(sources: &Sources, number: usize, reads: &BTreeSet<usize>) -> BTreeSet<Address> {
    let source = &sources.resources[number];
    let named = source.definition().depends_on.iter();
    let families = sources.units[source.unit].resources.as_ref();
    let named = named
        .filter_map(|name| families?.get(name))
        .flat_map(|family| family.iter());
    let numbers = reads.iter().chain(named);
    numbers
        .map(|number| sources.resources[*number].address.clone())
        .collect()
}

/// The properties of a resource; a template has become its `content`.
pub(crate) fn properties<'a>(
    evaluation: &Evaluation<'a>,
    sources: &'a Sources,
    number: usize,
) -> Result<Attributes, Diagnostics> {
    let source = &sources.resources[number];
    let unit = &sources.units[source.unit];
    let scope = Scope::resource(unit.cluster, source.unit, number);
    let definition = source.definition();
    let mut attributes = Attributes::new();
    let mut mistakes = Vec::new();
    for (name, term) in &definition.properties {
        match evaluation.value(term, scope) {
            Ok(value) => {
                attributes.insert(name.clone(), value);
            }
            Err(more) => mistakes.extend(more.0),
        }
    }
    if let Some(template) = &definition.template {
        let content = evaluation.value(&template.with, scope).and_then(|with| {
            let rendered = sources
                .templates
                .render(&template.name, &with, &template.position);
            rendered.map_err(|mistake| Diagnostics(vec![*mistake]))
        });
        match content {
            Ok(content) => {
                attributes.insert("content".to_owned(), content);
            }
            Err(more) => mistakes.extend(more.0),
        }
    }
    if mistakes.is_empty() {
        Ok(attributes)
    } else {
        Err(Diagnostics(mistakes))
    }
}

/// The inputs of a unit.
pub(crate) fn inputs(
    sources: &Sources,
    number: usize,
    known: &dyn Known,
) -> Result<Attributes, Diagnostics> {
    let evaluation = Evaluation::new(sources, known);
    let mut attributes = Attributes::new();
    for input in &sources.units[number].module.inputs {
        attributes.insert(input.name.clone(), evaluation.input(number, &input.name)?);
    }
    Ok(attributes)
}

/// The outputs of a unit.
pub(crate) fn outputs(
    sources: &Sources,
    number: usize,
    known: &dyn Known,
) -> Result<Attributes, Diagnostics> {
    let evaluation = Evaluation::new(sources, known);
    let mut attributes = Attributes::new();
    for output in &sources.units[number].module.outputs {
        attributes.insert(
            output.name.clone(),
            evaluation.output(number, &output.name)?,
        );
    }
    Ok(attributes)
}

/// A reserved key of a cluster; `None`: the tree does not say it.
pub(crate) fn value(
    sources: &Sources,
    cluster: &ClusterPath,
    key: &str,
    known: &dyn Known,
) -> Result<Option<Value>, Diagnostics> {
    let mut clusters = sources.clusters.iter();
    let number = clusters.position(|source| source.path == *cluster);
    let Some(number) = number else {
        return Ok(None);
    };
    let mut values = sources.clusters[number].values.iter();
    let Some((_, term)) = values.find(|(name, _)| name == key) else {
        return Ok(None);
    };
    let evaluation = Evaluation::new(sources, known);
    evaluation.value(term, Scope::cluster(number)).map(Some)
}

/// Checks the values of every cluster, and the inputs, locals and outputs of every unit.
pub(super) fn units(sources: &Sources, mistakes: &mut Vec<Diagnostic>) {
    let evaluation = Evaluation::new(sources, &Nothing);
    for (number, cluster) in sources.clusters.iter().enumerate() {
        // What nobody reads may be wrong too.
        for (_, term) in &cluster.values {
            if let Err(more) = evaluation.value(term, Scope::cluster(number)) {
                mistakes.extend(more.0);
            }
        }
    }
    for (number, unit) in sources.units.iter().enumerate() {
        if matches!(unit.presence, Presence::LeftOut) {
            continue;
        }
        for input in &unit.module.inputs {
            check_input(&evaluation, number, unit, input, mistakes);
        }
        let Some(body) = unit.body() else { continue };
        for (name, _) in &body.locals {
            if let Err(more) = evaluation.local(number, name) {
                mistakes.extend(more.0);
            }
        }
        for (name, term) in &body.outputs {
            match evaluation.output(number, name) {
                Ok(value) => {
                    if let Some(output) = unit.module.output(name) {
                        output.shape.check(&value, term, mistakes);
                    }
                }
                Err(more) => mistakes.extend(more.0),
            }
        }
    }
}

fn check_input<'a>(
    evaluation: &Evaluation<'a>,
    number: usize,
    unit: &'a UnitSource,
    input: &'a Input,
    mistakes: &mut Vec<Diagnostic>,
) {
    let term = unit.input(&input.name);
    match (evaluation.input(number, &input.name), term) {
        (Ok(Value::Null), _) if input.required => mistakes.push(missing(unit, input, term)),
        (Ok(value), Some(term)) => input.shape.check(&value, term, mistakes),
        (Ok(_), None) => {}
        (Err(more), _) => mistakes.extend(more.0),
    }
}

fn missing(unit: &UnitSource, input: &Input, term: Option<&Term>) -> Diagnostic {
    let position = term.map_or(&unit.position, |term| &term.position);
    let message = format!("unit `{}` needs `{}`", unit.path.unit, input.name);
    let help = format!(
        "write `{}: {{ {}: … }}`, a {}",
        unit.path.unit, input.name, input.shape
    );
    let mistake = Diagnostic::at(position.clone(), message).help(help);
    if term.is_some() {
        mistake.label("is null")
    } else {
        mistake
    }
}

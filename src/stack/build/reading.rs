//! What each unit was made from: the files of its cluster's chain, of its role, module and templates, and what it says as
//! long as nothing is known.

use std::path::Path;

use super::check::properties;
use super::evaluation::{Evaluation, Scope};
use super::expand::Nothing;
use super::sources::{Element, Sources, UnitSource};
use crate::Diagnostics;
use crate::reading::{Reader, Reading};

/// One reading per unit that is listed, in no order. Mistakes were told when the stack was built.
pub(crate) fn readings(sources: &Sources, dir: &Path) -> Vec<Reading> {
    let evaluation = Evaluation::new(sources, &Nothing);
    let mut readings = Vec::new();
    for (number, unit) in sources.units.iter().enumerate() {
        if !sources.lists(unit) {
            continue;
        }
        let mut reader = Reader::new(dir);
        files(sources, unit, &mut reader);
        inputs(&evaluation, number, unit, &mut reader);
        let _ = resources(&evaluation, sources, unit, &mut reader);
        readings.push(reader.finish(unit.path.clone()));
    }
    readings
}

fn files(sources: &Sources, unit: &UnitSource, reader: &mut Reader<'_>) {
    let cluster = &sources.clusters[unit.cluster];
    reader.chain(&cluster.chain);
    if let Some(Element::Cluster(peer)) = unit.each {
        reader.chain(&sources.clusters[peer].chain);
    }
    let (role, module) = (&cluster.role, &unit.module.name);
    let mut names = vec![
        format!("modules/roles/{role}.yaml"),
        format!("modules/{module}/module.yaml"),
        format!("modules/{module}/{}.yaml", sources.platform),
    ];
    let bodies = unit.body().into_iter().flat_map(|body| &body.resources);
    let templates = bodies.filter_map(|resource| resource.template.as_ref());
    names.extend(templates.map(|used| format!("templates/{}", used.name)));
    for name in names {
        if let Some(file) = sources.files.read.get(&name) {
            reader.file(file);
        }
        for root in &sources.files.roots {
            reader.absent(&root.join(&name));
        }
    }
}

fn inputs<'a>(
    evaluation: &Evaluation<'a>,
    number: usize,
    unit: &'a UnitSource,
    reader: &mut Reader<'_>,
) {
    for input in &unit.module.inputs {
        if let Ok(value) = evaluation.input(number, &input.name) {
            reader.word(&input.name);
            reader.value(&value);
        }
    }
}

fn resources<'a>(
    evaluation: &Evaluation<'a>,
    sources: &'a Sources,
    unit: &'a UnitSource,
    reader: &mut Reader<'_>,
) -> Result<(), Diagnostics> {
    let families = unit.resources.iter().flat_map(|families| families.values());
    for number in families.flat_map(|family| family.iter()) {
        let source = &sources.resources[*number];
        reader.word(&source.address.to_string());
        for (name, value) in properties(evaluation, sources, *number)? {
            reader.word(&name);
            reader.value(&value);
        }
        // A text with something unknown in it is unknown as a whole; what goes into it says more.
        if let Some(template) = &source.definition().template {
            let scope = Scope::resource(unit.cluster, source.unit, *number);
            reader.value(&evaluation.value(&template.with, scope)?);
        }
    }
    Ok(())
}

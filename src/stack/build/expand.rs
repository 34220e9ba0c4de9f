//! Which units and which resources there are, decided by the tree alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::evaluation::{Evaluation, Object, Scope};
use super::sources::{Element, Family, Presence, ResourceSource, Sources, UnitSource};
use crate::diagnostic::closest;
use crate::expr::{Item, Term};
use crate::merge::merge;
use crate::module::{Module, RoleUnit};
use crate::stack::Known;
use crate::{
    Address, Attributes, Catalog, Diagnostic, Diagnostics, LiveCluster, LiveFleet, Node, NodeValue,
    Position, UnitPath, Value,
};

/// Nothing is known: how a stack is built, and how mistakes show offline.
pub(super) struct Nothing;

impl Known for Nothing {
    fn attributes(&self, _: &Address) -> Option<&Attributes> {
        None
    }
}

/// Makes out the units of every cluster, with their inputs.
pub(super) fn units(
    sources: &mut Sources,
    fleet: &LiveFleet,
    catalog: &Catalog,
    mistakes: &mut Vec<Diagnostic>,
) {
    let mut families = Vec::new();
    let mut units = Vec::new();
    for (number, cluster) in fleet.clusters.iter().enumerate() {
        let mut expansion = Expansion {
            sources,
            catalog,
            number,
            cluster,
            units: &mut units,
        };
        families.push(expansion.families(mistakes));
    }
    sources.units = units;
    for (cluster, families) in sources.clusters.iter_mut().zip(families) {
        cluster.units = Some(families);
    }
}

/// The units of one cluster in the making.
struct Expansion<'a> {
    sources: &'a Sources,
    catalog: &'a Catalog,
    number: usize,
    cluster: &'a LiveCluster,
    units: &'a mut Vec<UnitSource>,
}

impl Expansion<'_> {
    fn families(&mut self, mistakes: &mut Vec<Diagnostic>) -> BTreeMap<String, Family<usize>> {
        let catalog = self.catalog;
        let Some(role) = catalog.roles.get(&self.cluster.role) else {
            mistakes.push(self.no_role());
            return BTreeMap::new();
        };
        let mut families = BTreeMap::new();
        for unit in &role.units {
            match self.family(unit, mistakes) {
                Ok(family) => {
                    families.insert(unit.name.clone(), family);
                }
                Err(more) => mistakes.extend(more.0),
            }
        }
        families
    }

    fn no_role(&self) -> Diagnostic {
        let role = &self.cluster.role;
        let message = format!("there is no role `{role}`");
        let mut mistake = match self.cluster.merged.get("role") {
            Some(node) => Diagnostic::at(node.position.clone(), message),
            None => Diagnostic::new(message),
        };
        mistake.candidates = closest(role, self.catalog.roles.keys().map(String::as_str));
        mistake
    }

    fn family(
        &mut self,
        unit: &RoleUnit,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Family<usize>, Diagnostics> {
        let evaluation = Evaluation::new(self.sources, &Nothing);
        let scope = Scope::cluster(self.number);
        let wanted = unit
            .when
            .as_ref()
            .map_or(Ok(true), |term| when(&evaluation, term, scope))?;
        let Some(term) = &unit.for_each else {
            return Ok(Family::One(self.unit(unit, None, wanted, mistakes)));
        };
        let elements = if wanted {
            elements(&evaluation, term, scope)?
        } else {
            Vec::new()
        };
        let each = elements.into_iter().map(|(key, element)| {
            let number = self.unit(unit, Some((&key, element)), wanted, mistakes);
            (key, number)
        });
        Ok(Family::Each(each.collect()))
    }

    fn unit(
        &mut self,
        unit: &RoleUnit,
        each: Option<(&str, Element)>,
        wanted: bool,
        mistakes: &mut Vec<Diagnostic>,
    ) -> usize {
        // Roles whose modules are missing were refused when the catalog was loaded.
        let module = Arc::clone(&self.catalog.modules[&unit.module]);
        let presence = match module.bodies.get(&self.sources.platform) {
            _ if !wanted => Presence::LeftOut,
            Some(body) => Presence::Here(Arc::clone(body)),
            None => Presence::NotOnPlatform,
        };
        let (key, each) = each.unzip();
        let name = key.map_or_else(|| unit.name.clone(), |key| format!("{}/{key}", unit.name));
        let path = UnitPath {
            cluster: self.cluster.path.clone(),
            unit: name,
        };
        let inputs = self.inputs(unit, key, &module, mistakes);
        self.units.push(UnitSource {
            path,
            cluster: self.number,
            module,
            each,
            inputs,
            position: self.anchor(unit),
            presence,
            resources: None,
        });
        self.units.len() - 1
    }

    /// Where a mistake of the whole unit is shown: at the cluster's role, which asks for it.
    fn anchor(&self, unit: &RoleUnit) -> Position {
        let role = self.cluster.merged.get("role");
        role.map_or_else(|| unit.position.clone(), |node| node.position.clone())
    }

    /// Module defaults, the role's inputs, then every layer of the tree, weak to strong.
    fn inputs(
        &self,
        unit: &RoleUnit,
        key: Option<&str>,
        module: &Module,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Vec<(String, Term)> {
        let mut layers = vec![&module.defaults, &unit.inputs];
        let said: Vec<&Node> = if unit.name == "federation" {
            let path = ["federation", "overrides", key.unwrap_or_default()];
            let layers = self.cluster.layers.iter();
            layers.filter_map(|(_, layer)| layer.at(&path)).collect()
        } else {
            self.cluster
                .unit_layers(&unit.name)
                .into_iter()
                .map(|(_, node)| node)
                .collect()
        };
        layers.extend(
            said.into_iter()
                .filter(|node| is_inputs(node, &unit.name, mistakes)),
        );
        let merged = merge(&layers).unwrap_or_else(|Diagnostics(more)| {
            mistakes.extend(more);
            Node::new(unit.position.clone(), NodeValue::Map(Vec::new()))
        });
        let mut inputs = Vec::new();
        for (key, node) in merged.as_map().unwrap_or_default() {
            if is_declared(key, module, mistakes) {
                inputs.push((key.name.clone(), Term::compile(node, mistakes)));
            }
        }
        inputs
    }
}

fn is_inputs(node: &Node, unit: &str, mistakes: &mut Vec<Diagnostic>) -> bool {
    if node.as_map().is_none() {
        let message = format!(
            "the inputs of `{unit}` must be a map, not {}",
            node.type_name()
        );
        mistakes.push(Diagnostic::at(node.position.clone(), message).label("not a map"));
    }
    node.as_map().is_some()
}

fn is_declared(key: &crate::Key, module: &Module, mistakes: &mut Vec<Diagnostic>) -> bool {
    let declared = module.input(&key.name).is_some();
    if !declared {
        let message = format!("unknown key `{}`", key.name);
        let names: Vec<_> = module
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        let mut mistake = Diagnostic::at(key.position.clone(), message)
            .label(format!("module `{}` has no such input", module.name))
            .help(if names.is_empty() {
                "it takes no inputs".to_owned()
            } else {
                format!("its inputs are {}", names.join(", "))
            });
        mistake.candidates = closest(&key.name, names);
        mistakes.push(mistake);
    }
    declared
}

/// Makes out the resources of every unit.
pub(super) fn resources(sources: &mut Sources, mistakes: &mut Vec<Diagnostic>) {
    let mut resources = Vec::new();
    let mut families = Vec::new();
    {
        let evaluation = Evaluation::new(sources, &Nothing);
        for (number, unit) in sources.units.iter().enumerate() {
            families.push(unit_resources(
                &evaluation,
                number,
                unit,
                &mut resources,
                mistakes,
            ));
        }
    }
    for (unit, families) in sources.units.iter_mut().zip(families) {
        unit.resources = Some(families);
    }
    sources.by_address = resources
        .iter()
        .enumerate()
        .map(|(number, resource): (usize, &ResourceSource)| (resource.address.clone(), number))
        .collect();
    sources.resources = resources;
}

fn unit_resources<'a>(
    evaluation: &Evaluation<'a>,
    number: usize,
    unit: &'a UnitSource,
    resources: &mut Vec<ResourceSource>,
    mistakes: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Family<usize>> {
    let mut families = BTreeMap::new();
    let Some(body) = unit.body() else {
        return families;
    };
    let scope = Scope::module(unit.cluster, number);
    for (index, definition) in body.resources.iter().enumerate() {
        let mut add = |key: Option<String>, each: Option<Element>| {
            let address = Address {
                unit: unit.path.clone(),
                kind: definition.kind.clone(),
                name: definition.name.clone(),
                key,
            };
            let body = Arc::clone(body);
            resources.push(ResourceSource {
                address,
                unit: number,
                body,
                index,
                each,
            });
            resources.len() - 1
        };
        let wanted = definition
            .when
            .as_ref()
            .map_or(Ok(true), |term| when(evaluation, term, scope));
        let family = match (wanted, &definition.for_each) {
            (Ok(false), _) => continue,
            (Ok(true), None) => Ok(Family::One(add(None, None))),
            (Ok(true), Some(term)) => elements(evaluation, term, scope).map(|elements| {
                let each = elements.into_iter().map(|(key, element)| {
                    let number = add(Some(key.clone()), Some(element));
                    (key, number)
                });
                Family::Each(each.collect())
            }),
            (Err(more), _) => Err(more),
        };
        match family {
            Ok(family) => {
                families.insert(definition.name.clone(), family);
            }
            Err(more) => mistakes.extend(more.0),
        }
    }
    families
}

/// Whether a `when` says yes.
fn when<'a>(
    evaluation: &Evaluation<'a>,
    term: &'a Term,
    scope: Scope,
) -> Result<bool, Diagnostics> {
    let item = evaluation.item(term, scope)?;
    match evaluation.materialise(item, term, scope)? {
        Value::Bool(value) => Ok(value),
        Value::Null => Ok(false),
        Value::List(items) => Ok(!items.is_empty()),
        Value::Map(map) => Ok(!map.is_empty()),
        Value::Unknown(unknown) => Err(unknown_yet("`when`", &unknown, term)),
        other => Err(one(Diagnostic::at(
            term.position.clone(),
            format!("`when` is {}", other.type_name()),
        )
        .help(
            "`when` takes true or false; null, an empty list and an empty map mean no",
        ))),
    }
}

/// What a `for_each` goes over, with the key of each.
fn elements<'a>(
    evaluation: &Evaluation<'a>,
    term: &'a Term,
    scope: Scope,
) -> Result<Vec<(String, Element)>, Diagnostics> {
    let found = match evaluation.item(term, scope)? {
        Item::List(items) => items
            .into_iter()
            .map(|item| match item {
                Item::Object(Object::Cluster(number)) => Ok(Element::Cluster(number)),
                item => evaluation
                    .materialise(item, term, scope)
                    .map(Element::Value),
            })
            .collect::<Result<Vec<_>, _>>()?,
        item => match evaluation.materialise(item, term, scope)? {
            Value::Null => Vec::new(),
            Value::List(values) => values.into_iter().map(Element::Value).collect(),
            Value::Map(map) => map.into_iter().map(entry).collect(),
            Value::Unknown(unknown) => return Err(unknown_yet("`for_each`", &unknown, term)),
            other => {
                let message = format!("`for_each` over {}", other.type_name());
                let mistake = Diagnostic::at(term.position.clone(), message);
                return Err(one(mistake.help("it goes over a list or a map")));
            }
        },
    };
    keyed(evaluation, found, term)
}

/// An entry of a map, as `each` reads it.
fn entry((key, value): (String, Value)) -> Element {
    let fields = [
        ("key".to_owned(), Value::String(key)),
        ("value".to_owned(), value),
    ];
    Element::Value(Value::Map(fields.into()))
}

fn keyed(
    evaluation: &Evaluation<'_>,
    elements: Vec<Element>,
    term: &Term,
) -> Result<Vec<(String, Element)>, Diagnostics> {
    let mut keyed: Vec<(String, Element)> = Vec::with_capacity(elements.len());
    for element in elements {
        if let Element::Value(Value::Unknown(unknown)) = &element {
            return Err(unknown_yet("`for_each`", unknown, term));
        }
        let key = evaluation.key_of(&element).ok_or_else(|| {
            let mistake = Diagnostic::at(term.position.clone(), "an element without a key");
            one(mistake.help("elements are texts, clusters, or maps with a `key` or a `name`"))
        })?;
        if keyed.iter().any(|(other, _)| *other == key) {
            let message = format!("two elements with the key `{key}`");
            return Err(one(Diagnostic::at(term.position.clone(), message)));
        }
        keyed.push((key, element));
    }
    Ok(keyed)
}

fn unknown_yet(what: &str, unknown: &crate::Unknown, term: &Term) -> Diagnostics {
    let of: Vec<_> = unknown.of.iter().map(String::as_str).collect();
    one(Diagnostic::at(
        term.position.clone(),
        format!("{what} is not known before apply"),
    )
    .label(format!("depends on {}", of.join(", ")))
    .help("how many there are is decided by the tree alone"))
}

fn one(mistake: Diagnostic) -> Diagnostics {
    Diagnostics(vec![mistake])
}

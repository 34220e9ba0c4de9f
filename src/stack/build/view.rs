//! The names of expressions, as they read from one place of a fleet.

use std::collections::BTreeMap;

use super::evaluation::{Evaluation, Found, Level, Object, Scope, no_such};
use super::sources::{ClusterSource, Element};
use crate::Value;
use crate::diagnostic::closest;
use crate::expr::{Item, Kind, Members, Miss, Term, World};

/// An evaluation from one place: what [`World`] means there.
pub(super) struct View<'e, 'a> {
    evaluation: &'e Evaluation<'a>,
    scope: Scope,
}

impl<'e, 'a> View<'e, 'a> {
    pub(super) fn new(evaluation: &'e Evaluation<'a>, scope: Scope) -> Self {
        Self { evaluation, scope }
    }

    fn cluster(&self) -> &'a ClusterSource {
        &self.evaluation.sources.clusters[self.scope.cluster]
    }

    fn each(&self) -> Found<'a> {
        let sources = self.evaluation.sources;
        let element = match self.scope.level {
            Level::Module => self
                .scope
                .resource
                .and_then(|number| sources.resources[number].each.as_ref()),
            Level::Tree => self
                .scope
                .unit
                .and_then(|number| sources.units[number].each.as_ref()),
        };
        match element {
            Some(Element::Cluster(cluster)) => Ok(Item::Object(Object::Cluster(*cluster))),
            Some(Element::Value(value)) => Ok(Item::Value(value.clone())),
            None => Err(Miss::NoSuch {
                message: "there is no `each` here".to_owned(),
                help: Some("`each` is what a `for_each` goes over".to_owned()),
                candidates: Vec::new(),
            }),
        }
    }

    fn clusters(&self, name: &str, numbers: Option<&Vec<usize>>) -> Found<'a> {
        let Some(numbers) = numbers else {
            return Err(too_early(name));
        };
        let objects = numbers
            .iter()
            .map(|number| Item::Object(Object::Cluster(*number)));
        Ok(Item::List(objects.collect()))
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names = vec![
            "fleet",
            "account",
            "region",
            "cluster",
            "value",
            "unit",
            "observers",
            "observees",
            "each",
        ];
        if self.scope.level == Level::Module {
            names.extend(["input", "local", "resource"]);
        }
        names
    }

    fn whole(&self, object: &Object<'a>) -> Result<BTreeMap<String, Value>, Miss> {
        let sources = self.evaluation.sources;
        let names: Vec<&str> = match object {
            Object::Unit(unit) => sources.units[*unit]
                .module
                .outputs
                .iter()
                .map(|o| o.name.as_str())
                .collect(),
            Object::Inputs(unit) => sources.units[*unit]
                .module
                .inputs
                .iter()
                .map(|i| i.name.as_str())
                .collect(),
            Object::Locals(unit) => sources.units[*unit]
                .body()
                .map(|body| body.locals.iter().map(|(name, _)| name.as_str()).collect())
                .unwrap_or_default(),
            Object::Values(cluster) => sources.clusters[*cluster]
                .values
                .iter()
                .map(|(name, _)| name.as_str())
                .collect(),
            _ => return Err(not_a_value("this")),
        };
        let read = |name: &str| {
            let item = self.member(object, name)?;
            let value = self
                .evaluation
                .settle(Ok(item), self.scope)
                .map_err(Miss::Failed)?;
            Ok((name.to_owned(), value))
        };
        names.into_iter().map(read).collect()
    }

    fn family(
        &self,
        family: &BTreeMap<String, usize>,
        object: impl Fn(usize) -> Object<'a>,
    ) -> Result<Value, Miss> {
        let values = family
            .iter()
            .map(|(key, number)| Ok((key.clone(), self.value(&object(*number))?)));
        values.collect::<Result<_, Miss>>().map(Value::Map)
    }
}

impl<'a> World for View<'_, 'a> {
    type Object = Object<'a>;

    fn name(&self, name: &str) -> Found<'a> {
        let sources = self.evaluation.sources;
        let cluster = self.cluster();
        let module = self
            .scope
            .unit
            .filter(|_| self.scope.level == Level::Module);
        let object = match (name, module) {
            ("fleet", _) => Object::Record("a fleet", &sources.fleet),
            ("account", _) => Object::Record("an account", &cluster.account),
            ("region", _) => Object::Record("a region", &cluster.region),
            ("cluster", _) => Object::Cluster(self.scope.cluster),
            ("value", _) => Object::Values(self.scope.cluster),
            ("unit", _) if cluster.units.is_some() => Object::Units(self.scope.cluster),
            ("unit", _) => return Err(too_early(name)),
            ("observers", _) => return self.clusters(name, cluster.observers.as_ref()),
            ("observees", _) => return self.clusters(name, cluster.observees.as_ref()),
            ("each", _) => return self.each(),
            ("input", Some(unit)) => Object::Inputs(unit),
            ("local", Some(unit)) => Object::Locals(unit),
            ("resource", Some(unit)) => Object::Resources(unit),
            _ => {
                let names = self.names();
                return Err(Miss::NoSuch {
                    message: format!("unknown name `{name}`"),
                    help: Some(format!("names here are {}", names.join(", "))),
                    candidates: closest(name, names),
                });
            }
        };
        Ok(Item::Object(object))
    }

    fn member(&self, object: &Object<'a>, name: &str) -> Found<'a> {
        let evaluation = self.evaluation;
        match object {
            Object::Record(what, fields) => field(what, fields, name),
            Object::Cluster(number) if name == "unit" => Ok(Item::Object(Object::Units(*number))),
            Object::Cluster(number) => field(
                "a cluster",
                &evaluation.sources.clusters[*number].fields,
                name,
            ),
            Object::Values(cluster) => evaluation.read_value(*cluster, name),
            Object::Units(cluster) => {
                if evaluation.sources.clusters[*cluster].units.is_none() {
                    return Err(too_early("unit"));
                }
                evaluation.read_unit(*cluster, name)
            }
            Object::UnitFamily(family) => copy(family, name, Object::Unit),
            Object::Unit(unit) => evaluation.read_output(*unit, name),
            Object::Inputs(unit) => evaluation.read_input(*unit, name),
            Object::Locals(unit) => evaluation.read_local(*unit, name),
            Object::Resources(unit) => evaluation.read_resource(*unit, name),
            Object::ResourceFamily(family) => copy(family, name, Object::Resource),
            Object::Resource(resource) => evaluation.read_attribute(*resource, name),
            Object::Term(term, scope, what) => match &term.kind {
                Kind::Map(entries) => match term.get(name) {
                    Some(inner) => evaluation.read(inner, *scope, *what),
                    None => Err(Miss::Absent {
                        candidates: closest(name, entries.iter().map(|(key, _)| key.as_str())),
                    }),
                },
                _ => Err(Miss::NoSuch {
                    message: format!("a list has no member `{name}`"),
                    help: Some(format!("to read it of every element, write `.*.{name}`")),
                    candidates: Vec::new(),
                }),
            },
        }
    }

    fn members(&self, object: &Object<'a>) -> Result<Members<Object<'a>>, Miss> {
        let evaluation = self.evaluation;
        let items = match object {
            Object::UnitFamily(family) => family
                .values()
                .map(|unit| Item::Object(Object::Unit(*unit)))
                .collect(),
            Object::ResourceFamily(family) => family
                .values()
                .map(|number| Item::Object(Object::Resource(*number)))
                .collect(),
            Object::Term(term, scope, what) => terms_in_order(term)
                .into_iter()
                .map(|term| evaluation.read(term, *scope, *what))
                .collect::<Result<_, _>>()?,
            Object::Unit(_) | Object::Inputs(_) | Object::Locals(_) | Object::Values(_) => {
                self.whole(object)?.into_values().map(Item::Value).collect()
            }
            Object::Resource(resource) => match evaluation.resource_value(*resource) {
                Value::Unknown(unknown) => return Ok(Members::Unknown(unknown)),
                Value::Map(map) => map.into_values().map(Item::Value).collect(),
                _ => Vec::new(),
            },
            Object::Record(..) | Object::Cluster(_) | Object::Units(_) | Object::Resources(_) => {
                return Err(not_a_value("`.*` of this"));
            }
        };
        Ok(Members::These(items))
    }

    fn value(&self, object: &Object<'a>) -> Result<Value, Miss> {
        let evaluation = self.evaluation;
        match object {
            Object::Record(_, fields) => Ok(Value::Map((*fields).clone())),
            Object::Cluster(number) => Ok(Value::Map(
                evaluation.sources.clusters[*number].fields.clone(),
            )),
            Object::UnitFamily(family) => self.family(family, Object::Unit),
            Object::ResourceFamily(family) => self.family(family, Object::Resource),
            Object::Resource(resource) => Ok(evaluation.resource_value(*resource)),
            Object::Term(term, scope, what) => evaluation.read_whole(term, *scope, *what),
            Object::Unit(_) | Object::Inputs(_) | Object::Locals(_) | Object::Values(_) => {
                self.whole(object).map(Value::Map)
            }
            Object::Units(_) => Err(not_a_value("`unit`")),
            Object::Resources(_) => Err(not_a_value("`resource`")),
        }
    }
}

fn field<'a>(what: &str, fields: &BTreeMap<String, Value>, name: &str) -> Found<'a> {
    fields.get(name).cloned().map(Item::Value).ok_or_else(|| {
        no_such(
            format!("{what} has no `{name}`"),
            name,
            fields.keys().map(String::as_str),
        )
    })
}

fn copy<'a>(
    family: &BTreeMap<String, usize>,
    name: &str,
    object: impl Fn(usize) -> Object<'a>,
) -> Found<'a> {
    let found = family.get(name).map(|number| Item::Object(object(*number)));
    found.ok_or_else(|| Miss::Absent {
        candidates: closest(name, family.keys().map(String::as_str)),
    })
}

/// The terms of a list, or those of a map in key order.
fn terms_in_order(term: &Term) -> Vec<&Term> {
    match &term.kind {
        Kind::List(items) => items.iter().collect(),
        Kind::Map(entries) => {
            let sorted: BTreeMap<_, _> = entries.iter().map(|(key, term)| (key, term)).collect();
            sorted.into_values().collect()
        }
        _ => vec![term],
    }
}

fn too_early(name: &str) -> Miss {
    Miss::NoSuch {
        message: format!("`{name}` cannot be read here"),
        help: Some(
            "which clusters observe each other and which units there are is decided first, by the \
             tree alone"
                .to_owned(),
        ),
        candidates: Vec::new(),
    }
}

fn not_a_value(what: &str) -> Miss {
    Miss::NoSuch {
        message: format!("{what} is not a value"),
        help: Some("name a member".to_owned()),
        candidates: Vec::new(),
    }
}

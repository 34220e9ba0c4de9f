//! What names mean in a fleet, read lazily: an output is evaluated when somebody reads it, once per evaluation, and every attribute of a
//! resource that is read on the way is noted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sources::{Element, Family, Presence, Sources, UnitSource, is_reserved};
use super::view::View;
use crate::diagnostic::{CLOSES_CYCLE, closest};
use crate::expr::{self, Item, Kind, Miss, Term, World};
use crate::schema::RESERVED;
use crate::{Diagnostic, Diagnostics, Known, Secret, Unknown, Value};

/// One evaluation: what is known does not change while it lives.
pub(crate) struct Evaluation<'a> {
    pub(super) sources: &'a Sources,
    known: &'a dyn Known,
    memo: RefCell<HashMap<Place, Memo<'a>>>,
    /// What is being evaluated now, outermost first.
    running: RefCell<Vec<(Place, What<'a>)>>,
    /// The resources read so far, a set per evaluation that is under way.
    reads: RefCell<Vec<BTreeSet<usize>>>,
}

/// A term (by where it lies in memory, which does not move) in a scope.
type Place = (usize, Scope);

struct Memo<'a> {
    item: Item<Object<'a>>,
    reads: BTreeSet<usize>,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(super) cluster: usize,
    pub(super) unit: Option<usize>,
    pub(super) resource: Option<usize>,
    pub(super) level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Level {
    /// The live tree, and a role.
    Tree,
    Module,
}

impl Scope {
    /// A cluster's values, and the units of its role.
    pub(crate) fn cluster(cluster: usize) -> Self {
        Self {
            cluster,
            unit: None,
            resource: None,
            level: Level::Tree,
        }
    }

    /// The inputs of a unit.
    pub(crate) fn inputs(cluster: usize, unit: usize) -> Self {
        Self {
            unit: Some(unit),
            ..Self::cluster(cluster)
        }
    }

    /// The module of a unit.
    pub(crate) fn module(cluster: usize, unit: usize) -> Self {
        Self {
            level: Level::Module,
            ..Self::inputs(cluster, unit)
        }
    }

    /// A resource of a unit.
    pub(crate) fn resource(cluster: usize, unit: usize, resource: usize) -> Self {
        Self {
            resource: Some(resource),
            ..Self::module(cluster, unit)
        }
    }
}

/// Something that is read member by member.
#[derive(Clone)]
pub(crate) enum Object<'a> {
    /// Fields that are always known, and what has them: `a fleet`.
    Record(&'static str, &'a BTreeMap<String, Value>),
    Cluster(usize),
    Values(usize),
    Units(usize),
    /// The units made per element.
    UnitFamily(&'a BTreeMap<String, usize>),
    Unit(usize),
    Inputs(usize),
    Locals(usize),
    Resources(usize),
    ResourceFamily(&'a BTreeMap<String, usize>),
    Resource(usize),
    /// A map or a list that is written out.
    Term(&'a Term, Scope, What<'a>),
}

/// What a term is, for the chain of a cycle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What<'a> {
    Value(usize, &'a str),
    Input(usize, &'a str),
    Local(usize, &'a str),
    Output(usize, &'a str),
}

pub(super) type Found<'a> = Result<Item<Object<'a>>, Miss>;

impl<'a> Evaluation<'a> {
    pub(crate) fn new(sources: &'a Sources, known: &'a dyn Known) -> Self {
        Self {
            sources,
            known,
            memo: RefCell::default(),
            running: RefCell::default(),
            reads: RefCell::default(),
        }
    }

    /// The value of a term.
    pub(crate) fn value(&self, term: &'a Term, scope: Scope) -> Result<Value, Diagnostics> {
        expr::evaluate(&self.view(scope), term)
    }

    /// What a term stands for, clusters kept.
    pub(crate) fn item(
        &self,
        term: &'a Term,
        scope: Scope,
    ) -> Result<Item<Object<'a>>, Diagnostics> {
        match &term.kind {
            Kind::Expr(expression) => {
                expr::item(&self.view(scope), expression).map_err(expr::Failure::into_diagnostics)
            }
            _ => self.value(term, scope).map(Item::Value),
        }
    }

    /// An item as a plain value.
    pub(crate) fn materialise(
        &self,
        item: Item<Object<'a>>,
        term: &Term,
        scope: Scope,
    ) -> Result<Value, Diagnostics> {
        expr::materialise(&self.view(scope), item, &term.position)
            .map_err(expr::Failure::into_diagnostics)
    }

    /// An input of a unit, as the module reads it.
    pub(crate) fn input(&self, unit: usize, name: &'a str) -> Result<Value, Diagnostics> {
        let scope = Scope::module(self.sources.units[unit].cluster, unit);
        let found = self.read_input(unit, name);
        self.settle(found, scope)
    }

    /// An output of a unit, as other units read it.
    pub(crate) fn output(&self, unit: usize, name: &'a str) -> Result<Value, Diagnostics> {
        let scope = Scope::module(self.sources.units[unit].cluster, unit);
        let found = self.read_output(unit, name);
        self.settle(found, scope)
    }

    /// A local of a unit.
    pub(crate) fn local(&self, unit: usize, name: &'a str) -> Result<Value, Diagnostics> {
        let scope = Scope::module(self.sources.units[unit].cluster, unit);
        let found = self.read_local(unit, name);
        self.settle(found, scope)
    }

    /// The key of an element of a `for_each`.
    pub(crate) fn key_of(&self, element: &Element) -> Option<String> {
        match element {
            Element::Cluster(number) => Some(self.sources.clusters[*number].key.clone()),
            Element::Value(Value::String(text)) => Some(text.clone()),
            Element::Value(Value::Int(number)) => Some(number.to_string()),
            Element::Value(Value::Map(map)) => map
                .get("key")
                .or_else(|| map.get("name"))?
                .as_text()
                .map(str::to_owned),
            Element::Value(_) => None,
        }
    }

    /// Runs `work`, and tells which resources it read.
    pub(crate) fn tracked<T>(&self, work: impl FnOnce() -> T) -> (T, BTreeSet<usize>) {
        self.reads.borrow_mut().push(BTreeSet::new());
        let result = work();
        let reads = self.reads.borrow_mut().pop().unwrap_or_default();
        if let Some(outer) = self.reads.borrow_mut().last_mut() {
            outer.extend(&reads);
        }
        (result, reads)
    }

    pub(super) fn settle(&self, found: Found<'a>, scope: Scope) -> Result<Value, Diagnostics> {
        let nowhere = |miss| match miss {
            Miss::Failed(diagnostics) => diagnostics,
            Miss::Absent { .. } => Diagnostics::default(),
            Miss::NoSuch { message, .. } => Diagnostics(vec![Diagnostic::new(message)]),
        };
        match found.map_err(nowhere)? {
            Item::Value(value) => Ok(value),
            Item::List(items) => {
                let values = items.into_iter().map(|item| self.settle(Ok(item), scope));
                values.collect::<Result<_, _>>().map(Value::List)
            }
            Item::Object(object) => self.view(scope).value(&object).map_err(nowhere),
        }
    }

    fn view(&self, scope: Scope) -> View<'_, 'a> {
        View::new(self, scope)
    }

    /// A term as others read it: maps and lists lazily, everything else once.
    pub(super) fn read(&self, term: &'a Term, scope: Scope, what: What<'a>) -> Found<'a> {
        match &term.kind {
            Kind::Map(_) | Kind::List(_) => Ok(Item::Object(Object::Term(term, scope, what))),
            Kind::Value(value) => Ok(Item::Value(value.clone())),
            Kind::Expr(_) | Kind::Text(_) => self.once(term, scope, what),
        }
    }

    /// A term as a plain value, once.
    pub(super) fn read_whole(
        &self,
        term: &'a Term,
        scope: Scope,
        what: What<'a>,
    ) -> Result<Value, Miss> {
        let item = self.once(term, scope, what)?;
        self.materialise(item, term, scope).map_err(Miss::Failed)
    }

    fn once(&self, term: &'a Term, scope: Scope, what: What<'a>) -> Found<'a> {
        let place: Place = (std::ptr::from_ref(term) as usize, scope);
        if let Some(memo) = self.memo.borrow().get(&place) {
            if let Some(reads) = self.reads.borrow_mut().last_mut() {
                reads.extend(&memo.reads);
            }
            return Ok(memo.item.clone());
        }
        self.refuse_cycle(place, term)?;
        self.running.borrow_mut().push((place, what));
        let (result, reads) = self.tracked(|| self.item(term, scope));
        self.running.borrow_mut().pop();
        let item = result.map_err(Miss::Failed)?;
        self.memo.borrow_mut().insert(
            place,
            Memo {
                item: item.clone(),
                reads,
            },
        );
        Ok(item)
    }

    fn refuse_cycle(&self, place: Place, term: &Term) -> Result<(), Miss> {
        let running = self.running.borrow();
        let Some(start) = running.iter().position(|(other, _)| *other == place) else {
            return Ok(());
        };
        let ring = running[start..]
            .iter()
            .map(|(_, what)| self.describe(*what));
        let mut names: Vec<String> = ring.collect();
        // Wherever it is entered, a cycle is told from its first name on, so it is told once.
        let first = (0..names.len()).min_by_key(|at| &names[*at]).unwrap_or(0);
        names.rotate_left(first);
        names.extend(names.first().cloned());
        let message = format!("a cycle: {}", names.join(" -> "));
        let mistake = Diagnostic::at(term.position.clone(), message).label(CLOSES_CYCLE);
        Err(Miss::Failed(Diagnostics(vec![mistake])))
    }

    fn describe(&self, what: What<'_>) -> String {
        let unit = |unit: usize| &self.sources.units[unit].path;
        match what {
            What::Value(cluster, name) => {
                format!("`{name}` of {}", self.sources.clusters[cluster].path)
            }
            What::Input(number, name) => format!("input `{name}` of {}", unit(number)),
            What::Local(number, name) => format!("local `{name}` of {}", unit(number)),
            What::Output(number, name) => format!("output `{name}` of {}", unit(number)),
        }
    }

    pub(super) fn read_input(&self, number: usize, name: &str) -> Found<'a> {
        let unit = &self.sources.units[number];
        let module = &unit.module;
        let Some(input) = module.input(name) else {
            let message = format!("module `{}` has no input `{name}`", module.name);
            let names = module.inputs.iter().map(|input| input.name.as_str());
            return Err(no_such(message, name, names));
        };
        let Some(term) = unit.input(name) else {
            return Ok(Item::Value(Value::Null));
        };
        let scope = Scope::inputs(unit.cluster, number);
        let what = What::Input(number, &input.name);
        if input.secret {
            return self
                .read_whole(term, scope, what)
                .map(conceal)
                .map(Item::Value);
        }
        self.read(term, scope, what)
    }

    pub(super) fn read_local(&self, number: usize, name: &str) -> Found<'a> {
        let unit = &self.sources.units[number];
        let Some(body) = unit.body() else {
            return Ok(Item::Value(Value::Null));
        };
        match body.locals.iter().find(|(local, _)| local == name) {
            Some((local, term)) => {
                let scope = Scope::module(unit.cluster, number);
                self.read(term, scope, What::Local(number, local))
            }
            None => {
                let message = format!("there is no local `{name}` in this module");
                Err(no_such(
                    message,
                    name,
                    body.locals.iter().map(|(local, _)| local.as_str()),
                ))
            }
        }
    }

    pub(super) fn read_output(&self, number: usize, name: &str) -> Found<'a> {
        let unit = &self.sources.units[number];
        let Some(output) = unit.module.output(name) else {
            let message = format!("{} has no output `{name}`", unit.path);
            let names = unit
                .module
                .outputs
                .iter()
                .map(|output| output.name.as_str());
            return Err(no_such(message, name, names));
        };
        let Some(body) = unit.body() else {
            return self.absent_output(unit, name, output.optional);
        };
        let Some(term) = body.output(name) else {
            return Ok(Item::Value(Value::Null));
        };
        let scope = Scope::module(unit.cluster, number);
        let what = What::Output(number, &output.name);
        if output.secret {
            return self
                .read_whole(term, scope, what)
                .map(conceal)
                .map(Item::Value);
        }
        self.read(term, scope, what)
    }

    fn absent_output(&self, unit: &UnitSource, name: &str, optional: bool) -> Found<'a> {
        if !self.sources.built {
            return Ok(Item::Value(Value::unknown(format!("{}.{name}", unit.path))));
        }
        if optional {
            return Ok(Item::Value(Value::Null));
        }
        let why = match unit.presence {
            Presence::LeftOut => "its `when` leaves it out".to_owned(),
            _ => format!(
                "its module has nothing for platform `{}`",
                self.sources.platform
            ),
        };
        Err(Miss::NoSuch {
            message: format!(
                "{} is not there, so its output `{name}` is not either",
                unit.path
            ),
            help: Some(format!(
                "{why}; an output declared `optional: true` would read as null"
            )),
            candidates: Vec::new(),
        })
    }

    pub(super) fn read_resource(&self, number: usize, name: &str) -> Found<'a> {
        let unit = &self.sources.units[number];
        let Some(body) = unit.body() else {
            return Ok(Item::Value(Value::Null));
        };
        let Some(definition) = body.resources.iter().find(|resource| resource.name == name) else {
            let message = format!("there is no resource `{name}` in this module");
            let names = body.resources.iter().map(|resource| resource.name.as_str());
            return Err(no_such(message, name, names));
        };
        let Some(resources) = &unit.resources else {
            let of = format!("{}:{}.{name}", unit.path, definition.kind);
            return Ok(Item::Value(Value::unknown(of)));
        };
        Ok(match resources.get(name) {
            Some(Family::One(resource)) => Item::Object(Object::Resource(*resource)),
            Some(Family::Each(family)) => Item::Object(Object::ResourceFamily(family)),
            None => Item::Value(Value::Null),
        })
    }

    /// An attribute of a resource: this is where dependencies come from.
    pub(super) fn read_attribute(&self, number: usize, name: &str) -> Found<'a> {
        let address = &self.sources.resources[number].address;
        if let Some(reads) = self.reads.borrow_mut().last_mut() {
            reads.insert(number);
        }
        let Some(attributes) = self.known.attributes(address) else {
            return Ok(Item::Value(Value::unknown(format!("{address}.{name}"))));
        };
        // A resource that was skipped has no attributes at all: they read as null.
        match attributes.get(name) {
            Some(value) => Ok(Item::Value(value.clone())),
            None if attributes.is_empty() => Ok(Item::Value(Value::Null)),
            None => {
                let message = format!("{address} has no attribute `{name}`");
                Err(no_such(
                    message,
                    name,
                    attributes.keys().map(String::as_str),
                ))
            }
        }
    }

    pub(super) fn read_unit(&self, number: usize, name: &str) -> Found<'a> {
        let cluster = &self.sources.clusters[number];
        let units = cluster.units.as_ref();
        match units.and_then(|units| units.get(name)) {
            Some(Family::One(unit)) => Ok(Item::Object(Object::Unit(*unit))),
            Some(Family::Each(family)) => Ok(Item::Object(Object::UnitFamily(family))),
            None => {
                let message = format!(
                    "{} (role `{}`) has no unit `{name}`",
                    cluster.path, cluster.role
                );
                let names = units.into_iter().flatten().map(|(name, _)| name.as_str());
                Err(no_such(message, name, names))
            }
        }
    }

    pub(super) fn read_value(&self, number: usize, name: &str) -> Found<'a> {
        let cluster = &self.sources.clusters[number];
        match cluster.values.iter().find(|(key, _)| key == name) {
            Some((key, term)) => self.read(term, Scope::cluster(number), What::Value(number, key)),
            None if is_reserved(name) => Err(Miss::Absent {
                candidates: Vec::new(),
            }),
            None => {
                let message = format!("there is no reserved key `{name}`");
                Err(no_such(
                    message,
                    name,
                    RESERVED.iter().map(|field| field.name),
                ))
            }
        }
    }

    pub(super) fn resource_value(&self, number: usize) -> Value {
        let address = &self.sources.resources[number].address;
        if let Some(reads) = self.reads.borrow_mut().last_mut() {
            reads.insert(number);
        }
        match self.known.attributes(address) {
            Some(attributes) => Value::Map(attributes.clone()),
            None => Value::unknown(address.to_string()),
        }
    }
}

pub(super) fn no_such<'n>(
    message: String,
    name: &str,
    names: impl Iterator<Item = &'n str>,
) -> Miss {
    Miss::NoSuch {
        message,
        help: None,
        candidates: closest(name, names),
    }
}

/// Texts of a declared secret become secrets, however deep.
fn conceal(value: Value) -> Value {
    match value {
        Value::String(text) => Value::Secret(Secret::new(text)),
        Value::List(items) => Value::List(items.into_iter().map(conceal).collect()),
        Value::Map(map) => Value::Map(
            map.into_iter()
                .map(|(key, value)| (key, conceal(value)))
                .collect(),
        ),
        Value::Unknown(Unknown { of }) => Value::Unknown(Unknown { of }),
        other => other,
    }
}

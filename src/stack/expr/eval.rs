//! Evaluation of expressions over a world of names.
//!
//! The world decides what names mean and may hand out objects of its own (a cluster, the outputs of a unit), which are read member
//! by member and only become plain values where a value is needed.

use std::collections::{BTreeMap, BTreeSet};

use super::term::Part;
use super::{Expr, ExprKind, Kind, Step, StepKind, Term};
use crate::diagnostic::closest;
use crate::{Diagnostic, Diagnostics, Position, Secret, Unknown, Value};

/// What expressions can name.
pub(crate) trait World {
    /// Something that is read lazily. Never null: what may be null is evaluated when it is named.
    type Object: Clone;

    /// What a first name means.
    fn name(&self, name: &str) -> Result<Item<Self::Object>, Miss>;

    /// A member of an object.
    fn member(&self, object: &Self::Object, name: &str) -> Result<Item<Self::Object>, Miss>;

    /// All members of an object, in key order.
    fn members(&self, object: &Self::Object) -> Result<Members<Self::Object>, Miss>;

    /// An object as a plain value.
    fn value(&self, object: &Self::Object) -> Result<Value, Miss>;
}

/// The members of something, for `.*`.
pub(crate) enum Members<O> {
    These(Vec<Item<O>>),
    /// Nobody knows before apply.
    Unknown(Unknown),
}

/// What a name or a path stands for.
#[derive(Clone, Debug)]
pub(crate) enum Item<O> {
    Value(Value),
    List(Vec<Item<O>>),
    Object(O),
}

/// Why a name gave nothing.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It could be there and is not: `??` helps.
    Absent { candidates: Vec<String> },
    /// It can never be there.
    NoSuch {
        message: String,
        help: Option<String>,
        candidates: Vec<String>,
    },
    /// What it stands for cannot be evaluated itself.
    Failed(Diagnostics),
}

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A member is missing: `??` helps.
    Missing(Box<Diagnostic>),
    Wrong(Diagnostics),
}

/// A result that may be missing.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    fn wrong(diagnostic: Diagnostic) -> Self {
        Self::Wrong(Diagnostics(vec![diagnostic]))
    }

    /// All that is wrong.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        match self {
            Self::Missing(diagnostic) => Diagnostics(vec![*diagnostic]),
            Self::Wrong(diagnostics) => diagnostics,
        }
    }
}

/// The value of a term, with all that is wrong in it.
pub(crate) fn evaluate<W: World>(world: &W, term: &Term) -> Result<Value, Diagnostics> {
    match &term.kind {
        Kind::Value(value) => Ok(value.clone()),
        Kind::Expr(expr) => expr_value(world, expr).map_err(Failure::into_diagnostics),
        Kind::Text(parts) => text(world, parts).map_err(Failure::into_diagnostics),
        Kind::List(items) => {
            collect(items.iter().map(|item| evaluate(world, item))).map(Value::List)
        }
        Kind::Map(entries) => collect(
            entries
                .iter()
                .map(|(key, term)| Ok((key.clone(), evaluate(world, term)?))),
        )
        .map(|entries| Value::Map(entries.into_iter().collect())),
    }
}

/// All values, or all mistakes.
fn collect<T>(
    results: impl Iterator<Item = Result<T, Diagnostics>>,
) -> Result<Vec<T>, Diagnostics> {
    let mut values = Vec::new();
    let mut mistakes = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(more) => mistakes.extend(more.0),
        }
    }
    if mistakes.is_empty() {
        Ok(values)
    } else {
        Err(Diagnostics(mistakes))
    }
}

/// What an expression stands for, objects kept.
pub(crate) fn item<W: World>(world: &W, expr: &Expr) -> Outcome<Item<W::Object>> {
    match &expr.kind {
        ExprKind::Path { root, steps } => path(world, expr, root, steps),
        ExprKind::Else(left, right) => otherwise(world, left, right),
        _ => operation(world, expr).map(Item::Value),
    }
}

/// An item as a plain value.
pub(crate) fn materialise<W: World>(
    world: &W,
    item: Item<W::Object>,
    position: &Position,
) -> Outcome<Value> {
    match item {
        Item::Value(value) => Ok(value),
        Item::List(items) => items
            .into_iter()
            .map(|item| materialise(world, item, position))
            .collect::<Outcome<_>>()
            .map(Value::List),
        Item::Object(object) => world
            .value(&object)
            .map_err(|miss| missed(miss, "value", position)),
    }
}

fn expr_value<W: World>(world: &W, expr: &Expr) -> Outcome<Value> {
    materialise(world, item(world, expr)?, &expr.position)
}

fn otherwise<W: World>(world: &W, left: &Expr, right: &Expr) -> Outcome<Item<W::Object>> {
    match item(world, left) {
        Ok(Item::Value(Value::Null)) | Err(Failure::Missing(_)) => item(world, right),
        other => other,
    }
}

fn operation<W: World>(world: &W, expr: &Expr) -> Outcome<Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Ok(value.clone()),
        ExprKind::Not(operand) => Ok(match truth(world, operand)? {
            Truth::Known(value) => Value::Bool(!value),
            Truth::Unknown(unknown) => Value::Unknown(unknown),
        }),
        ExprKind::Equal(left, right) => compare(world, left, right, Sense::Same),
        ExprKind::NotEqual(left, right) => compare(world, left, right, Sense::Different),
        ExprKind::And(left, right) => logic(world, left, right, false),
        ExprKind::Or(left, right) => logic(world, left, right, true),
        ExprKind::Path { .. } | ExprKind::Else(..) => expr_value(world, expr),
    }
}

enum Truth {
    Known(bool),
    Unknown(Unknown),
}

fn truth<W: World>(world: &W, expr: &Expr) -> Outcome<Truth> {
    match expr_value(world, expr)? {
        Value::Bool(value) => Ok(Truth::Known(value)),
        Value::Unknown(unknown) => Ok(Truth::Unknown(unknown)),
        value => Err(Failure::wrong(
            Diagnostic::at(
                expr.position.clone(),
                format!("this is {}", value.type_name()),
            )
            .label("not a boolean")
            .help("`!`, `&&` and `||` take true or false; compare with `==`"),
        )),
    }
}

/// `&&` (decided by a false) and `||` (decided by a true). A known side that decides does so beside an unknown one.
fn logic<W: World>(world: &W, left: &Expr, right: &Expr, decides: bool) -> Outcome<Value> {
    let left = truth(world, left)?;
    if matches!(left, Truth::Known(value) if value == decides) {
        return Ok(Value::Bool(decides));
    }
    Ok(match (left, truth(world, right)?) {
        (_, Truth::Known(value)) if value == decides => Value::Bool(decides),
        (Truth::Unknown(mut left), Truth::Unknown(right)) => {
            left.of.extend(right.of);
            Value::Unknown(left)
        }
        (Truth::Unknown(unknown), _) | (_, Truth::Unknown(unknown)) => Value::Unknown(unknown),
        _ => Value::Bool(!decides),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Sense {
    Same,
    Different,
}

fn compare<W: World>(world: &W, left: &Expr, right: &Expr, sense: Sense) -> Outcome<Value> {
    let left = expr_value(world, left)?;
    let right = expr_value(world, right)?;
    let mut of = left.waits_for();
    of.extend(right.waits_for());
    if !of.is_empty() || !left.is_known() || !right.is_known() {
        return Ok(Value::Unknown(Unknown { of }));
    }
    Ok(Value::Bool(same(&left, &right) == (sense == Sense::Same)))
}

/// Equality of people's sense: 1 and 1.0 are the same, and so are a secret and its text.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        #[expect(clippy::cast_precision_loss, reason = "numbers of a configuration")]
        (Value::Int(int), Value::Float(float)) | (Value::Float(float), Value::Int(int)) => {
            *int as f64 == *float
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|((lk, lv), (rk, rv))| lk == rk && same(lv, rv))
        }
        _ => match (left.as_text(), right.as_text()) {
            (Some(left), Some(right)) => left == right,
            _ => left == right,
        },
    }
}

fn path<W: World>(world: &W, expr: &Expr, root: &str, steps: &[Step]) -> Outcome<Item<W::Object>> {
    let mut at = expr.position.clone();
    if !steps.is_empty() {
        at.len = at.len.min(root.len());
    }
    let start = world.name(root).map_err(|miss| missed(miss, root, &at))?;
    walk(world, start, steps)
}

fn walk<W: World>(
    world: &W,
    mut item: Item<W::Object>,
    steps: &[Step],
) -> Outcome<Item<W::Object>> {
    for (index, step) in steps.iter().enumerate() {
        match &step.kind {
            StepKind::Member(name) => item = member(world, item, name, &step.position)?,
            StepKind::Index(index) => match key(world, index)? {
                Ok(name) => item = member(world, item, &name, &step.position)?,
                Err(unknown) => return Ok(Item::Value(Value::Unknown(unknown))),
            },
            StepKind::Star => return star(world, item, step, &steps[index + 1..]),
        }
    }
    Ok(item)
}

/// The name of a member that an expression gives, or what it waits for.
fn key<W: World>(world: &W, index: &Expr) -> Outcome<Result<String, Unknown>> {
    match expr_value(world, index)? {
        Value::String(name) => Ok(Ok(name)),
        Value::Int(number) => Ok(Ok(number.to_string())),
        Value::Unknown(unknown) => Ok(Err(unknown)),
        value => {
            let message = format!("{} is no name of a member", value.type_name());
            let mistake = Diagnostic::at(index.position.clone(), message);
            Err(Failure::wrong(mistake.help(
                "in brackets stands a text or a whole number; lists are read with `.*`",
            )))
        }
    }
}

fn member<W: World>(
    world: &W,
    item: Item<W::Object>,
    name: &str,
    position: &Position,
) -> Outcome<Item<W::Object>> {
    match item {
        Item::Object(object) => world
            .member(&object, name)
            .map_err(|miss| missed(miss, name, position)),
        Item::Value(Value::Map(mut map)) => match map.remove(name) {
            Some(value) => Ok(Item::Value(value)),
            None => {
                let candidates = closest(name, map.keys().map(String::as_str));
                Err(missed(Miss::Absent { candidates }, name, position))
            }
        },
        Item::Value(Value::Null) => Ok(Item::Value(Value::Null)),
        Item::Value(Value::Unknown(unknown)) => Ok(Item::Value(Value::Unknown(unknown))),
        Item::Value(value) => Err(no_members(value.type_name(), name, position)),
        Item::List(_) => Err(no_members("a list", name, position)),
    }
}

fn no_members(type_name: &str, name: &str, position: &Position) -> Failure {
    let diagnostic = Diagnostic::at(
        position.clone(),
        format!("{type_name} has no member `{name}`"),
    );
    Failure::wrong(match type_name {
        "a list" => diagnostic.help(format!("to read it of every element, write `.*.{name}`")),
        _ => diagnostic,
    })
}

/// `.*` and what follows.
fn star<W: World>(
    world: &W,
    item: Item<W::Object>,
    step: &Step,
    rest: &[Step],
) -> Outcome<Item<W::Object>> {
    let members = match item {
        Item::List(items) => Members::These(items),
        Item::Value(Value::List(values)) => {
            Members::These(values.into_iter().map(Item::Value).collect())
        }
        Item::Value(Value::Map(map)) => {
            Members::These(map.into_values().map(Item::Value).collect())
        }
        Item::Value(Value::Null) => Members::These(Vec::new()),
        Item::Value(Value::Unknown(unknown)) => Members::Unknown(unknown),
        Item::Object(object) => world
            .members(&object)
            .map_err(|miss| missed(miss, "*", &step.position))?,
        Item::Value(value) => {
            let message = format!("{} has no members for `.*`", value.type_name());
            return Err(Failure::wrong(Diagnostic::at(
                step.position.clone(),
                message,
            )));
        }
    };
    match members {
        Members::These(items) => each(world, items, rest),
        Members::Unknown(unknown) => Ok(Item::Value(Value::Unknown(unknown))),
    }
}

fn each<W: World>(
    world: &W,
    items: Vec<Item<W::Object>>,
    rest: &[Step],
) -> Outcome<Item<W::Object>> {
    let flatten = rest.iter().any(|step| matches!(step.kind, StepKind::Star));
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        match walk(world, item, rest)? {
            Item::Value(Value::Null) => {}
            Item::List(inner) if flatten => found.extend(inner),
            item => found.push(item),
        }
    }
    Ok(Item::List(found))
}

/// Texts with expressions in them.
fn text<W: World>(world: &W, parts: &[Part]) -> Outcome<Value> {
    let mut joined = String::new();
    let mut secret = false;
    let mut unknown: Option<BTreeSet<String>> = None;
    for part in parts {
        match part {
            Part::Literal(literal) => joined.push_str(literal),
            Part::Expr(expr) => match expr_value(world, expr)? {
                Value::Unknown(more) => unknown.get_or_insert_default().extend(more.of),
                Value::Secret(text) => {
                    secret = true;
                    joined.push_str(text.reveal());
                }
                value => joined.push_str(&scalar(&value, &expr.position)?),
            },
        }
    }
    Ok(match unknown {
        Some(of) => Value::Unknown(Unknown { of }),
        None if secret => Value::Secret(Secret::new(joined)),
        None => Value::String(joined),
    })
}

fn scalar(value: &Value, position: &Position) -> Outcome<String> {
    let wrong = |help: &str| {
        let message = format!("{} inside text", value.type_name());
        Failure::wrong(
            Diagnostic::at(position.clone(), message)
                .label("must be a scalar here")
                .help(help),
        )
    };
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Float(value) => Ok(value.to_string()),
        Value::Null => Err(wrong("give a default with `??`")),
        _ => Err(wrong(
            "let the expression stand alone: then it keeps its type",
        )),
    }
}

fn missed(miss: Miss, name: &str, position: &Position) -> Failure {
    match miss {
        Miss::Absent { candidates } => {
            let mut diagnostic =
                Diagnostic::at(position.clone(), format!("there is no `{name}` here"))
                    .help("give a default with `??` if it may be missing");
            diagnostic.candidates = candidates;
            Failure::Missing(Box::new(diagnostic))
        }
        Miss::NoSuch {
            message,
            help,
            candidates,
        } => {
            let mut diagnostic = Diagnostic::at(position.clone(), message);
            diagnostic.help = help;
            diagnostic.candidates = candidates;
            Failure::wrong(diagnostic)
        }
        Miss::Failed(diagnostics) => Failure::Wrong(diagnostics),
    }
}

/// A world of plain values: what tests and simple places need.
impl World for BTreeMap<String, Value> {
    type Object = std::convert::Infallible;

    fn name(&self, name: &str) -> Result<Item<Self::Object>, Miss> {
        self.get(name)
            .cloned()
            .map(Item::Value)
            .ok_or_else(|| Miss::NoSuch {
                message: format!("unknown name `{name}`"),
                help: None,
                candidates: closest(name, self.keys().map(String::as_str)),
            })
    }

    fn member(&self, object: &Self::Object, _: &str) -> Result<Item<Self::Object>, Miss> {
        match *object {}
    }

    fn members(&self, object: &Self::Object) -> Result<Members<Self::Object>, Miss> {
        match *object {}
    }

    fn value(&self, object: &Self::Object) -> Result<Value, Miss> {
        match *object {}
    }
}

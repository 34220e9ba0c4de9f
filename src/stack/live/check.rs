//! One document against the table of `schema`: types, forms, unknown keys; each mistake at its place.

use crate::schema::{FLEET_ONLY, Field, RESERVED, Shape};
use crate::{Diagnostic, Diagnostics, Key, Node, NodeValue, RoleCatalog};

/// Which document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fleet,
    Account,
    Region,
    Cluster,
    Set,
}

/// The names that documents may use.
pub(crate) struct Vocabulary {
    pub roles: Vec<String>,
    pub platforms: Vec<String>,
    /// The units of all roles.
    pub units: Vec<String>,
}

impl Vocabulary {
    pub(crate) fn of(catalog: &dyn RoleCatalog) -> Self {
        let mut roles = catalog.roles();
        roles.sort_unstable();
        let mut units: Vec<String> = roles
            .iter()
            .flat_map(|role| catalog.units(role).unwrap_or_default())
            .collect();
        units.sort_unstable();
        units.dedup();
        Self {
            roles,
            platforms: catalog.platforms(),
            units,
        }
    }
}

/// Whether a text holds an expression (`$${` is none).
pub(crate) fn has_expression(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

fn is_expression(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

/// Checks a document as far as it can be without knowing its clusters' roles.
pub(crate) fn document(
    kind: Kind,
    document: &Node,
    vocabulary: &Vocabulary,
    mistakes: &mut Diagnostics,
) {
    let Some(entries) = document.as_map() else {
        mistakes.push(
            Diagnostic::at(
                document.position.clone(),
                format!(
                    "a document of the tree is a map, not {}",
                    document.type_name()
                ),
            )
            .help("write `key: value` lines"),
        );
        return;
    };
    let mut checker = Checker {
        vocabulary,
        mistakes,
    };
    for (key, value) in entries {
        checker.top(kind, key, value);
    }
}

/// Checks that every unit of a cluster's document is one of its role.
pub(crate) fn units_of_role(
    document: &Node,
    role: &str,
    units: &[String],
    mistakes: &mut Diagnostics,
) {
    for (key, _) in document.as_map().unwrap_or_default() {
        let name = key.name.as_str();
        let reserved = RESERVED
            .iter()
            .chain(FLEET_ONLY)
            .any(|field| field.name == name);
        if !reserved && !name.ends_with('+') && !units.iter().any(|unit| unit == name) {
            let names: Vec<&str> = units.iter().map(String::as_str).collect();
            let reserved = RESERVED.iter().map(|field| field.name);
            mistakes.push(
                Diagnostic::at(key.position.clone(), format!("unknown key `{name}`"))
                    .label(format!(
                        "neither a reserved key nor a unit of the role `{role}`"
                    ))
                    .help(format!("the units of `{role}` are {}", listed(&names)))
                    .meant(name, names.iter().copied().chain(reserved)),
            );
        }
    }
}

/// `a, b and c`, each in backticks.
pub(crate) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

struct Checker<'a> {
    vocabulary: &'a Vocabulary,
    mistakes: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn top(&mut self, kind: Kind, key: &Key, value: &Node) {
        let name = key.name.as_str();
        let fleet_only = FLEET_ONLY.iter().find(|field| field.name == name);
        if let Some(field) = RESERVED
            .iter()
            .find(|field| field.name == name)
            .or(fleet_only)
        {
            if fleet_only.is_some() && kind != Kind::Fleet {
                let message = format!("`{name}` belongs in fleet.yaml");
                self.mistakes.push(
                    Diagnostic::at(key.position.clone(), message)
                        .help("a fleet has one for all its clusters"),
                );
                return;
            }
            return self.value(name, field.literal, &field.shape, value);
        }
        if let Some(plain) = name.strip_suffix('+') {
            let message = format!("`{plain}` is not a list: nothing can be appended to it");
            return self
                .mistakes
                .push(Diagnostic::at(key.position.clone(), message));
        }
        if !self.vocabulary.units.iter().any(|unit| unit == name) {
            // Which units a cluster has hangs on its role: see `units_of_role`.
            if kind != Kind::Cluster {
                self.unknown_top(kind, key);
            }
            return;
        }
        if !matches!(value.value, NodeValue::Map(_) | NodeValue::Null) {
            self.mistakes.push(
                Diagnostic::at(
                    value.position.clone(),
                    format!("`{name}` must be a map, not {}", value.type_name()),
                )
                .label("not a map")
                .help(format!(
                    "the inputs of the unit are written `{name}: {{ input: value }}`"
                )),
            );
        }
    }

    fn unknown_top(&mut self, kind: Kind, key: &Key) {
        let own: &[Field] = if kind == Kind::Fleet { FLEET_ONLY } else { &[] };
        let reserved = RESERVED.iter().chain(own).map(|field| field.name);
        let units = self.vocabulary.units.iter().map(String::as_str);
        self.mistakes.push(
            Diagnostic::at(key.position.clone(), format!("unknown key `{}`", key.name))
                .label("neither a reserved key nor a unit of any role")
                .meant(&key.name, reserved.chain(units)),
        );
    }

    /// A value against its shape; `name` is its path below the document.
    fn value(&mut self, name: &str, literal: bool, shape: &Shape, value: &Node) {
        if value.is_null() {
            return;
        }
        if let Some(text) = value.as_str().filter(|text| has_expression(text)) {
            if literal {
                self.mistakes.push(
                    Diagnostic::at(
                        value.position.clone(),
                        format!("`{name}` must be known before expressions are evaluated"),
                    )
                    .label("an expression")
                    .help("write the value itself"),
                );
                return;
            }
            // Text with an expression inside is a text; anything else must be the whole scalar.
            if is_expression(text) || matches!(shape, Shape::Text(_) | Shape::Scalar | Shape::Any) {
                return;
            }
        }
        match (shape, &value.value) {
            (Shape::Any, _)
            | (Shape::Bool, NodeValue::Bool(_))
            | (
                Shape::Scalar,
                NodeValue::String(_) | NodeValue::Int(_) | NodeValue::Float(_) | NodeValue::Bool(_),
            ) => {}
            (Shape::Integer(least, most), NodeValue::Int(number)) => {
                if !(least..=most).contains(&number) {
                    self.out_of_range(name, *least, *most, value);
                }
            }
            (Shape::Text(format), NodeValue::String(text)) => {
                if !format.accepts(text) {
                    let (what, help) = format.describe();
                    self.mistakes.push(
                        Diagnostic::at(
                            value.position.clone(),
                            format!("`{text}` is not {what}: the value of `{name}`"),
                        )
                        .label(format!("not {what}"))
                        .help(help),
                    );
                }
            }
            (Shape::Choice(names), NodeValue::String(text)) => {
                self.choice(name, text, names, value);
            }
            (Shape::Role, NodeValue::String(text)) => {
                let roles: Vec<&str> = self.vocabulary.roles.iter().map(String::as_str).collect();
                self.choice(name, text, &roles, value);
            }
            (Shape::Platform, NodeValue::String(text)) => {
                let known: Vec<&str> = self
                    .vocabulary
                    .platforms
                    .iter()
                    .map(String::as_str)
                    .collect();
                self.choice(name, text, &known, value);
            }
            (Shape::List(item), NodeValue::List(items)) => {
                for (n, value) in items.iter().enumerate() {
                    self.value(&format!("{name}[{n}]"), literal, item, value);
                }
            }
            (Shape::Map(item), NodeValue::Map(entries)) => {
                for (key, value) in entries {
                    self.value(&format!("{name}.{}", key.name), literal, item, value);
                }
            }
            (Shape::Object(fields), NodeValue::Map(entries)) => {
                self.object(name, fields, entries, value);
            }
            _ => self.wrong_type(name, shape, value),
        }
    }

    fn object(&mut self, name: &str, fields: &[Field], entries: &[(Key, Node)], whole: &Node) {
        for (key, value) in entries {
            let plain = key.name.strip_suffix('+').unwrap_or(&key.name);
            let Some(field) = fields.iter().find(|field| field.name == plain) else {
                let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                self.mistakes.push(
                    Diagnostic::at(
                        key.position.clone(),
                        format!("unknown key `{}` in `{name}`", key.name),
                    )
                    .label("unknown key")
                    .help(format!("the keys of `{name}` are {}", listed(&known)))
                    .meant(&key.name, known.iter().copied()),
                );
                continue;
            };
            if plain != key.name && !matches!(field.shape, Shape::List(_)) {
                let message =
                    format!("`{name}.{plain}` is not a list: nothing can be appended to it");
                self.mistakes
                    .push(Diagnostic::at(key.position.clone(), message));
                continue;
            }
            self.value(
                &format!("{name}.{plain}"),
                field.literal,
                &field.shape,
                value,
            );
        }
        for field in fields.iter().filter(|field| field.required) {
            let there = entries
                .iter()
                .any(|(key, value)| key.name == field.name && !value.is_null());
            if !there {
                let message = format!("`{name}` has no `{}`", field.name);
                let doc = field.doc.trim_end_matches('.');
                self.mistakes.push(
                    Diagnostic::at(whole.position.clone(), message).help(format!(
                        "add `{}`: {}",
                        field.name,
                        first_lowercase(doc)
                    )),
                );
            }
        }
    }

    fn choice(&mut self, name: &str, text: &str, known: &[&str], value: &Node) {
        if !known.contains(&text) {
            let last = name.rsplit('.').next().unwrap_or(name);
            self.mistakes.push(
                Diagnostic::at(value.position.clone(), format!("unknown {last} `{text}`"))
                    .label(format!("not a value of `{name}`"))
                    .help(format!("`{name}` is one of {}", listed(known)))
                    .meant(text, known.iter().copied()),
            );
        }
    }

    fn out_of_range(&mut self, name: &str, least: i64, most: i64, value: &Node) {
        self.mistakes.push(
            Diagnostic::at(value.position.clone(), format!("`{name}` is out of range"))
                .label(format!("not from {least} to {most}"))
                .help(format!("write a number from {least} to {most}")),
        );
    }

    fn wrong_type(&mut self, name: &str, shape: &Shape, value: &Node) {
        let wanted = match shape {
            Shape::Bool => "a boolean",
            Shape::Integer(..) => "a whole number",
            Shape::Text(_) | Shape::Choice(_) | Shape::Role | Shape::Platform => "a string",
            Shape::Scalar => "a string, a number or a boolean",
            Shape::List(_) => "a list",
            Shape::Map(_) | Shape::Object(_) => "a map",
            Shape::Any => "anything",
        };
        let found = value.type_name();
        let message = format!("`{name}` must be {wanted}, not {found}");
        let mistake = Diagnostic::at(value.position.clone(), message).label(found);
        self.mistakes.push(match (wanted, &value.value) {
            ("a string", NodeValue::Int(_) | NodeValue::Float(_) | NodeValue::Bool(_)) => {
                mistake.help("put it in quotes")
            }
            ("a list", _) => mistake.help("write it in brackets: `[ … ]`"),
            _ => mistake,
        });
    }
}

fn first_lowercase(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(letters).collect())
}

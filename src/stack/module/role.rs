//! `roles/<role>.yaml`: which units a cluster of that role has, and how their inputs and outputs meet.

use super::document::Document;
use crate::expr::Term;
use crate::{Diagnostic, Key, Node, NodeValue, Position};

/// A role.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) units: Vec<RoleUnit>,
}

/// A unit of a role, or one per element.
#[derive(Debug)]
pub(crate) struct RoleUnit {
    pub(crate) name: String,
    pub(crate) position: Position,
    pub(crate) module: String,
    /// Where `module:` names it.
    pub(crate) module_position: Position,
    pub(crate) for_each: Option<Term>,
    pub(crate) when: Option<Term>,
    /// A map.
    pub(crate) inputs: Node,
}

impl Role {
    /// Reads a role's file.
    pub(crate) fn read(node: &Node, document: &mut Document) -> Self {
        let fields = document.fields(node, "a role", &["description", "units"]);
        if let Some(description) = fields.get("description") {
            document.text(description, "a description");
        }
        let units = fields
            .get("units")
            .map_or(&[][..], |node| document.map(node, "units"));
        Self {
            units: units
                .iter()
                .map(|(key, node)| RoleUnit::read(key, node, document))
                .collect(),
        }
    }
}

impl RoleUnit {
    fn read(key: &Key, node: &Node, document: &mut Document) -> Self {
        let keys = ["module", "for_each", "when", "inputs"];
        let fields = document.fields(node, "a unit of a role", &keys);
        let module = fields.get("module");
        if module.is_none() {
            let message = format!("the unit `{}` names no module", key.name);
            document.mistake(Diagnostic::at(key.position.clone(), message));
        }
        if let Some(inputs) = fields.get("inputs") {
            document.map(inputs, "inputs");
        }
        let empty = || Node::new(key.position.clone(), NodeValue::Map(Vec::new()));
        let mut term = |name| {
            fields
                .get(name)
                .map(|node| Term::compile(node, &mut document.mistakes))
        };
        Self {
            for_each: term("for_each"),
            when: term("when"),
            name: key.name.clone(),
            position: key.position.clone(),
            module_position: module.unwrap_or(node).position.clone(),
            module: module
                .and_then(|node| document.text(node, "a module's name"))
                .unwrap_or_default(),
            inputs: fields
                .get("inputs")
                .filter(|node| node.as_map().is_some())
                .cloned()
                .unwrap_or_else(empty),
        }
    }
}

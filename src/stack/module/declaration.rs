//! `module.yaml`: the inputs a module takes and the outputs it gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::Document;
use super::{Body, Type};
use crate::{Key, Node, NodeValue, Position};

/// A module with its bodies.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
    /// The defaults of the inputs, as one map: the weakest layer.
    pub(crate) defaults: Node,
    /// By platform. Where there is none, a unit of this module is absent.
    pub(crate) bodies: BTreeMap<String, Arc<Body>>,
}

/// One input.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) shape: Type,
    pub(crate) required: bool,
    pub(crate) secret: bool,
}

/// One output.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) shape: Type,
    /// Reads as null where the unit is absent.
    pub(crate) optional: bool,
    pub(crate) secret: bool,
    pub(crate) position: Position,
}

impl Module {
    /// Reads `module.yaml`.
    pub(crate) fn read(name: &str, node: &Node, document: &mut Document) -> Self {
        let fields = document.fields(node, "a module", &["description", "inputs", "outputs"]);
        if let Some(description) = fields.get("description") {
            document.text(description, "a description");
        }
        let mut defaults = Vec::new();
        let inputs = fields
            .get("inputs")
            .map_or(&[][..], |node| document.map(node, "inputs"));
        let inputs = inputs
            .iter()
            .map(|(key, node)| Input::read(key, node, &mut defaults, document))
            .collect();
        let outputs = fields
            .get("outputs")
            .map_or(&[][..], |node| document.map(node, "outputs"));
        let outputs = outputs
            .iter()
            .map(|(key, node)| Output::read(key, node, document))
            .collect();
        let defaults = Node::new(node.position.clone(), NodeValue::Map(defaults));
        Self {
            name: name.to_owned(),
            inputs,
            outputs,
            defaults,
            bodies: BTreeMap::new(),
        }
    }

    pub(crate) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    pub(crate) fn output(&self, name: &str) -> Option<&Output> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

impl Input {
    fn read(
        key: &Key,
        node: &Node,
        defaults: &mut Vec<(Key, Node)>,
        document: &mut Document,
    ) -> Self {
        let keys = ["type", "default", "description", "required", "secret"];
        let fields = document.fields(node, "an input", &keys);
        if let Some(description) = fields.get("description") {
            document.text(description, "a description");
        }
        if let Some(default) = fields.get("default").filter(|default| !default.is_null()) {
            defaults.push((key.clone(), default.clone()));
        }
        Self {
            name: key.name.clone(),
            shape: read_type(key, fields.get("type"), document),
            required: document.boolean(fields.get("required"), "`required`"),
            secret: document.boolean(fields.get("secret"), "`secret`"),
        }
    }
}

impl Output {
    fn read(key: &Key, node: &Node, document: &mut Document) -> Self {
        let keys = ["type", "description", "optional", "secret"];
        let fields = document.fields(node, "an output", &keys);
        if let Some(description) = fields.get("description") {
            document.text(description, "a description");
        }
        Self {
            name: key.name.clone(),
            shape: read_type(key, fields.get("type"), document),
            optional: document.boolean(fields.get("optional"), "`optional`"),
            secret: document.boolean(fields.get("secret"), "`secret`"),
            position: key.position.clone(),
        }
    }
}

fn read_type(key: &Key, node: Option<&Node>, document: &mut Document) -> Type {
    let Some(node) = node else {
        let message = format!("`{}` needs a type", key.name);
        document.mistake(crate::Diagnostic::at(key.position.clone(), message));
        return Type::Any;
    };
    Type::parse(node).unwrap_or_else(|mistake| {
        document.mistake(mistake);
        Type::Any
    })
}

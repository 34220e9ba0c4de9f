//! `<platform>.yaml` of a module: locals, resources, and what the outputs are on that platform.

use std::time::Duration;

use super::Module;
use super::document::{Document, Fields};
use crate::diagnostic::closest;
use crate::expr::Term;
use crate::live::format::duration;
use crate::{Diagnostic, Key, Lifecycle, Node, OnDestroy, Position};

/// A module on one platform.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) locals: Vec<(String, Term)>,
    pub(crate) resources: Vec<ResourceBody>,
    pub(crate) outputs: Vec<(String, Term)>,
}

/// A resource, or a resource per element.
#[derive(Debug)]
pub(crate) struct ResourceBody {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) position: Position,
    pub(crate) for_each: Option<Term>,
    pub(crate) when: Option<Term>,
    /// Names of resources of the same module.
    pub(crate) depends_on: Vec<String>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) properties: Vec<(String, Term)>,
    pub(crate) template: Option<TemplateUse>,
}

/// `template: x.hbs` with `with: {…}`: becomes the property `content`.
#[derive(Debug)]
pub(crate) struct TemplateUse {
    pub(crate) name: String,
    pub(crate) position: Position,
    pub(crate) with: Term,
}

const RESOURCE_KEYS: [&str; 6] = [
    "type",
    "for_each",
    "when",
    "depends_on",
    "lifecycle",
    "properties",
];
const LIFECYCLE_KEYS: [&str; 5] = [
    "protect",
    "ignore_changes",
    "create_before_destroy",
    "on_destroy",
    "timeout",
];

impl Body {
    /// Reads the file of one platform, and checks it against what `module` declares.
    pub(crate) fn read(module: &Module, node: &Node, document: &mut Document) -> Self {
        let fields = document.fields(
            node,
            "a module's platform file",
            &["locals", "resources", "outputs"],
        );
        let resources = fields
            .get("resources")
            .map_or(&[][..], |node| document.map(node, "resources"));
        let body = Self {
            locals: terms(fields.get("locals"), "locals", document),
            resources: resources
                .iter()
                .map(|(key, node)| ResourceBody::read(key, node, document))
                .collect(),
            outputs: terms(fields.get("outputs"), "outputs", document),
        };
        body.check_dependencies(fields, document);
        body.check_outputs(module, node, fields, document);
        body
    }

    pub(crate) fn output(&self, name: &str) -> Option<&Term> {
        self.outputs
            .iter()
            .find(|(output, _)| output == name)
            .map(|(_, term)| term)
    }

    fn check_dependencies(&self, fields: Fields<'_>, document: &mut Document) {
        let names = || self.resources.iter().map(|resource| resource.name.as_str());
        for (_, node) in fields
            .get("resources")
            .and_then(Node::as_map)
            .unwrap_or_default()
        {
            for name in node
                .get("depends_on")
                .and_then(Node::as_list)
                .unwrap_or_default()
            {
                let Some(wanted) = name.as_str() else {
                    continue;
                };
                if !names().any(|known| known == wanted) {
                    let message = format!("there is no resource `{wanted}` in this module");
                    let mut mistake = Diagnostic::at(name.position.clone(), message);
                    mistake.candidates = closest(wanted, names());
                    document.mistake(mistake);
                }
            }
        }
    }

    fn check_outputs(
        &self,
        module: &Module,
        node: &Node,
        fields: Fields<'_>,
        document: &mut Document,
    ) {
        for (key, _) in fields
            .get("outputs")
            .and_then(Node::as_map)
            .unwrap_or_default()
        {
            if module.output(&key.name).is_none() {
                let message = format!("module `{}` declares no output `{}`", module.name, key.name);
                let mut mistake = Diagnostic::at(key.position.clone(), message)
                    .help("declare it in `module.yaml`");
                let names = module.outputs.iter().map(|output| output.name.as_str());
                mistake.candidates = closest(&key.name, names);
                document.mistake(mistake);
            }
        }
        for output in &module.outputs {
            if !output.optional && self.output(&output.name).is_none() {
                let message = format!("the output `{}` has no value here", output.name);
                let mut mistake = Diagnostic::at(node.position.clone(), message)
                    .help("give it one under `outputs`, or declare it `optional: true`");
                mistake.position = mistake.position.map(|place| Position { len: 1, ..place });
                mistake
                    .related
                    .push((output.position.clone(), "declared here".to_owned()));
                document.mistake(mistake);
            }
        }
    }
}

impl ResourceBody {
    fn read(key: &Key, node: &Node, document: &mut Document) -> Self {
        let fields = document.fields(node, "a resource", &RESOURCE_KEYS);
        let dependencies = document.names(fields.get("depends_on"), "`depends_on`");
        let (properties, template) = read_properties(fields.get("properties"), document);
        Self {
            name: key.name.clone(),
            kind: read_kind(key, fields.get("type"), document),
            position: key.position.clone(),
            for_each: fields.get("for_each").map(|node| term(node, document)),
            when: fields.get("when").map(|node| term(node, document)),
            depends_on: dependencies
                .into_iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            lifecycle: read_lifecycle(fields.get("lifecycle"), document),
            properties,
            template,
        }
    }
}

fn read_kind(key: &Key, node: Option<&Node>, document: &mut Document) -> String {
    let Some(node) = node else {
        let message = format!("the resource `{}` needs a type", key.name);
        document.mistake(Diagnostic::at(key.position.clone(), message));
        return String::new();
    };
    let kind = document.text(node, "a resource's type").unwrap_or_default();
    if kind.split('.').count() != 2 {
        document.mistake(
            Diagnostic::at(
                node.position.clone(),
                format!("`{kind}` is no type of resource"),
            )
            .help("a type is a provider and a kind: `local.process`"),
        );
    }
    kind
}

fn read_properties(
    node: Option<&Node>,
    document: &mut Document,
) -> (Vec<(String, Term)>, Option<TemplateUse>) {
    let Some(node) = node else {
        return (Vec::new(), None);
    };
    let mut properties = terms(Some(node), "properties", document);
    let Some(template) = node.get("template") else {
        return (properties, None);
    };
    let name = document
        .text(template, "a template's name")
        .unwrap_or_default();
    if node.get("content").is_some() {
        document.mistake(
            Diagnostic::at(template.position.clone(), "both `template` and `content`")
                .help("a template's text is the content"),
        );
    }
    let with = properties.iter().position(|(name, _)| name == "with");
    let with = with.map(|index| properties.swap_remove(index).1);
    properties.retain(|(name, _)| name != "template");
    let position = template.position.clone();
    let with = with.unwrap_or_else(|| Term::null(position.clone()));
    (
        properties,
        Some(TemplateUse {
            name,
            position,
            with,
        }),
    )
}

fn read_lifecycle(node: Option<&Node>, document: &mut Document) -> Lifecycle {
    let Some(node) = node else {
        return Lifecycle::default();
    };
    let fields = document.fields(node, "`lifecycle`", &LIFECYCLE_KEYS);
    let ignored = document.names(fields.get("ignore_changes"), "`ignore_changes`");
    Lifecycle {
        protect: document.boolean(fields.get("protect"), "`protect`"),
        ignore_changes: ignored
            .into_iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        create_before_destroy: document.boolean(
            fields.get("create_before_destroy"),
            "`create_before_destroy`",
        ),
        on_destroy: read_on_destroy(fields.get("on_destroy"), document),
        timeout: read_timeout(fields.get("timeout"), document),
    }
}

fn read_on_destroy(node: Option<&Node>, document: &mut Document) -> OnDestroy {
    match node.map(|node| (node, node.as_str())) {
        None | Some((_, Some("delete"))) => OnDestroy::Delete,
        Some((_, Some("retain"))) => OnDestroy::Retain,
        Some((node, _)) => {
            let mistake = Diagnostic::at(node.position.clone(), "unknown value of `on_destroy`");
            document.mistake(mistake.help("write `delete` or `retain`"));
            OnDestroy::Delete
        }
    }
}

fn read_timeout(node: Option<&Node>, document: &mut Document) -> Option<Duration> {
    let node = node?;
    let timeout = node.as_str().and_then(duration).filter(|it| !it.is_zero());
    if timeout.is_none() {
        let mistake = Diagnostic::at(node.position.clone(), "`timeout` is no duration");
        document.mistake(mistake.help("write a number and a unit, for example `5m`"));
    }
    timeout
}

fn term(node: &Node, document: &mut Document) -> Term {
    Term::compile(node, &mut document.mistakes)
}

/// The entries of a map, in the order of the file.
fn terms(node: Option<&Node>, what: &str, document: &mut Document) -> Vec<(String, Term)> {
    let Some(node) = node else { return Vec::new() };
    let entries = document.map(node, what);
    entries
        .iter()
        .map(|(key, node)| (key.name.clone(), term(node, document)))
        .collect()
}

//! Which provider serves which kind of resource.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use stack::{Attributes, Diagnostic, Position, Resource, Value};

use crate::{Kind, Provider, ProviderError};

/// The providers of a platform, by kind.
#[derive(Clone, Default)]
pub struct Providers {
    kinds: BTreeMap<&'static str, (Kind, Arc<dyn Provider>)>,
}

impl Providers {
    /// Of two providers of one kind the later one serves it.
    #[must_use]
    pub fn new(providers: impl IntoIterator<Item = Arc<dyn Provider>>) -> Self {
        let mut kinds = BTreeMap::new();
        for provider in providers {
            for kind in provider.kinds() {
                kinds.insert(kind.name, (kind, Arc::clone(&provider)));
            }
        }
        Self { kinds }
    }

    /// The provider of a kind.
    #[must_use]
    pub fn provider(&self, kind: &str) -> Option<&dyn Provider> {
        self.kinds.get(kind).map(|(_, provider)| provider.as_ref())
    }

    /// What a kind can have.
    #[must_use]
    pub fn kind(&self, kind: &str) -> Option<&Kind> {
        self.kinds.get(kind).map(|(kind, _)| kind)
    }

    /// All attributes of a kind as null: how a skipped resource reads.
    pub(crate) fn nothing(&self, kind: &str) -> Attributes {
        let Some(kind) = self.kind(kind) else {
            return Attributes::new();
        };
        let names = kind.properties.iter().chain(kind.computed);
        names
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect()
    }

    /// Mistakes of a resource that need no provider to be seen: its kind, its properties' names.
    #[must_use]
    pub fn check(&self, resource: &Resource, properties: &Attributes) -> Vec<Diagnostic> {
        let Some(kind) = self.kind(&resource.address.kind) else {
            return vec![self.unknown_kind(&resource.address.kind, &resource.position)];
        };
        let unknown = properties
            .keys()
            .filter(|name| !kind.properties.contains(&name.as_str()));
        unknown
            .map(|name| unknown_property(kind, name, resource))
            .collect()
    }

    fn unknown_kind(&self, kind: &str, position: &Position) -> Diagnostic {
        Diagnostic::at(
            position.clone(),
            format!("unknown type of resource `{kind}`"),
        )
        .meant(kind, self.kinds.keys().copied())
    }
}

fn unknown_property(kind: &Kind, name: &str, resource: &Resource) -> Diagnostic {
    let message = format!("unknown property `{name}` of `{}`", resource.address);
    Diagnostic::at(resource.position.clone(), message)
        .help(format!(
            "`{}` has {}",
            kind.name,
            kind.properties.join(", ")
        ))
        .meant(name, kind.properties.iter().copied())
}

/// A provider's error as a mistake of the tree.
pub(crate) fn refused(resource: &Resource, error: &ProviderError) -> Diagnostic {
    let mut message = format!("{}: {error}", resource.address);
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    let mut diagnostic = Diagnostic::at(resource.position.clone(), message);
    diagnostic.label = error
        .property
        .as_ref()
        .map(|property| format!("property `{property}`"));
    diagnostic.help.clone_from(&error.help);
    diagnostic
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}

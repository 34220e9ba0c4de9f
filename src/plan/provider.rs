//! What a platform must be able to do, in the terms of Terraform's provider protocol: plan one change, read,
//! create, update, delete.

use std::time::Duration;

use async_trait::async_trait;
use stack::{Address, Attributes};

/// Serves some kinds of resources (`local.process`, `tls.ca`).
///
/// *Properties* are what the module wrote; *attributes* are the properties plus what the provider computes
/// (addresses, certificates). State keeps both.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The kinds that this provider serves.
    fn kinds(&self) -> Vec<Kind>;

    /// Checks `request.properties` (known ones now, unknown ones at apply) and tells the attributes the resource will have:
    /// computed ones where they are known before apply, [`stack::Value::Unknown`] where not.
    ///
    /// # Errors
    /// [`ProviderError`], naming the property.
    fn plan(&self, request: PlanRequest<'_>) -> Result<Planned, ProviderError>;

    /// The attributes that the resource really has now, or `None` when it is gone.
    ///
    /// # Errors
    /// [`ProviderError`], when it cannot be told.
    async fn read(
        &self,
        address: &Address,
        prior: &Attributes,
    ) -> Result<Option<Attributes>, ProviderError>;

    /// Makes the resource; all of `planned` that the module wrote is known now. What an earlier create with the same `token` made (its
    /// answer was never seen) is taken over, not made twice: services call that an idempotency token.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn create(
        &self,
        address: &Address,
        planned: &Attributes,
        token: &str,
    ) -> Result<Attributes, ProviderError>;

    /// What a create with this token made, whose answer was never seen; `None`: nothing, or the provider cannot tell (then creating
    /// again takes it over).
    ///
    /// # Errors
    /// [`ProviderError`], when it may be there and cannot be told.
    async fn find(
        &self,
        _address: &Address,
        _planned: &Attributes,
        _token: &str,
    ) -> Result<Option<Attributes>, ProviderError> {
        Ok(None)
    }

    /// The attributes of what the provider calls `id`, which is to be managed as `address` from now on; `None`: there is no such thing.
    ///
    /// # Errors
    /// [`ProviderError`], also when the kind cannot be imported.
    async fn import(
        &self,
        address: &Address,
        _id: &str,
    ) -> Result<Option<Attributes>, ProviderError> {
        Err(ProviderError::new(format!(
            "a `{}` cannot be imported",
            address.kind
        )))
    }

    /// For how long after a create reads may still answer that nothing is there.
    fn settles(&self) -> Duration {
        Duration::ZERO
    }

    /// Changes the resource in place from `prior` to `planned`.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn update(
        &self,
        address: &Address,
        prior: &Attributes,
        planned: &Attributes,
    ) -> Result<Attributes, ProviderError>;

    /// Removes the resource. Removing what is gone already succeeds.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn delete(&self, address: &Address, prior: &Attributes) -> Result<(), ProviderError>;
}

/// One kind of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `local.process`.
    pub name: &'static str,
    /// What a module may write.
    pub properties: &'static [&'static str],
    /// What the provider adds.
    pub computed: &'static [&'static str],
}

/// What is to be planned.
pub struct PlanRequest<'a> {
    pub address: &'a Address,
    /// As the module wrote them; values may be unknown.
    pub properties: &'a Attributes,
    /// What [`Provider::read`] found, `None` when there is nothing yet.
    pub prior: Option<&'a Attributes>,
    /// Sticky numbers of the fleet.
    pub allocator: &'a mut dyn Allocator,
}

impl std::fmt::Debug for PlanRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanRequest")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The change that a provider plans.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// The resource will have these attributes (properties and computed). The engine compares them with the prior ones: none prior is
    /// a create, equal is no change, else an update in place; or a replacement when `replace` names properties.
    Attributes {
        attributes: Attributes,
        /// The properties that cannot change in place, with why in people's words: `("host", "a certificate's names are signed")`.
        replace: Vec<(String, String)>,
    },
    /// It cannot be here, and that is no error: `not installed: prometheus-node-exporter`. Its attributes read as null.
    Skipped { reason: String },
}

/// Hands out numbers that stay with their owner: ports of a fleet.
pub trait Allocator {
    /// The port of `owner` (an address and a port's name): `wanted` if given, else the recorded one, else the first free one of
    /// 21000 to 32000 for which `usable` holds.
    ///
    /// # Errors
    /// [`ProviderError`] when `wanted` belongs to somebody else (named), or none is left.
    fn port(
        &mut self,
        owner: &str,
        wanted: Option<u16>,
        usable: &dyn Fn(u16) -> bool,
    ) -> Result<u16, ProviderError>;
}

/// Why a provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What could not be done, to what; lowercase, no full stop.
    pub message: String,
    /// The property at fault, if one is.
    pub property: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether trying again may help.
    pub retry: bool,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ProviderError {
    /// A final error with nothing but a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            property: None,
            help: None,
            retry: false,
            source: None,
        }
    }

    /// Names the property at fault.
    #[must_use]
    pub fn property(mut self, property: impl Into<String>) -> Self {
        self.property = Some(property.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

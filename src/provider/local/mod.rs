//! This machine as a platform: buckets are folders, workloads are processes under the fleet's supervisor.
//!
//! What lies in a fleet's data folder because of it:
//!
//! | path | what |
//! |---|---|
//! | `buckets/<name>/` | a bucket |
//! | `ingress/<cluster>/<pod>.json` | the configuration of an ingress |
//! | `logs/<cluster>/<pod>[.<container>].log` | what a process writes |
//! | `logs/supervisor.log`, `supervisor.{sock,lock}` | the supervisor, while it lives |

mod bucket;
mod file;
mod ingress;
mod process;
mod status;
pub mod supervisor;
mod workload;

use std::fs;
use std::path::Path;

use async_trait::async_trait;
use plan::{Kind, PlanRequest, Planned, Provider, ProviderError};
use stack::{Address, Attributes, Value};

pub use status::{ContainerStatus, LogFile, PodStatus, StatusError, logs, status};

use crate::Config;
use crate::properties::{refuse_strange, refuse_unknown};
use supervisor::Client;

/// Serves `local.bucket`, `local.file`, `local.process` and `local.ingress`.
#[derive(Debug)]
pub struct Local {
    config: Config,
    client: Client,
}

impl Local {
    /// The provider of one fleet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let client = Client::new(&config.data_dir, &config.executable);
        Self { config, client }
    }

    async fn make(
        &self,
        address: &Address,
        planned: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        let (kind, data_dir) = (kind_of(address)?, &self.config.data_dir);
        refuse_unknown(&kind, planned)?;
        match kind.name {
            "local.bucket" => bucket::create(data_dir, planned),
            "local.file" => file::create(data_dir, planned),
            "local.process" => process::create(&self.client, address, planned, &self.config).await,
            _ => ingress::create(&self.client, address, planned, &self.config).await,
        }
    }
}

fn kind_of(address: &Address) -> Result<Kind, ProviderError> {
    let kinds = [bucket::KIND, file::KIND, process::KIND, ingress::KIND];
    let kind = kinds.into_iter().find(|kind| kind.name == address.kind);
    kind.ok_or_else(|| ProviderError::new(format!("local serves no {}", address.kind)))
}

#[async_trait]
impl Provider for Local {
    fn kinds(&self) -> Vec<Kind> {
        vec![bucket::KIND, file::KIND, process::KIND, ingress::KIND]
    }

    fn plan(&self, request: PlanRequest<'_>) -> Result<Planned, ProviderError> {
        let kind = kind_of(request.address)?;
        refuse_strange(&kind, request.properties)?;
        match kind.name {
            "local.bucket" => bucket::plan(&request, &self.config.data_dir),
            "local.file" => file::plan(&request, &self.config.data_dir),
            "local.process" => process::plan(request, &self.config),
            _ => ingress::plan(request, &self.config),
        }
    }

    async fn read(
        &self,
        address: &Address,
        prior: &Attributes,
    ) -> Result<Option<Attributes>, ProviderError> {
        let (client, config) = (&self.client, &self.config);
        match kind_of(address)?.name {
            "local.bucket" => bucket::read(&config.data_dir, prior),
            "local.file" => file::read(&config.data_dir, prior),
            "local.process" => process::read(client, address, prior, config).await,
            _ => ingress::read(client, address, prior, config).await,
        }
    }

    /// A file by its path, a bucket by its name.
    async fn import(
        &self,
        address: &Address,
        id: &str,
    ) -> Result<Option<Attributes>, ProviderError> {
        let data_dir = &self.config.data_dir;
        let named = |property: &str| Attributes::from([(property.to_owned(), id.into())]);
        match kind_of(address)?.name {
            "local.bucket" => bucket::read(data_dir, &named("name")),
            "local.file" => file::read(data_dir, &named("path")),
            kind => Err(ProviderError::new(format!("a `{kind}` cannot be imported"))
                .help("it is started anew: a process of somebody else's is not taken over")),
        }
    }

    async fn create(
        &self,
        address: &Address,
        planned: &Attributes,
        _: &str,
    ) -> Result<Attributes, ProviderError> {
        self.make(address, planned).await
    }

    async fn update(
        &self,
        address: &Address,
        _: &Attributes,
        planned: &Attributes,
    ) -> Result<Attributes, ProviderError> {
        self.make(address, planned).await
    }

    async fn delete(&self, address: &Address, prior: &Attributes) -> Result<(), ProviderError> {
        let (client, config) = (&self.client, &self.config);
        match kind_of(address)?.name {
            "local.bucket" => bucket::delete(&config.data_dir, prior).await,
            "local.file" => file::delete(&config.data_dir, prior),
            "local.process" => process::delete(client, address, prior, config).await,
            _ => ingress::delete(client, address, prior, config).await,
        }
    }
}

/// Runs what blocks where nothing else waits for it.
async fn off_thread<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    let joined = tokio::task::spawn_blocking(act).await;
    joined.unwrap_or_else(|error| Err(ProviderError::new("interrupted").source(error)))
}

/// The replacement that a change of an identifying property means, if there is one.
fn renamed(request: &PlanRequest<'_>, property: &str, why: &str) -> Vec<(String, String)> {
    let Some(prior) = request.prior else {
        return Vec::new();
    };
    let known = |attributes: &Attributes| match attributes.get(property) {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.clone()),
    };
    if known(prior) == known(request.properties) {
        return Vec::new();
    }
    vec![(property.to_owned(), why.to_owned())]
}

fn path_value(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

fn remove_if_empty(folder: Option<&Path>) {
    if let Some(folder) = folder {
        let _ = fs::remove_dir(folder);
    }
}

/// Removes the folders between `path` and `data_dir` that hold nothing any more.
fn remove_empty_parents(path: &Path, data_dir: &Path) {
    let parents = path.ancestors().skip(1);
    let inside = parents.take_while(|parent| parent.starts_with(data_dir) && *parent != data_dir);
    for folder in inside {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;

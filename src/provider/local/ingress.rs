//! `local.ingress`: `tks ingress` in front of a cluster's sidecar, under the supervisor. Its configuration is a file that it re-reads
//! when it changes, so only other ports (or `restart_on`) restart it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use net::ingress::RouteConfig;
use plan::{Kind, PlanRequest, Planned, ProviderError};
use stack::{Address, Attributes, Value};

use super::supervisor::{Client, Id, Ready, Spec};
use super::{file, path_value, renamed, workload};
use crate::Config;
use crate::properties::{Properties, check_name};

pub(super) const KIND: Kind = Kind {
    name: "local.ingress",
    properties: &[
        "name",
        "host",
        "backend",
        "cert_file",
        "key_file",
        "client_ca_file",
        "identities",
        "port",
        "restart_on",
    ],
    computed: &["address", "http", "config_file", "executable", "running"],
};

const CONTAINER: &str = "ingress";

pub(super) fn plan(request: PlanRequest<'_>, config: &Config) -> Result<Planned, ProviderError> {
    let properties = Properties(request.properties);
    if let Some(name) = ["name", "port"]
        .into_iter()
        .find(|name| properties.waits(name))
    {
        let message = format!("`{name}` must be known before apply");
        return Err(ProviderError::new(message).property(name));
    }
    check_name(
        "name",
        properties.required("name")?.unwrap_or_default(),
        false,
    )?;
    for name in ["host", "backend", "cert_file", "key_file", "client_ca_file"] {
        properties.required(name)?;
    }
    identities(properties)?;
    let replace = renamed(&request, "name", "a process is known by its pod's name");
    let held: Vec<u16> = ["address", "http"]
        .iter()
        .filter_map(|name| request.prior?.get(*name))
        .filter_map(workload::port_of)
        .collect();
    let wanted = properties.port("port")?;
    let (address, allocator) = (request.address, request.allocator);
    let tls = workload::allocate(allocator, address, "tls", wanted, &held)?;
    let http = workload::allocate(allocator, address, "http", None, &held)?;
    let mut attributes = request.properties.clone();
    attributes.insert("address".into(), workload::local(tls).into());
    attributes.insert("http".into(), workload::local(http).into());
    attributes.insert(
        "config_file".into(),
        path_value(&config_file(address, request.properties, config)?),
    );
    attributes.insert("executable".into(), path_value(&config.executable));
    attributes.insert("running".into(), true.into());
    Ok(Planned::Attributes {
        attributes,
        replace,
    })
}

/// Those who may come in; an ingress that lets nobody in is a mistake.
fn identities(properties: Properties<'_>) -> Result<Vec<String>, ProviderError> {
    match properties.texts("identities")? {
        Some(identities) if identities.is_empty() => Err(ProviderError::new(
            "`identities` is empty: nobody could come in",
        )
        .property("identities")),
        identities => Ok(identities.unwrap_or_default()),
    }
}

fn config_file(
    address: &Address,
    attributes: &Attributes,
    config: &Config,
) -> Result<PathBuf, ProviderError> {
    let name = Properties(attributes).required("name")?.unwrap_or_default();
    let folder = config
        .data_dir
        .join("ingress")
        .join(workload::cluster_folder(address));
    Ok(folder.join(format!("{name}.json")))
}

/// The text of the configuration that these attributes stand for.
pub(super) fn configuration(
    attributes: &Attributes,
    config: &Config,
) -> Result<String, ProviderError> {
    let properties = Properties(attributes);
    let text = |name: &str| {
        properties
            .required(name)
            .map(|text| text.unwrap_or_default().to_owned())
    };
    let path = |name: &str| text(name).map(|path| config.data_dir.join(path));
    let route = RouteConfig {
        host: text("host")?,
        backend: text("backend")?,
        cert_file: path("cert_file")?,
        key_file: path("key_file")?,
        client_ca_file: path("client_ca_file")?,
        identities: identities(properties)?,
    };
    let document = serde_json::json!({
        "listen": socket(properties, "address")?,
        "http": socket(properties, "http")?,
        "routes": [route],
    });
    Ok(format!("{document:#}\n"))
}

fn socket(properties: Properties<'_>, name: &str) -> Result<SocketAddr, ProviderError> {
    let text = properties.required(name)?.unwrap_or_default();
    text.parse()
        .map_err(|_| ProviderError::new(format!("`{name}` is no address")).property(name))
}

fn spec(
    address: &Address,
    attributes: &Attributes,
    config: &Config,
) -> Result<Spec, ProviderError> {
    let properties = Properties(attributes);
    let text = |name: &str| {
        properties
            .required(name)
            .map(|text| text.unwrap_or_default().to_owned())
    };
    let (tls, http) = (text("address")?, text("http")?);
    let file = config_file(address, attributes, config)?
        .to_string_lossy()
        .into_owned();
    let addresses = [("tls", &tls), ("http", &http)];
    Ok(Spec {
        id: id(address, attributes)?,
        argv: vec![
            text("executable")?,
            "ingress".into(),
            "--config".into(),
            file,
        ],
        env: BTreeMap::new(),
        dir: config.data_dir.clone(),
        log: log(address, attributes, config)?,
        addresses: addresses
            .map(|(name, at)| (name.to_owned(), at.clone()))
            .into(),
        ready: Some(Ready {
            address: http,
            path: "/-/ready".into(),
        }),
        revision: workload::revision(attributes),
    })
}

fn id(address: &Address, attributes: &Attributes) -> Result<Id, ProviderError> {
    let pod = Properties(attributes)
        .required("name")?
        .unwrap_or_default()
        .to_owned();
    Ok(Id {
        cluster: address.unit.cluster.to_string(),
        pod,
        container: CONTAINER.to_owned(),
    })
}

fn log(
    address: &Address,
    attributes: &Attributes,
    config: &Config,
) -> Result<PathBuf, ProviderError> {
    let pod = Properties(attributes).required("name")?.unwrap_or_default();
    Ok(workload::log_path(&config.data_dir, address, pod, None))
}

/// The recorded attributes; without `config_file` when that was changed or removed, and not `running` when it does not.
pub(super) async fn read(
    client: &Client,
    address: &Address,
    prior: &Attributes,
    config: &Config,
) -> Result<Option<Attributes>, ProviderError> {
    let running = match spec(address, prior, config) {
        Ok(spec) => workload::is_running(client, &spec, address).await?,
        Err(_) => false,
    };
    let found = fs::read_to_string(config_file(address, prior, config)?).ok();
    let as_written = found.is_some() && found == configuration(prior, config).ok();
    let mut attributes = prior.clone();
    attributes.insert("running".into(), running.into());
    if !as_written {
        attributes.insert("config_file".into(), Value::Null);
    }
    Ok(Some(attributes))
}

pub(super) async fn create(
    client: &Client,
    address: &Address,
    planned: &Attributes,
    config: &Config,
) -> Result<Attributes, ProviderError> {
    let path = config_file(address, planned, config)?;
    let mut attributes = planned.clone();
    attributes.insert("config_file".into(), path_value(&path));
    attributes.insert("running".into(), true.into());
    file::write(&path, configuration(&attributes, config)?.as_bytes(), 0o600).map_err(|error| {
        ProviderError::new(format!("cannot write {}", path.display())).source(error)
    })?;
    workload::start(client, spec(address, &attributes, config)?, address).await?;
    Ok(attributes)
}

pub(super) async fn delete(
    client: &Client,
    address: &Address,
    prior: &Attributes,
    config: &Config,
) -> Result<(), ProviderError> {
    let (id, log) = (id(address, prior)?, log(address, prior, config)?);
    workload::stop(client, id, log, address, config.data_dir.clone()).await?;
    let path = config_file(address, prior, config)?;
    // Gone already is as good.
    let _ = fs::remove_file(&path);
    super::remove_empty_parents(&path, &config.data_dir);
    Ok(())
}

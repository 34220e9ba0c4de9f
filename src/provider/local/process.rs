//! `local.process`: a component of this tks, or a command, run under the supervisor and named like the pod it stands for.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use plan::{Kind, PlanRequest, Planned, ProviderError};
use stack::{Address, Attributes, Value};

use super::supervisor::{Client, Id, Ready, Spec};
use super::{path_value, renamed, workload};
use crate::Config;
use crate::properties::{Properties, check_name, port, scalar, wrong};

pub(super) const KIND: Kind = Kind {
    name: "local.process",
    properties: &[
        "name",
        "container",
        "component",
        "command",
        "flags",
        "args",
        "env",
        "ports",
        "port",
        "ready",
        "restart_on",
        "optional",
        "install",
        "data",
    ],
    computed: &["addresses", "executable", "running"],
};

/// What must be known to plan.
const EARLY: [&str; 6] = ["name", "container", "component", "command", "ports", "port"];

/// The part of the properties that names things.
struct Declared<'a> {
    pod: &'a str,
    container: String,
    program: Program<'a>,
    /// Name, and the flag that passes it.
    ports: Vec<(String, Option<String>)>,
}

#[derive(Clone, Copy)]
enum Program<'a> {
    Component(&'a str),
    Command(&'a str),
}

fn declared(properties: Properties<'_>) -> Result<Declared<'_>, ProviderError> {
    if let Some(name) = EARLY.into_iter().find(|name| properties.waits(name)) {
        let message = format!("`{name}` must be known before apply");
        return Err(ProviderError::new(message).property(name));
    }
    let pod = properties.required("name")?.unwrap_or_default();
    check_name("name", pod, false)?;
    let program = match (properties.text("component")?, properties.text("command")?) {
        (Some(component), None) => Program::Component(component),
        (None, Some(command)) if !command.is_empty() => Program::Command(command),
        _ => {
            let message = "a process has either a `component` or a `command`";
            return Err(ProviderError::new(message).property("command"));
        }
    };
    let container = match (properties.text("container")?, program) {
        (Some(container), _) => container.to_owned(),
        (None, Program::Component(component)) => component.to_owned(),
        (None, Program::Command(command)) => file_name(command),
    };
    check_name("container", &container, true)?;
    Ok(Declared {
        pod,
        container,
        program,
        ports: ports(properties)?,
    })
}

fn file_name(command: &str) -> String {
    let name = Path::new(command).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A list names ports and follows Thanos's flags (`http` is `--http-address`); a map names the flags.
fn ports(properties: Properties<'_>) -> Result<Vec<(String, Option<String>)>, ProviderError> {
    match properties.get("ports") {
        Some(Value::Map(map)) => map
            .iter()
            .map(|(name, flag)| match flag {
                Value::Null => Ok((name.clone(), None)),
                flag => match flag.as_text() {
                    Some(flag) => Ok((name.clone(), Some(flag.to_owned()))),
                    None => Err(wrong(
                        &format!("ports.{name}"),
                        "a flag's name or null",
                        flag,
                    )),
                },
            })
            .collect(),
        _ => {
            let names = properties.texts("ports")?.unwrap_or_default();
            Ok(names
                .into_iter()
                .map(|name| (name.clone(), Some(format!("{name}-address"))))
                .collect())
        }
    }
}

pub(super) fn plan(
    mut request: PlanRequest<'_>,
    config: &Config,
) -> Result<Planned, ProviderError> {
    let properties = Properties(request.properties);
    let declared = declared(properties)?;
    let optional = properties.boolean("optional", false)?;
    let install = properties.text("install")?;
    arguments(properties, &BTreeMap::new(), &declared)?;
    environment(properties)?;
    ready_port(properties, &declared)?;
    data_folder(properties, &config.data_dir)?;
    let executable = match executable(declared.program, config) {
        Ok(executable) => executable,
        Err(_) if optional => {
            return Ok(Planned::Skipped {
                reason: format!("not installed: {}", declared.container),
            });
        }
        Err(error) => return Err(with_install(error, install)),
    };
    let addresses = allocate(&mut request, &declared)?;
    let mut attributes = request.properties.clone();
    attributes.insert("addresses".into(), Value::Map(addresses));
    attributes.insert("executable".into(), path_value(&executable));
    attributes.insert("running".into(), true.into());
    let mut replace = renamed(&request, "name", "a process is known by its pod's name");
    replace.extend(renamed(
        &request,
        "container",
        "a process is known by its container's name",
    ));
    Ok(Planned::Attributes {
        attributes,
        replace,
    })
}

fn with_install(error: ProviderError, install: Option<&str>) -> ProviderError {
    error.help(install.unwrap_or("install it, or name its path in `command`"))
}

fn executable(program: Program<'_>, config: &Config) -> Result<PathBuf, ProviderError> {
    let Program::Command(command) = program else {
        return Ok(config.executable.clone());
    };
    if command.contains('/') {
        let path = config.data_dir.join(command);
        if is_executable(&path) {
            return Ok(path);
        }
        let message = format!("`{command}` is no program that can be run");
        return Err(ProviderError::new(message).property("command"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(command))
        .find(|path| is_executable(path));
    found.ok_or_else(|| {
        ProviderError::new(format!("`{command}` is not in PATH")).property("command")
    })
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn allocate(
    request: &mut PlanRequest<'_>,
    declared: &Declared<'_>,
) -> Result<BTreeMap<String, Value>, ProviderError> {
    let wanted = Properties(request.properties)
        .map("port")?
        .unwrap_or_default();
    if let Some(name) = wanted
        .keys()
        .find(|name| !declared.ports.iter().any(|(port, _)| port == *name))
    {
        let message = format!("`port` has {name:?}, and `ports` has not");
        return Err(ProviderError::new(message).property("port"));
    }
    let recorded = request
        .prior
        .and_then(|prior| prior.get("addresses"))
        .and_then(Value::as_map);
    let held: Vec<u16> = recorded
        .into_iter()
        .flat_map(BTreeMap::values)
        .filter_map(workload::port_of)
        .collect();
    let mut addresses = BTreeMap::new();
    for (name, _) in &declared.ports {
        let wanted = match wanted.get(name) {
            None | Some(Value::Null) => None,
            Some(value) => Some(port("port", value)?),
        };
        let port = workload::allocate(request.allocator, request.address, name, wanted, &held)?;
        addresses.insert(name.clone(), workload::local(port).into());
    }
    Ok(addresses)
}

/// The arguments behind the program's own: ports, flags, args. What is unknown is left out.
fn arguments(
    properties: Properties<'_>,
    addresses: &BTreeMap<String, String>,
    declared: &Declared<'_>,
) -> Result<Vec<String>, ProviderError> {
    let mut arguments = Vec::new();
    for (name, flag) in &declared.ports {
        if let (Some(flag), Some(address)) = (flag, addresses.get(name)) {
            arguments.push(format!("--{}={address}", flag.trim_start_matches('-')));
        }
    }
    for (name, value) in properties.map("flags")?.unwrap_or_default() {
        flag(&name, &value, &mut arguments)?;
    }
    arguments.extend(
        properties
            .scalars("args")?
            .unwrap_or_default()
            .into_iter()
            .flatten(),
    );
    Ok(arguments)
}

/// `--k=v`; true is `--k`, false and null are nothing, a list is the flag several times.
fn flag(name: &str, value: &Value, arguments: &mut Vec<String>) -> Result<(), ProviderError> {
    let dashed = format!("--{}", name.trim_start_matches('-'));
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => arguments.push(dashed),
        Value::List(list) => list
            .iter()
            .try_for_each(|value| flag(name, value, arguments))?,
        value => {
            let text = scalar(&format!("flags.{name}"), value)?;
            arguments.extend(text.map(|text| format!("{dashed}={text}")));
        }
    }
    Ok(())
}

fn environment(properties: Properties<'_>) -> Result<BTreeMap<String, String>, ProviderError> {
    let mut environment = BTreeMap::new();
    for (name, value) in properties.map("env")?.unwrap_or_default() {
        if value == Value::Null {
            continue;
        }
        if let Some(text) = scalar(&format!("env.{name}"), &value)? {
            environment.insert(name, text);
        }
    }
    Ok(environment)
}

/// Port and path of the probe. Components have one unless they say null; commands have none unless they say so.
fn ready_port(
    properties: Properties<'_>,
    declared: &Declared<'_>,
) -> Result<Option<(String, String)>, ProviderError> {
    let has = |port: &str| declared.ports.iter().any(|(name, _)| name == port);
    let ready = match properties.0.get("ready") {
        Some(Value::Null | Value::Unknown(_)) => return Ok(None),
        Some(Value::Map(ready)) => ready,
        Some(value) => return Err(wrong("ready", "a map of port and path, or null", value)),
        None => {
            let component = matches!(declared.program, Program::Component(_)) && has("http");
            return Ok(component.then(|| ("http".to_owned(), "/-/ready".to_owned())));
        }
    };
    let text = |key: &str, default: &str| match ready.get(key) {
        None => Ok(default.to_owned()),
        Some(value) => match value.as_text() {
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong(&format!("ready.{key}"), "a string", value)),
        },
    };
    let (port, path) = (text("port", "http")?, text("path", "/-/ready")?);
    if let Some(strange) = ready
        .keys()
        .find(|key| !["port", "path"].contains(&key.as_str()))
    {
        let message = format!("`ready` has {strange:?}, and knows port and path");
        return Err(ProviderError::new(message).property("ready"));
    }
    if has(&port) {
        return Ok(Some((port, path)));
    }
    let message = format!("`ready` asks port {port:?}, and `ports` has none of that name");
    Err(ProviderError::new(message).property("ready"))
}

/// The process that these attributes stand for.
pub(super) fn spec(
    address: &Address,
    attributes: &Attributes,
    config: &Config,
) -> Result<Spec, ProviderError> {
    let properties = Properties(attributes);
    let declared = declared(properties)?;
    let addresses: BTreeMap<String, String> = properties
        .map("addresses")?
        .unwrap_or_default()
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned())))
        .collect();
    let executable = properties.required("executable")?.unwrap_or_default();
    let mut argv = vec![executable.to_owned()];
    if let Program::Component(component) = declared.program {
        argv.extend(["thanos".to_owned(), component.to_owned()]);
    }
    argv.extend(arguments(properties, &addresses, &declared)?);
    let ready = ready_port(properties, &declared)?.and_then(|(port, path)| {
        Some(Ready {
            address: addresses.get(&port)?.clone(),
            path,
        })
    });
    Ok(Spec {
        id: id(address, &declared),
        argv,
        env: environment(properties)?,
        dir: config.data_dir.clone(),
        log: log(address, attributes, config)?,
        addresses,
        ready,
        revision: workload::revision(attributes),
    })
}

fn id(address: &Address, declared: &Declared<'_>) -> Id {
    Id {
        cluster: address.unit.cluster.to_string(),
        pod: declared.pod.to_owned(),
        container: declared.container.clone(),
    }
}

fn log(
    address: &Address,
    attributes: &Attributes,
    config: &Config,
) -> Result<PathBuf, ProviderError> {
    let properties = Properties(attributes);
    let pod = properties.required("name")?.unwrap_or_default();
    Ok(workload::log_path(
        &config.data_dir,
        address,
        pod,
        properties.text("container")?,
    ))
}

/// The recorded attributes, and whether that really runs.
pub(super) async fn read(
    client: &Client,
    address: &Address,
    prior: &Attributes,
    config: &Config,
) -> Result<Option<Attributes>, ProviderError> {
    let running = match spec(address, prior, config) {
        Ok(spec) => workload::is_running(client, &spec, address).await?,
        // Recorded by another version of tks: it will be started as this one understands it.
        Err(_) => false,
    };
    let mut attributes = prior.clone();
    attributes.insert("running".into(), running.into());
    Ok(Some(attributes))
}

/// Starts or replaces it. Nothing happens to a process that is what is planned already.
pub(super) async fn create(
    client: &Client,
    address: &Address,
    planned: &Attributes,
    config: &Config,
) -> Result<Attributes, ProviderError> {
    let mut attributes = planned.clone();
    attributes.insert("running".into(), true.into());
    let spec = spec(address, &attributes, config)?;
    workload::start(client, spec, address).await?;
    Ok(attributes)
}

/// The folder that the process fills and that goes with it: below the fleet's, so that nothing else is ever removed.
fn data_folder(
    properties: Properties<'_>,
    data_dir: &Path,
) -> Result<Option<PathBuf>, ProviderError> {
    let Some(folder) = properties.text("data")? else {
        return Ok(None);
    };
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let path = data_dir.join(folder);
    let below = path
        .strip_prefix(data_dir)
        .is_ok_and(|rest| rest.components().next().is_some() && rest.components().all(plain));
    if below {
        return Ok(Some(path));
    }
    let message = format!(
        "`data` is {folder:?}, and no folder below {}",
        data_dir.display()
    );
    Err(ProviderError::new(message).property("data"))
}

pub(super) async fn delete(
    client: &Client,
    address: &Address,
    prior: &Attributes,
    config: &Config,
) -> Result<(), ProviderError> {
    let id = id(address, &declared(Properties(prior))?);
    let log = log(address, prior, config)?;
    workload::stop(client, id, log, address, config.data_dir.clone()).await?;
    let Some(folder) = data_folder(Properties(prior), &config.data_dir)? else {
        return Ok(());
    };
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("cannot remove {}", folder.display());
            Err(ProviderError::new(message).property("data").source(error))
        }
        _ => {
            super::remove_empty_parents(&folder, &config.data_dir);
            Ok(())
        }
    }
}

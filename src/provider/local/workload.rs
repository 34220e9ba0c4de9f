//! Running a process under the supervisor, for whichever kind wants one: free ports, start, wait until it is ready.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::{Allocator, ProviderError};
use stack::{Address, Attributes, Value};
use tokio::time::sleep;

use super::off_thread;
use super::supervisor::{Client, ClientError, Id, Phase, ProcessStatus, Spec};
use super::supervisor::{logs_of, previous, tail};

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long ports of processes that died with their supervisor may take to come free.
const PORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Without a probe, what still runs after this is taken to run.
const SURVIVED: i64 = 500;

/// The cluster's path with dashes, a folder's name.
pub(super) fn cluster_folder(address: &Address) -> String {
    let cluster = &address.unit.cluster;
    format!("{}-{}-{}", cluster.account, cluster.region, cluster.cluster)
}

/// `logs/<cluster>/<pod>[.<container>].log`.
pub(super) fn log_path(
    data_dir: &Path,
    address: &Address,
    pod: &str,
    container: Option<&str>,
) -> PathBuf {
    let file = match container {
        Some(container) => format!("{pod}.{container}.log"),
        None => format!("{pod}.log"),
    };
    logs_of(data_dir).join(cluster_folder(address)).join(file)
}

/// A sticky port of this resource. Its own process may hold it already.
pub(super) fn allocate(
    allocator: &mut dyn Allocator,
    address: &Address,
    name: &str,
    wanted: Option<u16>,
    held: &[u16],
) -> Result<u16, ProviderError> {
    let usable = |port: u16| held.contains(&port) || is_free(port);
    allocator.port(&format!("{address} {name}"), wanted, &usable)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `127.0.0.1:P`.
pub(super) fn local(port: u16) -> String {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()
}

/// The port of a recorded `127.0.0.1:P`.
pub(super) fn port_of(address: &Value) -> Option<u16> {
    address
        .as_text()?
        .parse::<SocketAddr>()
        .ok()
        .map(|address| address.port())
}

/// Whether exactly this runs, for exactly this resource.
pub(super) async fn is_running(
    client: &Client,
    spec: &Spec,
    address: &Address,
) -> Result<bool, ProviderError> {
    let there = find(client, &spec.id).await?;
    let (owner, fingerprint) = (address.to_string(), spec.fingerprint());
    Ok(there.is_some_and(|there| {
        there.owner == owner
            && there.fingerprint == fingerprint
            && matches!(there.phase, Phase::Starting | Phase::Running)
    }))
}

async fn find(client: &Client, id: &Id) -> Result<Option<ProcessStatus>, ProviderError> {
    let client = client.clone();
    let all = off_thread(move || client.processes().map_err(refused)).await?;
    Ok(all.into_iter().find(|process| process.id == *id))
}

/// Starts it, in place of another process of its name, and waits until it is ready.
pub(super) async fn start(
    client: &Client,
    spec: Spec,
    address: &Address,
) -> Result<(), ProviderError> {
    wait_for_ports(client, &spec, address).await?;
    let logged = fs::metadata(&spec.log).map_or(0, |log| log.len());
    let (asked, owner) = (client.clone(), address.to_string());
    let spec =
        off_thread(move || asked.start(&spec, &owner).map(|()| spec).map_err(refused)).await?;
    wait_until_ready(client, &spec, logged).await
}

async fn wait_for_ports(
    client: &Client,
    spec: &Spec,
    address: &Address,
) -> Result<(), ProviderError> {
    // A process of this name makes room for the new one when it is replaced.
    let held = find(client, &spec.id)
        .await?
        .map(|there| there.addresses)
        .unwrap_or_default();
    let deadline = Instant::now() + PORT_TIMEOUT;
    for (name, at) in &spec.addresses {
        let Ok(at) = at.parse::<SocketAddr>() else {
            continue;
        };
        if held.values().any(|other| *other == at.to_string()) {
            continue;
        }
        while !is_free(at.port()) {
            if Instant::now() >= deadline {
                return Err(taken(name, at, address));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

fn taken(name: &str, at: SocketAddr, address: &Address) -> ProviderError {
    let holder = net::port::holder(at);
    let holder = holder.map_or("taken by another program".to_owned(), |holder| {
        holder.to_string()
    });
    let (port, unit) = (at.port(), &address.unit.unit);
    ProviderError::new(format!("port {port} (`{name}`) is {holder}"))
        .property("port")
        .help(format!(
            "free it, or give `{unit}` another port in the cluster's file: `{unit}: {{ port: … }}`"
        ))
}

async fn wait_until_ready(client: &Client, spec: &Spec, logged: u64) -> Result<(), ProviderError> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let status = find(client, &spec.id).await?;
        if status
            .as_ref()
            .is_some_and(|status| is_settled(spec, status))
        {
            return Ok(());
        }
        let hopeless = status.as_ref().is_none_or(|status| {
            status.phase == Phase::Stopping
                || (status.phase == Phase::Backoff && status.restarts >= 2)
        });
        if hopeless || Instant::now() >= deadline {
            return Err(not_ready(spec, status.as_ref(), logged));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_settled(spec: &Spec, status: &ProcessStatus) -> bool {
    let age = Timestamp::now().as_millisecond() - status.since;
    status.ready && (spec.ready.is_some() || age >= SURVIVED)
}

fn not_ready(spec: &Spec, status: Option<&ProcessStatus>, logged: u64) -> ProviderError {
    let state = match status {
        None => "the supervisor lost it".to_owned(),
        Some(ProcessStatus {
            phase,
            last_exit: Some(exit),
            ..
        }) => format!("{phase}, {exit}"),
        Some(ProcessStatus { phase, .. }) => phase.to_string(),
    };
    let (pod, cluster, log) = (&spec.id.pod, &spec.id.cluster, spec.log.display());
    let lines = tail(&spec.log, logged, 10);
    let help = if lines.is_empty() {
        format!("its log {log} is empty")
    } else {
        format!("its log {log} ends with:\n{lines}")
    };
    ProviderError::new(format!(
        "`{pod}` of {cluster} does not become ready ({state})"
    ))
    .help(help)
}

/// Stops it, waits for its end, and removes its log with it.
pub(super) async fn stop(
    client: &Client,
    id: Id,
    log: PathBuf,
    address: &Address,
    data_dir: PathBuf,
) -> Result<(), ProviderError> {
    let (client, owner) = (client.clone(), address.to_string());
    off_thread(move || {
        client.stop(&id, &owner).map_err(refused)?;
        // Not while another resource of the same name still writes to it.
        let others = client.processes().map_err(refused)?;
        if !others.iter().any(|process| process.log == log) {
            let _ = fs::remove_file(previous(&log));
            let _ = fs::remove_file(&log);
            super::remove_empty_parents(&log, &data_dir);
        }
        Ok(())
    })
    .await
}

fn refused(error: ClientError) -> ProviderError {
    let help = match &error {
        ClientError::NotYours { .. } => {
            Some("give one of the two another `name` or `container`".to_owned())
        }
        ClientError::Silent(..) => Some("try again; `tks status` tells what runs".to_owned()),
        ClientError::Start(..) | ClientError::Ended { .. } => None,
    };
    let failed = ProviderError::new(error.to_string()).source(error);
    if let Some(help) = help {
        failed.help(help)
    } else {
        failed
    }
}

/// Stands for a list of which any change restarts.
pub(super) fn revision(attributes: &Attributes) -> String {
    match attributes.get("restart_on") {
        None | Some(Value::Null) => String::new(),
        Some(value) => crate::properties::sha256(text_of(value).as_bytes()),
    }
}

/// Tells any two values apart; secrets included, which is why it is only ever hashed.
fn text_of(value: &Value) -> String {
    match value {
        Value::Secret(secret) => format!("{:?}", secret.reveal()),
        Value::List(list) => format!(
            "[{}]",
            list.iter().map(text_of).collect::<Vec<_>>().join(",")
        ),
        Value::Map(map) => {
            let entries = map
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", text_of(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        value => format!("{value:?}"),
    }
}

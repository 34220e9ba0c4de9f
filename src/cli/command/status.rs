//! `tks status`: the table of pods.

use std::time::Duration;

use provider::local::{ContainerStatus, PodStatus};
use serde_json::json;

use crate::Exit;
use crate::args::StatusArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Printer, table};

const HEAD: [&str; 6] = ["CLUSTER", "NAME", "READY", "STATUS", "RESTARTS", "AGE"];

/// The pods of the selected clusters.
pub(crate) fn pods(fleet: &Fleet) -> Result<Vec<PodStatus>> {
    let pods =
        provider::local::status(&fleet.live.data_dir).map_err(|e| Failure::from_error(&e))?;
    let whole = fleet.live.selection.is_empty();
    let selected: Vec<String> = fleet
        .live
        .selection
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(pods
        .into_iter()
        .filter(|pod| whole || selected.contains(&pod.cluster))
        .collect())
}

pub(crate) fn run(args: &StatusArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(args.path.as_deref(), &args.tree)?;
    let pods = pods(&fleet)?;
    if args.json {
        let pods: serde_json::Value = pods.iter().map(pod_json).collect();
        printer.out(&format!("{pods:#}"))?;
    } else if pods.is_empty() {
        printer.note(&format!("No pods of {} run on this machine.", fleet.dir()));
    } else {
        printer.out(&table(&HEAD, pods.iter().map(row)))?;
    }
    Ok(Exit::Done)
}

fn row(pod: &PodStatus) -> Vec<String> {
    let ready = pod
        .containers
        .iter()
        .filter(|container| container.ready)
        .count();
    let restarts: u32 = pod
        .containers
        .iter()
        .map(|container| container.restarts)
        .sum();
    let oldest = pod
        .containers
        .iter()
        .map(|container| container.created)
        .min();
    vec![
        pod.cluster.clone(),
        pod.pod.clone(),
        format!("{ready}/{}", pod.containers.len()),
        pod_state(&pod.containers),
        restarts.to_string(),
        oldest.map(age).unwrap_or_default(),
    ]
}

/// The first state that is not `Running`, as kubectl tells the container that is in trouble.
fn pod_state(containers: &[ContainerStatus]) -> String {
    let trouble = containers
        .iter()
        .find(|container| container.state != "Running");
    trouble
        .or(containers.first())
        .map(|container| container.state.clone())
        .unwrap_or_default()
}

fn age(created: jiff::Timestamp) -> String {
    let seconds = jiff::Timestamp::now().duration_since(created).as_secs();
    short_age(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// `45s`, `12m`, `3h5m`, `2d4h`.
fn short_age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..=119 => format!("{s}s"),
        120..=7199 => format!("{}m", s / 60),
        7200..=172_799 => format!("{}h{}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{}h", s / 86_400, s % 86_400 / 3600),
    }
}

fn pod_json(pod: &PodStatus) -> serde_json::Value {
    let container = |container: &ContainerStatus| {
        json!({
            "name": container.name,
            "ready": container.ready,
            "state": container.state,
            "restarts": container.restarts,
            "pid": container.pid,
            "created": container.created.to_string(),
            "since": container.since.to_string(),
            "last_exit": container.last_exit,
            "log": container.log,
            "addresses": container.addresses,
        })
    };
    json!({
        "cluster": pod.cluster,
        "name": pod.pod,
        "containers": pod.containers.iter().map(container).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let ages = [5, 119, 120, 7199, 11_100, 187_200].map(|s| short_age(Duration::from_secs(s)));
        assert_eq!(ages, ["5s", "119s", "2m", "119m", "3h5m", "2d4h"]);
    }
}

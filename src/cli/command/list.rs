//! `tks list`: clusters, their roles and units.

use serde_json::json;
use stack::{Cluster, ClusterPath};

use crate::Exit;
use crate::args::ListArgs;
use crate::diagnostic::Result;
use crate::session::{self, Fleet};
use crate::term::{Printer, table};

pub(crate) fn run(args: &ListArgs, printer: &Printer) -> Result<Exit> {
    let fleets = session::fleets(args.path.as_deref(), &args.tree)?;
    let text = if args.json {
        format!(
            "{:#}",
            fleets.iter().map(fleet_json).collect::<serde_json::Value>()
        )
    } else {
        table(
            &["FLEET", "CLUSTER", "ROLE", "PLATFORM", "ID", "UNITS"],
            fleets.iter().flat_map(rows),
        )
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

fn selected(fleet: &Fleet) -> impl Iterator<Item = &Cluster> {
    fleet
        .stack
        .clusters
        .iter()
        .filter(|cluster| fleet.selects(&cluster.path))
}

fn rows(fleet: &Fleet) -> Vec<Vec<String>> {
    let row = |cluster: &Cluster| {
        vec![
            fleet.live.name.clone(),
            cluster.path.to_string(),
            cluster.role.clone(),
            fleet.live.platform.clone(),
            cluster.id.clone(),
            units(fleet, &cluster.path).join(","),
        ]
    };
    selected(fleet).map(row).collect()
}

fn units(fleet: &Fleet, cluster: &ClusterPath) -> Vec<String> {
    let of_cluster = fleet
        .stack
        .units
        .iter()
        .filter(|unit| unit.path.cluster == *cluster);
    of_cluster.map(|unit| unit.path.unit.clone()).collect()
}

fn fleet_json(fleet: &Fleet) -> serde_json::Value {
    let cluster = |cluster: &Cluster| {
        json!({
            "path": cluster.path.to_string(),
            "id": cluster.id,
            "key": cluster.key,
            "role": cluster.role,
            "file": cluster.file,
            "units": units(fleet, &cluster.path),
        })
    };
    json!({
        "name": fleet.live.name,
        "dir": fleet.live.dir,
        "platform": fleet.live.platform,
        "clusters": selected(fleet).map(cluster).collect::<Vec<_>>(),
    })
}

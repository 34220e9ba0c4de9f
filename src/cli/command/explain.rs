//! `tks explain`: where a value comes from, and what it overrode.

use stack::merge;

use crate::Exit;
use crate::args::ExplainArgs;
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::Printer;

pub(crate) fn run(args: &ExplainArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(Some(&args.cluster), &args.tree)?;
    let mut clusters = fleet
        .live
        .clusters
        .iter()
        .filter(|cluster| fleet.selects(&cluster.path));
    let (Some(cluster), None) = (clusters.next(), clusters.next()) else {
        return Err(
            Failure::new(format!("`{}` is not one cluster", args.cluster.display()))
                .help("name the folder of a cluster; `tks list` shows them"),
        );
    };
    let named: Vec<(&str, &stack::Node)> = cluster
        .layers
        .iter()
        .map(|(name, node)| (name.as_str(), node))
        .collect();
    let path: Vec<&str> = args.key.split('.').collect();
    let explanation = merge::explain(&named, &path)?;
    let Some(value) = &explanation.value else {
        let message = format!(
            "no file of the tree sets `{}` of {}",
            args.key, cluster.path
        );
        return Err(
            Failure::new(message).help("it has the default of its module, if it is an input")
        );
    };
    printer.out(&format!("{} = {}", args.key, short(value)))?;
    for source in explanation.sources.iter().rev() {
        let at = &source.position;
        let place = format!("{}:{}:{}", at.file.display(), at.line, at.column);
        let how = if source.appended { "appends" } else { "says" };
        printer.out(&format!(
            "  {} {how} {}   ({place})",
            source.layer,
            short(&source.value)
        ))?;
    }
    Ok(Exit::Done)
}

fn short(node: &stack::Node) -> String {
    crate::term::short(&node.to_value())
}

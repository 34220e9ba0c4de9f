//! `tks new`: the first file of a fleet, an account, a region or a cluster.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Exit;
use crate::args::{NewArgs, NewClusterArgs, NewCommand, NewFleetArgs, TreeArgs};
use crate::diagnostic::{Failure, Result};
use crate::session;
use crate::term::Printer;

pub(crate) fn run(args: &NewArgs, printer: &Printer) -> Result<Exit> {
    match &args.what {
        NewCommand::Fleet(args) => fleet(args, printer),
        NewCommand::Account(args) => level(Level::Account, &args.path, printer),
        NewCommand::Region(args) => level(Level::Region, &args.path, printer),
        NewCommand::Cluster(args) => cluster(args, printer),
    }
}

/// A folder of a fleet, by how deep it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Account = 1,
    Region = 2,
    Cluster = 3,
}

const ACCOUNT: &str = "\
# What all clusters of this account share. Every key may stand at every level; the nearer one wins.
# account: { id: \"012345678901\", assume_role: arn:aws:iam::012345678901:role/tks }
# tags: { team: observability }
";

const REGION: &str = "\
# What all clusters of this region share.
# network: { pool: 10.64.0.0/16, size: 20 }
";

fn fleet(args: &NewFleetArgs, printer: &Printer) -> Result<Exit> {
    let platforms = stack::PLATFORMS;
    if !platforms.contains(&args.platform.as_str()) {
        let mut failure = Failure::new(format!("unknown platform `{}`", args.platform));
        failure.problems[0].candidates = stack::closest(&args.platform, platforms);
        return Err(failure
            .help(format!("one of {}", platforms.join(", ")))
            .exit(Exit::Usage));
    }
    let path = absolute(&args.path)?;
    if let Some(above) = fleet_above(&path) {
        let shown = above.display();
        return Err(Failure::new(format!(
            "{shown} is a fleet already, and fleets do not nest"
        )));
    }
    let mut text = format!("platform: {}\n", args.platform);
    match &args.domain {
        Some(domain) => drop(writeln!(text, "domain: {domain}")),
        None if args.platform != "local" => {
            return Err(Failure::new(format!(
                "hosts on {} are named below a domain",
                args.platform
            ))
            .help("--domain thanos.example.com")
            .exit(Exit::Usage));
        }
        None => {}
    }
    text.push_str(
        "# What all clusters share; account.yaml, region.yaml and cluster.yaml say what is special.\n\
         # prometheus: { scrape_interval: 15s }\n",
    );
    write(&path.join("fleet.yaml"), &text, printer)?;
    let shown = args.path.display();
    printer.note(&format!(
        "Next: tks new cluster {shown}/<account>/<region>/<cluster> --role observer"
    ));
    Ok(Exit::Done)
}

fn level(level: Level, path: &Path, printer: &Printer) -> Result<Exit> {
    let place = place(level, path)?;
    let (file, text) = match level {
        Level::Account => ("account.yaml", ACCOUNT),
        Level::Region | Level::Cluster => ("region.yaml", REGION),
    };
    write(&place.join(file), text, printer)?;
    let below = if level == Level::Account {
        "/<region>"
    } else {
        ""
    };
    let shown = path.display();
    printer.note(&format!("Next: tks new cluster {shown}{below}/<cluster>"));
    Ok(Exit::Done)
}

fn cluster(args: &NewClusterArgs, printer: &Printer) -> Result<Exit> {
    let dir = place(Level::Cluster, &args.path)?;
    let fleet = fleet_above(&dir).unwrap_or_else(|| dir.clone());
    let catalog = stack::Catalog::load(&fleet)?;
    let roles = stack::RoleCatalog::roles(&catalog);
    if !roles.contains(&args.role) {
        let mut failure = Failure::new(format!("there is no role `{}`", args.role));
        failure.problems[0].candidates =
            stack::closest(&args.role, roles.iter().map(String::as_str));
        return Err(failure
            .help(format!("one of {}", roles.join(", ")))
            .exit(Exit::Usage));
    }
    let short = dir.with_extension("yaml");
    if dir.with_extension("yaml").exists() && dir.extension().is_none() {
        let message = format!("{} is that cluster already", short.display());
        return Err(Failure::new(message));
    }
    let file = dir.join("cluster.yaml");
    write(&file, &format!("role: {}\n", args.role), printer)?;
    // What is wrong now was made wrong by it, or was wrong before: either way it is to be known.
    if let Err(failure) = session::fleets(Some(&dir), &TreeArgs::default()) {
        printer.note("The tree is not valid:");
        return Err(failure);
    }
    printer.note(&format!("Next: tks plan {}", shown(&fleet)));
    Ok(Exit::Done)
}

/// The absolute folder, if a level may lie there.
fn place(level: Level, path: &Path) -> Result<PathBuf> {
    let dir = absolute(path)?;
    let shown = path.display();
    let Some(fleet) = fleet_above(&dir) else {
        return Err(Failure::new(format!("`{shown}` lies in no fleet"))
            .help("tks new fleet <folder> makes one"));
    };
    let below = dir.strip_prefix(&fleet).unwrap_or(&dir);
    let names: Vec<String> = below
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.len() != level as usize {
        let form = ["account", "account/region", "account/region/cluster"][level as usize - 1];
        let message = format!("`{shown}` is {} folders below its fleet", names.len());
        return Err(Failure::new(message)
            .help(format!(
                "write {}/<{}>",
                self::shown(&fleet),
                form.replace('/', ">/<")
            ))
            .exit(Exit::Usage));
    }
    let wrong = names.iter().find(|name| !stack::live::is_name(name));
    if let Some(name) = wrong {
        return Err(Failure::new(format!("`{name}` cannot be a name"))
            .help("lowercase letters, digits and `-`, at most 63, for example `eu-west-3`")
            .exit(Exit::Usage));
    }
    Ok(dir)
}

fn fleet_above(dir: &Path) -> Option<PathBuf> {
    let mut above = dir.ancestors();
    above
        .find(|dir| dir.join("fleet.yaml").is_file())
        .map(Path::to_owned)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map(|path| path.components().collect())
        .map_err(|error| Failure::io(format!("cannot tell where {} is", path.display()), &error))
}

/// As one would type it here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Makes a file that is not there yet, with its folders.
fn write(file: &Path, text: &str, printer: &Printer) -> Result<()> {
    let name = shown(file);
    if file.exists() {
        return Err(Failure::new(format!("{name} is there already")));
    }
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, text))
        .map_err(|error| Failure::io(format!("cannot write {name}"), &error))?;
    printer.out(&name)
}

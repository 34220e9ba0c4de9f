//! `tks completions`, `tks man`, `tks version`: what is said of the program itself.

use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;
use serde_json::json;

use crate::Exit;
use crate::args::{Cli, CompletionsArgs, ManArgs, VersionArgs};
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

pub(crate) fn completions(args: &CompletionsArgs, printer: &Printer) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tks", &mut script);
    printer.out(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &ManArgs, printer: &Printer) -> Result<Exit> {
    let mut command = Cli::command();
    command.build();
    match &args.into {
        None => printer.out(page(&command)?.trim_end())?,
        Some(folder) => pages(&command, folder, printer)?,
    }
    Ok(Exit::Done)
}

fn page(command: &clap::Command) -> Result<String> {
    let mut text = Vec::new();
    let written = Man::new(command.clone()).render(&mut text);
    written.map_err(|error| Failure::io("cannot write a page", &error))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A page for this command and all below it.
fn pages(command: &clap::Command, folder: &Path, printer: &Printer) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let file = folder.join(format!("{name}.1"));
    let text = page(&command.clone().name(name))?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&file, text))
        .map_err(|error| Failure::io(format!("cannot write {}", file.display()), &error))?;
    printer.out(&file.display().to_string())?;
    let below = command.get_subcommands();
    for command in below.filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        pages(command, folder, printer)?;
    }
    Ok(())
}

pub(crate) fn version(args: &VersionArgs, printer: &Printer) -> Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let text = if args.json {
        let told = json!({ "tks_version": version, "platform": format!("{os}_{arch}") });
        format!("{told:#}")
    } else {
        format!("tks {version}")
    };
    printer.out(&text)?;
    Ok(Exit::Done)
}

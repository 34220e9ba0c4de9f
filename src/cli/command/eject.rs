//! `tks eject`: a built-in module, role or template, written out to be changed.

use std::path::Path;

use stack::Catalog;

use crate::Exit;
use crate::args::EjectArgs;
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

pub(crate) fn run(args: &EjectArgs, printer: &Printer) -> Result<Exit> {
    let files = Catalog::eject(&args.name).ok_or_else(|| {
        Failure::new(format!("nothing built in is called `{}`", args.name)).help(
            "name a module (`query`), a role (`roles/observer`) or a template (`prometheus.yaml.hbs`)",
        )
    })?;
    for (path, _) in &files {
        let file = args.into.join(path);
        if file.exists() {
            return Err(Failure::new(format!("{} is there already", file.display()))
                .help("remove it first, or choose another folder with --into"));
        }
    }
    for (path, text) in &files {
        let file = args.into.join(path);
        write(&file, text)?;
        printer.out(&file.display().to_string())?;
    }
    Ok(Exit::Done)
}

fn write(file: &Path, text: &str) -> Result<()> {
    let failed = |e: &std::io::Error| Failure::io(format!("cannot write {}", file.display()), e);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    }
    std::fs::write(file, text).map_err(|e| failed(&e))
}

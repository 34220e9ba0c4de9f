//! `tks schema`: JSON Schema for editors.

use std::path::Path;

use crate::Exit;
use crate::args::SchemaArgs;
use crate::diagnostic::{Failure, Result};
use crate::term::Printer;

pub(crate) fn run(args: &SchemaArgs, printer: &Printer) -> Result<Exit> {
    let catalog = stack::Catalog::load(Path::new("."))?;
    let schema = stack::json_schema(&args.kind, &catalog).ok_or_else(|| {
        Failure::new(format!("there is no kind of file called `{}`", args.kind))
            .help("one of fleet, account, region, cluster")
            .exit(Exit::Usage)
    })?;
    printer.out(&format!("{schema:#}"))?;
    Ok(Exit::Done)
}

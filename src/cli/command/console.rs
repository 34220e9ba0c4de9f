//! `tks console`: expressions, one a line, answered with what is recorded.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use serde_json::Value as Json;
use stack::{Place, UnitPath};

use super::render::{RecordedAttributes, shown, yaml};
use crate::Exit;
use crate::args::ConsoleArgs;
use crate::diagnostic::{Failure, Result};
use crate::session::{self, Fleet};
use crate::term::{Printer, short};

/// Values that are longer than this are written over several lines.
const ONE_LINE: usize = 100;

pub(crate) fn run(args: &ConsoleArgs, printer: &Printer) -> Result<Exit> {
    let fleet = session::fleet_at(args.path.as_deref(), &args.tree)?;
    let console = Console {
        place: place(&fleet, args)?,
        known: RecordedAttributes::of(&fleet)?,
        fleet,
        printer: *printer,
    };
    if std::io::stdin().is_terminal() {
        return console.talk();
    }
    let mut exit = Exit::Done;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::io("cannot read stdin", &error))?;
        if !line.trim().is_empty() && !console.answer(&line)? {
            exit = Exit::Error;
        }
    }
    Ok(exit)
}

/// The unit or the cluster that is named, or the only one that could be.
fn place(fleet: &Fleet, args: &ConsoleArgs) -> Result<Place> {
    let mut clusters = fleet.stack.clusters.iter();
    let mut selected = clusters.by_ref().filter(|it| fleet.selects(&it.path));
    let alone = match (selected.next(), selected.next()) {
        (Some(one), None) => Some(&one.path),
        _ => None,
    };
    let Some(name) = &args.unit else {
        return alone.cloned().map(Place::Cluster).ok_or_else(|| {
            let names = fleet.stack.clusters.iter().map(|it| it.path.to_string());
            let names: Vec<String> = names.collect();
            Failure::new("which cluster?").help(format!(
                "name the folder of one below {}: {}",
                fleet.dir(),
                names.join(", ")
            ))
        });
    };
    let within = alone.map(|cluster| UnitPath {
        cluster: cluster.clone(),
        unit: name.clone(),
    });
    let whole = name.parse::<UnitPath>().ok();
    let units = || fleet.stack.units.iter().map(|unit| &unit.path);
    let mut wanted = within.iter().chain(&whole);
    wanted
        .find(|path| units().any(|unit| unit == *path))
        .cloned()
        .map(Place::Unit)
        .ok_or_else(|| {
            let names: Vec<String> = units().map(ToString::to_string).collect();
            let mut failure = Failure::new(format!("there is no unit `{name}`"));
            failure.problems[0].candidates = stack::closest(name, names.iter().map(String::as_str));
            failure.help("`tks list` shows all units")
        })
}

struct Console {
    fleet: Fleet,
    place: Place,
    known: RecordedAttributes,
    printer: Printer,
}

impl Console {
    /// Prints the value, or what is wrong; `false` for the latter.
    fn answer(&self, line: &str) -> Result<bool> {
        match self.fleet.stack.evaluate(&self.place, line, &self.known) {
            Ok(value) => {
                let text = short(&value);
                let long = text.len() > ONE_LINE || text.contains("\\n");
                match shown(&value) {
                    Json::String(text) if long => self.printer.out(&text)?,
                    json if long => self.printer.out(&yaml(&json)?)?,
                    _ => self.printer.out(&text)?,
                }
                Ok(true)
            }
            Err(mistakes) => {
                let name = PathBuf::from("expression");
                let text = if line.contains("${") {
                    line.trim().to_owned()
                } else {
                    format!("${{{}}}", line.trim())
                };
                let failure = Failure::from(mistakes).source_text(name, &text);
                self.printer.failure(&failure);
                Ok(false)
            }
        }
    }

    fn talk(&self) -> Result<Exit> {
        let failed = |error: ReadlineError| Failure::from_error(&error);
        let mut editor = rustyline::DefaultEditor::new().map_err(failed)?;
        loop {
            match editor.readline("> ") {
                Ok(line) if line.trim().is_empty() || line.trim() == "exit" => break,
                Ok(line) => {
                    self.answer(&line)?;
                    let _ = editor.add_history_entry(line);
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Exit::Done)
    }
}

//! The roof: what a person types and reads. Rooms below compute; here are words, colours, exit codes.

mod args;
mod command;
mod diagnostic;
mod extension;
mod foreign;
mod git;
mod session;
mod term;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

pub use crate::extension::Extension;

use crate::args::Cli;
use crate::diagnostic::Failure;
use crate::term::Printer;

/// What the process says at its end, as `tks help` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Error = 1,
    /// `plan --detailed-exitcode` found changes.
    Changes = 2,
    LockHeld = 3,
    PartlyApplied = 4,
    Usage = 64,
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// As [`main`], with more than tks has: for tests of tks and for who embeds it.
pub fn main_with(extension: Extension) -> ExitCode {
    extension::install(extension);
    main()
}

/// Runs what the command line asks for. A panic is a bug, and is called one.
pub fn main() -> ExitCode {
    guarded(run)
}

fn guarded(run: impl FnOnce() -> ExitCode + std::panic::UnwindSafe) -> ExitCode {
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        term::last_words("\nThis is a bug in tks. Please report it, with the lines above.");
        Exit::Bug.into()
    })
}

fn run() -> ExitCode {
    net::tls::install_default();
    let words: Vec<OsString> = as_thanos(std::env::args_os().collect());
    if let Some(code) = command::child::run_if_asked(&words) {
        return code;
    }
    let cli = match parse(&words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words),
    };
    let printer = Printer::new(cli.color);
    if let Some(dir) = &cli.chdir
        && let Err(error) = std::env::set_current_dir(dir)
    {
        let failure = Failure::io(format!("cannot go to {}", dir.display()), &error);
        return report(&failure, &printer);
    }
    match command::run(cli.command, &printer) {
        Ok(exit) => exit.into(),
        Err(failure) => report(&failure, &printer),
    }
}

fn report(failure: &Failure, printer: &Printer) -> ExitCode {
    if !failure.is_broken_pipe() {
        printer.failure(failure);
        return failure.exit.into();
    }
    ExitCode::SUCCESS
}

/// An executable that is called `thanos` is `tks thanos`.
fn as_thanos(mut words: Vec<OsString>) -> Vec<OsString> {
    let called = words.first().map(Path::new).and_then(Path::file_name);
    if called.is_some_and(|name| name == "thanos") {
        words.insert(1, "thanos".into());
    }
    words
}

fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let command = args::with_variables(Cli::command());
    let mut matches = command.try_get_matches_from(words)?;
    Cli::from_arg_matches_mut(&mut matches)
}

fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let words = words
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let known = matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
    );
    if let Some(hint) = foreign::hint(&words.collect::<Vec<_>>()).filter(|_| known) {
        term::last_words(&format!("\nhint: {hint}"));
    }
    Exit::Usage.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug() {
        let code = guarded(|| panic!("on purpose"));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(70)));
        let code = guarded(|| Exit::Changes.into());
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)));
    }
}

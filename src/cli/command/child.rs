//! What the supervisor runs its processes through: not for people, so it is not among the commands.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::Exit;

/// The first word that asks for it.
const WORD: &str = "exec-child";

/// Becomes the process that the words name, if they begin so; otherwise gives nothing back.
pub(crate) fn run_if_asked(words: &[OsString]) -> Option<ExitCode> {
    let (first, rest) = words.get(1..)?.split_first()?;
    if first != WORD {
        return None;
    }
    let Err(error) = provider::supervisor::exec_child(rest.to_vec());
    let mut text = format!("tks: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    crate::term::last_words(&text);
    Some(Exit::Error.into())
}

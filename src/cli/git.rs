//! What git says has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::diagnostic::{Failure, Result};

/// Every file below the repository of `dir` that differs between where `reference` and this branch parted and what lies on the
/// disk now, new and deleted ones too. Absolute.
pub(crate) fn changed(dir: &Path, reference: &str) -> Result<BTreeSet<PathBuf>> {
    if reference.starts_with('-') {
        return Err(Failure::new(format!(
            "`{reference}` is no commit or branch"
        )));
    }
    // The way up, so that the folder keeps the name by which it is known here.
    let up = git(dir, &["rev-parse", "--show-cdup"])?;
    let steps = String::from_utf8_lossy(&up).matches("..").count();
    let top = dir.ancestors().nth(steps).unwrap_or(dir).to_owned();
    let base = git(dir, &["merge-base", reference, "HEAD"]).map_err(|failure| {
        failure
            .help("name a commit or a branch that is here; in a pipeline fetch the whole history")
    })?;
    let base = String::from_utf8_lossy(&base).trim().to_owned();
    let changed = git(
        &top,
        &["diff", "--name-only", "--no-renames", "-z", &base, "--"],
    )?;
    let new = git(&top, &["ls-files", "--others", "--exclude-standard", "-z"])?;
    let names = changed
        .split(|byte| *byte == 0)
        .chain(new.split(|byte| *byte == 0));
    let names = names.filter(|name| !name.is_empty());
    Ok(names
        .map(|name| top.join(String::from_utf8_lossy(name).as_ref()))
        .collect())
}

fn git(dir: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("git").arg("-C").arg(dir).args(args).output();
    let output = output.map_err(|error| {
        Failure::io("cannot run git", &error)
            .help("--affected without a commit needs no git: it compares with what was applied")
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("no message").trim();
    let said = said.strip_prefix("fatal: ").unwrap_or(said);
    Err(Failure::new(format!("git {}: {said}", args[0]))
        .help("--affected without a commit needs no git: it compares with what was applied"))
}

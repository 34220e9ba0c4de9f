//! Libraries in C that are loaded before the C library (`LD_PRELOAD`), built by the compiler that Rust links with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `source`, a path below `tests/`, into `dir`. Without a compiler that is a failure where nothing may be left out
/// (`TKS_REQUIRE_PEERS`), else `None`, with a line that says that `what` is left out.
pub(crate) fn build(source: &str, dir: &Path, what: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(source);
    let library = dir.join("preload.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    if cfg!(target_os = "linux") && built.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    assert!(
        std::env::var_os("TKS_REQUIRE_PEERS").is_none(),
        "cc cannot build {}",
        source.display()
    );
    println!("left out: {what}, because cc is not installed");
    None
}

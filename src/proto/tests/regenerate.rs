//! The checked-in Rust is what the definitions generate. `TKS_REGENERATE=1` writes it instead of comparing.

use std::fs;
use std::path::Path;

const DEFS: [&str; 11] = [
    "types.proto",
    "store.proto",
    "hints.proto",
    "info.proto",
    "remote.proto",
    "rules.proto",
    "targets.proto",
    "metadata.proto",
    "exemplars.proto",
    "status.proto",
    "query.proto",
];
const GENERATED: [&str; 4] = ["thanos.rs", "thanos.info.rs", "hintspb.rs", "prometheus.rs"];

/// Generates all packages into `out`.
fn generate(out: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile(DEFS, [here.join("defs")]).expect("the definitions compile");
    tonic_prost_build::configure()
        .bytes(".")
        .out_dir(out)
        .compile_fds(files)
        .expect("code is generated");
}

#[test]
fn the_checked_in_code_is_what_the_definitions_generate() {
    let temp = tempfile::tempdir().expect("a folder");
    generate(temp.path());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("gen");
    let write = std::env::var_os("TKS_REGENERATE").is_some();
    for name in GENERATED {
        let fresh = fs::read_to_string(temp.path().join(name)).expect("generated");
        let place = here.join(name);
        if write {
            fs::write(&place, &fresh).expect("written");
        }
        let kept = fs::read_to_string(&place).unwrap_or_default();
        assert!(
            kept == fresh,
            "{name} is out of date: run this test with TKS_REGENERATE=1"
        );
    }
}

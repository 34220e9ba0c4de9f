//! Configurations: of a bucket, of relabelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::block::Relabel;

fuzz_target!(|text: &str| {
    let _ = objstore::Config::parse(text);
    let _ = Relabel::from_yaml(text);
});

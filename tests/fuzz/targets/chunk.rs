//! Samples of every encoding; the first byte chooses. An error leaves what was decoded before as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Columns;
use tsdb::chunk::{Encoding, aggr::Parts, decode};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let _ = Parts::split(rest);
    let Ok(encoding) = Encoding::from_byte(first % 7) else {
        return;
    };
    let mut out = Columns::default();
    match decode(encoding, rest, &mut out) {
        Ok(count) => assert_eq!(out.t.len(), count),
        Err(_) => assert!(out.t.is_empty()),
    }
});

//! What lies beside a block's index and segments: `meta.json`, marks, tombstones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::block::BlockInfo;
use tsdb::meta::{DeletionMark, Mark as _, Meta, NoCompactMark};
use tsdb::tombstone::Tombstones;

fuzz_target!(|data: &[u8]| {
    if let Ok(meta) = Meta::parse(data) {
        let again = Meta::parse(meta.to_json().as_bytes());
        assert!(again.is_ok(), "what is written is not read: {again:?}");
    }
    let _ = BlockInfo::parse(data);
    let _ = DeletionMark::parse(data);
    let _ = NoCompactMark::parse(data);
    if let Ok(tombstones) = Tombstones::parse(data) {
        let again = Tombstones::parse(&tombstones.encode());
        assert_eq!(again.as_ref(), Ok(&tombstones));
    }
});

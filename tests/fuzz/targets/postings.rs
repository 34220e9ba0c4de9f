//! A list of references, as it is and with a right length and checksum around it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tsdb::postings::{Postings, Refs as _};

fuzz_target!(|data: &[u8]| {
    read(data.to_vec());
    let mut framed = (data.len() as u32).to_be_bytes().to_vec();
    framed.extend_from_slice(data);
    framed.extend_from_slice(&crc32c::crc32c(data).to_be_bytes());
    read(framed);
});

fn read(bytes: Vec<u8>) {
    let Ok(list) = Postings::parse(&Bytes::from(bytes), 0) else {
        return;
    };
    let all: Vec<u32> = list.iter().collect();
    assert!(all.is_sorted_by(|a, b| a < b));
    let middle = all.get(all.len() / 2).copied().unwrap_or_default();
    let mut refs = list.refs();
    refs.seek(middle);
    assert_eq!(refs.current(), all.iter().copied().find(|r| *r >= middle));
}

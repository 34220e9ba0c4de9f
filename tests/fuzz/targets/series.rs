//! An entry of the index, as it is and with a right length and checksum around it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::index::{SeriesEntry, Toc, Version, entry_length};

fuzz_target!(|data: &[u8]| {
    let mut entry = SeriesEntry::default();
    let _ = entry_length(data, 0);
    let _ = entry.read(data, 0);
    let _ = Version::parse(data);
    let _ = Toc::parse(data, data.len() as u64);
    if data.len() < 1 << 14 {
        let mut framed = vec![(data.len() as u8 & 0x7f) | 0x80, (data.len() >> 7) as u8];
        framed.extend_from_slice(data);
        framed.extend_from_slice(&crc32c::crc32c(data).to_be_bytes());
        if entry.read(&framed, 0).is_ok() {
            // What is read is written again, and read as the same.
            let mut written = Vec::new();
            entry.encode(&mut written);
            let mut again = SeriesEntry::default();
            if again.read(&written, 0).is_ok() {
                assert_eq!(again, entry);
            }
        }
    }
});

//! A chunk as a segment has it; also with a checksum that is right, so that what lies behind it is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::segment::{Frame, check_head, frame_length};

fuzz_target!(|data: &[u8]| {
    let _ = check_head(data);
    match Frame::parse(data, 8) {
        Ok(frame) => {
            let length = frame_length(data, 8).expect("it was parsed");
            assert!(length <= data.len() as u64);
            assert_eq!(frame.checked.len(), frame.data.len() + 1);
            let _ = frame.check();
        }
        Err(error) => {
            if let Some(needs) = error.needs() {
                assert!(needs > data.len() as u64);
            }
        }
    }
});

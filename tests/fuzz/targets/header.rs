//! An index header, and a header built out of an index; all that one can be asked is asked.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use model::{MatchKind, Matcher};
use tsdb::header::{IndexHeader, build};
use tsdb::postings::Plan;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(header) = IndexHeader::from_bytes(&bytes) {
        ask(&header);
    }
    if let Ok(built) = build(&bytes)
        && let Ok(header) = IndexHeader::from_bytes(&built)
    {
        ask(&header);
    }
});

fn ask(header: &IndexHeader) {
    for symbol in [0, 1, 31, 32, 33, u32::MAX] {
        let _ = header.symbol(symbol);
    }
    header.symbols().for_each(drop);
    let names: Vec<String> = header.label_names().map(ToOwned::to_owned).collect();
    for name in names.iter().take(8) {
        let values: Vec<_> = header.label_values(name).take(100).flatten().collect();
        for (value, range) in &values {
            assert_eq!(header.postings(name, value), Ok(Some(range.clone())));
        }
        for (kind, value) in [(MatchKind::Regex, ".+a|b"), (MatchKind::NotEqual, "x")] {
            if let Ok(matcher) = Matcher::new(kind, name, value) {
                let _ = Plan::new(header, &[matcher]);
            }
        }
    }
    let _ = header.all_postings();
}

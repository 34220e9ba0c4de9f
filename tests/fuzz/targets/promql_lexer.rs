//! Any text is tokens up to its end, or an error at a place inside of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match promql::parser::scan(text) {
        Ok(tokens) => assert!(tokens <= text.len() + 1, "{tokens} tokens in {} bytes", text.len()),
        Err(error) => assert!(error.span.start as usize <= text.len(), "{error}"),
    }
});

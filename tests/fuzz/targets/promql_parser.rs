//! Any text is an expression or an error; what is printed of an expression is the same expression.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::{Features, parse_with};

fuzz_target!(|text: &str| {
    let Ok(expr) = parse_with(text, Features::all()) else {
        return;
    };
    let printed = expr.to_string();
    let again = parse_with(&printed, Features::all());
    let again = again.unwrap_or_else(|error| panic!("{printed:?}: {error}"));
    assert_eq!(printed, again.to_string());
    let pretty = promql::parser::prettify(&expr);
    let again = parse_with(&pretty, Features::all());
    let again = again.unwrap_or_else(|error| panic!("{pretty:?}: {error}"));
    assert_eq!(printed, again.to_string());
});

//! Hostile queries: long and deep ones end in an answer or an error, soon and without a crash.

use std::time::{Duration, Instant};

use super::*;

const LONG: usize = 1 << 20;

fn all(text: &str) -> String {
    parse_with(text, Features::all()).map_or_else(|e| e.to_string(), |expr| expr.to_string())
}

#[test]
fn deep_nesting_is_refused_and_not_a_crash() {
    for text in [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{}1", "-".repeat(100_000)),
        vec!["1"; 100_000].join("+"),
        vec!["1"; 100_000].join("^"),
        format!("{}a{}", "sum(".repeat(100_000), ")".repeat(100_000)),
        format!("{}a{}", "sum by (x) (".repeat(10_000), ")".repeat(10_000)),
        format!("{}a{}", "abs(".repeat(10_000), ")".repeat(10_000)),
        format!("a{}", "[5m:]".repeat(100_000)),
        format!("a[{}5m{}]", "(".repeat(10_000), ")".repeat(10_000)),
        format!("a[{}5m]", "-".repeat(10_000)),
        format!("a[{}]", vec!["5m"; 10_000].join("+")),
        format!("a[{}]", vec!["step()"; 10_000].join("^")),
        format!(
            "a offset {}5m{}",
            "min_of(".repeat(10_000),
            ", 1)".repeat(10_000)
        ),
        format!("a offset {}5m", "-".repeat(10_000)),
    ] {
        let message = all(&text);
        assert!(
            message.contains("nested too deeply") || message.contains("subquery is only"),
            "{message:.200}"
        );
    }
}

#[test]
fn a_mebibyte_is_read_or_refused_in_time() {
    let begun = Instant::now();
    for text in [
        format!("\"{}\"", r"\n".repeat(LONG / 2)),
        format!("`{}`", "é".repeat(LONG / 2)),
        "a".repeat(LONG),
        "1".repeat(LONG),
        " ".repeat(LONG),
        format!("up{}", " ".repeat(LONG)),
        format!("up #{}", "#".repeat(LONG)),
        format!("up + fill{} fill", "\n".repeat(LONG)),
        format!("{{{}}}", "a=\"b\",".repeat(LONG / 6)),
        format!("{{a=~\"{}\"}}", "a|".repeat(LONG / 64)),
        format!("{{a=~\"{}\"}}", "(".repeat(LONG / 16)),
        format!("sum by ({}) (a)", "a,".repeat(LONG / 2)),
        format!("label_join(a, {}\"x\")", "\"x\", ".repeat(LONG / 5)),
        format!("a[{}]", "5m".repeat(LONG / 2)),
        "[".repeat(LONG),
        "{".repeat(LONG),
        "\u{1F600}".repeat(LONG / 4),
    ] {
        let _ = all(&text);
    }
    // What takes quadratic time takes hours; a busy machine and a debug build take half a minute.
    assert!(
        begun.elapsed() < Duration::from_secs(300),
        "{:?}",
        begun.elapsed()
    );
}

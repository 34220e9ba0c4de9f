//! Matchers as a PromQL selector, which is how Prometheus's HTTP API takes them.

use std::fmt::Write as _;

use model::Matcher;

/// `{job="x",pod=~"a.*"}`.
pub(crate) fn selector(matchers: &[Matcher]) -> String {
    let mut text = String::from("{");
    for (at, matcher) in matchers.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        if is_plain(&matcher.name) {
            text.push_str(&matcher.name);
        } else {
            quote(&matcher.name, &mut text);
        }
        text.push_str(matcher.kind.as_str());
        quote(&matcher.value, &mut text);
    }
    text.push('}');
    text
}

/// Whether a label name needs no quotes.
pub(crate) fn is_plain(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(letter)
        && name
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// A PromQL string: Go's escapes.
fn quote(value: &str, out: &mut String) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use model::MatchKind;

    use super::*;

    #[test]
    fn selectors_are_what_prometheus_parses() {
        let matchers = [
            Matcher::equal("__name__", "up"),
            Matcher::new(MatchKind::NotRegex, "path", "a\\.b\"\n\u{1}é").expect("valid"),
            Matcher::equal("a.b", ""),
        ];
        assert_eq!(
            selector(&matchers),
            r#"{__name__="up",path!~"a\\.b\"\n\x01é","a.b"=""}"#
        );
    }
}

//! `$(NAME)` in a configuration.

use std::sync::LazyLock;

use regex::Regex;

use super::ConfigError;

#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by a test")]
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\(([a-zA-Z_0-9]+)\)").unwrap());

/// Replaces each reference; a variable that is not set is an error.
pub(super) fn expand(
    text: &str,
    value: impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let mut expanded = String::with_capacity(text.len());
    let mut end = 0;
    for found in REFERENCE.captures_iter(text) {
        let (Some(whole), Some(name)) = (found.get(0), found.get(1)) else {
            continue;
        };
        let value =
            value(name.as_str()).ok_or_else(|| ConfigError::Unset(name.as_str().to_owned()))?;
        expanded.push_str(&text[end..whole.start()]);
        expanded.push_str(&value);
        end = whole.end();
    }
    expanded.push_str(&text[end..]);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_an_unset_variable_is_named() {
        let value = |name: &str| (name == "KEY_1").then(|| "s3cr$(X)t".to_owned());
        let text = "a: $(KEY_1)\nb: $KEY_1 $() $(KEY_1)";
        let expanded = expand(text, value).unwrap();
        // What a value holds is not looked at again.
        assert_eq!(expanded, "a: s3cr$(X)t\nb: $KEY_1 $() s3cr$(X)t");
        let error = expand("x: $(NOT_SET)", value).unwrap_err();
        assert!(error.to_string().ends_with(r#""NOT_SET""#), "{error}");
    }
}

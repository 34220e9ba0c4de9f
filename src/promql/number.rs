//! Numbers as Go writes and reads them (`strconv`), which is what Prometheus's API and language show.

/// A sample's value as Prometheus's JSON API prints it: shortest digits that read back the same; an exponent of two
/// digits at least below 1e-6 and from 1e21 on; `NaN`, `+Inf`, `-Inf`.
#[must_use]
pub fn format_float(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && size.is_finite() && !(1e-6..1e21).contains(&size) {
        return with_exponent(v);
    }
    format_plain(v)
}

/// As `strconv.FormatFloat(v, 'f', -1, 64)`: never an exponent.
#[must_use]
pub fn format_plain(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    v.to_string()
}

/// Go's `%v`: shortest digits, with an exponent below 1e-4 and from 1e21 on.
#[must_use]
pub fn format_short(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e21).contains(&size) {
        return with_exponent(v);
    }
    format_plain(v)
}

fn with_exponent(v: f64) -> String {
    let text = format!("{v:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Why a literal is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    Syntax,
    Range,
}

impl NumberError {
    /// Go's words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        }
    }
}

/// Reads a literal: an integer of Go's syntax (`0x1f`, `0b1`, `010` is octal, `1_000`) or else a decimal float.
pub(crate) fn parse_number(text: &str) -> Result<f64, NumberError> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    match text.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let decimal = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-' | '_');
    if !text.chars().all(decimal) || !underscores_between_digits(text) {
        return Err(NumberError::Syntax);
    }
    let digits = text.replace('_', "");
    let value: f64 = digits.parse().map_err(|_| NumberError::Syntax)?;
    if value.is_infinite() {
        Err(NumberError::Range)
    } else {
        Ok(value)
    }
}

fn underscores_between_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    let mut underscores = text.match_indices('_').map(|(at, _)| at);
    underscores.all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

fn parse_integer(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let prefixed = prefixes
        .iter()
        .find_map(|(p, base)| Some((lower.strip_prefix(p)?, *base)));
    let (digits, base) = match prefixed {
        Some(found) => found,
        // A leading zero means octal, as in C.
        None => match lower.strip_prefix('0') {
            Some(rest) if !rest.is_empty() => (rest, 8),
            _ => (lower.as_str(), 10),
        },
    };
    let bare = base == 10 && digits.starts_with('_');
    if bare || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    i64::from_str_radix(&digits.replace('_', ""), base).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_prometheus_api() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_float(v), text);
        }
    }

    #[test]
    fn literals_read_as_in_go() {
        for (text, v) in [
            ("1", 1.0),
            ("1.5e3", 1500.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x1F", 31.0),
            ("010", 8.0),
            ("08", 8.0),
            ("1_000", 1000.0),
            ("1e+2", 100.0),
            ("00_1_23_4.56_7_8", 1234.5678),
            ("Inf", f64::INFINITY),
        ] {
            assert_eq!(parse_number(text), Ok(v), "{text}");
        }
        assert!(parse_number("nan").is_ok_and(f64::is_nan));
        assert_eq!(parse_number("1e999"), Err(NumberError::Range));
        assert_eq!(parse_number("1__0.5"), Err(NumberError::Syntax));
        assert_eq!(parse_number("infinity"), Err(NumberError::Syntax));
    }
}

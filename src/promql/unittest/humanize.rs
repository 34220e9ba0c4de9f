//! Numbers for people, as the functions `humanize…` of Prometheus's templates write them.

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// With SI prefixes: `1.235k`, `12m`.
pub(super) fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return four_digits(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 {
        scaled(v, 1000.0, &LARGE)
    } else {
        enlarged(v)
    };
    format!("{}{prefix}", four_digits(v))
}

/// With binary prefixes: `1.206ki`.
pub(super) fn humanize1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return four_digits(v);
    }
    let (v, prefix) = scaled(v, 1024.0, &BINARY);
    format!("{}{prefix}", four_digits(v))
}

/// Seconds: `1d 2h 3m 4s`, `12.5ms`.
pub(super) fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return four_digits(v);
    }
    if v == 0.0 {
        return format!("{}s", four_digits(v));
    }
    if v.abs() < 1.0 {
        let (v, prefix) = enlarged(v);
        return format!("{}{prefix}s", four_digits(v));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let whole = v.abs() as i64;
    let (seconds, minutes) = (whole % 60, whole / 60 % 60);
    let (hours, days) = (whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(v.abs())),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// A ratio: `12.5%`.
pub(super) fn humanize_percentage(v: f64) -> String {
    format!("{}%", four_digits(v * 100.0))
}

fn scaled(mut v: f64, base: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if v.abs() < base {
            break;
        }
        (v, prefix) = (v / base, next);
    }
    (v, prefix)
}

fn enlarged(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        (v, prefix) = (v * 1000.0, next);
    }
    (v, prefix)
}

/// Go's `%.4g`.
fn four_digits(v: f64) -> String {
    with_digits(v, 4)
}

/// Go's `%.{digits}g`.
pub(super) fn with_digits(v: f64, digits: usize) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if v == 0.0 || v.is_nan() {
        return v.to_string();
    }
    let digits = digits.max(1);
    let text = format!("{v:.*e}", digits - 1);
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..i32::try_from(digits).unwrap_or(i32::MAX)).contains(&exponent) {
        // The rounded number has no more digits than these.
        let rounded: f64 = text.parse().unwrap_or(v);
        return rounded.to_string();
    }
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_four_digits_and_a_prefix() {
        for (v, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1234567.0, "1.235M"),
            (0.0001234, "123.4u"),
            (-12_345.0, "-12.35k"),
            (999.96, "1000"),
            (1e30, "1e+06Y"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(humanize(v), text, "{v}");
        }
        assert_eq!(humanize1024(1_048_576.0 * 1.5), "1.5Mi");
        assert_eq!(humanize1024(0.5), "0.5");
        assert_eq!(humanize_percentage(0.12345), "12.35%");
    }

    #[test]
    fn durations_are_days_hours_minutes_seconds() {
        for (v, text) in [
            (0.0, "0s"),
            (0.001, "1ms"),
            (59.5, "59.5s"),
            (61.0, "1m 1s"),
            (3600.0, "1h 0m 0s"),
            (90_061.0, "1d 1h 1m 1s"),
            (-61.0, "-1m 1s"),
        ] {
            assert_eq!(humanize_duration(v), text, "{v}");
        }
    }
}

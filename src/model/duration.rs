//! Prometheus durations: `1w2d3h4m5s6ms`, units from large to small, each once, or `0`.

/// The units, largest first, with their milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("empty duration string")]
    Empty,
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    #[error("unknown unit {unit:?} in duration {text:?}")]
    Unit { unit: String, text: String },
    #[error("duration out of range")]
    OutOfRange,
}

/// Milliseconds of a Prometheus duration.
///
/// # Errors
/// [`DurationError`], in Prometheus's words.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(0);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let (mut rest, mut units, mut total) = (text, UNITS.as_slice(), 0i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest
            .bytes()
            .skip(digits)
            .take_while(|byte| !byte.is_ascii_digit())
            .count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        if digits == 0 || letters == 0 {
            return Err(invalid());
        }
        let count: u64 = number.parse().map_err(|_| invalid())?;
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::Unit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        }
        let at = units.iter().position(|(name, _)| *name == unit);
        let at = at.ok_or_else(invalid)?;
        let count = i64::try_from(count).map_err(|_| DurationError::OutOfRange)?;
        let part = count
            .checked_mul(units[at].1)
            .ok_or(DurationError::OutOfRange)?;
        total = total.checked_add(part).ok_or(DurationError::OutOfRange)?;
        units = &units[at + 1..];
        rest = &rest[digits + letters..];
    }
    // Go's time.Duration counts nanoseconds in 64 bits.
    if total > i64::MAX / 1_000_000 {
        Err(DurationError::OutOfRange)
    } else {
        Ok(total)
    }
}

/// `ms` milliseconds as Prometheus prints them: `1h30m`, `2w`, `0s`; years and weeks only when exact.
#[must_use]
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let sign = if ms < 0 { "-" } else { "" };
    let mut rest = ms.unsigned_abs();
    let mut text = sign.to_owned();
    for (name, unit) in UNITS {
        let unit = unit.unsigned_abs();
        let only_if_exact = matches!(name, "y" | "w");
        if rest / unit == 0 || (only_if_exact && !rest.is_multiple_of(unit)) {
            continue;
        }
        text.push_str(&format!("{}{name}", rest / unit));
        rest %= unit;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_prometheus_does() {
        for (text, ms) in [
            ("0", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1y2w3d", (365 + 14 + 3) * 86_400_000),
            ("1ms", 1),
            ("1m1ms", 60_001),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "1m1h",
            "1s1s",
            "1.5h",
            "-1m",
            "30dd",
            "1µs",
            "99999999999y",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_parses_back() {
        for ms in [
            1,
            999,
            60_000,
            5_400_000,
            86_400_000,
            90_000_000,
            604_800_000,
            31_536_000_000,
        ] {
            assert_eq!(parse_duration(&format_duration(ms)), Ok(ms));
        }
        assert_eq!(format_duration(90_000_000), "1d1h");
        assert_eq!(format_duration(1_209_600_000), "2w");
    }
}

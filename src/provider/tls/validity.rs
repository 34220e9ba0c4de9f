//! How long a certificate lasts: durations as Prometheus writes them (`90d`, `1y`, `1h30m`), and the dates they lead to.

use jiff::{SignedDuration, Timestamp};
use plan::ProviderError;

/// The units from large to small, with their seconds.
const UNITS: [(char, i64); 6] = [
    ('y', 365 * 86_400),
    ('w', 7 * 86_400),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

/// Longer makes no sense, and RFC 5280 ends with the year 9999.
const LONGEST: i64 = 100 * 365 * 86_400;

/// The clocks of those who verify may be this much behind ours.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// From when to when a certificate holds, in whole seconds as X.509 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Span {
    /// From now on, for `seconds`, at most to `end`.
    pub(super) fn from(now: Timestamp, seconds: i64, end: Option<Timestamp>) -> Self {
        let now = whole(now.as_second());
        let not_after = whole(now.as_second().saturating_add(seconds));
        let not_after = end.map_or(not_after, |end| not_after.min(end));
        Self {
            not_before: now.checked_sub(BACKDATE).unwrap_or(now),
            not_after,
        }
    }

    /// When this fraction of its life is over.
    pub(super) fn after(self, numerator: i64, denominator: i64) -> Timestamp {
        let life = self.not_after.as_second() - self.not_before.as_second();
        whole(self.not_before.as_second() + life / denominator * numerator)
    }
}

fn whole(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// The seconds of a property.
pub(super) fn parse(property: &str, text: &str) -> Result<i64, ProviderError> {
    let seconds = seconds(text).filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.ok_or_else(|| {
        let message = format!("`{property}` is {text:?}, and no duration up to 100y");
        ProviderError::new(message)
            .property(property)
            .help("write for example 90d, 1y or 1h30m")
    })
}

fn seconds(text: &str) -> Option<i64> {
    let (mut rest, mut units, mut total) = (text, UNITS.as_slice(), 0_i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[digits..].chars().next()?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let count: i64 = rest[..digits].parse().ok()?;
        total = total.checked_add(count.checked_mul(units[at].1)?)?;
        units = &units[at + 1..];
        rest = &rest[digits + 1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        assert_eq!(parse("validity", "90d").unwrap(), 90 * 86_400);
        assert_eq!(parse("validity", "1y1h30m").unwrap(), 365 * 86_400 + 5_400);
        for text in [
            "",
            "0",
            "5",
            "d",
            "1d1y",
            "-1d",
            "1é",
            "101y",
            "99999999999999999999y",
        ] {
            let error = parse("validity", text).unwrap_err();
            assert_eq!(error.property.as_deref(), Some("validity"), "{text}");
        }
    }

    #[test]
    fn a_certificate_never_outlives_its_issuer() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let end = Timestamp::from_second(1_000_600).unwrap();
        let span = Span::from(now, 3_600, Some(end));
        assert_eq!(span.not_after, end);
        assert_eq!(span.not_before.as_second(), 1_000_000 - 300);
        assert_eq!(span.after(2, 3).as_second(), 999_700 + 600);
    }
}

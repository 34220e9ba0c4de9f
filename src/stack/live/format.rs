//! Texts of the tree that must have a form: names, domains, durations, ranges, accounts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// What a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Any,
    /// A DNS label: what may be part of an id, a bucket and a host.
    Name,
    Domain,
    /// As Prometheus writes it: `1h30m`.
    Duration,
    Cidr,
    /// An AWS account: twelve digits.
    AccountId,
    Arn,
    Bucket,
    /// `host:port`.
    Endpoint,
    Path,
}

impl Format {
    /// What such a text is called, and how to write one.
    pub(crate) fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Any | Self::Path => ("a text", "write a text that is not empty"),
            Self::Name => (
                "a name",
                "write lowercase letters, digits and `-`, at most 63, for example `eu-west-3`",
            ),
            Self::Domain => (
                "a domain name",
                "write a domain, for example `thanos.example.com`",
            ),
            Self::Duration => (
                "a duration",
                "write a number and a unit (ms, s, m, h, d, w, y), for example `30d`",
            ),
            Self::Cidr => (
                "a network range",
                "write the first address and the prefix length, for example `10.64.0.0/16`",
            ),
            Self::AccountId => (
                "an account id",
                "write twelve digits in quotes, for example \"012345678901\"",
            ),
            Self::Arn => (
                "an ARN",
                "write it in full, for example `arn:aws:iam::012345678901:role/tks`",
            ),
            Self::Bucket => (
                "a bucket's name",
                "write 3 to 63 lowercase letters, digits, `-` and `.`, for example `my-blocks`",
            ),
            Self::Endpoint => (
                "an endpoint",
                "write host:port, for example `thanos.example.com:443`",
            ),
        }
    }

    /// Whether `text` has the form.
    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Any | Self::Path => !text.trim().is_empty(),
            Self::Name => is_name(text),
            Self::Domain => is_domain(text),
            Self::Duration => is_duration(text),
            Self::Cidr => Cidr::parse(text).is_some(),
            Self::AccountId => text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()),
            Self::Arn => {
                let parts: Vec<&str> = text.splitn(6, ':').collect();
                parts.len() == 6
                    && parts[0] == "arn"
                    && !parts[2].is_empty()
                    && !parts[5].is_empty()
            }
            Self::Bucket => (3..=63).contains(&text.len()) && text.split('.').all(is_name),
            Self::Endpoint => is_endpoint(text),
        }
    }

    /// The form as a regular expression, for editors; not stricter than [`Self::accepts`].
    pub(crate) fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Any | Self::Path => None,
            Self::Name => Some("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
            Self::Domain => Some("^[a-z0-9-]+(\\.[a-z0-9-]+)*$"),
            Self::Duration => Some("^([0-9]+(ms|[smhdwy]))+$|^0$"),
            Self::Cidr => Some("^[0-9a-fA-F.:]+/[0-9]+$"),
            Self::AccountId => Some("^[0-9]{12}$"),
            Self::Arn => Some("^arn:[^:]*:[^:]+:[^:]*:[^:]*:.+$"),
            Self::Bucket => Some("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"),
            Self::Endpoint => Some("^.+:[0-9]+$"),
        }
    }
}

/// Whether `text` may be part of an id, a bucket and a host: a DNS label.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host's or a domain's name in full, without a dot at its end.
pub(crate) fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_name)
}

fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let host_known = is_domain(&host.to_ascii_lowercase())
        || host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .is_some_and(|h| h.parse::<Ipv6Addr>().is_ok());
    host_known && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Prometheus's durations: each unit at most once, from the largest to the smallest.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 7] = ["y", "w", "d", "h", "m", "s", "ms"];
    let (mut rest, mut next) = (text, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let tail = &rest[digits..];
        let unit = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        match UNITS.iter().position(|u| *u == &tail[..unit]) {
            Some(at) if at >= next && (1..=15).contains(&digits) => next = at + 1,
            _ => return text == "0",
        }
        rest = &tail[unit..];
    }
    !text.is_empty()
}

/// How long a duration is; `None`: it is none.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if !is_duration(text) {
        return None;
    }
    let (mut rest, mut total) = (text, 0_u64);
    while let Some(end) = rest.find(|c: char| !c.is_ascii_digit()) {
        let (digits, tail) = rest.split_at(end);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => 31_536_000_000,
        };
        let part = digits.parse::<u64>().ok()?.checked_mul(milliseconds)?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(Duration::from_millis(total))
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    first: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads `10.64.0.0/16`: no bit may be set behind the prefix.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let cidr = Self {
            first: address.parse().ok()?,
            length: length.parse().ok()?,
        };
        let most = if cidr.first.is_ipv4() { 32 } else { 128 };
        (cidr.length <= most && cidr.truncated(cidr.length) == cidr.bits()).then_some(cidr)
    }

    /// Whether an address is in both.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let length = self.length.min(other.length);
        self.first.is_ipv4() == other.first.is_ipv4()
            && self.truncated(length) == other.truncated(length)
    }

    /// The address in the upper bits.
    fn bits(self) -> u128 {
        match self.first {
            IpAddr::V4(v4) => u128::from(Ipv4Addr::to_bits(v4)) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        }
    }

    fn truncated(self, length: u8) -> u128 {
        self.bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, good: &[&str], bad: &[&str]) {
        good.iter()
            .for_each(|text| assert!(format.accepts(text), "{format:?} {text:?}"));
        bad.iter()
            .for_each(|text| assert!(!format.accepts(text), "{format:?} {text:?}"));
    }

    #[test]
    fn texts_of_a_form_are_told_from_others() {
        check(
            Format::Name,
            &["a", "eu-west-3"],
            &["", "-a", "a-", "A", "a.b", "ä", "a/b"],
        );
        check(
            Format::Domain,
            &["teks.sh", "localhost"],
            &["", ".sh", "a..b", "a.b.", "http://a"],
        );
        check(
            Format::Duration,
            &["30d", "1h30m", "0", "10y", "5ms"],
            &["", "30", "d", "1m1h", "1.5h"],
        );
        check(
            Format::AccountId,
            &["012345678901"],
            &["12345", "01234567890a"],
        );
        check(
            Format::Arn,
            &["arn:aws:iam::012345678901:role/tks"],
            &["arn:aws", "role/tks"],
        );
        check(
            Format::Bucket,
            &["my-blocks", "a.b-c"],
            &["ab", "My", "a..b"],
        );
        let endpoints = ["a.example:443", "127.0.0.1:1", "[::1]:10901"];
        check(
            Format::Endpoint,
            &endpoints,
            &["a", "a:0", "a:99999", "http://a:1", ":1"],
        );
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        let cidr = |text| Cidr::parse(text).expect(text);
        assert!(cidr("10.0.0.0/8").overlaps(cidr("10.64.0.0/16")));
        assert!(cidr("10.64.0.0/16").overlaps(cidr("0.0.0.0/0")));
        assert!(!cidr("10.64.0.0/16").overlaps(cidr("10.65.0.0/16")));
        assert!(!cidr("::/0").overlaps(cidr("10.0.0.0/8")));
        let wrong = [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0",
            "10.0.0/8",
            "fd00::1/64",
        ];
        check(
            Format::Cidr,
            &["10.64.0.0/12", "fd00::/8", "0.0.0.0/0"],
            &wrong,
        );
    }
}

//! Names of clusters, units and resources, as people type them.

use std::fmt;
use std::str::FromStr;

/// `<account>/<region>/<cluster>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterPath {
    pub account: String,
    pub region: String,
    pub cluster: String,
}

/// `<account>/<region>/<cluster>/<unit>`; a unit made per peer is `federation/<cluster key>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPath {
    pub cluster: ClusterPath,
    pub unit: String,
}

/// `<account>/<region>/<cluster>/<unit>:<type>.<name>`, with `["<key>"]` behind it where a resource is made per
/// element. The type has one dot: `local.process`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub unit: UnitPath,
    pub kind: String,
    pub name: String,
    pub key: Option<String>,
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: write <account>/<region>/<cluster>/<unit>:<type>.<name>")]
pub struct AddressError(pub String);

impl fmt::Display for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.cluster)
    }
}

impl fmt::Display for UnitPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.unit)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.unit, self.kind, self.name)?;
        if let Some(key) = &self.key {
            write!(f, "[{key:?}]")
        } else {
            Ok(())
        }
    }
}

impl FromStr for UnitPath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.splitn(4, '/');
        let mut part = || {
            parts
                .next()
                .filter(|p| !p.is_empty())
                .ok_or_else(|| AddressError(text.to_owned()))
        };
        let (account, region, cluster) = (part()?.into(), part()?.into(), part()?.into());
        Ok(Self {
            cluster: ClusterPath {
                account,
                region,
                cluster,
            },
            unit: part()?.into(),
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (unit, resource) = text.split_once(':').ok_or_else(wrong)?;
        let (resource, key) = match resource.split_once("[\"") {
            Some((resource, key)) => (resource, Some(key.strip_suffix("\"]").ok_or_else(wrong)?)),
            None => (resource, None),
        };
        let (kind, name) = resource.rsplit_once('.').ok_or_else(wrong)?;
        if kind.is_empty() || name.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            unit: unit.parse().map_err(|_| wrong())?,
            kind: kind.to_owned(),
            name: name.to_owned(),
            key: key.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_are_written() {
        for text in [
            "local/eu-west-1/observer/query:local.process.query",
            "a/b/c/federation/eu-west-3-observee:tls.certificate.client",
            "a/b/c/trust:local.file.ca[\"x-y\"]",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "a/b/c",
            "a/b/c/u",
            "a/b/c/u:x",
            "a//c/u:x.y",
            "a/b/c/u:x.y[\"z",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}

//! Files that name endpoints: Thanos's endpoint file (`--endpoint.sd-config-file`) and Prometheus's target
//! files (`--store.sd-files`).

use std::path::{Path, PathBuf};

use net::channel::Compression;
use net::tls::{ClientTls, Version};
use serde::Deserialize;
use store::EndpointSpec;

/// A file that cannot be used. What it said before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum SdFileError {
    #[error("cannot read endpoint file {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("endpoint file {} is not valid", path.display())]
    Yaml {
        path: PathBuf,
        source: serde_yaml::Error,
    },
    #[error("endpoint file {}: endpoint {address:?}: {reason}", path.display())]
    Endpoint {
        path: PathBuf,
        address: String,
        reason: &'static str,
    },
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Thanos's endpoints, each with its own TLS.
    Endpoints,
    /// Prometheus's groups of targets.
    Targets,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_client_config: Option<ClientConfig>,
    #[serde(default)]
    endpoints: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    group: bool,
    /// How Go's gRPC tries again; here it is as Thanos has it by default.
    #[serde(default)]
    service_config: String,
    client_config: Option<ClientConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientConfig {
    tls_config: Option<TlsConfig>,
    server_name: Option<String>,
    #[serde(default)]
    compression: Compression,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    enabled: Option<bool>,
    insecure_skip_verify: bool,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    min_version: Version,
}

#[derive(Deserialize)]
struct TargetGroup {
    #[serde(default)]
    targets: Vec<String>,
}

impl ClientConfig {
    fn spec(&self) -> EndpointSpec {
        EndpointSpec {
            tls: self.tls(),
            compression: self.compression,
            ..EndpointSpec::default()
        }
    }

    /// TLS is on when said so, or when anything of it is configured.
    fn tls(&self) -> Option<ClientTls> {
        let tls = self.tls_config.as_ref()?;
        let (ca, cert, key) = (
            path(&tls.ca_file),
            path(&tls.cert_file),
            path(&tls.key_file),
        );
        let given = ca.is_some() || cert.is_some() || key.is_some() || tls.insecure_skip_verify;
        tls.enabled.unwrap_or(given).then(|| ClientTls {
            ca,
            cert,
            key,
            server_name: self.server_name.clone().filter(|name| !name.is_empty()),
            skip_verify: tls.insecure_skip_verify,
            min_version: tls.min_version,
        })
    }
}

/// An empty path is none.
fn path(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

impl Entry {
    fn flaw(&self, tls: Option<&ClientTls>) -> Option<&'static str> {
        let has_dns = self.address.starts_with("dns");
        match tls {
            _ if self.address.is_empty() => Some("the address is missing"),
            _ if self.strict && has_dns && !self.group => {
                Some("a strict endpoint cannot be a DNS name to resolve")
            }
            _ if !self.group && !self.service_config.is_empty() => {
                Some("service_config is for groups only")
            }
            Some(tls) if tls.cert.is_some() != tls.key.is_some() => {
                Some("cert_file and key_file must be given together")
            }
            _ => None,
        }
    }
}

/// Reads a file. `default` is for what says nothing of its connection.
pub(super) fn read(
    path: &Path,
    format: Format,
    default: &EndpointSpec,
) -> Result<Vec<EndpointSpec>, SdFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| SdFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match format {
        Format::Endpoints => parse(path, &text, default),
        Format::Targets => targets(path, &text, default),
    }
}

/// What an endpoint file at `path` with this `text` names.
pub(super) fn parse(
    path: &Path,
    text: &str,
    default: &EndpointSpec,
) -> Result<Vec<EndpointSpec>, SdFileError> {
    let file: File = serde_yaml::from_str(text).map_err(|source| SdFileError::Yaml {
        path: path.to_owned(),
        source,
    })?;
    let of_file = file.default_client_config.as_ref();
    let spec = |entry: Entry| {
        let config = entry.client_config.as_ref().or(of_file);
        let connected = config.map_or_else(|| default.clone(), ClientConfig::spec);
        match entry.flaw(connected.tls.as_ref()) {
            None => Ok(EndpointSpec {
                address: entry.address,
                strict: entry.strict,
                group: entry.group.then(Vec::new),
                ..connected
            }),
            Some(reason) => {
                let (path, address) = (path.to_owned(), entry.address);
                Err(SdFileError::Endpoint {
                    path,
                    address,
                    reason,
                })
            }
        }
    };
    file.endpoints.into_iter().map(spec).collect()
}

fn targets(
    path: &Path,
    text: &str,
    default: &EndpointSpec,
) -> Result<Vec<EndpointSpec>, SdFileError> {
    let groups: Vec<TargetGroup> =
        serde_yaml::from_str(text).map_err(|source| SdFileError::Yaml {
            path: path.to_owned(),
            source,
        })?;
    let spec = |address| EndpointSpec {
        address,
        ..default.clone()
    };
    Ok(groups
        .into_iter()
        .flat_map(|group| group.targets)
        .map(spec)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<EndpointSpec>, SdFileError> {
        super::parse(Path::new("sd.yaml"), text, &EndpointSpec::default())
    }

    #[test]
    fn an_endpoint_has_its_own_client_config_or_the_files() {
        let specs = parse(
            "default_client_config:\n  tls_config: {ca_file: ca.pem}\n  server_name: store.lab\n\
             endpoints:\n\
             - address: a:1\n\
             - address: b:2\n  strict: true\n  client_config: {tls_config: {cert_file: c.pem, key_file: k.pem, min_version: '1.1'}, server_name: b.lab, compression: snappy}\n\
             - address: c:3\n  client_config: {tls_config: {enabled: false}}\n",
        )
        .expect("valid");
        let tls = |ca: &str, name: &str| ClientTls {
            ca: Some(ca.into()),
            server_name: Some(name.into()),
            ..ClientTls::default()
        };
        assert_eq!(specs[0].tls, Some(tls("ca.pem", "store.lab")));
        let own = specs[1].tls.as_ref().expect("TLS");
        assert_eq!(
            (&own.ca, own.server_name.as_deref()),
            (&None, Some("b.lab"))
        );
        assert_eq!(own.min_version, Version::V12);
        assert!(specs[1].strict);
        let compressed = [0, 1, 2].map(|at: usize| specs[at].compression == Compression::Snappy);
        assert_eq!(compressed, [false, true, false]);
        assert_eq!(specs[2].tls, None);
    }

    #[test]
    fn without_any_client_config_the_flags_decide() {
        let flags = ClientTls {
            skip_verify: true,
            ..ClientTls::default()
        };
        let text = "endpoints: [{address: 'a:1'}]";
        let flags = EndpointSpec {
            tls: Some(flags),
            compression: Compression::Snappy,
            ..EndpointSpec::default()
        };
        let specs = super::parse(Path::new("sd.yaml"), text, &flags).expect("valid");
        assert_eq!(
            (&specs[0].tls, specs[0].compression),
            (&flags.tls, Compression::Snappy)
        );
    }

    #[test]
    fn a_file_that_cannot_be_meant_is_refused_with_its_name() {
        for (text, why) in [
            ("endpoints: [{address: 'dns+a:1', strict: true}]", "strict"),
            ("endpoints: [{address: ''}]", "missing"),
            (
                "endpoints: [{address: 'a:1', service_config: '{}'}]",
                "groups",
            ),
            (
                "endpoints: [{address: 'a:1', client_config: {tls_config: {cert_file: c}}}]",
                "together",
            ),
            (
                "endpoints: [{address: 'a:1', client_config: {tls_config: {min_version: '2'}}}]",
                "not valid",
            ),
            ("endpoints: [{adress: 'a:1'}]", "not valid"),
            ("endpoints: 5", "not valid"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(
                error.contains("sd.yaml") && error.contains(why),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn target_files_are_yaml_or_json() {
        let read =
            |text| targets(Path::new("t.json"), text, &EndpointSpec::default()).expect("valid");
        let addresses = |specs: Vec<EndpointSpec>| -> Vec<String> {
            specs.into_iter().map(|spec| spec.address).collect()
        };
        assert_eq!(
            addresses(read(
                r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}, {"targets": []}]"#
            )),
            ["a:1", "b:2"]
        );
        assert_eq!(addresses(read("- targets: ['c:3']\n")), ["c:3"]);
    }
}

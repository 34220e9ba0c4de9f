//! The configuration file of an ingress.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls_pki_types::DnsName;
use serde::{Deserialize, Serialize};

use crate::NetError;
use crate::grpc::host_of;
use crate::tls::TlsError;

/// One ingress: where it listens, and what it lets through to where. YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where TLS is served.
    pub listen: SocketAddr,
    /// Where `/-/healthy`, `/-/ready` and `/metrics` are served, without TLS.
    pub http: SocketAddr,
    /// Hosts; at least one.
    pub routes: Vec<RouteConfig>,
    /// Client connections at a time; more are refused.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// HTTP/2 streams at a time on one client connection.
    #[serde(default = "default_streams")]
    pub max_streams: u32,
}

/// One host and those who may reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The DNS name that clients must ask for (SNI) and name as `:authority`.
    pub host: String,
    /// `host:port` of a server that speaks gRPC without TLS.
    pub backend: String,
    /// The certificate chain shown for this host, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// One or several CA certificates, PEM: clients must show a certificate that one of them issued.
    pub client_ca_file: PathBuf,
    /// Who may come in: the client certificate's URI names, DNS names or common name must hold one of
    /// these. Not empty.
    pub identities: Vec<String>,
}

fn default_connections() -> usize {
    1024
}

fn default_streams() -> u32 {
    1000
}

/// Why an ingress does not start, or does not take a changed file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read ingress configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{} is not an ingress configuration: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the position.
        reason: String,
    },
    /// The file's content makes no sense.
    #[error("ingress configuration {}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which route, and what is wrong with it.
        reason: String,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A route's certificates cannot be used.
    #[error("route {host:?}")]
    Route {
        /// The route's host.
        host: String,
        /// The file and what is wrong with it.
        #[source]
        source: Box<TlsError>,
    },
}

impl Config {
    /// Reads and checks a file; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`Error`] with the file and, for a route, its host.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config: Self = serde_yaml::from_str(&text).map_err(|error| Error::Syntax {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config
            .routes
            .iter_mut()
            .for_each(|route| route.resolve(folder));
        config.check().map_err(|reason| Error::Invalid {
            path: path.to_owned(),
            reason,
        })?;
        Ok(config)
    }

    /// Every file that this configuration is made of, without itself.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.routes
            .iter()
            .flat_map(|route| [&route.cert_file, &route.key_file, &route.client_ca_file])
    }

    fn check(&self) -> Result<(), String> {
        if self.routes.is_empty() {
            return Err("routes is empty, nothing would be served".to_owned());
        }
        if self.max_connections == 0 || self.max_streams == 0 {
            return Err("max_connections and max_streams must be greater than 0".to_owned());
        }
        let mut hosts = HashSet::new();
        for route in &self.routes {
            route
                .check()
                .map_err(|reason| format!("route {:?}: {reason}", route.host))?;
            if !hosts.insert(&route.host) {
                return Err(format!("route {:?} is given twice", route.host));
            }
        }
        Ok(())
    }
}

impl RouteConfig {
    fn resolve(&mut self, folder: &Path) {
        self.host.make_ascii_lowercase();
        for file in [
            &mut self.cert_file,
            &mut self.key_file,
            &mut self.client_ca_file,
        ] {
            *file = folder.join(&*file);
        }
    }

    fn check(&self) -> Result<(), String> {
        if DnsName::try_from(self.host.as_str()).is_err() || self.host.ends_with('.') {
            return Err("host is not a DNS name".to_owned());
        }
        host_of(&self.backend).map_err(|error| format!("backend: {error}"))?;
        format!("http://{}/", self.backend)
            .parse::<http::Uri>()
            .map_err(|error| format!("backend {:?}: {error}", self.backend))?;
        if self.identities.is_empty() {
            return Err(
                "identities is empty: name at least one client that may come in".to_owned(),
            );
        }
        if self
            .identities
            .iter()
            .any(|identity| identity.trim().is_empty())
        {
            return Err("an identity is empty".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "listen: 127.0.0.1:443\nhttp: 127.0.0.1:80\nroutes:\n- host: A.example\n  \
        backend: 127.0.0.1:1\n  cert_file: c.pem\n  key_file: /k.pem\n  client_ca_file: ca.pem\n  \
        identities: [observer]\n";

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ingress.yaml");
        std::fs::write(&path, text).unwrap();
        let mut config = Config::load(&path).map_err(|error| error.to_string())?;
        let relative = config.routes[0]
            .cert_file
            .strip_prefix(folder.path())
            .map(Path::to_owned);
        config.routes[0].cert_file = relative.unwrap();
        Ok(config)
    }

    #[test]
    fn hosts_are_lower_case_and_files_relative_to_the_configuration() {
        let config = load(GOOD).unwrap();
        let route = &config.routes[0];
        assert_eq!(
            (route.host.as_str(), config.max_streams),
            ("a.example", 1000)
        );
        assert_eq!(route.cert_file, Path::new("c.pem"));
        assert_eq!(route.key_file, Path::new("/k.pem"));
    }

    #[test]
    fn json_is_read_too() {
        let config = load(GOOD).unwrap();
        let json = r#"{"listen":"127.0.0.1:443","http":"127.0.0.1:80","routes":[{"host":"a.example",
            "backend":"127.0.0.1:1","cert_file":"c.pem","key_file":"/k.pem","client_ca_file":"ca.pem",
            "identities":["observer"]}]}"#;
        let from_json = load(json).unwrap();
        assert_eq!(from_json.routes[0].identities, config.routes[0].identities);
    }

    #[test]
    fn what_would_open_the_door_or_serve_nothing_is_refused() {
        let cases = [
            (
                "identities: [observer]",
                "identities: []",
                "identities is empty",
            ),
            (
                "identities: [observer]",
                "identities: ['']",
                "an identity is empty",
            ),
            ("A.example", "10.0.0.1", "host is not a DNS name"),
            ("127.0.0.1:1\n", "127.0.0.1\n", "no port"),
            ("  identities", "  identites: []\n  identities", "identites"),
            ("  key_file: /k.pem\n", "", "key_file"),
        ];
        for (from, to, wanted) in cases {
            let error = load(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(wanted), "{to}: {error}");
        }
        let twice = format!("{GOOD}{}", &GOOD[GOOD.find("- host").unwrap()..]);
        assert!(load(&twice).unwrap_err().contains("given twice"));
    }
}

//! The oldest version of TLS that is spoken.

use std::fmt;
use std::str::FromStr;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde::Deserialize;

/// The oldest version of TLS that a peer may speak; the default is Thanos's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Version {
    V12,
    #[default]
    V13,
}

impl Version {
    pub(crate) fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::V12 => &ALL,
            Self::V13 => &ALL[..1],
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        })
    }
}

impl FromStr for Version {
    type Err = String;

    /// Nothing is the default. 1.0 and 1.1 are not spoken: whoever allows them gets 1.2.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.0" | "1.1" | "1.2" => Ok(Self::V12),
            "1.3" | "" => Ok(Self::V13),
            _ => Err(format!("TLS version {text:?} is not 1.0, 1.1, 1.2 or 1.3")),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        ClientConfig, ClientConnection, Connection, ProtocolVersion, ServerConfig, ServerConnection,
    };

    use super::*;
    use crate::tls::testing::Pki;
    use crate::tls::{ClientTls, ServerTls, authorities, certificates, private_key, provider};

    /// Passes on what either side has to say; what they agree on.
    fn shake_hands(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
    ) -> Result<ProtocolVersion, rustls::Error> {
        let name = "server.test".try_into().unwrap();
        let mut a: Connection = ClientConnection::new(client, name)?.into();
        let mut b: Connection = ServerConnection::new(server)?.into();
        while a.is_handshaking() || b.is_handshaking() {
            let mut said = Vec::new();
            while a.wants_write() {
                a.write_tls(&mut said).unwrap();
            }
            let mut said = said.as_slice();
            while !said.is_empty() {
                b.read_tls(&mut said).unwrap();
                b.process_new_packets()?;
            }
            std::mem::swap(&mut a, &mut b);
        }
        Ok(a.protocol_version().unwrap())
    }

    /// A client that speaks nothing later than 1.2.
    fn old_client(pki: &Pki) -> Arc<ClientConfig> {
        let (cert, key) = (pki.path("client.pem"), pki.path("client.key"));
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(authorities(&pki.path("ca.pem")).unwrap())
            .with_client_auth_cert(certificates(&cert).unwrap(), private_key(&key).unwrap());
        Arc::new(config.unwrap())
    }

    fn old_server(pki: &Pki) -> Arc<ServerConfig> {
        let (cert, key) = (pki.path("server.pem"), pki.path("server.key"));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates(&cert).unwrap(), private_key(&key).unwrap());
        Arc::new(config.unwrap())
    }

    #[test]
    fn no_older_version_is_spoken_than_the_one_that_is_said() {
        let pki = Pki::new();
        let allowed = [
            (Version::V12, Some(ProtocolVersion::TLSv1_2)),
            (Version::V13, None),
        ];
        for (min_version, with_old) in allowed {
            let server = ServerTls {
                min_version,
                ..pki.server()
            };
            let client = ClientTls {
                min_version,
                ..pki.client()
            };
            let (server, client) = (server.load(&[]).unwrap(), client.load(&[]).unwrap());
            let old = shake_hands(old_client(&pki), server.clone());
            assert_eq!(old.ok(), with_old);
            let old = shake_hands(client.clone(), old_server(&pki));
            assert_eq!(old.ok(), with_old);
            assert_eq!(shake_hands(client, server), Ok(ProtocolVersion::TLSv1_3));
        }
    }

    #[test]
    fn versions_that_are_not_spoken_mean_the_oldest_that_is() {
        let read = |text: &str| text.parse::<Version>();
        assert_eq!(
            ["1.0", "1.1", "1.2"].map(read),
            [const { Ok(Version::V12) }; 3]
        );
        assert_eq!(["1.3", ""].map(read), [const { Ok(Version::V13) }; 2]);
        let error = read("TLS13").unwrap_err();
        assert_eq!(error, "TLS version \"TLS13\" is not 1.0, 1.1, 1.2 or 1.3");
    }
}

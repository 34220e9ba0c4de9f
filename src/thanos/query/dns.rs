//! Names of endpoints, looked up as Thanos does: `dns+host:port` and `dnsdualstack+host:port` are the addresses of a host,
//! `dnssrv+_service._proto.name` those of the hosts that offer a service, `dnssrvnoa+_service._proto.name` the hosts themselves.

use std::collections::BTreeSet;
use std::io;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::{ResolverBuilder, TokioResolver};

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Addresses,
    ServiceAddresses,
    ServiceHosts,
}

/// A name that cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error(transparent)]
    Host(#[from] io::Error),
    #[error("{0}")]
    Service(String),
    #[error("{0:?} has no port that is a number from 0 to 65535")]
    Port(String),
}

/// What an endpoint's address asks to be looked up, and the name; none if it is one already.
pub(super) fn asked(address: &str) -> Option<(Kind, &str)> {
    let (prefix, name) = address.split_once('+')?;
    let kind = match prefix {
        "dns" | "dnsdualstack" => Kind::Addresses,
        "dnssrv" => Kind::ServiceAddresses,
        "dnssrvnoa" => Kind::ServiceHosts,
        _ => return None,
    };
    Some((kind, name))
}

/// Looks names up. Hosts are asked of the system; services of the name servers that the system asks.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Once it was needed.
    servers: Option<TokioResolver>,
}

impl Names {
    /// The addresses `host:port`, in order.
    pub(super) async fn lookup(
        &mut self,
        kind: Kind,
        name: &str,
    ) -> Result<Vec<String>, LookupError> {
        let mut found = BTreeSet::new();
        match kind {
            Kind::Addresses => {
                let addresses = tokio::net::lookup_host(name).await?;
                found.extend(addresses.map(|address| address.to_string()));
            }
            Kind::ServiceAddresses => {
                for (host, port) in self.service(name).await? {
                    let addresses = self.servers()?.lookup_ip(host.as_str()).await;
                    let addresses = addresses.map_err(failed)?;
                    let socket = |ip| std::net::SocketAddr::new(ip, port).to_string();
                    found.extend(addresses.iter().map(socket));
                }
            }
            Kind::ServiceHosts => {
                let hosts = self.service(name).await?.into_iter();
                found.extend(
                    hosts.map(|(host, port)| format!("{}:{port}", host.trim_end_matches('.'))),
                );
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The hosts and ports of a service. A port that stands behind its name counts instead of theirs.
    async fn service(&mut self, name: &str) -> Result<Vec<(String, u16)>, LookupError> {
        let (name, port) = match name.rsplit_once(':') {
            Some((name, port)) => {
                let port = port
                    .parse()
                    .map_err(|_| LookupError::Port(name.to_owned()))?;
                (name, Some(port))
            }
            None => (name, None),
        };
        let answer = self.servers()?.srv_lookup(name).await.map_err(failed)?;
        let records = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(SRV { target, port, .. }) => Some((target.to_string(), *port)),
                _ => None,
            });
        let hosts = records.map(|(host, its)| (host, port.unwrap_or(its)));
        Ok(hosts.collect())
    }

    fn servers(&mut self) -> Result<&TokioResolver, LookupError> {
        let servers = match self.servers.take() {
            Some(servers) => servers,
            None => build(TokioResolver::builder_tokio().map_err(failed)?)?,
        };
        Ok(self.servers.insert(servers))
    }
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, LookupError> {
    // Whoever asks again wants to know what is true now.
    builder.options_mut().cache_size = 0;
    builder.build().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> LookupError {
    LookupError::Service(error.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use tokio::net::UdpSocket;

    use super::*;

    pub(in super::super) const A: u16 = 1;
    pub(in super::super) const SERVICE: u16 = 33;

    pub(in super::super) fn wire(name: &str) -> Vec<u8> {
        let labels = name.split('.').filter(|label| !label.is_empty());
        let mut out: Vec<u8> = labels
            .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat())
            .collect();
        out.push(0);
        out
    }

    /// `_grpc._tcp.store.test` is at 10901 of `a.test` and at 10902 of `b.test`; their addresses end in 1 and in 2.
    fn records(name: &[u8], kind: u16) -> Vec<Vec<u8>> {
        let service = |port: u16, host: &str| {
            let head = [0u16, 0, port].map(u16::to_be_bytes).concat();
            [head, wire(host)].concat()
        };
        match kind {
            SERVICE if name == wire("_grpc._tcp.store.test") => {
                vec![service(10901, "a.test"), service(10902, "b.test")]
            }
            A if name == wire("a.test") => vec![vec![10, 0, 0, 1]],
            A if name == wire("b.test") => vec![vec![10, 0, 0, 2]],
            _ => Vec::new(),
        }
    }

    /// The answer to a question (RFC 1035, 4.1).
    fn answer(question: &[u8], records: &Records) -> Vec<u8> {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let (name, kind) = (
            &question[12..end],
            u16::from_be_bytes([question[end], question[end + 1]]),
        );
        let records = records(name, kind);
        let mut out = question[..2].to_vec();
        out.extend(if records.is_empty() {
            [0x85, 0x83]
        } else {
            [0x85, 0x80]
        });
        let counts = [1, records.len() as u16, 0, 0];
        out.extend(counts.map(u16::to_be_bytes).concat());
        out.extend(&question[12..end + 4]);
        for data in records {
            // The name of the question, the kind, the Internet, a minute.
            out.extend([0xc0, 12]);
            out.extend(
                [kind, 1, 0, 60, data.len() as u16]
                    .map(u16::to_be_bytes)
                    .concat(),
            );
            out.extend(data);
        }
        out
    }

    /// The data of what there is of a name, by kind.
    pub(in super::super) type Records = dyn Fn(&[u8], u16) -> Vec<Vec<u8>> + Send + Sync;

    /// Names, as a server says that has these records.
    pub(in super::super) async fn names_of(records: Box<Records>) -> Names {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let _ = socket
                    .send_to(&answer(&question[..length], &records), from)
                    .await;
            }
        });
        let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        server.connections = vec![connection];
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider);
        Names {
            servers: Some(build(builder).unwrap()),
        }
    }

    #[tokio::test]
    async fn a_service_is_its_hosts_or_their_addresses() {
        let mut names = names_of(Box::new(records)).await;
        let service = "_grpc._tcp.store.test";
        let mut found = async |kind, name: &str| names.lookup(kind, name).await.unwrap();
        let addresses = found(Kind::ServiceAddresses, service).await;
        assert_eq!(addresses, ["10.0.0.1:10901", "10.0.0.2:10902"]);
        let hosts = found(Kind::ServiceHosts, service).await;
        assert_eq!(hosts, ["a.test:10901", "b.test:10902"]);
        let hosts = found(Kind::ServiceHosts, "_grpc._tcp.store.test:19").await;
        assert_eq!(hosts, ["a.test:19", "b.test:19"]);
        let addresses = found(Kind::Addresses, "127.0.0.1:5").await;
        assert_eq!(addresses, ["127.0.0.1:5"]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_told() {
        let mut names = names_of(Box::new(records)).await;
        let missing = names
            .lookup(Kind::ServiceAddresses, "_grpc._tcp.nobody.test")
            .await;
        assert!(missing.is_err());
        let port = names
            .lookup(Kind::ServiceHosts, "_grpc._tcp.store.test:x")
            .await;
        assert!(port.unwrap_err().to_string().contains("no port"));
    }

    #[test]
    fn a_prefix_says_what_is_asked() {
        assert_eq!(asked("a:1"), None);
        assert_eq!(asked("dns+a:1"), Some((Kind::Addresses, "a:1")));
        assert_eq!(
            asked("dnssrv+_a._b.c"),
            Some((Kind::ServiceAddresses, "_a._b.c"))
        );
        assert_eq!(
            asked("dnssrvnoa+_a._b.c"),
            Some((Kind::ServiceHosts, "_a._b.c"))
        );
    }
}

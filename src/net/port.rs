//! Listening addresses, and who has them already (`/proc/net/tcp`, proc(5)).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::NetError;

/// The process that listens on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command line, arguments separated by spaces.
    pub command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by process {} ({})", self.pid, self.command)
    }
}

/// Listens on an address.
///
/// # Errors
/// [`NetError::Bind`] with the process that holds the address, where the system tells.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, NetError> {
    TcpListener::bind(address).await.map_err(|source| {
        let taken = source.kind() == std::io::ErrorKind::AddrInUse;
        let holder = if taken { holder(address) } else { None };
        NetError::Bind {
            address,
            holder,
            source,
        }
    })
}

/// The process that listens on this address, or on all addresses with this port. `None` when nobody
/// does, when it is another user's, or where there is no `/proc`.
#[must_use]
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        inodes.extend(
            text.lines()
                .filter_map(|line| listening_inode(line, address)),
        );
    }
    let sockets: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_open(*pid, &sockets))
        .map(|pid| Holder {
            pid,
            command: command_of(pid),
        })
}

fn has_open(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .any(|target| {
            sockets
                .iter()
                .any(|socket| target.as_os_str() == socket.as_str())
        })
}

fn command_of(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    if words.is_empty() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        return name.trim().to_owned();
    }
    words.join(" ")
}

/// The inode of a line of `/proc/net/tcp{,6}` that is a listener in the way of `wanted`.
fn listening_inode(line: &str, wanted: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
    let local = parse_address(local)?;
    let ip = canonical(local.ip());
    let in_the_way = local.port() == wanted.port()
        && (ip == canonical(wanted.ip()) || ip.is_unspecified() || wanted.ip().is_unspecified());
    if state == LISTEN && in_the_way {
        inode.parse().ok()
    } else {
        None
    }
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// `0100007F:1F90`: the address as 32-bit words in the machine's byte order, the port plain.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0_u8; 16];
    if !ip.is_ascii() || !matches!(ip.len(), 8 | 32) {
        return None;
    }
    for (index, word) in bytes.chunks_exact_mut(4).take(ip.len() / 8).enumerate() {
        let hex = ip.get(index * 8..index * 8 + 8)?;
        word.copy_from_slice(&u32::from_str_radix(hex, 16).ok()?.to_ne_bytes());
    }
    let ip = if ip.len() == 8 {
        IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_this_process() {
        let first = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(holder(address).unwrap().pid, std::process::id());
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        assert_eq!(holder(everywhere).unwrap().pid, std::process::id());
        let error = listen(address).await.unwrap_err().to_string();
        let start = format!(
            "cannot listen on {address}: held by process {} (",
            std::process::id()
        );
        assert!(error.starts_with(&start), "{error}");
    }

    #[tokio::test]
    async fn a_closed_port_has_no_holder() {
        let listener = listen("[::1]:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(holder(address).is_some());
        drop(listener);
        assert_eq!(holder(address), None);
    }
}

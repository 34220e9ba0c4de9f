//! What can go wrong when a socket is opened or served.

use std::net::SocketAddr;

use crate::port::Holder;
use crate::tls::TlsError;

/// An address that cannot be used, or TLS material that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}{}", held_by(holder.as_ref()))]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// Who listens there already, where the system tells.
        holder: Option<Holder>,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The address of a peer is not `host:port`.
    #[error("{address:?} is not an address: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn held_by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(": {holder}"))
}

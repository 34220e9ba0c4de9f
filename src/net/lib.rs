//! The network room: what every long-running tks process needs around its own work.
//!
//! * [`log`]: log lines in Thanos's shape, on stderr;
//! * [`shutdown`], [`probe`], [`metrics`]: signals, `/-/ready`, the registry behind `/metrics`;
//! * [`http`], [`grpc`], [`tls`], [`port`]: listeners and connections, all on one accept loop and one
//!   TLS provider (aws-lc-rs), with certificates that are re-read when their files change;
//! * [`channel`]: how gRPC messages travel, compressed or not;
//! * [`watch`]: a tick when one of some files changes;
//! * [`ingress`]: the TLS gateway in front of a sidecar.

mod accept;
pub mod calls;
pub mod channel;
mod error;
pub mod grpc;
pub mod http;
pub mod ingress;
pub mod log;
pub mod metrics;
pub mod port;
pub mod probe;
mod process;
pub mod shutdown;
mod snappy;
pub mod tls;
pub mod watch;

pub use accept::Limits;
pub use error::NetError;

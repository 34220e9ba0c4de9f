//! The components of Thanos: each is a module with a `Config` whose default is Thanos's, and a `run`.
//!
//! * [`sidecar`]: a StoreAPI in front of one Prometheus;
//! * [`query`]: PromQL over many stores, with the HTTP API of [`api`].

pub mod api;
pub mod query;
pub mod sidecar;

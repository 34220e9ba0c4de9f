//! The components of Thanos: each is a module with a `Config` whose default is Thanos's, and a `run`.
//!
//! * [`sidecar`]: a StoreAPI in front of one Prometheus;
//! * [`shipper`]: finished blocks of a TSDB folder to a bucket, part of the sidecar;
//! * [`store_gateway`]: a StoreAPI over the blocks of a bucket;
//! * [`compact`]: compaction, downsampling and retention of the blocks of a bucket; [`bucket`] has what is done to whole
//!   blocks;
//! * [`query`]: PromQL over many stores, with the HTTP API of [`api`].

pub mod api;
pub mod bucket;
pub mod compact;
mod frames;
pub mod query;
pub mod shipper;
pub mod sidecar;
pub mod store_gateway;
pub mod tools;

//! The store gateway: a StoreAPI over the blocks of a bucket (Thanos's `pkg/store/bucket.go` is the behaviour).
//!
//! A Series call goes through these hands: [`store`] picks blocks ([`set`]: resolutions, gaps) and takes the
//! call's share of the [`budget`]; each block finds its series ([`postings`]), then one task per block reads
//! ahead, a window at a time: entries ([`series`]), put into the client's order ([`order`]), with their
//! chunks ([`chunks`]) where they lie in what was read; [`merge`] joins the blocks, [`server`] makes frames, and
//! [`wire`] writes them. Nothing is decoded, and a chunk is copied once: into the bytes that are sent.

mod block;
mod budget;
mod call;
mod chunks;
mod error;
mod header;
mod hints;
mod labels;
mod limits;
mod merge;
mod metrics;
mod order;
mod partition;
mod postings;
mod series;
mod server;
mod set;
mod store;
mod stream;
mod wire;

pub use budget::{Budget, BudgetError};
pub use error::ReadError;
pub use limits::{LimitError, Limiter, Limits, SAMPLES_PER_CHUNK};
pub use metrics::Metrics;
pub use server::{GatewayInfo, GatewayServer, GatewayStore};
pub use store::{BucketStore, Estimates, StoreConfig, SyncError};

#[cfg(test)]
mod tests;

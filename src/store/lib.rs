//! The store room: StoreAPI (gRPC) on both sides.
//!
//! * [`StoreSet`] keeps the endpoints of a querier current by their Info;
//! * [`Proxy`] asks those that may have an answer, and merges;
//! * [`ProxyServer`] and [`info_server`] offer the merged answer as a StoreAPI again;
//! * [`FanOut`] offers it as a [`model::Queryable`], replicas deduplicated ([`dedup`]);
//! * [`services`] are what else is fanned out: rules, targets, metadata, exemplars, statistics;
//! * [`block`] finds the blocks of a bucket and chooses among them, and [`bucket`] serves them: the store
//!   gateway.
//!
//! The protocol is Thanos's (`pkg/store`, `pkg/query`, `pkg/dedup` name its parts).

pub mod aggregate;
pub mod block;
pub mod bucket;
mod chunks;
pub mod dedup;
mod endpoint;
mod feed;
mod frames;
mod interner;
pub mod labels;
mod loser;
pub mod matchers;
mod merge;
mod proxy;
mod queryable;
mod samples;
mod served;
mod server;
pub mod services;
pub mod shard;
mod storeset;
mod wire;

pub use dedup::Deduplication;
pub use endpoint::{EndpointSpec, EndpointStatus, MAX_MESSAGE};
pub use frames::Frames;
pub use merge::{Item, Merged};
pub use proxy::{CallOptions, DEFAULT_TENANT, Proxy, ProxyConfig};
pub use queryable::{FanOut, FanOutOptions, raised};
pub use served::{AnswersSeries, Served};
pub use server::{ProxyInfo, ProxyServer, ProxyStore, info_server};
pub use storeset::{StoreSet, StoreSetConfig};
pub use wire::Batch;

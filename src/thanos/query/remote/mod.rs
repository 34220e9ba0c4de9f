//! PromQL over gRPC, Thanos's Query service: what this querier answers to others ([`server`]), and what it has others answer
//! ([`Mode`]).

mod places;
mod server;
mod wire;

pub(super) use places::Mode;
pub(super) use server::server;

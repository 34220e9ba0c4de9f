//! The wire: messages and services of Thanos and Prometheus, generated from `defs/*.proto`.
//!
//! The definitions are written for this crate; names and field numbers are the protocol's. The Rust in
//! `gen/` is checked in, and `tests/regenerate.rs` holds it to the definitions, so a build needs no
//! `protoc`. After a change in `defs/`, `TKS_REGENERATE=1 cargo test -p tks-proto` writes it anew.
//! Fields of bytes are [`bytes::Bytes`]: slices of the buffer that was received.

macro_rules! generated {
    ($file:literal) => {
        include!(concat!("gen/", $file, ".rs"));
    };
}

/// Package `thanos`: StoreAPI and its types.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
pub mod thanos {
    generated!("thanos");

    /// Package `thanos.info`: what a component is and offers.
    pub mod info {
        generated!("thanos.info");
    }
}
pub use thanos::info;

/// Package `hintspb`: hints of block stores inside StoreAPI messages.
#[allow(clippy::all, reason = "generated code")]
pub mod hintspb {
    generated!("hintspb");
}

/// Package `prometheus`: remote read, and the types it shares with remote write.
#[allow(clippy::all, reason = "generated code")]
pub mod prometheus {
    generated!("prometheus");
}

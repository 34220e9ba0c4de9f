//! Buckets: where blocks live.
//!
//! * [`Config`]: Thanos's bucket configuration (`type`, `config`, `prefix`), with positions in its errors;
//! * [`Bucket`]: a handle on one bucket, with Thanos's operations, names of metrics, and errors that say
//!   which object of which bucket;
//! * [`faulty`]: a store in front of another one that fails, waits or cuts where a test says so.
//!
//! The work is done by the crate `object_store`: S3 with its signatures, retries and multipart uploads,
//! and plain folders that Thanos reads and writes as well.

mod bucket;
pub mod config;
mod error;
pub mod faulty;
mod metrics;
mod s3;
mod upload;

pub use bucket::{Attributes, Bucket, Entry, Object};
pub use config::{Config, ConfigError, Secret, Source};
pub use error::Error;

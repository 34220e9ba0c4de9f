//! Bytes on Prometheus's disk, and back. Synchronous; whoever calls does the reading and writing.

pub mod chunk;

//! The blocks of a bucket: found, described by their `meta.json`, chosen by Thanos's meta filters.

mod fetch;
mod filter;
mod info;
mod relabel;

pub use fetch::{Discovery, FetchError, Fetcher, Found, FromMeta, is_id};
pub use filter::{Blocks, Counts, Excluded, Filter};
pub use info::{BLOCK_ID, BlockInfo};
pub use relabel::{Relabel, RelabelError};

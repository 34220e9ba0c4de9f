//! What stands beside a block's data, as JSON: `meta.json` and the marks.

mod block;
mod mark;

use std::path::PathBuf;

pub use block::{
    BlockDesc, Compaction, Downsample, File, FileHash, IndexStats, Meta, Stats, ThanosMeta,
};
pub use mark::{DeletionMark, Mark, NoCompactMark, NoDownsampleMark};

/// The only version of all these documents.
const VERSION: i64 = 1;

/// Why a document cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Cut off, or something else.
    #[error("{document} is not readable")]
    Json {
        document: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("unexpected version {version} of {document}")]
    Version {
        document: &'static str,
        version: i64,
    },
}

fn parse<T: serde::de::DeserializeOwned>(
    document: &'static str,
    bytes: &[u8],
) -> Result<T, MetaError> {
    serde_json::from_slice(bytes).map_err(|source| MetaError::Json { document, source })
}

fn check_version(document: &'static str, version: i64) -> Result<(), MetaError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(MetaError::Version { document, version })
    }
}

/// Go's JSON writes these characters escaped, so that pages may embed it. They occur inside of texts only.
fn escape_as_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out
}

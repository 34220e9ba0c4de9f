//! Why a block could not be read, with the names that a client sees.

use tonic::{Code, Status};

use super::budget::BudgetError;
use super::limits::LimitError;

/// What went wrong in one block.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The text has the form by which queriers recognise the code inside of a warning.
    #[error("{doing}rpc error: code = ResourceExhausted desc = {what}: {source}")]
    Limit {
        doing: &'static str,
        what: &'static str,
        source: LimitError,
    },
    #[error("rpc error: code = ResourceExhausted desc = {0}")]
    Budget(#[from] BudgetError),
    #[error("{doing}: {}", net::log::chain(source))]
    Bucket {
        doing: &'static str,
        source: objstore::Error,
    },
    #[error("{object}: {source}")]
    Corrupt {
        object: String,
        source: tsdb::Corrupt,
    },
    #[error("index header: {0}")]
    Header(String),
    #[error("unsupported downsampling resolution {0}")]
    Resolution(i64),
    #[error("unsupported chunk encoding {0}")]
    Encoding(u8),
    #[error("load chunks: populate chunk: aggregate {0} does not exist")]
    Aggregate(&'static str),
}

impl ReadError {
    /// As the status of a call that has not answered anything yet; `otherwise` is for what is no limit.
    pub(crate) fn status(&self, doing: &str, block: &str, otherwise: Code) -> Status {
        let code = match self {
            Self::Limit { .. } | Self::Budget(_) => Code::ResourceExhausted,
            _ => otherwise,
        };
        Status::new(code, format!("{doing} {block}: {self}"))
    }
}

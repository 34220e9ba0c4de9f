//! What can go wrong with an object: the variants are what a caller can act on.

use std::path::PathBuf;

/// A failed operation on a bucket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("bucket {bucket}: {object}: no such object")]
    NotFound { bucket: String, object: String },
    /// Credentials are missing, wrong, or do not allow this.
    #[error("bucket {bucket}: {operation} {object}: access denied")]
    Denied {
        bucket: String,
        object: String,
        operation: &'static str,
        #[source]
        source: object_store::Error,
    },
    #[error("bucket {bucket}: {object} has {size} bytes, more than the {limit} that are taken")]
    TooLarge {
        bucket: String,
        object: String,
        size: u64,
        limit: u64,
    },
    /// The bucket announced more bytes than it sent.
    #[error("bucket {bucket}: {object}: {got} bytes came where {wanted} were announced")]
    Short {
        bucket: String,
        object: String,
        wanted: u64,
        got: u64,
    },
    #[error("bucket {bucket}: {object:?} cannot be the name of an object")]
    Name { bucket: String, object: String },
    /// A file on this machine, not the bucket.
    #[error("bucket {bucket}: {operation} {object}: local file {}", path.display())]
    File {
        bucket: String,
        object: String,
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Retries included, where they can help.
    #[error("bucket {bucket}: {operation} {object} failed")]
    Failed {
        bucket: String,
        object: String,
        operation: &'static str,
        #[source]
        source: object_store::Error,
    },
}

impl Error {
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// The object, without the bucket's prefix.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::NotFound { object, .. }
            | Self::Denied { object, .. }
            | Self::TooLarge { object, .. }
            | Self::Short { object, .. }
            | Self::Name { object, .. }
            | Self::File { object, .. }
            | Self::Failed { object, .. } => object,
        }
    }

    pub(crate) fn new(
        bucket: &str,
        object: &str,
        operation: &'static str,
        source: object_store::Error,
    ) -> Self {
        let (bucket, object) = (bucket.to_owned(), object.to_owned());
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound { bucket, object },
            source if status(&source) == Some(404) => Self::NotFound { bucket, object },
            source if denied(&source) => Self::Denied {
                bucket,
                object,
                operation,
                source,
            },
            source => Self::Failed {
                bucket,
                object,
                operation,
                source,
            },
        }
    }
}

/// Folders say it by the file's error only.
fn denied(error: &object_store::Error) -> bool {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    if matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) {
        return true;
    }
    if matches!(status(error), Some(401 | 403)) {
        return true;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::PermissionDenied;
        }
        cause = error.source();
    }
    false
}

/// The status of an answer to a listing. The library keeps it in a private type that only its text shows.
fn status(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

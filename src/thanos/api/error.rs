//! The one place where a failure becomes an answer: `errorType`, HTTP status and text, as Thanos's
//! querier gives them (`bad_data` 400, `execution` 422, `canceled` and `timeout` 503, `internal` 500).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::{Cancelled, SelectError};
use promql::{ParseError, QueryError};
use serde::Serialize;

/// The `errorType` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is wrong.
    BadData,
    /// The query is right but failed.
    Execution,
    /// The request was given up.
    Canceled,
    /// The request took too long.
    Timeout,
    /// This server is at fault.
    Internal,
    /// There is no such route.
    NotFound,
}

impl ErrorType {
    /// As it stands in the answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
        }
    }

    /// The HTTP status it comes with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.as_str())]
pub struct ApiError {
    /// What kind of failure it is.
    pub kind: ErrorType,
    /// What the client reads.
    pub message: String,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The request is wrong, and how.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }
}

impl From<Cancelled> for ApiError {
    fn from(why: Cancelled) -> Self {
        let kind = match why {
            Cancelled::Asked => ErrorType::Canceled,
            Cancelled::TimedOut => ErrorType::Timeout,
        };
        Self::new(kind, format!("{why} in query execution"))
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        Self::bad_data(error.to_string())
    }
}

/// A failed source is `execution`, not `internal`, as in the querier.
impl From<SelectError> for ApiError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Cancelled(why) => why.into(),
            other => Self::new(ErrorType::Execution, other.to_string()),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::Parse(_) | QueryError::Invalid(_) => Self::bad_data(text),
            QueryError::Cancelled(why) | QueryError::Storage(SelectError::Cancelled(why)) => {
                why.into()
            }
            // Storage too: so does the querier, in instant and in range queries.
            QueryError::Unsupported { .. }
            | QueryError::Limit(_)
            | QueryError::Storage(_)
            | QueryError::Execution(_) => Self::new(ErrorType::Execution, text),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    #[serde(rename = "errorType")]
    error_type: &'static str,
    error: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error_type = self.kind.as_str();
        let body = Body {
            status: "error",
            error_type,
            error: &self.message,
        };
        let mut text = serde_json::to_vec(&body).unwrap_or_default();
        text.push(b'\n');
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (self.kind.status(), headers, text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_store_is_an_execution_error_and_a_timeout_is_not() {
        let source = QueryError::Storage(SelectError::Source("store a: gone".into()));
        let error = ApiError::from(source);
        assert_eq!(
            error.to_string(),
            "execution: expanding series: store a: gone"
        );
        assert_eq!(error.kind.status(), 422);
        let late = ApiError::from(QueryError::Storage(Cancelled::TimedOut.into()));
        assert_eq!(
            late.to_string(),
            "timeout: query timed out in query execution"
        );
        assert_eq!(late.kind.status(), 503);
    }
}

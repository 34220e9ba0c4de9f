//! The code of a request, which a gRPC answer tells only in its trailers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;

use super::metrics::Metrics;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Counts one request when it is over, however it ends: dropped without a code, the client went away.
pub(super) struct Outcome {
    metrics: Metrics,
    host: String,
    code: Option<String>,
}

impl Outcome {
    pub(super) fn new(metrics: Metrics, host: &str) -> Self {
        Self {
            metrics,
            host: host.to_owned(),
            code: None,
        }
    }

    /// What the head tells: a gRPC answer with trailers tells nothing yet.
    fn head<B>(&mut self, answer: &Response<B>) {
        self.code = grpc_code(answer.headers()).or_else(|| {
            let plain = !is_grpc(answer.headers()) || !answer.status().is_success();
            plain.then(|| answer.status().as_u16().to_string())
        });
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.metrics
            .request(&self.host, self.code.as_deref().unwrap_or("Canceled"));
    }
}

/// Whether these are the headers of a gRPC request or answer.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn grpc_code(headers: &HeaderMap) -> Option<String> {
    /// The codes by their number, as Go's gRPC metrics write them.
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let number: usize = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    Some(NAMES.get(number).copied().unwrap_or("Unknown").to_owned())
}

/// A body as it comes from the backend, or one of our own, that reports the request's code.
pub(super) struct Observed {
    body: Either<Incoming, Full<Bytes>>,
    outcome: Outcome,
}

impl Observed {
    pub(super) fn answer(
        answer: Response<Either<Incoming, Full<Bytes>>>,
        mut outcome: Outcome,
    ) -> Response<Self> {
        outcome.head(&answer);
        answer.map(|body| Self { body, outcome })
    }
}

impl Body for Observed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(event) = &polled {
            let code = match event {
                Some(Ok(frame)) => frame.trailers_ref().and_then(grpc_code),
                Some(Err(_)) => Some("Unavailable".to_owned()),
                None => Some("Unknown".to_owned()),
            };
            if self.outcome.code.is_none() {
                self.outcome.code = code;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

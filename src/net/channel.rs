//! A connection of a gRPC client, whose messages may be compressed.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use serde::Deserialize;
use tonic::body::Body;
use tonic::transport;
use tower::Service;

use crate::snappy::{self, Direction, Recoded};

/// How messages travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    #[serde(alias = "")]
    None,
    /// As Go's Thanos registers it. Answers are expanded in any case.
    Snappy,
}

/// A [`transport::Channel`] with a [`Compression`].
#[derive(Clone, Debug)]
pub struct Channel {
    inner: transport::Channel,
    compression: Compression,
}

impl Channel {
    pub(crate) fn new(inner: transport::Channel) -> Self {
        Self {
            inner,
            compression: Compression::None,
        }
    }

    /// The same connection, with messages compressed so.
    #[must_use]
    pub fn compressed(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }
}

type Answered = Result<Response<Body>, transport::Error>;

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.compression == Compression::Snappy {
            snappy::tell(request.headers_mut());
            request = request.map(|body| Body::new(Recoded::new(body, Direction::Compress)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if !snappy::take(answer.headers_mut()) {
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Recoded::new(body, Direction::Expand))))
        })
    }
}

//! A streamed answer that is already there.

use std::pin::Pin;

use futures::Stream;
use tonic::{Response, Status};

/// Frames of a server stream.
pub(crate) type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An answer of these frames.
pub(crate) fn frames<T, I>(frames: I) -> Response<Frames<T>>
where
    I: IntoIterator<Item = T>,
    I::IntoIter: Send + 'static,
    T: Send + 'static,
{
    let frames = frames.into_iter().map(Ok);
    Response::new(Box::pin(futures::stream::iter(frames)))
}

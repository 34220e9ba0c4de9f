//! StoreAPI as it is served: Series goes its own way to the wire, the rest is the generated code's.

use std::convert::Infallible;
use std::task::{Context, Poll};

use proto::thanos::store_server::{Store, StoreServer};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use crate::endpoint::MAX_MESSAGE;

/// The method that goes its own way.
const SERIES: &str = "/thanos.Store/Series";

/// A store that answers Series calls itself.
pub trait AnswersSeries: Store + Clone {
    /// The whole answer to the HTTP request of a call.
    fn answer_series(
        self,
        request: http::Request<Body>,
    ) -> BoxFuture<http::Response<Body>, Infallible>;
}

/// The Store service over `S`.
#[derive(Clone, Debug)]
pub struct Served<S> {
    store: S,
    rest: StoreServer<S>,
}

impl<S: AnswersSeries> Served<S> {
    pub(crate) fn over(store: S) -> Self {
        Self {
            rest: StoreServer::new(store.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            store,
        }
    }
}

impl<S> NamedService for Served<S> {
    const NAME: &'static str = <StoreServer<S> as NamedService>::NAME;
}

impl<S: AnswersSeries> Service<http::Request<Body>> for Served<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == SERIES {
            self.store.clone().answer_series(request)
        } else {
            self.rest.call(request)
        }
    }
}

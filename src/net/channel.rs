//! A connection of a gRPC client, whose messages may be compressed; or several to equal servers, of which each call takes one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use tonic::body::Body;
use tonic::{Code, Status, transport};
use tower::{Service, ServiceExt as _};

use crate::NetError;
use crate::calls::Calls;
use crate::grpc::connection;
use crate::snappy::{self, Direction, Recoded};
use crate::tls::ClientTls;

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

/// How often a call on a group is tried, and how long the first pause between two tries is; the next is twice as long.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// A [`transport::Channel`] with a [`Compression`], or a group of them.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: Inner,
    compression: Compression,
    calls: Option<Calls>,
}

#[derive(Clone, Debug)]
enum Inner {
    One(transport::Channel),
    Group(Arc<Group>),
}

#[derive(Debug)]
struct Group {
    /// Bytes by which one answer may be ahead of its reader.
    ahead: u32,
    members: ArcSwap<Vec<(String, transport::Channel)>>,
    next: AtomicUsize,
}

impl Channel {
    pub(crate) fn new(inner: transport::Channel) -> Self {
        Self {
            inner: Inner::One(inner),
            compression: Compression::None,
            calls: None,
        }
    }

    /// A group of equal servers, none of which is known yet ([`Self::regroup`]). A call goes to one of them, the next call to the
    /// next; one that is not available has the call tried at the next. An answer may be `ahead` bytes ahead of its reader.
    #[must_use]
    pub fn group(ahead: u32) -> Self {
        let group = Group {
            ahead,
            members: ArcSwap::default(),
            next: AtomicUsize::new(0),
        };
        Self {
            inner: Inner::Group(Arc::new(group)),
            compression: Compression::None,
            calls: None,
        }
    }

    /// Makes `addresses` (`host:port`) the members of a group; those that stay keep their connections. `host` is what TLS
    /// verifies where `tls` names nothing. On a single connection it does nothing. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`NetError::Address`] for something else than `host:port`; the members stay as they are.
    pub fn regroup(
        &self,
        addresses: &[String],
        host: &str,
        tls: Option<&ClientTls>,
    ) -> Result<(), NetError> {
        let Inner::Group(group) = &self.inner else {
            return Ok(());
        };
        let tls = tls.map(|tls| ClientTls {
            server_name: tls.server_name.clone().or_else(|| Some(host.to_owned())),
            ..tls.clone()
        });
        let known = group.members.load();
        let member = |address: &String| {
            let same = known.iter().find(|(known, _)| known == address);
            Ok(match same {
                Some(same) => same.clone(),
                None => (
                    address.clone(),
                    connection(address, tls.as_ref(), group.ahead)?,
                ),
            })
        };
        let members: Result<Vec<_>, NetError> = addresses.iter().map(member).collect();
        group.members.store(Arc::new(members?));
        Ok(())
    }

    /// The same connection, with its calls counted.
    #[must_use]
    pub fn counted(mut self, calls: Calls) -> Self {
        self.calls = Some(calls);
        self
    }

    /// The same connection, with messages compressed so.
    #[must_use]
    pub fn compressed(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answered = Result<Response<Body>, BoxError>;

impl Inner {
    async fn call(self, request: Request<Body>) -> Answered {
        match self {
            Self::One(channel) => Ok(channel.oneshot(request).await?),
            Self::Group(group) => group.call(request).await,
        }
    }
}

impl Group {
    /// The request is held, so that it can be sent again.
    async fn call(&self, request: Request<Body>) -> Answered {
        let (head, body) = request.into_parts();
        let body: Bytes = body.collect().await?.to_bytes();
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            let request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let answer = match self.member() {
                Some(member) => member.oneshot(request).await.map_err(BoxError::from),
                None => Err(Status::unavailable("the group has no member").into()),
            };
            match answer {
                Ok(answer) if left == 0 || !is_unavailable(&answer) => return Ok(answer),
                Err(error) if left == 0 => return Err(error),
                _ => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        Err(Status::unavailable("the group was not tried").into())
    }

    fn member(&self) -> Option<transport::Channel> {
        let members = self.members.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let (_, channel) = members.get(turn.checked_rem(members.len())?)?;
        Some(channel.clone())
    }
}

/// Whether a server refused before it did anything: its status stands in the head of the answer.
fn is_unavailable(answer: &Response<Body>) -> bool {
    Status::from_header_map(answer.headers())
        .is_some_and(|status| status.code() == Code::Unavailable)
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &mut self.inner {
            Inner::One(channel) => channel.poll_ready(context).map_err(Into::into),
            Inner::Group(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let calls = self.calls.as_ref();
        let call = calls.and_then(|calls| calls.start(request.uri().path()));
        if self.compression == Compression::Snappy {
            snappy::tell(request.headers_mut());
            request = request.map(|body| Body::new(Recoded::new(body, Direction::Compress)));
        }
        // The clone takes the readiness along.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        let answer = ready.call(request);
        Box::pin(async move {
            let mut answer = match (answer.await, call) {
                (Ok(answer), Some(call)) => call.answered(answer).map(Body::new),
                (Ok(answer), None) => answer,
                (Err(error), call) => {
                    if let Some(mut call) = call {
                        call.end(Code::Unavailable);
                    }
                    return Err(error);
                }
            };
            if !snappy::take(answer.headers_mut()) {
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Recoded::new(body, Direction::Expand))))
        })
    }
}

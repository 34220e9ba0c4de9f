//! A backend that echoes, an ingress before it, and clients, all over real sockets.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::tls::testing::{Authority, Leaf, Pair, Pki, replace};
use crate::tls::{ClientTls, H2};
use crate::{Limits, http as web, port};

pub(super) const HOST: &str = "thanos-sidecar.test";
pub(super) const PINNED: &str = "spiffe://fleet/observer";

pub(super) type Frames = UnboundedSender<Result<Frame<Bytes>, io::Error>>;
pub(super) type RequestBody = StreamBody<UnboundedReceiver<Result<Frame<Bytes>, io::Error>>>;

/// A backend, an ingress before it, and the authorities of both sides.
pub(super) struct Lab {
    pub(super) pki: Pki,
    pub(super) clients: Authority,
    pub(super) backend: CancellationToken,
    pub(super) backend_address: SocketAddr,
    pub(super) cut: UnboundedReceiver<()>,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) shutdown: CancellationToken,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.backend.cancel();
    }
}

impl Lab {
    pub(super) async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the configuration.
    pub(super) async fn with(more: &str) -> Self {
        let (pki, clients) = (Pki::new(), Authority::new("observer's"));
        pki.write("server", &pki.authority.issue(&Leaf::server(HOST)));
        // A bundle: the second of two observers.
        let bundle = format!(
            "{}{}",
            Authority::new("another observer's").pem,
            clients.pem
        );
        std::fs::write(pki.path("clients.pem"), bundle).unwrap();
        let (backend, (cuts, cut)) = (CancellationToken::new(), unbounded());
        let backend_address = echo_server(backend.clone(), cuts).await;
        let (listen, admin) = (free_port().await, free_port().await);
        let shutdown = CancellationToken::new();
        let lab = Self {
            pki,
            clients,
            backend,
            backend_address,
            cut,
            listen,
            admin,
            shutdown,
        };
        lab.configure(&format!("[{PINNED}]\n{more}"));
        let (path, shutdown) = (lab.pki.path("ingress.yaml"), lab.shutdown.clone());
        tokio::spawn(async move { crate::ingress::run(&path, shutdown).await.unwrap() });
        lab.admin_until("/-/ready", "200 OK").await;
        lab
    }

    pub(super) fn configure(&self, identities: &str) {
        let (listen, admin, backend) = (self.listen, self.admin, self.backend_address);
        let text = format!(
            "listen: {listen}\nhttp: {admin}\nroutes:\n- host: {HOST}\n  backend: {backend}\n  \
             cert_file: server.pem\n  key_file: server.key\n  client_ca_file: clients.pem\n  \
             identities: {identities}\n"
        );
        replace(&self.pki.path("ingress.yaml"), &text);
    }

    /// Asks the admin port until the answer holds this.
    pub(super) async fn admin_until(&self, path: &str, wanted: &str) {
        let asked = async {
            loop {
                let answer = self.admin(path).await.unwrap_or_default();
                if answer.contains(wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .expect(wanted);
    }

    pub(super) async fn admin(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.admin).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    pub(super) fn observer(&self) -> Leaf {
        Leaf {
            uris: vec![PINNED.to_owned()],
            ..Leaf::client("observer")
        }
    }

    /// What a client with this certificate uses.
    pub(super) fn show(&self, pair: Option<&Pair>) -> ClientTls {
        if let Some(pair) = pair {
            self.pki.write("shown", pair);
        }
        let file = |name| pair.map(|_| self.pki.path(name));
        ClientTls {
            ca: Some(self.pki.path("ca.pem")),
            cert: file("shown.pem"),
            key: file("shown.key"),
            server_name: Some(HOST.to_owned()),
            ..ClientTls::default()
        }
    }

    pub(super) fn good(&self) -> ClientTls {
        self.show(Some(&self.clients.issue(&self.observer())))
    }

    pub(super) async fn tls(
        &self,
        tls: &ClientTls,
        alpn: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = tls.load(alpn).unwrap();
        let name = ServerName::try_from(tls.server_name.clone().unwrap()).unwrap();
        let stream = TcpStream::connect(self.listen).await?;
        tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
    }

    /// The alert that a client gets, in the handshake or (TLS 1.3) right after its own part of it.
    pub(super) async fn alert(&self, tls: &ClientTls, alpn: &[&[u8]]) -> AlertDescription {
        let error = match self.tls(tls, alpn).await {
            Err(error) => error,
            Ok(mut stream) => stream.read_u8().await.expect_err("the client was let in"),
        };
        let cause = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            _ => panic!("no alert but {error}"),
        }
    }

    /// Waits until the backend tells of a cut call.
    pub(super) async fn cut(&mut self) {
        let cut = futures::StreamExt::next(&mut self.cut);
        tokio::time::timeout(Duration::from_secs(10), cut)
            .await
            .unwrap()
            .unwrap();
    }

    pub(super) async fn client(&self, tls: &ClientTls) -> SendRequest<RequestBody> {
        let stream = self.tls(tls, &[H2]).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// The head of a call, with a request body that holds `hello` and is still open.
pub(super) fn request(host: &str, path: &str) -> (Request<RequestBody>, Frames) {
    let (frames, body) = unbounded();
    frames
        .unbounded_send(Ok(Frame::data(Bytes::from_static(b"hello"))))
        .unwrap();
    let request = Request::post(format!("https://{host}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "10S")
        .body(StreamBody::new(body))
        .unwrap();
    (request, frames)
}

/// A call whose request body is still open.
pub(super) async fn call(
    client: &mut SendRequest<RequestBody>,
    host: &str,
) -> (Response<Incoming>, Frames) {
    let (request, frames) = request(host, "/thanos.Store/Series");
    (client.send_request(request).await.unwrap(), frames)
}

pub(super) async fn data(answer: &mut Response<Incoming>) -> Bytes {
    let frame = tokio::time::timeout(Duration::from_secs(10), answer.frame())
        .await
        .unwrap();
    frame.unwrap().unwrap().into_data().unwrap()
}

async fn free_port() -> SocketAddr {
    port::listen("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Echoes request bodies frame by frame, then sends trailers; tells when a call is cut before that.
/// `/endless` never sends them, `/silent` does not even answer.
async fn echo_server(down: CancellationToken, cuts: UnboundedSender<()>) -> SocketAddr {
    let listener = port::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = move |request: Request<AxumBody>| {
        let cuts = cuts.clone();
        async move {
            let te = request.headers().get("te").cloned();
            let timeout = request.headers().get("grpc-timeout").cloned();
            let path = request.uri().path().to_owned();
            let (endless, silent) = (path == "/endless", path == "/silent");
            let body = Echo {
                body: request.into_body(),
                endless,
                done: false,
                cuts,
            };
            if silent {
                body.cuts.unbounded_send(()).unwrap();
                std::future::pending::<()>().await;
            }
            let mut answer = Response::new(AxumBody::new(body));
            let headers = answer.headers_mut();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            te.map(|te| headers.insert("seen-te", te));
            timeout.map(|timeout| headers.insert("seen-timeout", timeout));
            answer
        }
    };
    let router = Router::new().fallback(echo);
    let limits = Limits {
        grace: Duration::ZERO,
        ..Limits::default()
    };
    tokio::spawn(web::serve_on(listener, router, limits, down));
    address
}

struct Echo {
    body: AxumBody,
    endless: bool,
    done: bool,
    cuts: UnboundedSender<()>,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None) = polled {
            if self.endless {
                return Poll::Pending;
            }
            self.done = true;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("seen-by", "backend".parse().unwrap());
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        polled
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.cuts.unbounded_send(());
        }
    }
}

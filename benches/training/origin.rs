//! The API of the training: an HTTPS server that answers by path.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Sleep, sleep},
};
use tokio_rustls::TlsAcceptor;

use crate::tls::Authority;

/// Events of one stream, and the pause before each.
const EVENTS: u64 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// Bodies are sent in chunks of this size at most, as servers do.
const CHUNK: u64 = 16 << 10;

const HELLO: &str = "{\"message\":\"hello\"}\n";

const DENIED: &str = "{\"Message\":\"User: arn:aws:sts::123456789012:assumed-role/app/CognitoIdentityCredentials is \
                      not authorized to perform: execute-api:Invoke on resource: \
                      arn:aws:execute-api:eu-west-1:********9012:abc123/prod/GET/denied\"}";

/// One origin, with an address of its own.
pub(crate) struct Origin {
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Origin {
    /// An origin that speaks the first of `protocols` that the client offers.
    pub(crate) async fn start(authority: &Authority, protocols: &[&str]) -> Self {
        let acceptor = authority.acceptor(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(acceptor.clone(), stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, _accepting: accepting }
    }

    /// The base URL, with a stage.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/prod", self.address.port())
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    // A failure ends the connection, and the load counts the answers that it does not get.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (stream, service) = (TokioIo::new(stream), service_fn(answer));
    if is_http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(stream, service).await;
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Content>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    // Read to its end, so that the connection can be used again.
    while let Some(frame) = body.frame().await {
        frame?;
    }
    let name = path.trim_start_matches("/prod/h1").trim_start_matches("/prod/h2");
    let response = Response::builder()
        .header("x-amzn-requestid", "4ff8f4a5-6b1d-4e1e-9d0a-2c1a9f2f9d60")
        .header("x-amz-apigw-id", "Zk3xYF2dDoEEJ3A=");
    let json = |text| Content::Text(Some(Bytes::from_static(str::as_bytes(text))));
    let response = match name.strip_prefix("/bytes/").map(str::parse) {
        Some(Ok(left)) => response.header("content-type", "image/png").body(Content::Bytes { left }),
        _ if name == "/events" => response
            .header("content-type", "text/event-stream")
            .body(Content::Events { left: EVENTS, timer: Box::pin(sleep(PAUSE)) }),
        _ if name == "/denied" => response
            .status(StatusCode::FORBIDDEN)
            .header("content-type", "application/json")
            .header("x-amzn-errortype", "AccessDeniedException")
            .body(json(DENIED)),
        _ => response.header("content-type", "application/json").body(json(HELLO)),
    };
    Ok(response.expect("valid headers"))
}

/// The body of an answer.
enum Content {
    Text(Option<Bytes>),
    Bytes { left: u64 },
    Events { left: u64, timer: Pin<Box<Sleep>> },
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match &mut *self {
            Self::Text(text) => text.take(),
            Self::Bytes { left: 0 } | Self::Events { left: 0, .. } => None,
            Self::Bytes { left } => {
                let length = CHUNK.min(*left);
                *left -= length;
                Some(Bytes::from_static(&[b'x'; CHUNK as usize]).slice(..length as usize))
            }
            Self::Events { left, timer } => {
                ready!(timer.as_mut().poll(context));
                timer.set(sleep(PAUSE));
                *left -= 1;
                Some(Bytes::from_static(b"data: {\"progress\":1}\n\n"))
            }
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Bytes { left } => SizeHint::with_exact(*left),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}

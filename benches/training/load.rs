//! Requests over many connections at once, for a time.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::Frame,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::program::Program;

/// How long one answer may take, in an instrumented build on a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The size of the chunks of an upload whose length is not declared, in bytes.
const CHUNK: usize = 4 << 10;

/// What a phase asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// A GET as a browser sends it, with an answer of a few bytes.
    Small,
    /// A GET with an answer of so many bytes.
    Get(usize),
    /// A POST of so many bytes.
    Post(usize),
    /// A POST of so many bytes in chunks, whose length is not declared.
    Chunked(usize),
    /// A PUT of so many bytes of JSON, with cookies and a few headers.
    Put(usize),
    /// A GET whose target needs encoding.
    Query,
    /// An event stream.
    Events,
    /// A GET over a connection that is used for nothing else.
    NewConnection,
    /// A GET that the guard refuses.
    WrongHost,
    /// A GET that the gateway refuses.
    Denied,
    /// Readiness and metrics.
    Probe,
}

/// One kind of request, sent again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) request: Request,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

type Body = BoxBody<Bytes, Infallible>;

impl Phase {
    /// Sends over all connections at once to the route under `prefix`, and returns the number of answers.
    ///
    /// # Errors
    /// When an answer is missing or is not the expected one: the profile would be that of a failure.
    pub(crate) async fn run(self, program: &Program, prefix: &'static str) -> Result<u64, String> {
        let address = if matches!(self.request, Request::Probe) { program.admin } else { program.data };
        let until = Instant::now() + self.time;
        let mut sending = JoinSet::new();
        for _ in 0..self.connections {
            sending.spawn(self.request.repeat(address, prefix, until));
        }
        let mut answers = 0;
        while let Some(sent) = sending.join_next().await {
            answers += sent.map_err(|error| error.to_string())??;
        }
        Ok(answers)
    }
}

impl Request {
    async fn repeat(self, address: SocketAddr, prefix: &str, until: Instant) -> Result<u64, String> {
        let mut connection = Connection::open(address).await?;
        let mut answers = 0;
        // At least once, however short the time is.
        while answers == 0 || Instant::now() < until {
            if matches!(self, Self::NewConnection) && answers > 0 {
                connection = Connection::open(address).await?;
            }
            let request = self.make(address, prefix, answers);
            let status = timeout(MAX_WAIT, connection.ask(request))
                .await
                .map_err(|_| format!("{self:?}: no answer in {MAX_WAIT:?}"))??;
            if status != self.expected() {
                return Err(format!("{self:?}: {status} instead of {}", self.expected()));
            }
            answers += 1;
        }
        Ok(answers)
    }

    fn make(self, address: SocketAddr, prefix: &str, number: u64) -> http::Request<Body> {
        let target = match self {
            Self::Get(size) => format!("{prefix}/bytes/{size}"),
            Self::Events => format!("{prefix}/events"),
            Self::Denied => format!("{prefix}/denied"),
            Self::Query => format!("{prefix}/orders/a%20b%2Fc;x?q=red+shoes&filter[]=%C3%A4&page={number}"),
            Self::Put(_) => format!("{prefix}/orders/{number}"),
            Self::Probe if number.is_multiple_of(10) => "/metrics".to_owned(),
            Self::Probe => "/readyz".to_owned(),
            _ => format!("{prefix}/hello?name=world"),
        };
        let host =
            if matches!(self, Self::WrongHost) { "evil.example".to_owned() } else { address.to_string() };
        let request = http::Request::builder()
            .uri(target)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .header(header::ACCEPT, "application/json, text/plain, */*")
            .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd");
        let full = |size: usize| BodyExt::boxed(Full::from(vec![b'x'; size]));
        let request = match self {
            Self::Post(size) => request
                .method(Method::POST)
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .body(full(size)),
            Self::Chunked(size) => {
                request.method(Method::POST).body(BodyExt::boxed(Chunks { left: size.div_ceil(CHUNK) }))
            }
            Self::Put(size) => request
                .method(Method::PUT)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::COOKIE, "session=0123456789abcdef; theme=dark")
                .header(header::IF_NONE_MATCH, "\"33a64df5\"")
                .header("x-amz-meta-owner", "training")
                .header("x-request-id", format!("training-{number}"))
                .body(full(size)),
            _ => request.header("sec-fetch-site", "same-origin").body(full(0)),
        };
        request.expect("valid headers")
    }

    fn expected(self) -> StatusCode {
        match self {
            Self::WrongHost | Self::Denied => StatusCode::FORBIDDEN,
            _ => StatusCode::OK,
        }
    }
}

/// A body of so many chunks, whose length is not declared.
struct Chunks {
    left: usize,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; CHUNK])))))
    }
}

struct Connection {
    sender: SendRequest<Body>,
    /// Ends the connection when it is dropped.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, _driver: driver })
    }

    /// The status of the answer, once its body has been read to the end.
    async fn ask(&mut self, request: http::Request<Body>) -> Result<StatusCode, String> {
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let response = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| error.to_string())?;
        }
        Ok(status)
    }
}

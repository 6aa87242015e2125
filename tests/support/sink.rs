//! An upstream over TLS that shows a test each request while its body still arrives, and answers when the test says so.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Collected, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
};

use super::{soon, tls::Authority};

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The listener, and the requests that nobody has looked at.
pub(crate) struct Sink {
    address: SocketAddr,
    arrivals: Mutex<mpsc::UnboundedReceiver<Arrival>>,
    _accepting: JoinSet<()>,
}

/// A request whose head has come.
pub(crate) struct Arrival {
    pub(crate) head: Parts,
    body: Incoming,
    answer: oneshot::Sender<Answer>,
}

impl Sink {
    pub(crate) async fn start(authority: &Authority, protocol: &str) -> Self {
        let acceptor = authority.acceptor(&[protocol]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, arrivals) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                open.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (head, body) = request.into_parts();
                        let (answer, answered) = oneshot::channel();
                        // A test that has ended looks at nothing more.
                        let _ = sender.send(Arrival { head, body, answer });
                        answered
                    });
                    let io = TokioIo::new(stream);
                    // Clients that go away are for the tests to notice.
                    if is_http2 {
                        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(io, service).await;
                    }
                });
            }
        });
        Self { address, arrivals: Mutex::new(arrivals), _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The next request.
    pub(crate) async fn arrival(&self) -> Arrival {
        soon("a request at the upstream", self.arrivals.lock().await.recv()).await.expect("a listener")
    }

    /// A request that has come and that nobody has looked at.
    pub(crate) async fn arrived(&self) -> Option<Arrival> {
        self.arrivals.lock().await.try_recv().ok()
    }

    /// Whether no request has come that nobody has looked at.
    pub(crate) async fn is_quiet(&self) -> bool {
        self.arrivals.lock().await.is_empty()
    }
}

impl Arrival {
    /// The first value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The next bytes of the body; `None` at its end, an error when it breaks off.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = soon("more of the body", self.body.frame()).await?;
        Some(frame.map(|frame| frame.into_data().expect("no trailers")))
    }

    /// So many bytes of the body.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend(self.data().await.expect("more of the body").expect("a sound body"));
        }
        assert_eq!(bytes.len(), length);
        bytes
    }

    /// The rest of the body, and whether it is whole.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        while let Some(data) = self.data().await {
            match data {
                Ok(data) => bytes.extend(data),
                Err(_) => return (bytes, false),
            }
        }
        (bytes, true)
    }

    /// Answers, and lets go of what is left of the body.
    pub(crate) fn answer(self, status: u16, body: &'static str) {
        let response =
            Response::builder().status(status).body(Full::new(Bytes::from_static(body.as_bytes())).boxed());
        self.answer_with(response.expect("a response"));
    }

    pub(crate) fn answer_with(self, answer: Answer) {
        // A client that has gone away is for the test to notice.
        let _ = self.answer.send(answer);
    }

    /// Answers, and keeps the body.
    pub(crate) fn begin_answer(self, answer: Answer) -> Body {
        let _ = self.answer.send(answer);
        Body(self.body)
    }
}

/// The body of a request that has been answered.
pub(crate) struct Body(Incoming);

impl Body {
    /// The rest of the body, if it is whole.
    pub(crate) async fn rest(self) -> Option<Bytes> {
        soon("the rest of the body", self.0.collect()).await.ok().map(Collected::to_bytes)
    }
}

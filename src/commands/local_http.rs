//! Requests to a listener of this machine, for commands that ask a running proxy.

use std::{
    error::Error,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::downstream::listener::{Listen, UnixStream, reachable};

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 1024 * 1024;

type BoxError = Box<dyn Error + Send + Sync>;

/// Status and body of `GET path`.
///
/// # Errors
/// When there is no answer within `deadline`.
pub(super) async fn get(
    listen: &Listen,
    path: &str,
    deadline: Duration,
) -> Result<(StatusCode, Bytes), BoxError> {
    ask(listen, Method::GET, path, deadline).await
}

/// Status and body of a request without a body.
///
/// # Errors
/// When there is no answer within `deadline`.
pub(super) async fn ask(
    listen: &Listen,
    method: Method,
    path: &str,
    deadline: Duration,
) -> Result<(StatusCode, Bytes), BoxError> {
    let exchange = async {
        let request = Request::builder().method(method).uri(path).body(Empty::new())?;
        let Answer { response, connection } = send(listen, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
        Ok((status, beside(connection, body).await?.to_bytes()))
    };
    timeout(deadline, exchange).await.map_err(|_| "no answer within the deadline")?
}

/// The answer to `GET path`, whose body is read as it comes.
///
/// # Errors
/// When there is no answer.
pub(super) async fn open(listen: &Listen, path: &str, authorization: &str) -> Result<Answer, BoxError> {
    let mut request = Request::get(path).body(Empty::new())?;
    let mut authorization = header::HeaderValue::from_str(authorization)?;
    authorization.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, authorization);
    send(listen, request).await
}

/// What drives a connection until it ends.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An answer whose head has come.
pub(super) struct Answer {
    response: Response<Incoming>,
    connection: Driver,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let frame = async { self.response.body_mut().frame().await.transpose().map_err(BoxError::from) };
        let frame = beside(&mut self.connection, frame).await?;
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

async fn send(listen: &Listen, mut request: Request<Empty<Bytes>>) -> Result<Answer, BoxError> {
    let host = match listen {
        Listen::Unix(_) => "localhost".to_owned(),
        Listen::Localhost(port) => format!("localhost:{port}"),
        Listen::Address(address) => reachable(*address).to_string(),
    };
    request.headers_mut().insert(header::HOST, host.parse()?);
    let (mut sender, mut connection) = match listen {
        Listen::Unix(socket) => handshake(UnixStream::connect(socket).await?).await?,
        Listen::Localhost(port) => {
            let families: [SocketAddr; 2] =
                [(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()];
            handshake(TcpStream::connect(&families[..]).await?).await?
        }
        Listen::Address(address) => handshake(TcpStream::connect(reachable(*address)).await?).await?,
    };
    let answer = async { sender.send_request(request).await.map_err(BoxError::from) };
    let response = beside(&mut connection, answer).await?;
    Ok(Answer { response, connection })
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(SendRequest<Empty<Bytes>>, Driver), BoxError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, Box::pin(connection)))
}

/// Waits for what comes over a connection, which has to be driven meanwhile.
async fn beside<T>(
    mut connection: impl Future<Output = hyper::Result<()>> + Unpin,
    answer: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}

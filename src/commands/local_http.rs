//! One GET to a listener of this machine, for commands that ask a running proxy.

use std::{
    error::Error,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::downstream::listener::{Listen, reachable};

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 1024 * 1024;

/// Status and body of `GET path`.
///
/// # Errors
/// When there is no answer within `deadline`.
pub(super) async fn get(
    listen: &Listen,
    path: &str,
    deadline: Duration,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let exchange = async {
        match listen {
            Listen::Unix(socket) => exchange(UnixStream::connect(socket).await?, "localhost", path).await,
            Listen::Localhost(port) => {
                let families: [SocketAddr; 2] =
                    [(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()];
                exchange(TcpStream::connect(&families[..]).await?, &format!("localhost:{port}"), path).await
            }
            Listen::Address(address) => {
                let address = reachable(*address);
                exchange(TcpStream::connect(address).await?, &address.to_string(), path).await
            }
        }
    };
    timeout(deadline, exchange).await.map_err(|_| "no answer within the deadline")?
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    host: &str,
    path: &str,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(header::HOST, host).body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        Ok((status, body))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

//! Opens a tunnel through a forward proxy by CONNECT.

use std::{future::poll_fn, pin::pin};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::{ProxyCause, UpstreamError};

/// Asks the proxy at the other end of `stream` for a tunnel to `destination`, `host:port` (RFC 9110 section 9.3.6).
pub(super) async fn open<S>(
    stream: S,
    destination: &str,
    authorization: Option<HeaderValue>,
) -> Result<S, ProxyCause>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let broken = |error: hyper::Error| {
        let error = if error.is_parse() || error.is_parse_too_large() {
            UpstreamError::Protocol(error.into())
        } else {
            UpstreamError::Closed(error.into())
        };
        ProxyCause::Connection(Box::new(error))
    };
    let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let response = {
        let mut exchange = pin!(sender.send_request(connect(destination, authorization)));
        let mut driver = pin!(poll_fn(|context| connection.poll_without_shutdown(context)));
        tokio::select! {
            biased;
            response = &mut exchange => response,
            ended = &mut driver => match ended {
                // The exchange knows whether the response came before the end of the connection.
                Ok(()) => exchange.await,
                Err(error) => Err(error),
            },
        }
    }
    .map_err(broken)?;
    if !response.status().is_success() {
        return Err(ProxyCause::Answer(response.status()));
    }
    let parts = connection.into_parts();
    if parts.read_buf.is_empty() {
        return Ok(parts.io.into_inner());
    }
    // In TLS the client speaks first, so that these bytes cannot come from the upstream.
    let error = UpstreamError::Protocol("the proxy sent bytes after its response to CONNECT".into());
    Err(ProxyCause::Connection(Box::new(error)))
}

fn connect(destination: &str, authorization: Option<HeaderValue>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::try_from(destination).expect("host and port of a URL are an authority");
    let host = HeaderValue::from_str(destination).expect("an authority is a header value");
    request.headers_mut().insert(header::HOST, host);
    if let Some(authorization) = authorization {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization);
    }
    request
}

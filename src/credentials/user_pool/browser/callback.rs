//! The redirect that brings the browser back: a listener for one request that counts.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::timeout,
};

use super::{BrowserError, is_same};

const PATH: &str = "/callback";

/// Browsers open connections ahead of need; nobody needs more than these.
const MOST_CONNECTIONS: usize = 16;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last page may take to reach the browser.
const LAST_PAGE: Duration = Duration::from_secs(1);

/// Attempts to find a port that is free under both addresses.
const PORT_ATTEMPTS: usize = 8;

/// Listens where `http://localhost:PORT/callback` leads.
///
/// Browsers take either address for `localhost`, so that both must be ours: another program on the
/// other one would get the code.
#[derive(Debug)]
pub(super) struct Callback {
    v4: TcpListener,
    v6: Option<TcpListener>,
    port: u16,
}

/// The request that is waited for.
struct Expected {
    state: SecretString,
    port: u16,
    outcome: Mutex<Option<oneshot::Sender<Result<SecretString, BrowserError>>>>,
}

#[derive(Default)]
struct Parameters {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Callback {
    /// Port 0 takes any that is free.
    pub(super) async fn listen(port: u16) -> Result<Self, BrowserError> {
        let failed = |error| BrowserError::Listen(port, error);
        for _ in 0..PORT_ATTEMPTS {
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
            let actual = v4.local_addr().map_err(failed)?.port();
            match TcpListener::bind((Ipv6Addr::LOCALHOST, actual)).await {
                Ok(v6) => return Ok(Self { v4, v6: Some(v6), port: actual }),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    tracing::debug!("no IPv6 here, listening on 127.0.0.1 alone");
                    return Ok(Self { v4, v6: None, port: actual });
                }
                Err(_) if port == 0 => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AddrInUse.into()))
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("http://localhost:{}{PATH}", self.port)
    }

    /// Waits for the one redirect that carries `state`; gives its code.
    pub(super) async fn wait(&self, state: &SecretString) -> Result<SecretString, BrowserError> {
        let (sender, mut outcome) = oneshot::channel();
        let expected =
            Arc::new(Expected { state: state.clone(), port: self.port, outcome: Mutex::new(Some(sender)) });
        let mut connections = JoinSet::new();
        let result = loop {
            tokio::select! {
                outcome = &mut outcome => break outcome,
                stream = self.accept(), if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(serve(stream, Arc::clone(&expected)));
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        };
        let delivered = async { while connections.join_next().await.is_some() {} };
        if timeout(LAST_PAGE, delivered).await.is_err() {
            tracing::debug!("browser keeps connections open, closing them");
        }
        result.unwrap_or(Err(BrowserError::TimedOut))
    }

    async fn accept(&self) -> TcpStream {
        loop {
            let accepted = match &self.v6 {
                Some(v6) => tokio::select! {
                    accepted = self.v4.accept() => accepted,
                    accepted = v6.accept() => accepted,
                },
                None => self.v4.accept().await,
            };
            match accepted {
                Ok((stream, _)) => return stream,
                // Out of descriptors, or a client that has gone: neither lasts.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

async fn serve(stream: TcpStream, expected: Arc<Expected>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = expected.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "browser connection ended early");
    }
}

impl Expected {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_own_host(request.headers().get(HOST)) {
            return page(StatusCode::FORBIDDEN, "This address is not served here.");
        }
        if request.uri().path() != PATH {
            return page(StatusCode::NOT_FOUND, "There is nothing here.");
        }
        if request.method() != Method::GET {
            return page(StatusCode::METHOD_NOT_ALLOWED, "There is nothing to do here.");
        }
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default());
        let state = parameters.state.as_deref().unwrap_or_default();
        if !is_same(state, self.state.expose_secret()) {
            return page(StatusCode::BAD_REQUEST, "This is not the sign-in that was started.");
        }
        self.settle(parameters)
    }

    /// A name that leads here by rebinding is not the one that the pool redirects to.
    fn is_own_host(&self, host: Option<&HeaderValue>) -> bool {
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|name| host.is_some_and(|host| *host == format!("{name}:{}", self.port)))
    }

    fn settle(&self, parameters: Parameters) -> Response<Full<Bytes>> {
        let outcome = match (parameters.code, parameters.error) {
            (Some(code), None) => Ok(SecretString::from(code)),
            (None, Some(code)) => {
                Err(BrowserError::Refused { code, description: parameters.error_description })
            }
            _ => return page(StatusCode::BAD_REQUEST, "This is not the answer of a sign-in."),
        };
        let succeeded = outcome.is_ok();
        let sender = self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match sender.map(|sender| sender.send(outcome)) {
            Some(Ok(())) if succeeded => {
                page(StatusCode::OK, "The sign-in goes on in the terminal. You may close this window.")
            }
            Some(Ok(())) => page(
                StatusCode::OK,
                "The sign-in has failed; the terminal says why. You may close this window.",
            ),
            Some(Err(_)) | None => page(StatusCode::GONE, "This sign-in is over. You may close this window."),
        }
    }
}

impl Parameters {
    /// The first of each name counts.
    fn parse(query: &str) -> Self {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match name.as_ref() {
                "state" => &mut parameters.state,
                "code" => &mut parameters.code,
                "error" => &mut parameters.error,
                "error_description" => &mut parameters.error_description,
                _ => continue,
            };
            field.get_or_insert_with(|| value.chars().filter(|c| !c.is_control()).take(4096).collect());
        }
        parameters
    }
}

fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Countersign</title><p>{text}</p></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

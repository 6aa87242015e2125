//! The redirect at the end of a browser sign-in: a listener that waits for one request.

use std::{
    convert::Infallible,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY},
};
use http_body_util::Full;
use hyper::body::Incoming;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use tower::service_fn;

use super::{BrowserError, is_same};
use crate::{
    downstream::{
        self, Admission, RefusedHead, Workers,
        listener::{self, Listen, Listener, Owner},
    },
    shutdown,
};

const PATH: &str = "/callback";

/// How many connections are served. Browsers open some in advance.
const MAX_CONNECTIONS: usize = 16;

/// How long the browser may read nothing of a page.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last page may take to reach the browser. Longer than the grace for connections without a request, or
/// that would always elapse.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How much of a request body is discarded, in bytes. A redirect has none.
const MAX_DISCARD: u64 = 64 * 1024;

/// Listens at `http://localhost:PORT/callback`.
///
/// It binds both loopback addresses: a browser may try either for `localhost`, and another program on the other one
/// would receive the code.
#[derive(Debug)]
pub(super) struct Callback {
    listeners: Mutex<Vec<Listener>>,
    port: u16,
}

/// The expected request.
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
    /// Listens on `port`; 0 chooses a free one.
    pub(super) fn listen(port: u16) -> Result<Self, BrowserError> {
        let listeners = listener::bind(&Listen::Localhost(port))
            .map_err(|error| BrowserError::Listen(port, error.into_source()))?;
        let chosen =
            listeners.first().and_then(Listener::local_address).map_or(port, |address| address.port());
        Ok(Self { listeners: Mutex::new(listeners), port: chosen })
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("http://localhost:{}{PATH}", self.port)
    }

    /// Waits for the redirect with this `state`, and returns its code. Call it once.
    pub(super) async fn wait(&self, state: &SecretString) -> Result<SecretString, BrowserError> {
        let (sender, outcome) = oneshot::channel();
        let expected =
            Arc::new(Expected { state: state.clone(), port: self.port, outcome: Mutex::new(Some(sender)) });
        let service = service_fn(move |request: Request<Incoming>| {
            let response = expected.answer(&request).map(Full::new);
            async move { Ok::<_, Infallible>(response) }
        });
        let listeners = mem::take(&mut *self.listeners.lock().unwrap_or_else(PoisonError::into_inner));
        let (trigger, shutdown) = shutdown::channel();
        let serving =
            downstream::serve(listeners, settings(), shutdown, Workers::Here(move |_, _| service.clone()));
        tokio::pin!(serving);
        let outcome = tokio::select! {
            outcome = outcome => outcome,
            ended = serving.as_mut() => {
                return Err(BrowserError::Listen(self.port, ended.err().unwrap_or_else(closed)));
            }
        };
        trigger.request();
        if let Err(error) = serving.await {
            tracing::debug!(%error, "the last page may not have reached the browser");
        }
        outcome.unwrap_or(Err(BrowserError::TimedOut))
    }
}

fn closed() -> std::io::Error {
    std::io::ErrorKind::NotConnected.into()
}

/// Admits connections of this user only. Another user of this machine can read `state` from the arguments of the
/// browser, and must not complete the sign-in with a code of another account. Where the kernel does not say who
/// connects, `state` alone decides.
fn settings() -> downstream::Settings {
    let foreign = page(StatusCode::FORBIDDEN, "This sign-in belongs to another user of this machine.");
    let foreign = downstream::serialized(&foreign);
    let full = page(StatusCode::SERVICE_UNAVAILABLE, "Too many connections are open. Try again in a moment.");
    downstream::Settings {
        max_connections: MAX_CONNECTIONS,
        are_answers_short: true,
        drain: DRAIN_TIMEOUT,
        write: WRITE_TIMEOUT,
        discard: MAX_DISCARD,
        admission: Some(Admission::new(move |owner| match owner {
            Owner::Own | Owner::OnThisMachine | Owner::Unknown => Ok(()),
            Owner::Other(_) | Owner::Remote | Owner::Gone => Err(foreign.clone()),
        })),
        full: downstream::serialized(&full),
        metrics: None,
    }
}

impl Expected {
    fn answer(&self, request: &Request<Incoming>) -> Response<Bytes> {
        if request.extensions().get::<RefusedHead>().is_some() {
            return page(StatusCode::BAD_REQUEST, "This is not a request that a browser sends.");
        }
        if !self.is_loopback_host(request.headers().get(HOST)) {
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
        self.complete(parameters)
    }

    /// Whether `Host` is a loopback name, against DNS rebinding.
    fn is_loopback_host(&self, host: Option<&HeaderValue>) -> bool {
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|name| host.is_some_and(|host| *host == format!("{name}:{}", self.port)))
    }

    fn complete(&self, parameters: Parameters) -> Response<Bytes> {
        let outcome = match (parameters.code, parameters.error) {
            (Some(code), None) => Ok(SecretString::from(code)),
            (None, Some(code)) => {
                Err(BrowserError::Refused { code, description: parameters.error_description })
            }
            _ => return page(StatusCode::BAD_REQUEST, "This is not the answer of a sign-in."),
        };
        let succeeded = outcome.is_ok();
        let sender = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
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
    /// Parses a query; the first parameter of each name counts.
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

fn page(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Countersign</title><p>{text}</p></html>\n"
    );
    let mut response = Response::new(Bytes::from(html));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

//! `/_sandbox/` at the user pool's address: the codes that were sent, and the faults that are planned.
//!
//! Codes sign people in, so that no page of another origin may read them: the Host must be one of this machine, no
//! answer has CORS headers, and what changes something takes JSON, which a page cannot send elsewhere unasked.

mod planned;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    answer::{Body, plain},
    faults::Faults,
    json_protocol::read_body,
    paced::Hangup,
    people::Medium,
    skew::Skew,
    user_pool::UserPool,
};

const PREFIX: &str = "/_sandbox";
const JSON: &str = "application/json";
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                                       base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) struct Control {
    pub(super) user_pool: Arc<UserPool>,
    pub(super) faults: Faults,
    pub(super) skew: Skew,
}

impl Control {
    /// Whether a request is for here.
    pub(super) fn is_for(uri: &Uri) -> bool {
        uri.path().strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let mut response = match refusal(&request) {
            Some(why) => message(StatusCode::FORBIDDEN, why),
            None => self.route(request).await?,
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let path = request.uri().path()[PREFIX.len()..].to_owned();
        let wants_page = accepts_html(request.headers());
        Ok(match (path.as_str(), request.method()) {
            ("" | "/", &Method::GET) => page(),
            ("/outbox" | "/faults", &Method::GET) if wants_page => page(),
            ("/page.js", &Method::GET) => plain(
                StatusCode::OK,
                "text/javascript; charset=utf-8",
                include_str!("control/page.js").to_owned(),
            ),
            ("/page.css", &Method::GET) => {
                plain(StatusCode::OK, "text/css; charset=utf-8", include_str!("control/page.css").to_owned())
            }
            ("/outbox", &Method::GET) => json_answer(&self.outbox()),
            ("/faults", &Method::GET) => json_answer(&self.planned()),
            ("/faults", &Method::POST) => self.plan(request).await?,
            ("/faults", &Method::DELETE) => {
                self.faults.clear_all();
                self.skew.set(0);
                json_answer(&self.planned())
            }
            ("" | "/" | "/outbox" | "/faults" | "/page.js" | "/page.css", _) => {
                message(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
            }
            _ => message(StatusCode::NOT_FOUND, "there are /_sandbox/outbox and /_sandbox/faults"),
        })
    }

    /// The messages, latest first.
    fn outbox(&self) -> Value {
        let messages = self.user_pool.messages().into_iter().rev();
        let messages = messages.map(|message| {
            json!({
                "username": message.username,
                "purpose": message.purpose.name(),
                "medium": match message.medium { Medium::Sms => "sms", Medium::Email => "email" },
                "address": message.address,
                "code": message.code,
            })
        });
        json!({ "messages": messages.collect::<Vec<_>>() })
    }

    fn planned(&self) -> Value {
        planned::describe(&self.faults.planned(), self.skew.millis())
    }

    async fn plan(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(JSON) {
            return Ok(message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send content-type: application/json"));
        }
        let body = read_body(request).await?;
        Ok(match planned::parse(&body) {
            Ok(planned::Plan::Fault(calling, fault)) => {
                self.faults.plan(calling, fault);
                json_answer(&self.planned())
            }
            Ok(planned::Plan::Skew(millis)) => {
                self.skew.set(millis);
                json_answer(&self.planned())
            }
            Err(why) => message(StatusCode::BAD_REQUEST, &why),
        })
    }
}

/// Why a request gets nothing: it came by a foreign name, or from a page of another origin.
fn refusal<B>(request: &Request<B>) -> Option<&'static str> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_of_this_machine(host) {
        return Some("the Host header must be localhost or 127.0.0.1");
    }
    let is_own_origin = |origin: &str| origin.strip_prefix("http://") == Some(host);
    let from_elsewhere =
        request.headers().get(header::ORIGIN).is_some() && !text(header::ORIGIN).is_some_and(is_own_origin);
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_foreign_site = site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"));
    (from_elsewhere || is_foreign_site).then_some("pages of other origins get nothing here")
}

fn is_of_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn page() -> Response<Body> {
    plain(StatusCode::OK, "text/html; charset=utf-8", include_str!("control/page.html").to_owned())
}

fn json_answer(value: &Value) -> Response<Body> {
    plain(StatusCode::OK, JSON, format!("{value:#}\n"))
}

fn message(status: StatusCode, text: &str) -> Response<Body> {
    plain(status, JSON, format!("{:#}\n", json!({ "message": text })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_its_own_page_are_answered() {
        let refused = |headers: &[(&str, &str)]| {
            let mut request = Request::builder();
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            refusal(&request.body(()).expect("a request")).is_some()
        };
        let host = ("host", "127.0.0.1:8183");
        for (headers, expected) in [
            (&[host][..], false),
            (&[("host", "localhost:8183")], false),
            (&[("host", "LOCALHOST")], false),
            (&[("host", "[::1]:8183")], false),
            (&[], true),
            (&[("host", "evil.test:8183")], true),
            (&[("host", "127.0.0.1.evil.test")], true),
            (&[host, ("origin", "http://127.0.0.1:8183")], false),
            (&[host, ("origin", "http://127.0.0.1:5173")], true),
            (&[host, ("origin", "http://localhost:8183")], true),
            (&[host, ("origin", "null")], true),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("sec-fetch-site", "same-site")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
        ] {
            assert_eq!(refused(headers), expected, "{headers:?}");
        }
    }
}

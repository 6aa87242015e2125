//! A request as typed becomes one that can be signed.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header, uri::Authority};

use super::Failure;
use crate::{
    cli::{self, request::encoded},
    config,
    proxy::{ClientHandshake, Ready, RouteSettings, Settings, SigningClient},
};

/// Characters of what was typed that a message repeats.
const MAX_SHOWN: usize = 120;

/// Reads what the request needs and decides where it goes.
///
/// # Errors
/// When a file cannot be read, or no request can be made of what was typed.
pub(super) fn prepare<'a>(
    pipeline: &'a SigningClient,
    typed: &cli::Call,
    settings: &Settings,
) -> Result<Ready<'a>, Failure> {
    let method: Method = typed.method.parse().map_err(|_| {
        Failure::Usage(format!("{:?} is not an HTTP method such as GET or POST", short(&typed.method)))
    })?;
    let below = below_upstream(&typed.path, &settings.routes).map_err(Failure::Usage)?;
    let mut headers = headers(&typed.headers)?;
    let body =
        typed.data.as_deref().map_or(Ok(Bytes::new()), |given| read(given, settings.limits.max_body))?;
    if !headers.contains_key(header::CONTENT_TYPE) && is_json(&body) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let (path, query) = target(&below, &typed.query);
    let plan = pipeline.plan(method, &path, query.as_deref(), headers).map_err(Failure::runtime)?;
    plan.with_body(body).map_err(Failure::runtime)
}

/// Decides where a WebSocket handshake goes.
///
/// # Errors
/// When no handshake can be made of what was typed.
pub(super) fn prepare_handshake<'a>(
    pipeline: &'a SigningClient,
    typed: &cli::WebSocket,
    settings: &Settings,
) -> Result<ClientHandshake<'a>, Failure> {
    let below = below_upstream(&typed.path, &settings.routes).map_err(Failure::Usage)?;
    let mut headers = headers(&typed.headers)?;
    for name in &typed.protocols {
        let value = HeaderValue::try_from(name).ok().filter(|_| is_token(name));
        let value = value.ok_or_else(|| {
            Failure::Usage(format!("--protocol: {:?} is not a name such as mqtt", short(name)))
        })?;
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    let (path, query) = target(&below, &typed.query);
    ClientHandshake::plan(pipeline, &path, query.as_deref(), headers).map_err(Failure::runtime)
}

/// Whether `text` is a token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_token)
}

/// The scheme of HTTP for a URL's scheme, which may be the one of WebSocket for the same port.
fn http_scheme(scheme: &str) -> Option<&str> {
    match scheme {
        "http" | "ws" => Some("http"),
        "https" | "wss" => Some("https"),
        _ => None,
    }
}

/// What was typed as a path for the proxy; of a whole URL, what comes behind the upstream of a route.
///
/// The words say what is wrong: a URL elsewhere is refused, since only configured upstreams get requests.
fn below_upstream<'a>(typed: &'a str, routes: &[RouteSettings]) -> Result<Cow<'a, str>, String> {
    if typed.split_once("://").and_then(|(scheme, _)| http_scheme(scheme)).is_none() {
        return Ok(Cow::Borrowed(typed));
    }
    // The longest path comes first among the routes, as it does when a request is routed.
    if let Some(path) = routes.iter().find_map(|route| below(typed, route)) {
        return Ok(Cow::Owned(path));
    }
    let upstreams: Vec<String> = routes.iter().map(|route| route.upstream.to_string()).collect();
    let (shown, _) = typed.split_once(['?', '#']).unwrap_or((typed, ""));
    Err(format!(
        "{} is not below the upstream {}; write a URL below it, or choose another with --upstream",
        short(shown),
        upstreams.join(" or ")
    ))
}

/// The path and query that lead through `route` to the URL `typed`.
fn below(typed: &str, route: &RouteSettings) -> Option<String> {
    let (scheme, rest) = typed.split_once("://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority: Authority = authority.to_ascii_lowercase().parse().ok()?;
    let default_port = if http_scheme(scheme) == Some("https") { 443 } else { 80 };
    let upstream = &route.upstream;
    let is_same = upstream.scheme_str() == http_scheme(scheme)
        && upstream.host() == Some(authority.host())
        && !authority.as_str().contains('@')
        && upstream.port_u16().unwrap_or(default_port) == authority.port_u16().unwrap_or(default_port);
    let rest = rest.strip_prefix(upstream.path().trim_end_matches('/')).filter(|_| is_same)?;
    if !matches!(rest.chars().next(), None | Some('/' | '?')) {
        return None;
    }
    let path = format!("{}{rest}", route.strip_prefix.as_deref().unwrap_or("").trim_end_matches('/'));
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let prefix = route.path.trim_end_matches('/');
    let is_of_route =
        path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.chars().next(), None | Some('/' | '?')));
    is_of_route.then_some(path)
}

/// Path and query, parameters added.
fn target(typed: &str, parameters: &[String]) -> (String, Option<String>) {
    let (path, query) = typed.split_once('?').map_or((typed, None), |(path, query)| (path, Some(query)));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let added = parameters.iter().map(|parameter| match parameter.split_once('=') {
        Some((name, value)) => format!("{}={}", encoded(name), encoded(value)),
        None => encoded(parameter),
    });
    let all: Vec<String> = query.map(str::to_owned).into_iter().chain(added).collect();
    (path, (!all.is_empty()).then(|| all.join("&")))
}

fn headers(typed: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for text in typed {
        let (name, value) =
            config::field(text).map_err(|message| Failure::Usage(format!("-H: {message}")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn read(given: &str, max_body: u64) -> Result<Bytes, Failure> {
    let Some(file) = given.strip_prefix('@') else { return within(given.as_bytes().to_vec(), max_body) };
    let mut body = Vec::new();
    let read = if file == "-" {
        io::stdin().lock().take(max_body + 1).read_to_end(&mut body)
    } else {
        File::open(file).and_then(|file| file.take(max_body + 1).read_to_end(&mut body))
    };
    read.map_err(|error| Failure::runtime(format!("-d {given}: {error}")))?;
    within(body, max_body)
}

fn within(body: Vec<u8>, max_body: u64) -> Result<Bytes, Failure> {
    if body.len() as u64 > max_body {
        return Err(Failure::runtime(format!(
            "the body is larger than {max_body} bytes; raise the limit with --max-body"
        )));
    }
    Ok(body.into())
}

fn is_json(body: &[u8]) -> bool {
    let start = body.trim_ascii_start().first();
    matches!(start, Some(b'{' | b'[')) && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn short(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_added_to_the_query_that_is_there() {
        let add = |typed, parameters: &[&str]| {
            target(typed, &parameters.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(add("/a", &[]), ("/a".into(), None));
        assert_eq!(add("a b", &["x=1&2"]), ("/a b".into(), Some("x=1%262".into())));
        assert_eq!(add("/a?b=c d", &["é=", "flag"]), ("/a".into(), Some("b=c d&%C3%A9=&flag".into())));
        assert_eq!(add("/a?", &[]), ("/a".into(), Some(String::new())));
    }

    fn route(path: &str, upstream: &str, strip_prefix: Option<&str>) -> RouteSettings {
        RouteSettings {
            path: path.to_owned(),
            upstream: upstream.parse().expect("a URL"),
            region: "eu-west-1".into(),
            service: "execute-api".to_owned(),
            sign_host: None,
            strip_prefix: strip_prefix.map(str::to_owned),
            set_headers: Vec::new(),
            payload: crate::proxy::PayloadSigning::Hashed,
            websocket_signing: crate::proxy::WebsocketSigning::Headers,
        }
    }

    #[test]
    fn a_whole_url_becomes_the_path_below_its_upstream() {
        let routes =
            [route("/b/c", "https://b.example/v1", Some("/b")), route("/", "https://a.example/prod", None)];
        for (typed, path) in [
            ("/orders?x=https://a.example", Some("/orders?x=https://a.example")),
            ("https://a.example/prod/orders?x=1", Some("/orders?x=1")),
            ("https://A.example:443/prod", Some("/")),
            ("wss://a.example/prod/chat", Some("/chat")),
            ("ws://a.example/prod", None),
            ("ftp://a.example/prod", Some("ftp://a.example/prod")),
            ("https://a.example/prod?x=1", Some("/?x=1")),
            ("https://b.example/v1/c/d", Some("/b/c/d")),
            ("https://b.example/v1/d", None),
            ("https://a.example/production", None),
            ("https://a.example/", None),
            ("http://a.example/prod", None),
            ("https://a.example:8443/prod", None),
            ("https://u@a.example/prod", None),
            ("https://a.example.evil/prod", None),
        ] {
            assert_eq!(below_upstream(typed, &routes).ok().as_deref(), path, "{typed}");
        }
    }

    #[test]
    fn only_json_is_called_json() {
        for (body, expected) in
            [("{\"a\":1}", true), (" [1]\n", true), ("{a}", false), ("1", false), ("", false), ("a=b", false)]
        {
            assert_eq!(is_json(body.as_bytes()), expected, "{body}");
        }
    }
}

//! A request as typed becomes one that can be signed.

use std::{
    fs::File,
    io::{self, Read},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::Failure;
use crate::{
    cli::{self, request::encoded},
    config,
    proxy::{Pipeline, Ready},
    signing::Payload,
};

/// Reads what the request needs and decides where it goes.
///
/// # Errors
/// When a file cannot be read, or no request can be made of what was typed.
pub(super) fn prepare<'a>(
    pipeline: &'a Pipeline,
    typed: &cli::Call,
    max_body: u64,
) -> Result<Ready<'a>, Failure> {
    let method: Method = typed
        .method
        .parse()
        .map_err(|_| Failure::Usage(format!("{:?} is no method of HTTP", short(&typed.method))))?;
    if typed.path.starts_with("http://") || typed.path.starts_with("https://") {
        return Err(Failure::Usage(
            "the path is below the upstream's: give its URL with --upstream".to_owned(),
        ));
    }
    let mut headers = headers(&typed.headers)?;
    let body = typed.data.as_deref().map_or(Ok(Bytes::new()), |given| read(given, max_body))?;
    if !headers.contains_key(header::CONTENT_TYPE) && is_json(&body) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let (path, query) = target(&typed.path, &typed.query);
    let plan = pipeline.plan(method, &path, query.as_deref(), headers).map_err(Failure::runtime)?;
    Ok(plan.with_body(Payload::from(body)))
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
        return Err(Failure::runtime(format!("the body is larger than max-body, {max_body} bytes")));
    }
    Ok(body.into())
}

fn is_json(body: &[u8]) -> bool {
    let start = body.trim_ascii_start().first();
    matches!(start, Some(b'{' | b'[')) && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
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

    #[test]
    fn only_json_is_called_json() {
        for (body, expected) in
            [("{\"a\":1}", true), (" [1]\n", true), ("{a}", false), ("1", false), ("", false), ("a=b", false)]
        {
            assert_eq!(is_json(body.as_bytes()), expected, "{body}");
        }
    }
}

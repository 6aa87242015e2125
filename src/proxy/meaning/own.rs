//! Failures of the proxy's own. The words are those that the client gets; where they name no next step, it stands here.

use super::Meaning;
use crate::{credentials::channel::Unavailable, proxy::error::ProxyError};

impl Meaning {
    /// What an answer of the proxy itself means.
    #[must_use]
    pub fn of_error(error: &ProxyError) -> Self {
        let code = error.code();
        if let ProxyError::Credentials(Unavailable::LoginRequired { remedy }) = error {
            return Self::new(
                code,
                "there are no credentials, and none can be had until a person acts",
                clause(remedy),
            );
        }
        // The first sentence says what happened, the others what to do.
        let detail = error.to_string();
        let (cause, cure) = detail.split_once(". ").unwrap_or((&detail, ""));
        let cure = if cure.is_empty() { next_step(code).to_owned() } else { clause(cure) };
        Self::new(code, clause(cause), cure)
    }
}

/// A sentence as a clause. A name at the beginning keeps its letters.
fn clause(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let is_name = sentence.split(' ').next().is_some_and(|word| word.chars().skip(1).any(char::is_uppercase));
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) if !is_name => first.to_lowercase().chain(letters).collect(),
        _ => sentence.to_owned(),
    }
}

fn next_step(code: &str) -> &'static str {
    match code {
        "bad-request" => "correct the client, which sends no clean HTTP/1.1 or a presigned query",
        "token-required" => "send the client token as \"Authorization: Bearer\"",
        "no-route" => "add a [[route]] for the path, or an upstream for /",
        "method-not-allowed" => "use another method",
        "request-timeout" => "look at the network of the client, and whether it sends all that it announces",
        "uri-too-long" => "shorten the path or the query, since API Gateway accepts no more",
        "expectation-failed" => "leave Expect out",
        "head-too-large" => "send fewer or shorter headers, cookies usually",
        "unsupported-transfer-coding" => "send the body chunked or with a Content-Length",
        "websocket-version" => "use a client of RFC 6455, which sends Sec-WebSocket-Version: 13",
        "upstream-websocket" => {
            "check that the setting upstream is a WebSocket API, and what stands in front of it"
        }
        "upgrade-not-supported" => "connect to the listener for clients",
        "upstream-dns" => "check the setting upstream, the network and the VPN",
        "upstream-refused" => "check the setting upstream and the firewalls on the way",
        "upstream-tls" => "check the certificate of the upstream, or name its authority with ca-file",
        "upstream-closed" => "send the request again if that does no harm",
        "upstream-protocol" => "check that the setting upstream is the API",
        "upstream-timeout" => "look at the API, or raise the timeout",
        "overloaded" => "wait as Retry-After says, or raise the limit",
        "credentials-unavailable" => "wait as Retry-After says; /status has the last error",
        _ => "report it with the log lines of the request",
    }
}

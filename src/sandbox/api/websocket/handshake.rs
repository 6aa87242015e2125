//! The opening handshake of RFC 6455, from the server's side.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use serde_json::json;
use sha1::{Digest, Sha1};

use crate::sandbox::{
    answer::{Body, Form},
    api::received::Received,
};

/// What a server appends to the key (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: &str = "13";

/// A handshake that can be answered with 101.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    accept: String,
    /// The subprotocols that the client offers, in its order.
    protocols: Vec<String>,
}

/// Why a handshake cannot be answered with 101.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    Key,
    Version,
}

/// Whether a request asks for a WebSocket connection.
pub(in crate::sandbox::api) fn is_asked<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && has_token(headers, header::UPGRADE, "websocket")
        && has_token(headers, header::CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| known.trim().eq_ignore_ascii_case(token))
}

impl Handshake {
    pub(super) fn parse(received: &Received) -> Result<Self, Malformed> {
        if received.header("sec-websocket-version").map(str::trim) != Some(VERSION) {
            return Err(Malformed::Version);
        }
        let key = received.header("sec-websocket-key").map(str::trim).unwrap_or_default();
        if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
            return Err(Malformed::Key);
        }
        let protocols = received.header("sec-websocket-protocol").unwrap_or_default().split(',');
        let protocols = protocols.map(str::trim).filter(|name| !name.is_empty());
        Ok(Self { accept: accept(key.as_bytes()), protocols: protocols.map(str::to_owned).collect() })
    }

    /// The subprotocol that the client prefers.
    pub(super) fn preferred_protocol(&self) -> Option<&str> {
        self.protocols.first().map(String::as_str)
    }

    /// The same handshake, answered as if the client had sent another key.
    pub(super) fn with_wrong_accept(self) -> Self {
        Self { accept: accept(b"another key"), ..self }
    }

    /// 101, with `protocol` as the subprotocol.
    pub(super) fn response(&self, protocol: Option<&str>) -> Response<Body> {
        let mut response =
            Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let fields = [
            (header::SEC_WEBSOCKET_ACCEPT, Some(self.accept.as_str())),
            (header::SEC_WEBSOCKET_PROTOCOL, protocol),
        ];
        for (name, value) in fields {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl Malformed {
    pub(super) fn response(&self) -> Response<Body> {
        let (status, message) = match self {
            Self::Key => (StatusCode::BAD_REQUEST, "Bad Request"),
            Self::Version => (StatusCode::UPGRADE_REQUIRED, "Upgrade Required"),
        };
        let mut response = Form::Gateway.json(status, &json!({ "message": message }));
        if *self == Self::Version {
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        response
    }
}

fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Verdict;

    fn parse(headers: &[(&str, &str)]) -> Result<Handshake, Malformed> {
        let headers = headers.iter();
        Handshake::parse(&Received {
            method: "GET".to_owned(),
            target: "/prod".to_owned(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
                .collect(),
            body: Bytes::new(),
            verdict: Verdict::Disturbed,
        })
    }

    #[test]
    fn a_key_is_accepted_as_the_rfc_says() {
        let version = ("sec-websocket-version", "13");
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let accepted = Handshake { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(), protocols: Vec::new() };
        let with_protocols = Handshake {
            accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
            protocols: vec!["mqtt".to_owned(), "chat".to_owned()],
        };
        for (headers, expected) in [
            (&[version, key][..], Ok(accepted)),
            (&[version, key, ("sec-websocket-protocol", "mqtt, chat,")], Ok(with_protocols)),
            (&[key], Err(Malformed::Version)),
            (&[("sec-websocket-version", "8"), key], Err(Malformed::Version)),
            (&[version], Err(Malformed::Key)),
            (&[version, ("sec-websocket-key", "c2hvcnQ=")], Err(Malformed::Key)),
            (&[version, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], Err(Malformed::Key)),
        ] {
            assert_eq!(parse(headers), expected, "{headers:?}");
        }
    }
}

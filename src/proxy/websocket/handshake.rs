//! The handshake of RFC 6455 section 4: what a client must send, what goes up, and what the upstream must answer.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use sha1::{Digest, Sha1};

use super::frame_reader::Extensions;

/// The version of the protocol.
pub(in crate::proxy) const VERSION: &str = "13";

/// What RFC 6455 section 1.3 appends to the key.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How many bytes a key has.
const KEY_LENGTH: usize = 16;

/// Takes keys whose last character has bits that no byte needs, as the servers of `ws` and `websockets` do.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A valid handshake of a client.
#[derive(Debug)]
pub(in crate::proxy) struct Handshake {
    key: HeaderValue,
}

/// What the upstream has agreed to.
#[derive(Debug)]
pub(super) struct Agreement {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
    extensions: Vec<HeaderValue>,
}

/// Why a request for a WebSocket is no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Its method is not GET.
    Method,
    /// `Connection` does not name `Upgrade`.
    Connection,
    /// `Upgrade` names a version of the protocol.
    Upgrade,
    /// It is of another version of the protocol.
    Version,
    /// The key is absent, repeated, or not 16 bytes in base64.
    Key,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => {
                "The request asks for a WebSocket and its method is not GET. Send GET, or leave \"Upgrade: websocket\" out."
            }
            Self::Connection => {
                "The WebSocket handshake lacks \"Connection: Upgrade\". Let the client, or a proxy in front of this \
                 one, send it beside \"Upgrade: websocket\"."
            }
            Self::Upgrade => {
                "The Upgrade header of the WebSocket handshake names a version. Send \"Upgrade: websocket\"."
            }
            Self::Version => "The only version of WebSocket understood is 13 (RFC 6455).",
            Self::Key => {
                "Sec-WebSocket-Key of the WebSocket handshake is not 16 bytes in base64, once. Send a random key with \
                 each handshake."
            }
        })
    }
}

/// What is wrong with a 101 of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// `Upgrade` or `Connection` does not say what the connection is for.
    Upgrade,
    /// `Sec-WebSocket-Accept` is not computed from the client's key.
    Accept,
    /// The subprotocol was not offered, or there are several.
    Protocol,
    /// An extension was not offered.
    Extension,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upgrade => "its Upgrade or Connection header does not agree to a WebSocket",
            Self::Accept => "its Sec-WebSocket-Accept does not match the key of the handshake",
            Self::Protocol => "it chose a subprotocol that the client has not offered",
            Self::Extension => "it chose an extension that the client has not offered",
        })
    }
}

impl std::error::Error for AnswerError {}

impl Handshake {
    /// A handshake of this process itself.
    pub(super) fn with_random_key() -> Self {
        let key = STANDARD.encode(rand::random::<[u8; KEY_LENGTH]>());
        Self { key: HeaderValue::try_from(key).expect("base64 is visible ASCII") }
    }

    /// Checks a request that asks for a WebSocket. Its Host and its framing have been checked before.
    ///
    /// # Errors
    /// When it is no handshake of RFC 6455 section 4.2.1.
    pub(super) fn of(parts: &Parts) -> Result<Self, HandshakeError> {
        if parts.method != Method::GET {
            return Err(HandshakeError::Method);
        }
        if !has_token(&parts.headers, header::CONNECTION, b"upgrade") {
            return Err(HandshakeError::Connection);
        }
        if !has_token(&parts.headers, header::UPGRADE, b"websocket") {
            return Err(HandshakeError::Upgrade);
        }
        let version = single(&parts.headers, header::SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version.as_bytes() != VERSION.as_bytes()) {
            return Err(HandshakeError::Version);
        }
        let key = single(&parts.headers, header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::Key)?;
        match LENIENT.decode(key) {
            Ok(bytes) if bytes.len() == KEY_LENGTH => Ok(Self { key: key.clone() }),
            Ok(_) | Err(_) => Err(HandshakeError::Key),
        }
    }

    /// Writes what makes a request a handshake into the headers for the upstream, from which the headers of the
    /// client's own connection have been removed.
    pub(in crate::proxy) fn write(&self, headers: &mut HeaderMap) {
        headers.remove(header::TE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        headers.insert(header::SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// Checks a 101 with the headers `answer` to a handshake with the headers `offer`.
    ///
    /// # Errors
    /// When a client had to fail the connection by RFC 6455 section 4.1.
    pub(super) fn agree(&self, offer: &HeaderMap, answer: &HeaderMap) -> Result<Agreement, AnswerError> {
        let upgrade = single(answer, header::UPGRADE);
        let is_websocket =
            upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !is_websocket || !has_token(answer, header::CONNECTION, b"upgrade") {
            return Err(AnswerError::Upgrade);
        }
        let accept = self.accept();
        if single(answer, header::SEC_WEBSOCKET_ACCEPT) != Some(&accept) {
            return Err(AnswerError::Accept);
        }
        let protocol = match answer.get(header::SEC_WEBSOCKET_PROTOCOL) {
            None => None,
            Some(_) => {
                let chosen = single(answer, header::SEC_WEBSOCKET_PROTOCOL).filter(|chosen| {
                    let mut offered = elements(offer, header::SEC_WEBSOCKET_PROTOCOL);
                    offered.any(|offered| offered == chosen.as_bytes())
                });
                Some(chosen.ok_or(AnswerError::Protocol)?.clone())
            }
        };
        let offered: Vec<&[u8]> = elements(offer, header::SEC_WEBSOCKET_EXTENSIONS).map(extension).collect();
        let mut chosen = elements(answer, header::SEC_WEBSOCKET_EXTENSIONS).map(extension);
        if !chosen.all(|chosen| offered.iter().any(|offered| offered.eq_ignore_ascii_case(chosen))) {
            return Err(AnswerError::Extension);
        }
        let extensions = answer.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().cloned().collect();
        Ok(Agreement { accept, protocol, extensions })
    }

    /// The value of `Sec-WebSocket-Accept` that answers the key.
    fn accept(&self) -> HeaderValue {
        let digest = Sha1::new().chain_update(self.key.as_bytes()).chain_update(KEY_SUFFIX).finalize();
        HeaderValue::from_str(&STANDARD.encode(digest)).expect("base64 is visible ASCII")
    }
}

impl Agreement {
    /// How the frames of the tunnel differ from those without extensions.
    pub(super) fn extensions(&self) -> Extensions {
        Extensions::accepted(self.extensions.iter().filter_map(|value| value.to_str().ok()))
    }

    /// The subprotocol that the upstream has chosen.
    pub(super) fn protocol(&self) -> Option<&str> {
        self.protocol.as_ref().and_then(|name| name.to_str().ok())
    }

    /// Writes the agreement into the headers of the answer to the client.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        // Neither belongs into a 101 (RFC 9110 section 8.6, RFC 9112 section 6.1).
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        for extensions in self.extensions {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
        }
    }
}

/// The value of a header that stands once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether the list `name` has `token`, in whatever case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &[u8]) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}

/// The elements of a list, over all of its lines.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| split_list(value.as_bytes())).filter(|element| !element.is_empty())
}

/// Splits a list at its commas, those in quoted strings apart.
fn split_list(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |&byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' => return !is_quoted,
            _ => {}
        }
        false
    })
    .map(<[u8]>::trim_ascii)
}

/// The name of an extension without its parameters.
fn extension(element: &[u8]) -> &[u8] {
    element.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(changed: &[(&'static str, Option<&'static str>)]) -> Parts {
        let mut headers = vec![
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        headers.retain(|(name, _)| !changed.iter().any(|(other, _)| name == other));
        headers.extend(changed.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
        let builder =
            headers.into_iter().fold(Request::get("/"), |builder, (name, value)| builder.header(name, value));
        builder.body(()).expect("a request").into_parts().0
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_handshake_is_what_the_rfc_asks_for() {
        assert!(Handshake::of(&request(&[])).is_ok());
        for (changed, error) in [
            (&[("connection", None)][..], HandshakeError::Connection),
            (&[("connection", Some("close, upgraded"))], HandshakeError::Connection),
            (&[("upgrade", Some("websocket/13"))], HandshakeError::Upgrade),
            (&[("sec-websocket-version", None)], HandshakeError::Version),
            (&[("sec-websocket-version", Some("8"))], HandshakeError::Version),
            (&[("sec-websocket-version", Some("13, 8"))], HandshakeError::Version),
            (
                &[("sec-websocket-version", Some("13")), ("sec-websocket-version", Some("13"))],
                HandshakeError::Version,
            ),
            (&[("sec-websocket-key", None)], HandshakeError::Key),
            (&[("sec-websocket-key", Some(""))], HandshakeError::Key),
            (&[("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ"))], HandshakeError::Key),
            (&[("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25j"))], HandshakeError::Key),
            (&[("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZWVl"))], HandshakeError::Key),
            (&[("sec-websocket-key", Some("dGhlIHNhbXBsZSB*b25jZQ=="))], HandshakeError::Key),
            (&[("sec-websocket-key", Some(KEY)), ("sec-websocket-key", Some(KEY))], HandshakeError::Key),
        ] {
            assert_eq!(Handshake::of(&request(changed)).err(), Some(error), "{changed:?}");
        }
        let mut post = request(&[]);
        post.method = Method::POST;
        assert_eq!(Handshake::of(&post).err(), Some(HandshakeError::Method));
    }

    #[test]
    fn an_answer_agrees_to_what_was_offered_and_to_nothing_else() {
        let handshake = Handshake::of(&request(&[])).expect("a handshake");
        let offer = headers(&[
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-protocol", "mqtt"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits, x; a=\"b, y\""),
        ]);
        let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (upgrade, connection) = (("upgrade", "websocket"), ("connection", "Upgrade"));
        let sound = [upgrade, connection, accept];
        let with = |more: &[(&'static str, &'static str)]| headers(&[&sound, more].concat());
        for (answer, error) in [
            (with(&[]), None),
            (with(&[("sec-websocket-protocol", "mqtt")]), None),
            (with(&[("sec-websocket-protocol", "superchat")]), None),
            (with(&[("sec-websocket-extensions", "Permessage-Deflate; server_no_context_takeover")]), None),
            (headers(&[connection, accept]), Some(AnswerError::Upgrade)),
            (headers(&[upgrade, accept]), Some(AnswerError::Upgrade)),
            (headers(&[("upgrade", "h2c, websocket"), connection, accept]), Some(AnswerError::Upgrade)),
            (headers(&[upgrade, connection]), Some(AnswerError::Accept)),
            (headers(&[upgrade, connection, ("sec-websocket-accept", "x")]), Some(AnswerError::Accept)),
            (with(&[accept]), Some(AnswerError::Accept)),
            (with(&[("sec-websocket-protocol", "Chat")]), Some(AnswerError::Protocol)),
            (with(&[("sec-websocket-protocol", "chat, mqtt")]), Some(AnswerError::Protocol)),
            (
                with(&[("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "mqtt")]),
                Some(AnswerError::Protocol),
            ),
            (with(&[("sec-websocket-extensions", "y")]), Some(AnswerError::Extension)),
            (with(&[("sec-websocket-extensions", "x, z")]), Some(AnswerError::Extension)),
        ] {
            assert_eq!(handshake.agree(&offer, &answer).err(), error, "{answer:?}");
        }
        let unoffered = with(&[("sec-websocket-protocol", "chat")]);
        assert_eq!(handshake.agree(&HeaderMap::new(), &unoffered).err(), Some(AnswerError::Protocol));
    }
}

//! The body of an error in the protocol that the client's SDK speaks, so that the SDK shows its text.
//!
//! SDKs read a code and a message. The code is that of the problem document in every format: no SDK has a rule of its
//! own for it, as they have for `RequestTimeout` or `ExpiredToken`, which they try again.

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use super::problem_kind::ProblemKind;
use crate::endpoint::Protocol;

const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
const RPC_V2_CBOR: &str = "rpc-v2-cbor";

/// The form of an error's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum ErrorFormat {
    /// RFC 9457.
    #[default]
    Problem,
    /// The same with the name that AWS's JSON protocols have for the code.
    Json,
    /// A map of texts.
    Cbor,
    /// XML with these elements.
    Xml(XmlForm),
}

/// The elements around an error in XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum XmlForm {
    /// S3: `Error` is the root.
    Bare,
    /// AWS Query and the other services with XML: `ErrorResponse`.
    ErrorResponse,
    /// The Query of EC2: `Response` with a list.
    Ec2,
}

/// What a request says about the protocol of its client. Several services speak more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Client {
    speaks_cbor: bool,
    speaks_query: bool,
}

impl Client {
    pub(in crate::proxy) fn of(parts: &Parts) -> Self {
        let headers: &HeaderMap = &parts.headers;
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let query = parts.uri.query().unwrap_or_default();
        Self {
            speaks_cbor: headers.get(SMITHY_PROTOCOL).is_some_and(|value| value == RPC_V2_CBOR),
            speaks_query: content_type.starts_with(b"application/x-www-form-urlencoded")
                || query.split('&').any(|parameter| parameter.starts_with("Action=")),
        }
    }
}

impl ErrorFormat {
    /// The form for `client` at a service of this protocol.
    pub(in crate::proxy) fn of(protocol: Option<Protocol>, client: Client) -> Self {
        let Some(protocol) = protocol else { return Self::Problem };
        match protocol {
            Protocol::S3 => Self::Xml(XmlForm::Bare),
            Protocol::Ec2Query => Self::Xml(XmlForm::Ec2),
            Protocol::Json | Protocol::Query if client.speaks_cbor => Self::Cbor,
            Protocol::Json if !client.speaks_query => Self::Json,
            Protocol::Json | Protocol::Query | Protocol::RestXml => Self::Xml(XmlForm::ErrorResponse),
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Problem | Self::Json => "application/problem+json",
            Self::Cbor => "application/cbor",
            Self::Xml(_) => "application/xml",
        }
    }

    /// A header without which the client does not read the body.
    pub(super) fn header(self) -> Option<(HeaderName, HeaderValue)> {
        (self == Self::Cbor).then(|| (SMITHY_PROTOCOL, HeaderValue::from_static(RPC_V2_CBOR)))
    }
}

/// An error in XML.
pub(super) fn xml(form: XmlForm, kind: &ProblemKind, detail: &str, request_id: &str) -> Vec<u8> {
    let (code, message, id) = (escaped(kind.code), escaped(detail), escaped(request_id));
    let at_fault = if kind.status.is_client_error() { "Sender" } else { "Receiver" };
    let error = format!("<Code>{code}</Code><Message>{message}</Message>");
    let document = match form {
        XmlForm::Bare => format!("<Error>{error}<RequestId>{id}</RequestId></Error>"),
        XmlForm::ErrorResponse => format!(
            "<ErrorResponse><Error><Type>{at_fault}</Type>{error}</Error><RequestId>{id}</RequestId></ErrorResponse>"
        ),
        XmlForm::Ec2 => {
            format!("<Response><Errors><Error>{error}</Error></Errors><RequestID>{id}</RequestID></Response>")
        }
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}").into_bytes()
}

/// `text` as character data. What XML 1.0 does not allow at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' | '\n' => escaped.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A map of texts in CBOR (RFC 8949 section 3.1).
pub(super) fn cbor(entries: &[(&str, &str)]) -> Vec<u8> {
    const MAP: u8 = 5 << 5;
    let mut map = Vec::new();
    push_cbor_head(&mut map, MAP, entries.len());
    for text in entries.iter().flat_map(|(key, value)| [key, value]) {
        const TEXT: u8 = 3 << 5;
        push_cbor_head(&mut map, TEXT, text.len());
        map.extend(text.as_bytes());
    }
    map
}

/// The major type with its argument in the shortest form.
fn push_cbor_head(to: &mut Vec<u8>, major_type: u8, argument: usize) {
    match argument {
        0..24 => to.push(major_type | argument as u8),
        24..0x100 => to.extend([major_type | 24, argument as u8]),
        0x100..0x1_0000 => {
            to.push(major_type | 25);
            to.extend((argument as u16).to_be_bytes());
        }
        _ => {
            to.push(major_type | 27);
            to.extend((argument as u64).to_be_bytes());
        }
    }
}

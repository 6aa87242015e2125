//! A request as it reached the API, body included.

use std::fmt;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::authorizer::Authorization;

/// API Gateway's own limit on a payload.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// A request to the API, and what the API did with it.
#[derive(Clone)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// The header fields as they came, names in lower case, values as bytes; the lines of one name
    /// are together.
    pub headers: Vec<(String, Bytes)>,
    /// The payload.
    pub body: Bytes,
    /// What the API did with it.
    pub verdict: Verdict,
}

/// What the API did with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The signature is right.
    Verified {
        /// The access key that signed.
        access_key: String,
        /// The identity that acts.
        identity_id: String,
        /// The role that it acts in, as policies name it.
        user_arn: String,
    },
    /// Its route wants no signature, and it has what the route wants.
    Admitted(Authorization),
    /// It was answered with this error type.
    Refused(String),
    /// A fault was planned, and nothing was checked.
    Disturbed,
}

/// Why a request could not be read.
pub(super) enum Unreadable {
    TooLarge,
    Broken,
}

impl Received {
    /// The first value of a header field, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        value.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The target up to the question mark.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The target after the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    pub(super) async fn read(request: Request<Incoming>) -> Result<Self, Unreadable> {
        let (head, body) = request.into_parts();
        let headers = head.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        let headers = headers.collect();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            if too_large { Unreadable::TooLarge } else { Unreadable::Broken }
        })?;
        Ok(Self {
            method: head.method.to_string(),
            target: target(&head.uri),
            headers,
            body: body.to_bytes(),
            verdict: Verdict::Disturbed,
        })
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("body", &self.body.len())
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned()
}

//! The id by which a request is found in the log, in spans and in answers.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use uuid::fmt::Hyphenated;

use crate::inspector::Recording;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is accepted from a client, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a request, the client's own `x-request-id` or a new one.
#[derive(Clone, Debug)]
pub struct RequestId(Text);

/// Neither allocates.
#[derive(Clone, Debug)]
enum Text {
    /// In visible ASCII.
    Given(HeaderValue),
    /// The digits and hyphens of a UUID.
    New([u8; Hyphenated::LENGTH]),
}

/// A request and what the layer around the service knows of it. A field beside the request and not one of its
/// extensions, which are a hash table that would be allocated for each request.
#[derive(Debug)]
pub struct IdentifiedRequest<B> {
    pub(super) request: Request<B>,
    pub(super) id: RequestId,
    /// The record of the exchange, if the inspector keeps one.
    pub(super) recording: Option<Recording>,
}

impl RequestId {
    /// The id of the request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sound = |id: &&HeaderValue| {
            (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        match headers.get(X_REQUEST_ID).filter(sound) {
            Some(id) => Self(Text::Given(id.clone())),
            None => {
                // An id need not be hard to guess: the generator in the process saves a system call for each request.
                let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
                let mut digits = [0; Hyphenated::LENGTH];
                id.hyphenated().encode_lower(&mut digits);
                Self(Text::New(digits))
            }
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = match &self.0 {
            Text::Given(value) => value.as_bytes(),
            Text::New(digits) => digits,
        };
        str::from_utf8(bytes).expect("ASCII is UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn id_for(given: Option<&str>) -> RequestId {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(given).expect("a value"));
        }
        RequestId::of(&headers)
    }

    #[test]
    fn an_id_of_the_client_is_taken_over_if_it_is_short_and_visible_ascii() {
        let (longest, longer) = ("a".repeat(128), "a".repeat(129));
        for given in ["a", "7f3c-42!", &longest] {
            assert_eq!(id_for(Some(given)).as_str(), given);
        }
        for given in [None, Some(""), Some("a b"), Some("a\tb"), Some("caf\u{e9}"), Some(&longer)] {
            let id = id_for(given);
            assert!(uuid::Uuid::parse_str(id.as_str()).is_ok(), "{given:?}: {id:?}");
        }
        assert_ne!(id_for(None).as_str(), id_for(None).as_str());
    }
}

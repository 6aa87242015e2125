//! The id by which a request is found in the log, in spans and in answers.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::inspector::Recording;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is accepted from a client, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a request, the client's own `x-request-id` or a new one.
#[derive(Clone, Debug, Default)]
pub struct RequestId(Arc<str>);

/// Among the extensions of a request: what the layers around the service know of it.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestContext {
    pub(super) id: RequestId,
    /// The record of the exchange, if the inspector keeps one.
    pub(super) recording: Option<Recording>,
}

impl RequestId {
    /// The id of the request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let sound = |id: &&str| {
            (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match given.filter(sound) {
            Some(id) => Self(id.into()),
            None => {
                // An id need not be hard to guess: the generator in the process saves a system call for each request.
                let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
                let mut buffer = uuid::Uuid::encode_buffer();
                let text: &str = id.hyphenated().encode_lower(&mut buffer);
                Self(text.into())
            }
        }
    }

    /// The id, to be shared.
    pub(super) fn shared(&self) -> &Arc<str> {
        &self.0
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

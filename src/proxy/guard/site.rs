//! Which page a browser's request comes from.

use http::{HeaderMap, HeaderValue, header, request::Parts};

use super::{Refusal, host::Authority};
use crate::proxy::headers::{SEC_FETCH_DEST, SEC_FETCH_SITE};

/// Refuses requests of pages that are neither the proxy's own nor of an allowed origin.
///
/// Gives the allowed origin of a request that comes from another site. A request that names no page comes
/// from no browser, or from its address bar.
pub(super) fn check(
    parts: &Parts,
    authority: Option<&Authority>,
    allowed: &[String],
) -> Result<Option<HeaderValue>, Refusal> {
    let headers = &parts.headers;
    let origin = single(headers, &header::ORIGIN)?;
    let allowed_origin = || {
        let origin = origin?;
        let text = origin.to_str().ok()?;
        allowed.iter().any(|allowed| allowed == text).then(|| origin.clone())
    };
    match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => Ok(allowed_origin()),
        Some(_) => cross_site(headers, origin, allowed, allowed_origin()),
        None => {
            let page = origin.or_else(|| headers.get(header::REFERER));
            let own = page.is_none_or(|page| {
                let origin = origin_of(page, origin.is_some());
                authority.is_some_and(|authority| authority.is_origin(&origin))
            });
            if own { Ok(allowed_origin()) } else { cross_site(headers, origin, allowed, allowed_origin()) }
        }
    }
}

/// A page of another site: its origin is allowed, or where a browser names none, its referrer's.
fn cross_site(
    headers: &HeaderMap,
    origin: Option<&HeaderValue>,
    allowed: &[String],
    allowed_origin: Option<HeaderValue>,
) -> Result<Option<HeaderValue>, Refusal> {
    if let Some(origin) = origin {
        return allowed_origin
            .map(Some)
            .ok_or_else(|| Refusal::CrossSite { origin: shown(origin_of(origin, true)) });
    }
    let Some(referrer) = headers.get(header::REFERER).map(|referrer| origin_of(referrer, false)) else {
        return Err(Refusal::CrossSite { origin: None });
    };
    if allowed.contains(&referrer) {
        let value = HeaderValue::from_str(&referrer).expect("allowed origins are visible ASCII");
        return Ok(Some(value));
    }
    Err(Refusal::CrossSite { origin: shown(referrer) })
}

/// Whether the browser will show the answer as a document, in a tab or in a frame.
pub(super) fn is_document(parts: &Parts) -> bool {
    let destination = parts.headers.get(SEC_FETCH_DEST).map(HeaderValue::as_bytes);
    matches!(destination, Some(b"document" | b"iframe" | b"frame" | b"object" | b"embed" | b"fencedframe"))
}

fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::Malformed("There are several Origin headers".into())),
    }
}

/// `scheme://authority` of an `Origin` or of a referrer's URL, lower case.
fn origin_of(value: &HeaderValue, whole: bool) -> String {
    let text = value.to_str().unwrap_or_default();
    let end = text.find("://").map_or(text.len(), |scheme| {
        let authority = scheme + 3;
        text[authority..].find(['/', '?', '#']).map_or(text.len(), |end| authority + end)
    });
    if whole { text.to_ascii_lowercase() } else { text[..end].to_ascii_lowercase() }
}

/// An origin that may stand in a message: `null` and whatever has other forms may not.
fn shown(origin: String) -> Option<String> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'.' | b'-' | b'[' | b']');
    (origin.contains("://") && origin.len() < 256 && origin.bytes().all(plain)).then_some(origin)
}

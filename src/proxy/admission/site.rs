//! Which page a browser's request comes from.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use super::{
    Refusal,
    host::{Authority, lower_case},
};
use crate::proxy::headers::{SEC_FETCH_DEST, SEC_FETCH_SITE};

/// Headers by which browsers mark a speculative load: that of the Fetch standard, then the older ones of Chromium,
/// Safari and Firefox.
static PURPOSES: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

static SPECULATIVE: [&str; 3] = ["prefetch", "prerender", "preview"];

/// Destinations whose answers become part of a page. All others are documents or workers.
const SUBRESOURCES: [&[u8]; 17] = [
    b"empty",
    b"image",
    b"script",
    b"style",
    b"font",
    b"json",
    b"audio",
    b"video",
    b"track",
    b"manifest",
    b"text",
    b"xslt",
    b"report",
    b"audioworklet",
    b"paintworklet",
    b"speculationrules",
    b"webidentity",
];

/// The page that asks, as far as a request names it.
struct Page<'a> {
    origin: Option<&'a HeaderValue>,
    referrer: Option<&'a HeaderValue>,
    authority: Option<&'a Authority<'a>>,
    allowed: &'a [String],
}

/// Refuses requests of pages that are neither the proxy's own nor of an allowed origin.
///
/// Gives the allowed origin of a request that comes from another site. A request that names no page comes
/// from no browser, or from its address bar.
pub(super) fn check(
    parts: &Parts,
    authority: Option<&Authority<'_>>,
    allowed: &[String],
) -> Result<Option<HeaderValue>, Refusal> {
    let headers = &parts.headers;
    let page = Page {
        origin: single(headers, &header::ORIGIN, "There are several Origin headers")?,
        referrer: single(headers, &header::REFERER, "There are several Referer headers")?,
        authority,
        allowed,
    };
    let site = single(headers, &SEC_FETCH_SITE, "There are several Sec-Fetch-Site headers")?;
    let passes = match site.map(HeaderValue::as_bytes) {
        // Origin is not compared: a dev server in between passes on the origin of its own page.
        Some(b"same-origin") => true,
        // Browsers say "none" to a speculation rule's prefetch as well, on behalf of any page.
        Some(b"none") => page.names_no_other() && !is_speculative(headers),
        Some(_) => false,
        None => page.is_own().unwrap_or_else(|| !is_speculative(headers)),
    };
    if passes { Ok(page.allowed_origin().cloned()) } else { page.across_sites().map(Some) }
}

/// Refuses a WebSocket handshake of a page that is neither the proxy's own nor of an allowed origin.
///
/// Browsers apply neither CORS nor a preflight to handshakes, so that Origin alone says which page opens the connection;
/// clients that are no browsers send none. A dev server that passes handshakes on passes the Origin of its own page,
/// without `Sec-Fetch-Site`.
pub(super) fn check_handshake(
    parts: &Parts,
    authority: Option<&Authority<'_>>,
    allowed: &[String],
) -> Result<(), Refusal> {
    let origin = single(&parts.headers, &header::ORIGIN, "There are several Origin headers")?;
    let page = Page { origin, referrer: None, authority, allowed };
    if page.names_no_other() { Ok(()) } else { page.across_sites().map(drop) }
}

/// The `Origin` of a request, if it is an allowed one, whatever else is wrong with the request.
pub(super) fn allowed_origin(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let origin = single(headers, &header::ORIGIN, "").ok()?;
    Page { origin, referrer: None, authority: None, allowed }.allowed_origin().cloned()
}

impl<'a> Page<'a> {
    /// Whether this is a page of the proxy, by its origin, else by its referrer; `None` when it has neither.
    fn is_own(&self) -> Option<bool> {
        self.origin
            .map(|origin| self.owns(&whole(origin)))
            .or_else(|| self.referrer.map(|referrer| self.owns(&origin_of(referrer))))
    }

    /// Whether everything that names a page names one of the proxy's.
    fn names_no_other(&self) -> bool {
        self.origin.is_none_or(|origin| self.owns(&whole(origin)))
            && self.referrer.is_none_or(|referrer| self.owns(&origin_of(referrer)))
    }

    fn owns(&self, origin: &str) -> bool {
        self.authority.is_some_and(|authority| authority.is_origin(origin))
    }

    fn allowed_origin(&self) -> Option<&'a HeaderValue> {
        self.origin
            .filter(|origin| self.allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()))
    }

    /// A page of another site: its origin is allowed, or where a browser names none, its referrer's.
    fn across_sites(&self) -> Result<HeaderValue, Refusal> {
        if let Some(origin) = self.origin {
            let refused = || Refusal::CrossSite { origin: shown(whole(origin)) };
            return self.allowed_origin().cloned().ok_or_else(refused);
        }
        let Some(referrer) = self.referrer.map(origin_of) else {
            return Err(Refusal::CrossSite { origin: None });
        };
        if self.allowed.iter().any(|allowed| *allowed == referrer) {
            return Ok(HeaderValue::from_str(&referrer).expect("allowed origins are visible ASCII"));
        }
        Err(Refusal::CrossSite { origin: shown(referrer) })
    }
}

/// Whether the browser will show the answer as a document, in a tab or in a frame, or run it as a worker.
pub(super) fn is_document(parts: &Parts) -> bool {
    let destinations = parts.headers.get_all(SEC_FETCH_DEST);
    destinations.iter().any(|destination| !SUBRESOURCES.contains(&destination.as_bytes()))
}

/// Whether a browser loads speculatively, on behalf of a page that it need not name.
fn is_speculative(headers: &HeaderMap) -> bool {
    let values = PURPOSES.iter().flat_map(|name| headers.get_all(name));
    let words = values.flat_map(|value| value.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()));
    words.into_iter().any(|word| SPECULATIVE.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())))
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    complaint: &'static str,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::Malformed(complaint.into())),
    }
}

/// An `Origin`, lower case.
fn whole(origin: &HeaderValue) -> Cow<'_, str> {
    lower_case(origin.to_str().unwrap_or_default())
}

/// `scheme://authority` of a referrer's URL, lower case.
fn origin_of(referrer: &HeaderValue) -> Cow<'_, str> {
    let text = referrer.to_str().unwrap_or_default();
    let end = text.find("://").map_or(text.len(), |scheme| {
        let authority = scheme + 3;
        text[authority..].find(['/', '?', '#']).map_or(text.len(), |end| authority + end)
    });
    lower_case(&text[..end])
}

/// An origin that may stand in a message: `null` and whatever has other forms may not.
fn shown(origin: Cow<'_, str>) -> Option<String> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'.' | b'-' | b'[' | b']');
    (origin.contains("://") && origin.len() < 256 && origin.bytes().all(plain)).then(|| origin.into_owned())
}

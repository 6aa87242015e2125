//! Which answers could run scripts on the proxy's origin if a browser showed them.

use http::{HeaderMap, header};

/// Types below `application` and `text` that no browser runs or reads as markup.
const INERT: [&[u8]; 17] = [
    b"application/json",
    b"application/octet-stream",
    b"application/pdf",
    b"application/zip",
    b"application/gzip",
    b"application/grpc",
    b"application/javascript",
    b"application/x-ndjson",
    b"application/x-amz-json-1.0",
    b"application/x-amz-json-1.1",
    b"application/vnd.amazon.eventstream",
    b"application/x-www-form-urlencoded",
    b"text/plain",
    b"text/css",
    b"text/csv",
    b"text/event-stream",
    b"text/javascript",
];

/// Families of types without markup, save those that end in `+xml`.
const INERT_FAMILIES: [&[u8]; 4] = [b"image/", b"audio/", b"video/", b"font/"];

/// Whether an answer with these headers may be HTML, SVG or XML to some browser.
///
/// Asked of every answer, since browsers do not always say what they want one for, and keep in their caches what
/// they wanted for something else. A type that is missing, repeated or unknown is guessed at by some browser.
pub(super) fn may_have_scripts(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(media_type), None) = (types.next(), types.next()) else { return true };
    !is_inert(media_type.as_bytes())
}

fn is_inert(media_type: &[u8]) -> bool {
    // Browsers read a comma as the end of one type and the beginning of another, wherever it stands.
    if media_type.contains(&b',') {
        return false;
    }
    let essence = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let ends_with = |suffix: &[u8]| {
        essence.len().checked_sub(suffix.len()).is_some_and(|at| essence[at..].eq_ignore_ascii_case(suffix))
    };
    let in_family =
        |family: &&[u8]| essence.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    INERT.iter().any(|known| essence.eq_ignore_ascii_case(known))
        || (INERT_FAMILIES.iter().any(in_family) && !ends_with(b"xml"))
        || ends_with(b"+json")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn may_have(types: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for media_type in types {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_str(media_type).expect("a value"));
        }
        may_have_scripts(&headers)
    }

    #[test]
    fn markup_and_what_could_be_taken_for_it_may_have_scripts() {
        for types in [
            &[][..],
            &[""],
            &["text/html"],
            &["Text/HTML; charset=utf-8"],
            &[" text/html"],
            &["text/html;"],
            &["application/xhtml+xml"],
            &["image/svg+xml"],
            &["IMAGE/SVG+XML;charset=utf-8"],
            &["image/xml"],
            &["text/xml"],
            &["application/xml"],
            &["text/xsl"],
            &["application/rss+xml"],
            &["application/atom+xml;type=feed"],
            &["multipart/x-mixed-replace;boundary=x"],
            &["message/rfc822"],
            &["application/json, text/html"],
            &["application/json;a=b, text/html"],
            &["application/json", "text/html"],
            &["text/html", "application/json"],
            &["application/json text/html"],
            &["*/*"],
            &["unknown/unknown"],
            &["application/unknown"],
            &["nonsense"],
        ] {
            assert!(may_have(types), "{types:?}");
        }
    }

    #[test]
    fn data_has_no_scripts() {
        for media_type in [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/problem+json",
            "application/x-amz-json-1.1",
            "application/octet-stream",
            "text/plain;charset=utf-8",
            "text/event-stream",
            "image/png",
            "video/mp4",
        ] {
            assert!(!may_have(&[media_type]), "{media_type}");
        }
    }
}

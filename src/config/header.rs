//! Headers that are set or removed on the way up.

use http::{HeaderName, HeaderValue};

use super::value::Parsed;

/// Headers that the proxy sets, needs or removes itself.
const MANAGED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-region-set",
    "x-amz-security-token",
    "x-countersign-token",
];

/// The value of a header to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// As written.
    Literal(&'a str),
    /// What is in this file.
    File(&'a str),
}

/// A header that is not the proxy's own business.
pub(super) fn name(text: &str) -> Parsed<HeaderName> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| format!("{:?} is not a header name", text.chars().take(40).collect::<String>()))?;
    let plain = name.as_str().replace('_', "-");
    if MANAGED.contains(&plain.as_str()) || plain.starts_with("proxy-") {
        return Err(format!("{name} is managed by the proxy itself"));
    }
    Ok(name)
}

/// `Name=value` or `Name=@FILE`.
pub(super) fn assignment(text: &str) -> Parsed<(HeaderName, Value<'_>)> {
    // What is wrong may be an API key alone, so that it is not quoted.
    let (written, value) = text
        .split_once('=')
        .ok_or_else(|| "is not a header such as x-source=dev or x-api-key=@FILE".to_owned())?;
    let name = name(written.trim())?;
    Ok(match value.trim().strip_prefix('@') {
        Some("") => return Err(format!("{name}=@ names no file")),
        Some(file) => (name, Value::File(file)),
        None => (name, Value::Literal(value.trim())),
    })
}

/// `Name: value`, as curl takes it.
pub(crate) fn field(text: &str) -> Parsed<(HeaderName, HeaderValue)> {
    let (written, content) =
        text.split_once(':').ok_or_else(|| "is not a header such as accept: application/json".to_owned())?;
    let name = name(written.trim())?;
    let mut value = value(content.trim().as_bytes())?;
    // Typed by hand, it is shown again unless its name says that it is a secret.
    value.set_sensitive(matches!(name.as_str(), "x-api-key" | "cookie"));
    Ok((name, value))
}

/// A header's value, kept out of Debug since it may be an API key.
pub(super) fn value(bytes: &[u8]) -> Parsed<HeaderValue> {
    let mut value = HeaderValue::from_bytes(bytes)
        .map_err(|_| "has a line break or a control character, which no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_assigned_literally_or_from_a_file() {
        let name = HeaderName::from_static;
        assert_eq!(assignment("X-Source=dev"), Ok((name("x-source"), Value::Literal("dev"))));
        assert_eq!(assignment("x-a = b=c, d"), Ok((name("x-a"), Value::Literal("b=c, d"))));
        assert_eq!(assignment("x-empty="), Ok((name("x-empty"), Value::Literal(""))));
        assert_eq!(assignment("x-api-key=@key.txt"), Ok((name("x-api-key"), Value::File("key.txt"))));
        for text in ["", "x-a", "=b", "x a=b", "x-api-key=@"] {
            assert!(assignment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn managed_headers_are_refused_in_every_spelling() {
        for text in [
            "Authorization",
            "HOST",
            "x-amz-date",
            "X_Amz_Security_Token",
            "x-amz-content-sha256",
            "X_Amz_Region_Set",
            "Connection",
            "Transfer-Encoding",
            "proxy-authorization",
            "Content-Length",
            "x-countersign-token",
        ] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name("x-amz-meta-colour").is_ok());
        assert!(name("x-api-key").is_ok());
    }

    #[test]
    fn values_do_not_show_in_debug() {
        let value = value(b"hunter2").expect("valid");
        assert!(!format!("{value:?}").contains("hunter2"));
        for (typed, shows) in
            [("X-Api-Key: hunter2", false), ("cookie: hunter2", false), ("accept: text", true)]
        {
            let (_, value) = field(typed).expect("a header");
            assert_eq!(format!("{value:?}") != "Sensitive", shows, "{typed}");
        }
        assert!(super::value(b"a\nb").is_err());
    }
}

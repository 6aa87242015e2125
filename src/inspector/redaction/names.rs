//! Which names stand before a secret: of headers, of query parameters, and of fields in bodies.

use percent_encoding::percent_decode;

/// Names that end in one of these hold a secret, wherever they stand. Hyphens, underscores and dots do not count, nor do
/// an `s` and digits at the end.
const SECRET_ENDINGS: [&str; 33] = [
    "accesskey",
    "accesskeyid",
    "accountkey",
    "apikey",
    "assertion",
    "authcode",
    "authorization",
    "authorizationcode",
    "bearer",
    "codeverifier",
    "confirmationcode",
    "cookie",
    "devicecode",
    "encryptionkey",
    "jwt",
    "masterkey",
    "mfacode",
    "otp",
    "passcode",
    "passphrase",
    "privatekey",
    "pwd",
    "recoverycode",
    "samlresponse",
    "sessid",
    "sessionid",
    "sharedkey",
    "signature",
    "signingkey",
    "subscriptionkey",
    "token",
    "tokenhint",
    "verificationcode",
];

/// Names that contain one of these hold a secret.
const SECRET_PARTS: [&str; 10] = [
    "password",
    "passwd",
    "secret",
    "credential",
    // German, French, Spanish (the normal form has no ñ, unless it was written as n), Portuguese, Dutch.
    "passwort",
    "motdepasse",
    "contrasea",
    "contrasena",
    "palavrapasse",
    "wachtwoord",
];

/// Short names that hold a secret only when nothing else is in them.
const SECRET_NAMES: [&str; 8] = ["auth", "connectsid", "pass", "pin", "senha", "session", "sid", "sig"];

/// Pages and repeats of a request are found by these, and nobody is let in for them. Without them such a request
/// could not be sent again.
const EXCEPTIONS: [&str; 12] = [
    "clientrequesttoken",
    "clienttoken",
    "continuationtoken",
    "exclusivestartkey",
    "idempotencykey",
    "idempotencytoken",
    "nextcontinuationtoken",
    "nextpagetoken",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "secwebsocketkey",
];

/// Headers whose values are secret and whose names do not say so.
const SECRET_HEADERS: [&str; 2] = ["authenticationinfo", "secwebsocketprotocol"];

/// The headers of most messages. None of them is secret, so that their names need not be looked at.
pub(super) fn is_public_header(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "accept-language"
            | "accept-ranges"
            | "access-control-allow-origin"
            | "age"
            | "alt-svc"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-language"
            | "content-length"
            | "content-security-policy"
            | "content-type"
            | "cross-origin-resource-policy"
            | "date"
            | "etag"
            | "expires"
            | "host"
            | "if-modified-since"
            | "if-none-match"
            | "last-modified"
            | "location"
            | "origin"
            | "pragma"
            | "referer"
            | "sec-ch-ua"
            | "sec-ch-ua-mobile"
            | "sec-ch-ua-platform"
            | "sec-fetch-dest"
            | "sec-fetch-mode"
            | "sec-fetch-site"
            | "server"
            | "strict-transport-security"
            | "traceparent"
            | "transfer-encoding"
            | "user-agent"
            | "vary"
            | "via"
            | "x-amz-apigw-id"
            | "x-amz-cf-id"
            | "x-amz-cf-pop"
            | "x-amz-content-sha256"
            | "x-amz-date"
            | "x-amzn-requestid"
            | "x-amzn-trace-id"
            | "x-cache"
            | "x-content-type-options"
            | "x-request-id"
    )
}

/// The longest name that is looked at, in bytes.
pub(super) const MAX_NAME: usize = 128;

/// How often a name may be percent-encoded.
const MAX_ENCODINGS: usize = 3;

/// A name in lower case without what separates its words, percent-encoding and the escapes of JSON undone.
pub(super) fn normal(name: &[u8]) -> String {
    if memchr::memchr2(b'\\', b'%', name).is_none() {
        return letters(name);
    }
    let mut decoded = unescaped(name);
    // A URL within a URL, and one within that.
    for _ in 0..MAX_ENCODINGS {
        decoded = percent_decode(&decoded).collect();
    }
    letters(&decoded)
}

fn letters(name: &[u8]) -> String {
    let mut letters = String::with_capacity(name.len());
    let plain = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.extend(plain.map(|byte| char::from(byte.to_ascii_lowercase())));
    letters
}

/// `p\u0061ss` is `pass`. Characters beyond ASCII are in none of the names here.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        // JSON within JSON has more backslashes.
        let slashes = rest.iter().take_while(|&&byte| byte == b'\\').count();
        let escaped = rest[slashes..].strip_prefix(b"u").and_then(|digits| digits.get(..4));
        let escaped = escaped.filter(|_| slashes > 0);
        let value =
            escaped.and_then(|digits| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[slashes + 5..];
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

/// Whether a field or a query parameter of this normal name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    if EXCEPTIONS.contains(&name) {
        return false;
    }
    let single = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let single = single.strip_suffix('s').unwrap_or(single);
    has_secret_ending(name)
        || single.len() < name.len() && has_secret_ending(single)
        || has_secret_part(name)
        || SECRET_NAMES.contains(&name)
}

fn has_secret_ending(name: &str) -> bool {
    let Some(last) = name.bytes().last() else { return false };
    let may_end = |ending: &&&str| ending.as_bytes().last() == Some(&last);
    SECRET_ENDINGS.iter().filter(may_end).any(|ending| name.ends_with(ending))
}

fn has_secret_part(name: &str) -> bool {
    let name = name.as_bytes();
    // What the parts begin with; most letters of most names are others.
    let begins = |byte: u8| matches!(byte, b'p' | b's' | b'c' | b'm' | b'w');
    (0..name.len()).filter(|&at| begins(name[at])).any(|at| {
        SECRET_PARTS
            .iter()
            .any(|part| name[at] == part.as_bytes()[0] && name[at..].starts_with(part.as_bytes()))
    })
}

/// Whether a query parameter or a field of a form holds a secret: those of OAuth and of presigned requests as well.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    is_secret(name) || name == "code" || name == "state" || name == "key" || name.starts_with("xamz")
}

/// Whether a header of this normal name holds a secret.
pub(super) fn is_secret_header(name: &str) -> bool {
    is_secret(name)
        || (name.ends_with("key") || name.ends_with("auth") || name.ends_with("session"))
            && !EXCEPTIONS.contains(&name)
        || SECRET_HEADERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_secret_in_every_spelling() {
        for name in ["password", "user[password]", "Pass-Word", "p\\u0061ssword", "pass%77ord", "db.password"]
        {
            assert!(is_secret(&normal(name.as_bytes())), "{name}");
        }
        for name in
            ["access_token", "accessToken", "refresh-token", "client_secret", "apiKey", "Credentials", "sid"]
        {
            assert!(is_secret(&normal(name.as_bytes())), "{name}");
        }
        for name in
            ["authorization", "x-api-key", "x-amz-security-token", "x-shared-secret", "set-cookie", "x-auth"]
        {
            assert!(is_secret_header(&normal(name.as_bytes())), "{name}");
        }
        for name in ["code", "X-Amz-Signature", "X-Amz-Credential", "api_key"] {
            assert!(is_secret_parameter(&normal(name.as_bytes())), "{name}");
        }
    }

    #[test]
    fn what_lets_nobody_in_is_kept() {
        for name in ["nextToken", "Idempotency-Key", "name", "inside", "compass", "partition_key", "author"] {
            assert!(!is_secret(&normal(name.as_bytes())), "{name}");
        }
        for name in
            ["idempotency-key", "sec-websocket-key", "etag", "content-type", "x-amz-date", "x-amzn-requestid"]
        {
            assert!(!is_secret_header(&normal(name.as_bytes())), "{name}");
        }
    }
}

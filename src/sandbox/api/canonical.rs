//! The canonical request of Signature Version 4, made from the request as it was received.
//!
//! Written from the specification alone and sharing nothing with the signer, so that neither can
//! hide a mistake of the other.

use super::{
    authorization::{Claim, Place},
    received::Received,
};
use crate::sandbox::{
    digest::{hex, sha256},
    percent::{decode, encode},
};

/// The canonical request over the headers that the client says it has signed.
pub(super) fn request(received: &Received, claim: &Claim<'_>) -> Vec<u8> {
    let mut canonical = Vec::new();
    let raw = received.query().unwrap_or_default();
    let query = match claim.place {
        Place::Header => query(raw),
        Place::Query { .. } => query(&without_signature(raw)),
    };
    for line in [&received.method, &path(received.path()), &query] {
        canonical.extend_from_slice(line.as_bytes());
        canonical.push(b'\n');
    }
    for name in claim.signed_headers.split(';') {
        canonical.extend_from_slice(name.as_bytes());
        canonical.push(b':');
        canonical.extend_from_slice(&header(received, name));
        canonical.push(b'\n');
    }
    canonical.push(b'\n');
    canonical.extend_from_slice(claim.signed_headers.as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(hex(&sha256(&[&received.body])).as_bytes());
    canonical
}

/// The path as it was received, without empty and dot segments, encoded once more.
pub(super) fn path(raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut open = true;
    for segment in raw.split('/').skip(1) {
        open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let mut canonical = String::new();
    for segment in &kept {
        canonical.push('/');
        canonical.push_str(&encode(segment.as_bytes()));
    }
    if open || kept.is_empty() {
        canonical.push('/');
    }
    canonical
}

/// The query without the one parameter that cannot be signed.
fn without_signature(raw: &str) -> String {
    let kept = raw.split('&').filter(|part| part.split('=').next() != Some("X-Amz-Signature"));
    kept.collect::<Vec<_>>().join("&")
}

/// The parameters decoded, encoded, and sorted by encoded name and then by encoded value.
pub(super) fn query(raw: &str) -> String {
    let mut parameters: Vec<(String, String)> = raw
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (encode(&decode(name)), encode(&decode(value)))
        })
        .collect();
    parameters.sort();
    let parameters: Vec<String> =
        parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.join("&")
}

/// All lines of a field joined with commas, each trimmed and with its runs of white space folded.
fn header(received: &Received, name: &str) -> Vec<u8> {
    let lines = received.headers.iter().filter(|(known, _)| known == name);
    let folded: Vec<Vec<u8>> = lines.map(|(_, value)| fold(value)).collect();
    folded.join(&b","[..])
}

fn fold(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b" "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded_once_more() {
        for (raw, canonical) in [
            ("/", "/"),
            ("", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//a//b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/../..", "/"),
            ("/a%2Fb", "/a%252Fb"),
            ("/a%2fb", "/a%252fb"),
            ("/%2E%2E/a", "/%252E%252E/a"),
            ("/@connections/x=%3D", "/%40connections/x%3D%253D"),
            ("/a+b*c:d", "/a%2Bb%2Ac%3Ad"),
            ("/-._~", "/-._~"),
        ] {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn queries_are_decoded_encoded_and_sorted() {
        for (raw, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a-b=1&a=2", "a=2&a-b=1"),
            ("a=2&a=1", "a=1&a=2"),
            ("a=b+c", "a=b%20c"),
            ("a=b%20c", "a=b%20c"),
            ("a=b%2Bc", "a=b%2Bc"),
            ("a=%7e%2d", "a=~-"),
            ("flag", "flag="),
            ("flag=", "flag="),
            ("a=b=c", "a=b%3Dc"),
            ("&&a=1&", "a=1"),
            ("=v", "=v"),
            ("a=1;b=2", "a=1%3Bb%3D2"),
            ("a=%FF", "a=%FF"),
            ("p[x]=1", "p%5Bx%5D=1"),
            ("a=*!'()", "a=%2A%21%27%28%29"),
            ("a=%zz%", "a=%25zz%25"),
        ] {
            assert_eq!(query(raw), canonical, "{raw}");
        }
    }
}

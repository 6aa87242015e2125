//! What a target means stays the same on the wire, the canonical form depends on nothing else, and what hops
//! may do to a request leaves it alone.

use proptest::{prelude::prop_assert, sample::Index};

use super::*;

/// A byte as it may be written in a target, by a choice.
fn spell(byte: u8, choice: u8, in_query: bool) -> String {
    let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let harmless = b"!$'()*,:@".contains(&byte) || in_query && b"/?;{|}".contains(&byte);
    match choice % 4 {
        0 => format!("%{byte:02X}"),
        1 => format!("%{byte:02x}"),
        _ if byte == b' ' && in_query => "+".to_owned(),
        _ if plain || harmless => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn spell_all(bytes: &[u8], choices: &[u8]) -> String {
    bytes.iter().zip(choices.iter().cycle()).map(|(&byte, &choice)| spell(byte, choice, true)).collect()
}

fn spell_query(parameters: &[(Vec<u8>, Vec<u8>)], choices: &[u8]) -> String {
    let spelled = parameters
        .iter()
        .map(|(key, value)| format!("{}={}", spell_all(key, choices), spell_all(value, choices)));
    spelled.collect::<Vec<_>>().join("&")
}

/// The canonical query of decoded parameters, written down from AWS's description.
fn described(parameters: &[(Vec<u8>, Vec<u8>)]) -> String {
    let encode = |bytes: &[u8]| -> String {
        bytes
            .iter()
            .map(|&byte| match char::from(byte) {
                letter @ ('A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '.' | '_' | '~') => letter.to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let mut pairs: Vec<(String, String)> =
        parameters.iter().map(|(key, value)| (encode(key), encode(value))).collect();
    pairs.sort();
    let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    lines.join("&")
}

fn canonical_query(query: &str) -> String {
    let target = WireTarget::new("", b"/", Some(query.as_bytes()), Encoding::Twice).expect("valid");
    let mut out = Vec::new();
    canonical::push_query(&mut out, target.query().unwrap_or_default().as_bytes());
    String::from_utf8(out).expect("ASCII")
}

/// Name and value of a query as a server decodes them, in order.
fn decoded(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode =
        |text: &str| percent_encoding::percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>();
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(k, v)| (decode(k), decode(v)))
        .collect()
}

fn parameters() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    // Few different bytes, so that keys collide and prefixes of keys occur.
    let byte = prop_oneof![
        Just(b'a'),
        Just(b'B'),
        Just(b'-'),
        Just(b'='),
        Just(b'&'),
        Just(b';'),
        Just(b' '),
        any::<u8>()
    ];
    let text = move |least| prop::collection::vec(byte.clone(), least..4);
    prop::collection::vec((text(1), text(0)), 1..6)
        .prop_filter("an empty list of parameters has no spelling", |list| !list.is_empty())
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..8)
}

/// What a hop may do to a header section.
#[derive(Clone, Debug)]
enum Hop {
    Add(&'static str),
    Remove(&'static str),
    Pad(Index),
    Rotate(Index),
}

fn hop() -> impl Strategy<Value = Hop> {
    let unsigned = prop::sample::select(vec!["via", "x-forwarded-for", "accept-encoding", "x-amzn-trace-id"]);
    prop_oneof![
        unsigned.clone().prop_map(Hop::Add),
        unsigned.prop_map(Hop::Remove),
        any::<Index>().prop_map(Hop::Pad),
        any::<Index>().prop_map(Hop::Rotate),
    ]
}

/// A header section after a hop; values of one name keep their order (RFC 9110 section 5.3).
fn passed(headers: &HeaderMap, hop: &Hop) -> HeaderMap {
    let mut headers = headers.clone();
    match hop {
        Hop::Add(name) => {
            headers.append(*name, HeaderValue::from_static("hop"));
        }
        Hop::Remove(name) => {
            headers.remove(*name);
        }
        Hop::Pad(index) => {
            let at = index.index(headers.len());
            let value = headers.values_mut().nth(at).expect("in range");
            let padded = [b" ", value.as_bytes(), b"\t"].concat();
            *value = HeaderValue::from_bytes(&padded).expect("blanks may stand in a value");
        }
        Hop::Rotate(index) => {
            let mut names: Vec<HeaderName> = headers.keys().cloned().collect();
            let by = index.index(names.len());
            names.rotate_left(by);
            let mut rotated = HeaderMap::new();
            for name in names {
                headers.get_all(&name).iter().for_each(|value| {
                    rotated.append(&name, value.clone());
                });
            }
            headers = rotated;
        }
    }
    headers
}

proptest! {
    #[test]
    fn the_canonical_query_depends_on_what_the_query_means_and_on_nothing_else(
        parameters in parameters(), one in choices(), other in choices(), shift in any::<Index>(),
    ) {
        let mut turned = parameters.clone();
        turned.rotate_left(shift.index(parameters.len()));
        let expected = described(&parameters);
        let mut unsent = Vec::new();
        canonical::push_query(&mut unsent, spell_query(&parameters, &one).as_bytes());
        prop_assert_eq!(String::from_utf8(unsent).expect("ASCII"), expected.clone());
        prop_assert_eq!(canonical_query(&spell_query(&parameters, &one)), expected.clone());
        prop_assert_eq!(canonical_query(&spell_query(&turned, &other)), expected);
    }

    #[test]
    fn the_wire_query_means_what_the_clients_meant_in_the_same_order(
        parameters in parameters(), choices in choices(),
    ) {
        let spelled = spell_query(&parameters, &choices);
        let target =
            WireTarget::new("", b"/", Some(spelled.as_bytes()), Encoding::Twice).expect("valid");
        prop_assert_eq!(decoded(target.query().expect("a query")), parameters);
    }

    #[test]
    fn a_target_that_was_on_the_wire_goes_on_unchanged(path in path(), query in prop::option::of(query())) {
        for encoding in [Encoding::Once, Encoding::Twice] {
            let first = WireTarget::new("/prod", path.as_bytes(), query.as_deref().map(str::as_bytes), encoding)
                .expect("valid");
            let wire = first.as_path_and_query();
            let again = WireTarget::new("", wire.path().as_bytes(), wire.query().map(str::as_bytes), encoding)
                .expect("valid");
            prop_assert_eq!(&first, &again);
        }
    }

    #[test]
    fn different_paths_have_different_canonical_paths(path in path(), other in path()) {
        let canonical = |path: &str| {
            let mut out = Vec::new();
            canonical::push_path(&mut out, path.as_bytes(), Encoding::Twice);
            out
        };
        let flat = |path: &str| path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        let plain = flat(&path[1..]) && flat(&other[1..]);
        prop_assert!(!plain || (path == other) == (canonical(&path) == canonical(&other)));
    }

    #[test]
    fn hops_may_do_what_http_lets_them_without_breaking_the_signature(
        values in prop::collection::vec("[!-~]([ -~]{0,6}[!-~])?", 1..4), hops in prop::collection::vec(hop(), 0..6),
    ) {
        let mut unsigned = unsigned("/a/b?c=d", Encoding::Twice);
        for value in &values {
            unsigned.headers.append("x-amz-meta-a", value.parse().expect("a value"));
        }
        unsigned.headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
        unsigned.headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        let (signed, explanation) = signer("execute-api")
            .sign_explained(&unsigned, &credentials(), SystemTime::UNIX_EPOCH)
            .expect("signs");
        let arrived = hops.iter().fold(signed.headers().clone(), |headers, hop| passed(&headers, hop));
        // The server takes the names from the signature.
        let authorization = signed.headers()["authorization"].to_str().expect("ASCII").to_owned();
        let names = authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next());
        let names: Vec<&str> = names.expect("names").split(';').collect();
        let host = &signed.headers()["host"];
        let selected = canonical::select(&arrived, host, |name| names.contains(&name.as_str()));
        let mut seen = Vec::new();
        canonical::request(
            &mut seen,
            signed.method(),
            signed.target(),
            &selected,
            Encoding::Twice,
            unsigned.payload.signed_as(),
        );
        prop_assert_eq!(seen, explanation.canonical_request);
    }
}

//! The official signing test suite, where it lies beside the project.

use std::{fs, path::Path};

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::*;

#[derive(Deserialize)]
struct Context {
    credentials: Keys,
    normalize: bool,
    region: String,
    service: String,
    sign_body: bool,
    timestamp: String,
    #[serde(default)]
    omit_session_token: bool,
}

#[derive(Deserialize)]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

#[test]
fn official_vectors_have_the_official_signatures() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/aws-signing-test-suite-v4");
    let Ok(folder) = fs::read_dir(&suite) else {
        println!("official vectors not compared: aws-signing-test-suite-v4 is not beside the project");
        return;
    };
    let mut compared = 0;
    for case in folder {
        let case = case.expect("readable").path();
        check(&case);
        compared += 1;
    }
    println!("{compared} official vectors compared");
    assert!(compared > 30, "the suite has 38 cases");
}

fn check(case: &Path) {
    let read = |name: &str| fs::read_to_string(case.join(name)).expect("complete suite");
    let context: Context = serde_json::from_str(&read("context.json")).expect("valid context");
    let text = read("request.txt");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let (line, header_lines) = head.split_once('\n').expect("a header");

    let time = OffsetDateTime::parse(&context.timestamp, &Rfc3339).expect("valid time");
    let timestamp = key::Timestamp::new(time.into()).expect("in range");
    let payload = Payload::from(Bytes::copy_from_slice(body.as_bytes()));
    let (host, mut headers) = parse_headers(header_lines);
    headers.insert(X_AMZ_DATE, timestamp.date_time().parse().expect("value"));
    if let Some(token) = context.credentials.token.as_ref().filter(|_| !context.omit_session_token) {
        headers.insert(X_AMZ_SECURITY_TOKEN, token.parse().expect("value"));
    }
    if context.sign_body {
        headers.insert(X_AMZ_CONTENT_SHA256, payload.hash().as_str().parse().expect("value"));
    }

    let selected = canonical::select(&headers, &host, |_| true);
    let canonical = canonical_request(line, &selected, context.normalize, &payload);
    assert_eq!(canonical, read("header-canonical-request.txt"), "{}", case.display());

    let scope = Scope { region: context.region, service: context.service };
    let keys = Credentials::new(
        context.credentials.access_key_id,
        context.credentials.secret_access_key,
        None,
        None,
        "test",
    );
    let key = key::SigningKey::new(&scope, &keys, &timestamp);
    let signature = percent::hex_digits(&key.sign(read("header-string-to-sign.txt").as_bytes()));
    assert_eq!(signature, *read("header-signature.txt").as_bytes(), "{}", case.display());
}

/// The suite has targets that no wire request can carry, so that the parts are computed from its text.
fn canonical_request(
    line: &str,
    selected: &canonical::Selected<'_>,
    normalize: bool,
    payload: &Payload,
) -> String {
    let (method, rest) = line.split_once(' ').expect("a method");
    let target = rest.strip_suffix(" HTTP/1.1").expect("a version");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));

    let mut canonical_path = Vec::new();
    if normalize {
        canonical::push_path(&mut canonical_path, path.as_bytes(), Encoding::Twice);
    } else {
        percent::extend_encoded(&mut canonical_path, path.as_bytes(), percent::RESERVED_IN_PATH);
    }
    let mut canonical_query = Vec::new();
    canonical::push_query(&mut canonical_query, query.as_bytes());

    // Everything below the query comes from the signer, asked about a target without one.
    let bare = WireTarget::new("", b"/", None, Encoding::Twice).expect("valid");
    let mut below = Vec::new();
    let hash = payload.signed_as();
    canonical::request(&mut below, &Method::GET, &bare, selected, Encoding::Twice, hash);
    let below = String::from_utf8(below).expect("ASCII");
    let below = below.strip_prefix("GET\n/\n\n").expect("three lines");
    let text = |bytes| String::from_utf8(bytes).expect("ASCII");
    format!("{method}\n{}\n{}\n{below}", text(canonical_path), text(canonical_query))
}

fn parse_headers(lines: &str) -> (HeaderValue, HeaderMap) {
    let mut headers = HeaderMap::new();
    let unfolded = lines.replace("\n ", " ");
    for line in unfolded.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a colon");
        headers.append(name.parse::<HeaderName>().expect("name"), value.parse().expect("value"));
    }
    (headers.remove("host").expect("a host"), headers)
}

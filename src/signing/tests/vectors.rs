//! The official signing test suites: that of SigV4 where it lies beside the project, that of SigV4A in the sources of the
//! crate `aws-sigv4`, which cargo keeps.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::BytesMut;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{asymmetric::PublicKey, *};

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

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Point {
    x: String,
    y: String,
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

#[test]
fn official_vectors_of_sigv4a_verify_by_the_official_public_key() {
    let Some(suite) = asymmetric_suite() else {
        println!("official vectors of SigV4A not compared: cargo keeps no sources of aws-sigv4 with them");
        return;
    };
    let cases: Vec<PathBuf> =
        fs::read_dir(suite).expect("readable").map(|case| case.expect("readable").path()).collect();
    cases.iter().for_each(|case| check_asymmetric(case));
    println!("{} official vectors of SigV4A compared", cases.len());
    assert!(cases.len() > 30, "the suite has 38 cases");
}

/// The suite in the newest sources of `aws-sigv4` that cargo has unpacked.
fn asymmetric_suite() -> Option<PathBuf> {
    let cargo = option_env!("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(Path::new(option_env!("HOME")?).join(".cargo")))?;
    let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let sources =
        folders(&cargo.join("registry/src")).flat_map(|registry| folders(&registry).collect::<Vec<_>>());
    let is_ours = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"aws-sigv4-"))
    };
    let suites = sources.filter(is_ours).map(|path| path.join("aws-signing-test-suite/v4a"));
    suites.filter(|path| path.is_dir()).max()
}

fn check_asymmetric(case: &Path) {
    let read = |name: &str| fs::read_to_string(case.join(name)).expect("complete suite");
    let case_is = case.display();
    let vector = Vector::read(case);
    let region_set: RegionSet = vector.context.region.parse().expect("a set of regions");
    let mut headers = vector.headers.clone();
    headers.insert(X_AMZ_REGION_SET, region_set.header_value());
    let selected = canonical::select(&headers, &vector.host, |_| true);
    let canonical = canonical_request(&vector.line, &selected, vector.context.normalize, &vector.payload);
    assert_eq!(canonical, read("header-canonical-request.txt"), "{case_is}");

    let scope = Scope { region: SigningRegion::Set(region_set), service: vector.context.service.clone() };
    let key = key::SigningKey::new(&scope, &vector.keys(), &vector.timestamp);
    let expected = read("header-string-to-sign.txt");
    let hash = percent::hex_digits(&Sha256::digest(canonical.as_bytes()).into());
    let hash = std::str::from_utf8(&hash).expect("ASCII");
    let (algorithm, time) = (key.algorithm(), vector.timestamp.date_time());
    assert_eq!(format!("{algorithm}\n{time}\n{}\n{hash}", key.scope()), expected, "{case_is}");

    let point: Point = serde_json::from_str(&read("public-key.json")).expect("a point");
    let public_key = PublicKey::of(&point.x, &point.y);
    let mut signature = BytesMut::new();
    key.push_signature(&mut signature, expected.as_bytes());
    let signature = std::str::from_utf8(&signature).expect("ASCII");
    assert!(public_key.verifies(expected.as_bytes(), signature), "{case_is}");
    assert!(public_key.verifies(expected.as_bytes(), &read("header-signature.txt")), "{case_is}");
}

/// A request of a suite, with the headers that signing adds in both versions.
struct Vector {
    context: Context,
    line: String,
    timestamp: key::Timestamp,
    host: HeaderValue,
    headers: HeaderMap,
    payload: Payload,
}

impl Vector {
    fn read(case: &Path) -> Self {
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
        Self { line: line.to_owned(), context, timestamp, host, headers, payload }
    }

    fn keys(&self) -> Credentials {
        let Keys { access_key_id, secret_access_key, .. } = &self.context.credentials;
        Credentials::new(access_key_id, secret_access_key, None, None, "test")
    }
}

fn check(case: &Path) {
    let read = |name: &str| fs::read_to_string(case.join(name)).expect("complete suite");
    let vector = Vector::read(case);
    let selected = canonical::select(&vector.headers, &vector.host, |_| true);
    let canonical = canonical_request(&vector.line, &selected, vector.context.normalize, &vector.payload);
    assert_eq!(canonical, read("header-canonical-request.txt"), "{}", case.display());

    let Context { region, service, .. } = &vector.context;
    let scope = Scope { region: region.as_str().into(), service: service.clone() };
    let key = key::SigningKey::new(&scope, &vector.keys(), &vector.timestamp);
    let mut signature = BytesMut::new();
    key.push_signature(&mut signature, read("header-string-to-sign.txt").as_bytes());
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

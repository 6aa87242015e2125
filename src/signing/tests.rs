use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::request_target::MAX_LENGTH;

mod asymmetric;
mod meaning;
mod vectors;

fn credentials() -> Credentials {
    Credentials::new(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        Some("token=".into()),
        None,
        "test",
    )
}

fn signer(service: &str) -> Signer {
    Signer::new(Scope { region: "eu-west-1".into(), service: service.into() })
}

fn unsigned(target: &str, encoding: Encoding) -> Unsigned {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Unsigned {
        method: Method::GET,
        target: WireTarget::new("", path.as_bytes(), query.map(str::as_bytes), encoding).expect(target),
        host: WireHost::new("abc123.execute-api.eu-west-1.amazonaws.com").expect("a host"),
        headers: HeaderMap::new(),
        payload: Payload::empty(),
    }
}

fn canonical_lines(target: &str, service: &str) -> (String, String, String) {
    let signer = signer(service);
    let unsigned = unsigned(target, signer.scope().encoding());
    let (_, explanation) =
        signer.sign_explained(&unsigned, &credentials(), SystemTime::UNIX_EPOCH).expect("signs");
    let text = String::from_utf8(explanation.canonical_request).expect("ASCII");
    let mut lines = text.lines().skip(1).map(str::to_owned);
    let wire = unsigned.target.as_path_and_query().to_string();
    (wire, lines.next().expect("path"), lines.next().expect("query"))
}

/// Target, what goes on the wire, canonical path, canonical query.
const AWKWARD: &[(&str, &str, &str, &str)] = &[
    ("/dev/mypath%2Fnext", "/dev/mypath%2Fnext", "/dev/mypath%252Fnext", ""),
    ("/dev/mypath%2fnext", "/dev/mypath%2fnext", "/dev/mypath%252fnext", ""),
    ("/dev/@connections/Oo..WA%3D", "/dev/@connections/Oo..WA%3D", "/dev/%40connections/Oo..WA%253D", ""),
    ("/$default/x", "/$default/x", "/%24default/x", ""),
    ("/a+b", "/a+b", "/a%2Bb", ""),
    ("/*/x", "/*/x", "/%2A/x", ""),
    ("/a:b=c,d'e(f)g!h", "/a:b=c,d'e(f)g!h", "/a%3Ab%3Dc%2Cd%27e%28f%29g%21h", ""),
    ("/a;b&c", "/a;b&c", "/a%3Bb%26c", ""),
    ("/a~b", "/a~b", "/a~b", ""),
    ("/%25", "/%25", "/%2525", ""),
    ("/%FF", "/%FF", "/%25FF", ""),
    ("/a{b}|c", "/a%7Bb%7D%7Cc", "/a%257Bb%257D%257Cc", ""),
    ("//", "//", "/", ""),
    ("//a///b/", "//a///b/", "/a/b/", ""),
    ("/./a/./b", "/./a/./b", "/a/b", ""),
    ("/a/../b", "/a/../b", "/b", ""),
    ("/../../b", "/../../b", "/b", ""),
    ("/a/b/..", "/a/b/..", "/a/", ""),
    ("/a/.", "/a/.", "/a/", ""),
    ("/a//../b", "/a//../b", "/b", ""),
    ("/%2E%2E/a", "/%2E%2E/a", "/%252E%252E/a", ""),
    ("/?a=b+c", "/?a=b%20c", "/", "a=b%20c"),
    ("/?a=b%2Bc%20d", "/?a=b%2Bc%20d", "/", "a=b%2Bc%20d"),
    ("/?flag", "/?flag", "/", "flag="),
    ("/?=v", "/?=v", "/", "=v"),
    ("/?", "/?", "/", ""),
    ("/?a=1&&b=2&", "/?a=1&&b=2&", "/", "a=1&b=2"),
    ("/?a=*!'()", "/?a=*!'()", "/", "a=%2A%21%27%28%29"),
    ("/?a=b=c==", "/?a=b=c==", "/", "a=b%3Dc%3D%3D"),
    ("/?b=2&a=2&a=1&A=0", "/?b=2&a=2&a=1&A=0", "/", "A=0&a=1&a=2&b=2"),
    ("/?a-b=1&a=2", "/?a-b=1&a=2", "/", "a=2&a-b=1"),
    ("/?page[b]=1&page%5Ba%5D=2", "/?page[b]=1&page%5Ba%5D=2", "/", "page%5Ba%5D=2&page%5Bb%5D=1"),
    ("/?a=1;b=2", "/?a=1%3Bb=2", "/", "a=1%3Bb%3D2"),
    ("/?a={x}|y", "/?a=%7Bx%7D%7Cy", "/", "a=%7Bx%7D%7Cy"),
    ("/?a=%ff", "/?a=%ff", "/", "a=%FF"),
    ("/?a=%41%7e", "/?a=%41%7e", "/", "a=A~"),
    ("/?a=%25%32%35", "/?a=%25%32%35", "/", "a=%2525"),
    ("/?a=x/y?z@:", "/?a=x/y?z@:", "/", "a=x%2Fy%3Fz%40%3A"),
];

#[test]
fn awkward_targets_have_the_canonical_form_that_the_gateway_computes() {
    for (target, wire, path, query) in AWKWARD {
        let expected = ((*wire).to_owned(), (*path).to_owned(), (*query).to_owned());
        assert_eq!(canonical_lines(target, "execute-api"), expected, "{target}");
    }
}

/// Target, and the wire path that is canonical to S3 as well.
const S3_KEYS: &[(&str, &str)] = &[
    ("/bucket/a%2Fb", "/bucket/a/b"),
    ("/bucket/a%252Fb", "/bucket/a%252Fb"),
    ("/bucket/mac@2x.png", "/bucket/mac%402x.png"),
    ("/bucket/a+b c%2B", "/bucket/a%2Bb%20c%2B"),
    ("/bucket//a/../b/./", "/bucket//a/../b/./"),
    ("/bucket/%e4%f6", "/bucket/%E4%F6"),
    ("/bucket/*'()!~", "/bucket/%2A%27%28%29%21~"),
];

#[test]
fn s3_keys_are_encoded_once_and_never_normalised() {
    for (target, expected) in S3_KEYS {
        let (wire, path, _) = canonical_lines(target, "s3");
        assert_eq!((wire.as_str(), path.as_str()), (*expected, *expected), "{target}");
    }
}

#[test]
fn the_base_path_comes_first_and_keeps_its_bytes() {
    let target = WireTarget::new("/prod/v1", b"/items", Some(b"a=1"), Encoding::Twice).expect("valid");
    assert_eq!(target.as_path_and_query(), "/prod/v1/items?a=1");
}

#[test]
fn targets_that_cannot_be_sent_are_refused() {
    let long = format!("/{}", "a".repeat(crate::request_target::MAX_LENGTH));
    let table: &[(&str, Option<&str>, TargetError)] = &[
        ("/%zz", None, TargetError::BadEscape),
        ("/a%2", None, TargetError::BadEscape),
        ("/", Some("a=%"), TargetError::BadEscape),
        ("a", None, TargetError::Malformed),
        ("", None, TargetError::Malformed),
        ("/a\u{7}", None, TargetError::Malformed),
        (&long, None, TargetError::TooLong),
        ("/", Some("X-Amz-Signature=1"), TargetError::Presigned),
        ("/", Some("x-amz-signature=1"), TargetError::Presigned),
        ("/", Some("a&x%2Damz-Algorithm=AWS4"), TargetError::Presigned),
        ("/", Some("AWSAccessKeyId=AKID&Expires=1&Signature=abc%3D"), TargetError::Presigned),
        ("/", Some("signature=abc&a&awsaccesskeyi%64=AKID"), TargetError::Presigned),
    ];
    for (path, query, error) in table {
        let made = WireTarget::new("", path.as_bytes(), query.map(str::as_bytes), Encoding::Twice);
        assert_eq!(made, Err(*error), "{path:.20} {query:?}");
    }
}

#[test]
fn one_parameter_of_a_version_2_signature_is_the_clients_own() {
    for query in ["Signature=abc", "AWSAccessKeyId=AKID", "x=AWSAccessKeyId&y=Signature", "Expires=1"] {
        assert!(WireTarget::new("", b"/", Some(query.as_bytes()), Encoding::Twice).is_ok(), "{query}");
    }
}

#[test]
fn only_s3_and_its_data_planes_have_the_path_rules_of_s3() {
    let table = [
        ("s3", Encoding::Once),
        ("s3control", Encoding::Once),
        ("s3express", Encoding::Once),
        ("s3-outposts", Encoding::Once),
        ("s3-object-lambda", Encoding::Once),
        ("s3tables", Encoding::Twice),
        ("s3vectors", Encoding::Twice),
        ("s3files", Encoding::Twice),
        ("s3-other", Encoding::Twice),
        ("execute-api", Encoding::Twice),
    ];
    for (service, encoding) in table {
        let scope = Scope { region: "us-east-1".into(), service: service.to_owned() };
        assert_eq!(scope.encoding(), encoding, "{service}");
    }
}

#[test]
fn only_host_content_type_and_x_amz_headers_are_signed() {
    let mut unsigned = unsigned("/", Encoding::Twice);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-amz-target", "a"),
        ("x-amzn-trace-id", "b"),
        ("cookie", "c"),
        ("accept-encoding", "gzip"),
    ] {
        unsigned.headers.insert(name, HeaderValue::from_static(value));
    }
    let signed =
        signer("execute-api").sign(&unsigned, &credentials(), SystemTime::UNIX_EPOCH).expect("signs");
    let authorization = signed.headers()["authorization"].to_str().expect("ASCII");
    assert!(
        authorization
            .contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "),
        "{authorization}"
    );
}

#[test]
fn header_values_are_trimmed_folded_and_joined_in_wire_order() {
    let mut unsigned = unsigned("/", Encoding::Twice);
    unsigned.headers.append("x-amz-meta-a", HeaderValue::from_static("  b \t  c  "));
    unsigned.headers.append("x-amz-meta-a", HeaderValue::from_static("a, z"));
    unsigned.headers.append("x-amz-meta-b", HeaderValue::from_static("a\tb"));
    let (_, explanation) = signer("execute-api")
        .sign_explained(&unsigned, &credentials(), SystemTime::UNIX_EPOCH)
        .expect("signs");
    let text = String::from_utf8(explanation.canonical_request).expect("ASCII");
    assert!(text.contains("\nx-amz-meta-a:b c,a, z\nx-amz-meta-b:a b\n"), "{text}");
}

#[test]
fn the_hash_of_the_body_is_a_header_where_the_service_reads_it() {
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (service, expected) in [
        ("execute-api", None),
        ("lambda", None),
        ("aoss", Some(EMPTY)),
        ("opensearch", Some(EMPTY)),
        ("s3", Some(EMPTY)),
        ("s3-object-lambda", Some(EMPTY)),
        ("s3express", Some(EMPTY)),
    ] {
        let signer = signer(service);
        let unsigned = unsigned("/", signer.scope().encoding());
        let signed = signer.sign(&unsigned, &credentials(), SystemTime::UNIX_EPOCH).expect("signs");
        let hash = signed.headers().get("x-amz-content-sha256").map(|hash| hash.to_str().expect("text"));
        assert_eq!(hash, expected, "{service}");
    }
}

#[test]
fn an_unsigned_payload_is_signed_as_what_it_is() {
    let body = || Payload::from(Bytes::from_static(b"2\r\nhi\r\n0\r\n\r\n"));
    for (service, payload, word) in [
        ("s3", body().with_unsigned_trailer(), "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("s3", body().unsigned(), "UNSIGNED-PAYLOAD"),
        ("vpc-lattice-svcs", Payload::empty().unsigned(), "UNSIGNED-PAYLOAD"),
    ] {
        let mut unsigned = unsigned("/key", Encoding::Once);
        unsigned.payload = payload;
        let signed = signer(service).sign_explained(&unsigned, &credentials(), SystemTime::UNIX_EPOCH);
        let (request, explanation) = signed.expect("signs");
        assert_eq!(request.headers()["x-amz-content-sha256"], word, "{service}");
        let canonical = String::from_utf8_lossy(&explanation.canonical_request).into_owned();
        assert!(canonical.ends_with(&format!("\n{word}")), "{service}");
        assert!(canonical.contains(&format!("\nx-amz-content-sha256:{word}\n")), "{service}");
    }
}

#[test]
fn a_new_day_or_new_credentials_use_a_new_key() {
    let signer = signer("execute-api");
    let unsigned = unsigned("/", Encoding::Twice);
    let other = Credentials::new("AKIDEXAMPLE", "another", Some("token=".into()), None, "test");
    let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let authorization = |credentials: &Credentials, time| {
        let signed = signer.sign(&unsigned, credentials, time).expect("signs");
        signed.headers()["authorization"].clone()
    };
    let first = authorization(&credentials(), SystemTime::UNIX_EPOCH);
    assert_ne!(first, authorization(&other, SystemTime::UNIX_EPOCH));
    assert_ne!(first, authorization(&credentials(), day));
    assert_eq!(first, authorization(&credentials(), SystemTime::UNIX_EPOCH));
}

#[test]
fn a_signer_that_has_signed_before_signs_like_a_new_one() {
    let used = signer("execute-api");
    let unsigned = unsigned("/", Encoding::Twice);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let of = |access_key_id, secret, token: Option<&str>| {
        Credentials::new(access_key_id, secret, token.map(str::to_owned), None, "test")
    };
    for (credentials, time) in [
        (of("AKID", "secret", Some("one")), at(86_398)),
        (of("AKID", "secret", Some("one")), at(86_399)),
        (of("AKID", "secret", Some("one")), at(86_400)),
        (of("AKID", "secret", Some("two")), at(86_400)),
        (of("AKID2", "secret", Some("two")), at(86_400)),
        (of("AKID2", "another", Some("two")), at(86_400)),
        (of("AKID2", "another", None), at(86_400)),
        (of("AKID2", "another", Some("two")), at(86_398)),
    ] {
        let signed = used.sign(&unsigned, &credentials, time).expect("signs");
        let expected = signer("execute-api").sign(&unsigned, &credentials, time).expect("signs");
        assert_eq!(signed.headers(), expected.headers(), "{time:?}");
    }
}

#[test]
fn targets_of_one_buffer_have_nothing_of_each_other() {
    let buffer = TargetBuffer::default();
    let target = |path: &str, query: Option<&str>| {
        WireTarget::new_in(&buffer, "/prod", path.as_bytes(), query.map(str::as_bytes), Encoding::Twice)
    };
    let first = target("/first", Some("a=b c")).expect("valid");
    // Short enough as it comes, and too long once it is encoded.
    assert_eq!(target(&format!("/{}", "{".repeat(MAX_LENGTH / 2)), None), Err(TargetError::TooLong));
    let second = target("/second", None).expect("valid");
    assert_eq!(first.as_path_and_query(), "/prod/first?a=b%20c");
    assert_eq!(second.as_path_and_query(), "/prod/second");
}

#[test]
fn a_request_is_signed_the_same_into_the_memory_of_another() {
    let used = signer("s3");
    let mut other = unsigned("/other", Encoding::Once);
    for number in 0..20 {
        let name = HeaderName::from_bytes(format!("x-amz-meta-{number}").as_bytes()).expect("a name");
        other.headers.append(name.clone(), HeaderValue::from_static("1"));
        other.headers.append(name, HeaderValue::from_static("2"));
    }
    used.sign(&other, &credentials(), SystemTime::UNIX_EPOCH).expect("signs");
    used.recycle(other.headers);
    let unsigned = unsigned("/", Encoding::Once);
    let signed = used.sign(&unsigned, &credentials(), SystemTime::UNIX_EPOCH).expect("signs");
    let fresh = signer("s3").sign(&unsigned, &credentials(), SystemTime::UNIX_EPOCH).expect("signs");
    assert!(signed.headers().capacity() > fresh.headers().capacity(), "the memory is the other's");
    assert!(signed.headers().iter().eq(fresh.headers()));
}

#[test]
fn credentials_that_no_header_can_carry_are_an_error() {
    let broken = Credentials::new("AKID", "secret", Some("line\nbreak".into()), None, "test");
    let signed = signer("execute-api").sign(&unsigned("/", Encoding::Twice), &broken, SystemTime::UNIX_EPOCH);
    assert_eq!(signed.map(|_| ()), Err(SigningError::CredentialsNotPrintable));
}

#[test]
fn debug_shows_neither_token_nor_signature() {
    let signed = signer("execute-api")
        .sign(&unsigned("/", Encoding::Twice), &credentials(), SystemTime::UNIX_EPOCH)
        .expect("signs");
    let text = format!("{signed:?}");
    assert!(!text.contains("token=") && !text.contains("Signature="), "{text}");
    for token in [QueryToken::Signed, QueryToken::Appended] {
        let unsigned = unsigned("/a?b=1", Encoding::Twice);
        let (signed, _) = signer("execute-api")
            .sign_query(&unsigned, &credentials(), SystemTime::UNIX_EPOCH, token)
            .expect("signs");
        let text = format!("{signed:?}");
        assert!(!text.contains("token") && !text.contains("Signature"), "{text}");
    }
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            "[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,6}",
            Just("..".to_owned()),
            Just(".".to_owned()),
            "%[0-9A-Fa-f]{2}"
        ],
        1..6,
    )
    .prop_map(|segments| format!("/{}", segments.join("/")))
}

fn query() -> impl Strategy<Value = String> {
    // The reference decodes to UTF-8 text, so that only escapes of ASCII bytes are comparable.
    let parameter = "([a-zA-Z0-9._~!$'()*+,:@/?-]|%[2-7][0-9A-Fa-f]){0,8}(=[a-zA-Z+=]{0,4})?";
    prop::collection::vec(parameter, 0..6).prop_map(|parameters| parameters.join("&"))
}

proptest! {
    #[test]
    fn signatures_equal_those_of_the_aws_crate(
        path in path(),
        query in prop::option::of(query()),
        method in prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("PATCH")],
        body in prop::collection::vec(any::<u8>(), 0..64),
        content_type in prop::option::of("[a-z]{1,5}/[a-z]{1,5}(; *charset=[a-z]{1,3})?"),
        metadata in prop::collection::vec(" ?[ -~]{0,12} ?", 0..3),
        seconds in 0_u64..4_000_000_000,
    ) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert("content-type", value.parse().expect("value"));
        }
        for value in metadata {
            headers.append("x-amz-meta-a", value.parse().expect("value"));
        }
        let unsigned = Unsigned {
            method: method.parse().expect("method"),
            target: WireTarget::new("/prod", path.as_bytes(), query.as_deref().map(str::as_bytes), Encoding::Twice)
                .expect("valid target"),
            host: WireHost::new("abc123.execute-api.eu-west-1.amazonaws.com").expect("a host"),
            headers,
            payload: Bytes::from(body.clone()).into(),
        };
        let ours = signer("execute-api").sign(&unsigned, &credentials(), time).expect("signs");
        prop_assert_eq!(
            ours.headers()["authorization"].to_str().expect("ASCII"),
            reference_authorization(&unsigned, &body, time)
        );
    }
}

fn reference_authorization(unsigned: &Unsigned, body: &[u8], time: SystemTime) -> String {
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4,
    };
    let identity = credentials().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("execute-api")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .expect("complete")
        .into();
    let uri = format!("https://{}{}", unsigned.host.as_authority(), unsigned.target.as_path_and_query());
    let headers =
        unsigned.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII")));
    let signable = SignableRequest::new(unsigned.method.as_str(), uri, headers, SignableBody::Bytes(body))
        .expect("signable");
    let (instructions, _) = sign(signable, &params).expect("signs").into_parts();
    let authorization = instructions.headers().find(|(name, _)| *name == "authorization").expect("signed");
    authorization.1.to_owned()
}

proptest! {
    #[test]
    fn signatures_in_the_query_equal_those_of_the_aws_crate(
        path in path(),
        query in prop::option::of(query()),
        is_token_signed in any::<bool>(),
        seconds in 0_u64..4_000_000_000,
    ) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let unsigned = unsigned(&target, Encoding::Twice);
        let token = if is_token_signed { QueryToken::Signed } else { QueryToken::Appended };
        let (signed, _) =
            signer("execute-api").sign_query(&unsigned, &credentials(), time, token).expect("signs");
        let ours = signed.target().as_path_and_query().query().expect("a query");
        let signature = reference_signature_in_query(&unsigned, time, is_token_signed);
        prop_assert!(ours.contains(&format!("&X-Amz-Signature={signature}")), "{ours}");
        prop_assert_eq!(ours.ends_with("&X-Amz-Security-Token=token%3D"), !is_token_signed);
    }
}

fn reference_signature_in_query(unsigned: &Unsigned, time: SystemTime, is_token_signed: bool) -> String {
    use aws_sigv4::{
        http_request::{
            SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
        },
        sign::v4,
    };
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(300));
    settings.session_token_mode =
        if is_token_signed { SessionTokenMode::Include } else { SessionTokenMode::Exclude };
    let identity = credentials().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("execute-api")
        .time(time)
        .settings(settings)
        .build()
        .expect("complete")
        .into();
    let uri = format!("https://{}{}", unsigned.host.as_authority(), unsigned.target.as_path_and_query());
    let signable =
        SignableRequest::new("GET", uri, std::iter::empty(), SignableBody::Bytes(b"")).expect("signable");
    let (instructions, _) = sign(signable, &params).expect("signs").into_parts();
    let signature =
        instructions.params().iter().find(|(name, _)| *name == "X-Amz-Signature").expect("signed");
    signature.1.to_string()
}

use std::{fs, path::Path};

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::sandbox::{api::Verdict, credential_store::Principal};

fn issued(access_key: &str, secret_key: &str, token: Option<&str>, expires: SystemTime) -> Issued {
    Issued {
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
        session_token: token.map(str::to_owned),
        expires,
        valid: true,
        principal: Principal {
            identity_id: String::new(),
            login: None,
            role_arn: String::new(),
            session_name: String::new(),
        },
    }
}

/// Reads a request of the suite, whose targets may hold spaces and whose fields may be folded.
fn parse(text: &str) -> Received {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let (line, fields) = head.split_once('\n').expect("a request line");
    let (method, target) = line.split_once(' ').expect("a method");
    let target = target.strip_suffix(" HTTP/1.1").expect("a version");
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for field in fields.lines() {
        if field.starts_with(' ') {
            headers.last_mut().expect("a field to continue").1.extend_from_slice(field.as_bytes());
        } else {
            let (name, value) = field.split_once(':').expect("a field");
            headers.push((name.to_lowercase(), value.as_bytes().to_vec()));
        }
    }
    Received {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect(),
        body: Bytes::from(body.to_owned()),
        verdict: Verdict::Disturbed,
    }
}

fn read_time(text: &str) -> SystemTime {
    parse_time(text).expect("a time in basic form")
}

#[test]
fn the_official_suite_is_verified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let suite = root.join("../shared/vectors/aws-signing-test-suite-v4");
    let Ok(cases) = fs::read_dir(&suite) else {
        println!("no official signing suite found");
        return;
    };
    let mut checked = 0;
    for case in cases {
        let case = case.expect("a readable folder").path();
        let read = |file: &str| fs::read_to_string(case.join(file)).expect("a readable file");
        let context: Value = serde_json::from_str(&read("context.json")).expect("JSON");
        if context["normalize"] == false {
            continue;
        }
        let scope = Scope { region: "us-east-1".to_owned(), service: "service".to_owned() };
        let credentials = &context["credentials"];
        let text = |key: &str| credentials[key].as_str();
        let now = read_time("20150830T123600Z");
        let store = CredentialStore::default();
        let (key, secret) = (text("access_key_id").expect("key"), text("secret_access_key").expect("secret"));
        store.keep(issued(key, secret, text("token"), now + TOLERANCE), now);
        let mut received = parse(&read("header-signed-request.txt"));
        let outcome = scope.verify(&received, &store, now).map(|issued| issued.access_key);
        assert_eq!(outcome.as_deref(), Ok(key), "{}", case.display());

        received.method.push('X');
        let refused = scope.verify(&received, &store, now).map(|issued| issued.access_key);
        assert_eq!(refused.map_err(|error| error.code), Err("InvalidSignatureException".to_owned()));
        checked += 1;
    }
    assert!(checked > 20, "only {checked} cases were checked");
}

const SIGNED: &str = "GET / HTTP/1.1\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\
    authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
    SignedHeaders=host;x-amz-date, \
    Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31\n\n";

fn verdict_on(request: &str, now: &str) -> Result<(), AwsError> {
    let now = read_time(now);
    let store = CredentialStore::default();
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    store.keep(issued("AKIDEXAMPLE", secret, None, read_time("20150830T130000Z")), now);
    let scope = Scope { region: "us-east-1".to_owned(), service: "service".to_owned() };
    scope.verify(&parse(request), &store, now).map(|_| ())
}

fn refusal(change: (&str, &str), now: &str) -> (String, String) {
    assert!(SIGNED.contains(change.0), "nothing to change: {}", change.0);
    let error = verdict_on(&SIGNED.replace(change.0, change.1), now).expect_err("a refusal");
    (error.code, error.message)
}

#[test]
fn a_right_signature_is_verified_within_five_minutes() {
    for now in ["20150830T123600Z", "20150830T124100Z", "20150830T123100Z"] {
        assert_eq!(verdict_on(SIGNED, now), Ok(()), "{now}");
    }
}

#[test]
fn refusals_are_in_the_words_of_the_gateway() {
    let now = "20150830T123600Z";
    for (change, code, message) in [
        (
            ("authorization:", "x-other:"),
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ),
        (
            ("AWS4-HMAC-SHA256 Credential=", "Bearer "),
            "IncompleteSignatureException",
            "Invalid key=value pair",
        ),
        (
            ("Credential=", "Kredential="),
            "IncompleteSignatureException",
            "Authorization header requires 'Credential' parameter. Authorization=AWS4-HMAC-SHA256",
        ),
        (
            ("x-amz-date:20150830T123600Z", "x-amz-date:yesterday"),
            "IncompleteSignatureException",
            "Date must be in ISO-8601 'basic format'. Got 'yesterday'.",
        ),
        (
            ("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date"),
            "InvalidSignatureException",
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            "IncompleteSignatureException",
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.",
        ),
        (
            ("/aws4_request", ""),
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements",
        ),
        (
            ("us-east-1/service", "us-east-2/other"),
            "InvalidSignatureException",
            "Credential should be scoped to a valid region. \
             Credential should be scoped to correct service: 'service'. ",
        ),
        (
            ("AKIDEXAMPLE", "AKIDUNKNOWN"),
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            ("x-amz-date:", "x-amz-security-token:t\nx-amz-date:"),
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            ("GET / ", "GET /x "),
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        ),
    ] {
        let (actual, text) = refusal(change, now);
        assert_eq!(actual, code, "{change:?}");
        assert!(text.starts_with(message), "{text}");
    }
}

#[test]
fn a_wrong_signature_is_answered_with_the_canonical_request() {
    let (_, message) = refusal(("GET / ", "GET /x%2Fy?b=+&a "), "20150830T123600Z");
    let canonical = "The Canonical String for this request should have been\n\
        'GET\n/x%252Fy\na=&b=%20\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n";
    assert!(message.contains(canonical), "{message}");
}

#[test]
fn a_skewed_request_is_refused_with_the_servers_time() {
    let unchanged = ("GET", "GET");
    assert_eq!(
        refusal(unchanged, "20150830T124101Z"),
        (
            "InvalidSignatureException".to_owned(),
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
             (20150830T124101Z - 5 min.)"
                .to_owned()
        )
    );
    assert_eq!(
        refusal(unchanged, "20150830T123059Z"),
        (
            "InvalidSignatureException".to_owned(),
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z \
             (20150830T123059Z + 5 min.)"
                .to_owned()
        )
    );
}

#[test]
fn expired_credentials_differ_from_unknown_ones() {
    let now = read_time("20150830T123600Z");
    let store = CredentialStore::default();
    store.keep(issued("AKIDEXAMPLE", "secret", None, now), now - TOLERANCE);
    let scope = Scope { region: "us-east-1".to_owned(), service: "service".to_owned() };
    let error = scope.verify(&parse(SIGNED), &store, now).map(|_| ()).expect_err("expired");
    assert_eq!(
        error,
        AwsError::new("ExpiredTokenException", "The security token included in the request is expired")
    );
}

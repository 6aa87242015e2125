//! Requests signed by SigV4A through the program. Their signatures are verified from the bytes that arrive, by code that
//! shares nothing with the signer.

#![cfg(feature = "sandbox")]

mod support;

use std::collections::BTreeMap;

use ring::{
    digest,
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use support::{
    Connection,
    program::{self, Program, address},
    upstream::{FINE, Upstream},
};

const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The public key that belongs to these, as aws-c-auth derives it: the coordinates of a point on P-256.
const PUBLIC_KEY: [&str; 2] = [
    "b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1",
    "865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518",
];

/// A request as it arrived.
struct Received {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let mut line = lines.next().expect("a request line").split(' ');
        let (method, target) = (line.next().expect("a method"), line.next().expect("a target"));
        let fields = lines.map(|line| line.split_once(':').expect("a field"));
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: fields
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    fn field(&self, name: &str) -> &str {
        self.values(name).first().copied().unwrap_or_else(|| panic!("no {name} in {:?}", self.fields))
    }

    /// `Credential`, `SignedHeaders` and `Signature`.
    fn authorization(&self) -> BTreeMap<&str, &str> {
        let text = self.field("authorization").strip_prefix("AWS4-ECDSA-P256-SHA256 ").expect("SigV4A");
        text.split(", ").map(|part| part.split_once('=').expect("a parameter")).collect()
    }

    /// The canonical request, whose path is `path`; the query needs no encoding.
    fn canonical_request(&self, path: &str) -> String {
        let (_, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut query: Vec<&str> = query.split('&').collect();
        query.sort_unstable();
        let names = self.authorization()["SignedHeaders"];
        let line = |name| format!("{name}:{}\n", self.values(name).join(","));
        let fields: String = names.split(';').map(line).collect();
        let hash = sha256(self.body.as_bytes());
        format!("{}\n{path}\n{}\n{fields}\n{names}\n{hash}", self.method, query.join("&"))
    }

    /// Checks that this is signed for `service`, with the canonical path `path`.
    fn verify(&self, service: &str, path: &str) {
        let authorization = self.authorization();
        let date = self.field("x-amz-date");
        let scope = format!("{}/{service}/aws4_request", &date[..8]);
        assert_eq!(authorization["Credential"], format!("{ACCESS_KEY_ID}/{scope}"));
        let hash = sha256(self.canonical_request(path).as_bytes());
        let string_to_sign = format!("AWS4-ECDSA-P256-SHA256\n{date}\n{scope}\n{hash}");
        let public_key = UnparsedPublicKey::new(
            &ECDSA_P256_SHA256_ASN1,
            // The prefix of an uncompressed point (SEC 1, section 2.3.3).
            [vec![4], bytes_of(PUBLIC_KEY[0]), bytes_of(PUBLIC_KEY[1])].concat(),
        );
        let signature = bytes_of(authorization["Signature"]);
        let verified = public_key.verify(string_to_sign.as_bytes(), &signature);
        assert!(verified.is_ok(), "{string_to_sign}\n{}", self.canonical_request(path));
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

/// `serve` with keys from variables, in front of `upstream`, and a connection to it.
async fn serve(upstream: &Upstream, service: &str, region_set: &str) -> (Program, Connection) {
    let mut command = program::command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    command
        .env("COUNTERSIGN_CREDENTIALS", "aws")
        .env("COUNTERSIGN_UPSTREAM", upstream.url())
        .env("COUNTERSIGN_SERVICE", service)
        .env("COUNTERSIGN_REGION_SET", region_set)
        .env("COUNTERSIGN_LOG_FORMAT", "json")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_SESSION_TOKEN", "example-session-token");
    let program = Program::start(command);
    let url = program.logged("ready", "url").await;
    (program, Connection::open(address(&url)).await)
}

async fn fine() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await
}

#[tokio::test]
async fn requests_are_signed_for_the_set_and_not_for_the_clients_own() {
    let upstream = fine().await;
    let (program, mut client) = serve(&upstream, "events", "us-east-1, us-west-*").await;
    client
        .write(
            "POST /a%20b/../c?b=2&a=1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\
             content-type: application/json\r\nx-amz-region-set: eu-west-1\r\nx_amz_region_set: eu-west-2\r\n\
             x-amz-target: AWSEvents.PutEvents\r\n\r\n{}",
        )
        .await;
    assert_eq!(client.answer().await.0.status, 200);
    let received = Received::parse(&upstream.requests()[0]);
    assert_eq!(received.values("x-amz-region-set"), ["us-east-1,us-west-*"]);
    assert!(received.values("x_amz_region_set").is_empty());
    assert_eq!(
        received.authorization()["SignedHeaders"],
        "content-type;host;x-amz-date;x-amz-region-set;x-amz-security-token;x-amz-target"
    );
    received.verify("events", "/c");
    assert_eq!(program.logged("ready", "region_set").await, "us-east-1,us-west-*");
    let line = program.stderr_line("\"message\":\"ready\"").await;
    assert!(!line.contains("\"region\":"), "{line}");
}

#[tokio::test]
async fn s3_keys_are_encoded_once_and_the_hash_of_the_body_is_signed() {
    let upstream = fine().await;
    let (_program, mut client) = serve(&upstream, "s3", "*").await;
    for (key, path) in [("/a%2Fb", "/a/b"), ("//c/../d@e", "//c/../d%40e"), ("/%252F%C3%A9", "/%252F%C3%A9")]
    {
        client.write(format!("PUT {key} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nbody")).await;
        assert_eq!(client.answer().await.0.status, 200);
        let received = Received::parse(upstream.requests().last().expect("a request"));
        assert_eq!(received.target, path);
        assert_eq!(received.field("x-amz-content-sha256"), sha256(b"body"));
        received.verify("s3", path);
    }
}

#[tokio::test]
async fn a_refusal_for_clock_skew_is_signed_again_for_the_right_time() {
    let upstream = Upstream::start(|_, mut wire| async move {
        let refusal = "{\"message\":\"Signature not yet current: A is still later than B\"}";
        let head = "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: InvalidSignatureException\r\n";
        let date = "date: Tue, 01 Jan 2030 00:00:00 GMT\r\n";
        if wire.request().await.is_some() {
            let length = refusal.len();
            wire.write(format!("{head}{date}content-length: {length}\r\n\r\n{refusal}")).await;
        }
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await;
    let (_program, mut client) = serve(&upstream, "events", "*").await;
    client.write("POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.0.status, 200);
    let requests: Vec<_> = upstream.requests().iter().map(|request| Received::parse(request)).collect();
    let [first, second] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    first.verify("events", "/x");
    second.verify("events", "/x");
    assert!(second.field("x-amz-date").starts_with("20300101T0000"), "{}", second.field("x-amz-date"));
}

#[tokio::test]
async fn another_set_at_the_gateway_is_named_as_the_difference() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let canonical = Received::parse(&request).canonical_request("/x");
            let text = canonical.replace("x-amz-region-set:*", "x-amz-region-set:us-east-1");
            let body = serde_json::json!({ "message": format!(
                "The request signature we calculated does not match the signature you provided.\n\n\
                 The Canonical String for this request should have been\n'{text}'\n"
            ) })
            .to_string();
            let head =
                "HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\nx-amzn-errortype: InvalidSignatureException\r\n";
            wire.write(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
        }
    })
    .await;
    let (program, mut client) = serve(&upstream, "events", "*").await;
    client.write("GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.0.status, 403);
    let line = program.stderr_line("\"meaning\":\"signature-differs\"").await;
    assert!(line.contains("these parts differ: header x-amz-region-set\""), "{line}");
}

#[tokio::test]
async fn an_explanation_shows_the_set_and_the_scope_without_a_region() {
    let folder = program::folder();
    let mut command = program::command(&[
        "explain",
        "GET",
        "/a%2Fb",
        "--upstream",
        "https://a.mrap.accesspoint.s3-global.amazonaws.com",
    ]);
    command.current_dir(folder.path());
    let ended = program::run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for expected in [
        "request to https://a.mrap.accesspoint.s3-global.amazonaws.com, signed for s3 in region-set *\n",
        "  GET /a/b\n",
        "  x-amz-region-set: *\n",
        "authorization: AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/",
        "host;x-amz-content-sha256;x-amz-date;x-amz-region-set;x-amz-security-token, Signature=(redacted)\n",
        "string to sign\n\n  AWS4-ECDSA-P256-SHA256\n",
        "/s3/aws4_request\n",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}\n{}", ended.stdout);
    }
}

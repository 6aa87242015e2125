//! SigV4A: what is signed, and that the public key of the credentials verifies it. The verifier is ring's, which shares no
//! code with the signer.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::*;

/// The point on P-256 that belongs to the keys of [`credentials`], as aws-c-auth derives it.
const X: &str = "b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1";
const Y: &str = "865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518";

/// What verifies the signatures of one pair of keys.
pub(super) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// The key at a point, by its hexadecimal coordinates.
    pub(super) fn of(x: &str, y: &str) -> Self {
        // The prefix of an uncompressed point (SEC 1, section 2.3.3).
        Self([vec![4], bytes_of(x), bytes_of(y)].concat())
    }

    /// Whether `signature`, in hexadecimal DER, is one of `text`.
    pub(super) fn verifies(&self, text: &[u8], signature: &str) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(text, &bytes_of(signature)).is_ok()
    }
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

fn asymmetric_signer(service: &str, region_set: &str) -> Signer {
    let region = SigningRegion::Set(region_set.parse().expect("a set of regions"));
    Signer::new(Scope { region, service: service.into() })
}

/// The parts of `Authorization`: algorithm and credential, names of headers, signature.
fn authorization(signed: &SignedRequest) -> (String, String, String) {
    let text = signed.headers()["authorization"].to_str().expect("ASCII");
    let (credential, rest) = text.split_once(", SignedHeaders=").expect("names of headers");
    let (names, signature) = rest.split_once(", Signature=").expect("a signature");
    (credential.to_owned(), names.to_owned(), signature.to_owned())
}

#[test]
fn a_set_of_regions_is_signed_as_a_header_and_is_not_in_the_scope() {
    let signer = asymmetric_signer("events", "us-east-1, us-*");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let signed = signer.sign_explained(&unsigned("/a%2Fb?x=1+2", Encoding::Twice), &credentials(), time);
    let (request, explanation) = signed.expect("signs");
    assert_eq!(request.headers()["x-amz-region-set"], "us-east-1,us-*");
    assert_eq!(
        String::from_utf8(explanation.canonical_request).expect("ASCII"),
        "GET\n/a%252Fb\nx=1%202\nhost:abc123.execute-api.eu-west-1.amazonaws.com\nx-amz-date:20150830T123600Z\n\
         x-amz-region-set:us-east-1,us-*\nx-amz-security-token:token=\n\n\
         host;x-amz-date;x-amz-region-set;x-amz-security-token\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let head = "AWS4-ECDSA-P256-SHA256\n20150830T123600Z\n20150830/events/aws4_request\n";
    assert!(explanation.string_to_sign.starts_with(head), "{}", explanation.string_to_sign);
    let (credential, names, signature) = authorization(&request);
    assert_eq!(credential, "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20150830/events/aws4_request");
    assert_eq!(names, "host;x-amz-date;x-amz-region-set;x-amz-security-token");
    let public_key = PublicKey::of(X, Y);
    assert!(public_key.verifies(explanation.string_to_sign.as_bytes(), &signature));
    assert!(!public_key.verifies(head.as_bytes(), &signature));
}

#[test]
fn s3_has_its_path_rules_and_its_content_hash_with_a_set_of_regions_too() {
    let signer = asymmetric_signer("s3", "*");
    let unsigned = unsigned("/a%2Fb//c@d", signer.scope().encoding());
    let signed = signer.sign_explained(&unsigned, &credentials(), SystemTime::UNIX_EPOCH);
    let (request, explanation) = signed.expect("signs");
    assert_eq!(request.target().as_path_and_query(), "/a/b//c%40d");
    assert!(explanation.canonical_request.starts_with(b"GET\n/a/b//c%40d\n"));
    assert_eq!(
        authorization(&request).1,
        "host;x-amz-content-sha256;x-amz-date;x-amz-region-set;x-amz-security-token"
    );
}

#[test]
fn the_same_request_has_the_same_signature() {
    let sign = || {
        let signer = asymmetric_signer("s3", "*");
        let signed = signer.sign(&unsigned("/", Encoding::Once), &credentials(), SystemTime::UNIX_EPOCH);
        authorization(&signed.expect("signs"))
    };
    assert_eq!(sign(), sign());
}

#[test]
fn the_key_pair_follows_the_access_key_and_the_secret() {
    let used = asymmetric_signer("events", "*");
    let unsigned = unsigned("/", Encoding::Twice);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let of = |access_key_id, secret| Credentials::new(access_key_id, secret, None, None, "test");
    let mut signatures = std::collections::HashSet::new();
    for (credentials, time) in [
        (of("AKID", "secret"), at(86_399)),
        (of("AKID", "secret"), at(86_400)),
        (of("AKID2", "secret"), at(86_400)),
        (of("AKID2", "another"), at(86_400)),
    ] {
        let signed = used.sign(&unsigned, &credentials, time).expect("signs");
        let fresh = asymmetric_signer("events", "*").sign(&unsigned, &credentials, time).expect("signs");
        assert_eq!(signed.headers(), fresh.headers(), "{time:?}");
        assert!(signatures.insert(authorization(&signed).2), "{time:?}");
    }
}

#[test]
fn one_region_adds_no_header_of_regions() {
    let signed = signer("s3").sign(&unsigned("/", Encoding::Once), &credentials(), SystemTime::UNIX_EPOCH);
    assert!(!signed.expect("signs").headers().contains_key("x-amz-region-set"));
}

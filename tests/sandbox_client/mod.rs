//! A plain client of the sandbox: JSON 1.1 calls, the client's side of SRP, signed requests.
//!
//! Shares no code with the crate, so that a mistake cannot cancel itself out.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use countersign::sandbox::{Sandbox, Settings, User};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error},
    rt::TokioExecutor,
};
use num_bigint::BigUint;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const TIMESTAMP: &str = "Mon Nov 2 09:05:07 UTC 2026";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// Code and message of a Cognito error, which must come with status 400 and both marks.
    pub(crate) fn error(&self) -> (String, String) {
        let body = self.json();
        assert_eq!(self.status, StatusCode::BAD_REQUEST, "{body}");
        let code = body["__type"].as_str().expect("an error").to_owned();
        assert_eq!(self.headers["x-amzn-errortype"], format!("{code}:"));
        (code, body["message"].as_str().expect("a message").to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }
}

pub(crate) async fn start() -> Sandbox {
    start_with(Settings::default()).await
}

pub(crate) async fn start_with(settings: Settings) -> Sandbox {
    countersign::sandbox::start(settings).await.expect("free ports")
}

/// Sends a request as it is, on a connection of its own.
pub(crate) async fn send(request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
    Client::builder(TokioExecutor::new()).build_http().request(request).await
}

pub(crate) async fn exchange(request: Request<Full<Bytes>>) -> Answer {
    let (head, body) = send(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

pub(crate) fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a valid request")
}

pub(crate) fn json_request(endpoint: &str, target: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(Full::from(body.to_string()))
        .expect("a valid request")
}

/// An operation of cognito-idp.
pub(crate) async fn idp(sandbox: &Sandbox, operation: &str, body: Value) -> Answer {
    let target = format!("AWSCognitoIdentityProviderService.{operation}");
    exchange(json_request(&sandbox.user_pool_endpoint(), &target, &body)).await
}

/// An operation of cognito-identity.
pub(crate) async fn identity(sandbox: &Sandbox, operation: &str, body: Value) -> Answer {
    let target = format!("AWSCognitoIdentityService.{operation}");
    exchange(json_request(&sandbox.identity_pool_endpoint(), &target, &body)).await
}

pub(crate) fn secret_hash(secret: &str, username: &str, client_id: &str) -> String {
    STANDARD.encode(hmac(secret.as_bytes(), &[username.as_bytes(), client_id.as_bytes()]))
}

/// The client's side of SRP.
pub(crate) struct Srp {
    group: String,
    a: BigUint,
    public: BigUint,
}

impl Srp {
    pub(crate) fn new(group: &str) -> Self {
        let a = BigUint::from_bytes_be(&rand::random::<[u8; 128]>());
        let public = g().modpow(&a, &n());
        Self { group: group.to_owned(), a, public }
    }

    pub(crate) fn for_pool(sandbox: &Sandbox) -> Self {
        let id = sandbox.user_pool_id();
        Self::new(id.split_once('_').expect("a pool id").1)
    }

    pub(crate) fn srp_a(&self) -> String {
        self.public.to_str_radix(16)
    }

    /// PASSWORD_CLAIM_SIGNATURE for ChallengeParameters that prove the password of `id`.
    pub(crate) fn signature(&self, parameters: &Value, id: &str, password: &str, timestamp: &str) -> String {
        let number = |name: &str| {
            let text = parameters[name].as_str().expect("a parameter");
            BigUint::parse_bytes(text.as_bytes(), 16).expect("hexadecimal")
        };
        let (salt, b) = (number("SALT"), number("SRP_B"));
        let block = parameters["SECRET_BLOCK"].as_str().expect("a block");
        let block = STANDARD.decode(block).expect("base64");
        let k = hash(&[&padded(&n()), &padded(&g())]);
        let u = hash(&[&padded(&self.public), &padded(&b)]);
        let identity = [self.group.as_bytes(), id.as_bytes(), b":", password.as_bytes()].concat();
        let x = hash(&[&padded(&salt), &Sha256::digest(identity)]);
        let base = (b + n() - k * g().modpow(&x, &n()) % n()) % n();
        let shared = base.modpow(&(&self.a + &u * x), &n());
        let extracted = hmac(&padded(&u), &[&padded(&shared)]);
        let key = &hmac(&extracted, &[b"Caldera Derived Key\x01"])[..16];
        STANDARD.encode(hmac(key, &[self.group.as_bytes(), id.as_bytes(), &block, timestamp.as_bytes()]))
    }

    /// ChallengeResponses to PASSWORD_VERIFIER.
    pub(crate) fn responses(&self, challenge: &Value, password: &str) -> Value {
        let parameters = &challenge["ChallengeParameters"];
        let id = parameters["USER_ID_FOR_SRP"].as_str().expect("a user");
        json!({
            "USERNAME": id,
            "PASSWORD_CLAIM_SECRET_BLOCK": parameters["SECRET_BLOCK"],
            "PASSWORD_CLAIM_SIGNATURE": self.signature(parameters, id, password, TIMESTAMP),
            "TIMESTAMP": TIMESTAMP,
        })
    }
}

fn n() -> BigUint {
    // 2^3072 - 2^3008 - 1 + 2^64 * (floor(2^2942 * pi) + 1690314): RFC 3526, group 15.
    let one = BigUint::from(1_u8);
    let pi = scaled_pi(2942) + 1_690_314_u32;
    (&one << 3072_u32) - (&one << 3008_u32) - 1_u8 + (pi << 64_u32)
}

/// floor(2^bits * pi) by Machin's formula.
fn scaled_pi(bits: u32) -> BigUint {
    let guard = 64;
    let unit = BigUint::from(1_u8) << (bits + guard);
    let arctangent = |inverse: u32| {
        let (mut sum, mut term, mut odd) = (&unit / inverse, &unit / inverse, 1_u32);
        let mut subtract = true;
        while term > BigUint::ZERO {
            term /= inverse * inverse;
            odd += 2;
            if subtract {
                sum -= &term / odd;
            } else {
                sum += &term / odd;
            }
            subtract = !subtract;
        }
        sum
    };
    ((arctangent(5) * 4_u8 - arctangent(239)) * 4_u8) >> guard
}

fn g() -> BigUint {
    BigUint::from(2_u8)
}

fn hash(parts: &[&[u8]]) -> BigUint {
    BigUint::from_bytes_be(&Sha256::digest(parts.concat()))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(&parts.concat());
    mac.finalize().into_bytes().to_vec()
}

fn padded(number: &BigUint) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    if bytes[0] < 0x80 { bytes } else { [&[0], &bytes[..]].concat() }
}

/// InitiateAuth with USER_SRP_AUTH; what must be answered comes back with the client's state.
pub(crate) async fn initiate_srp(sandbox: &Sandbox, client_id: &str, username: &str) -> (Srp, Value) {
    let srp = Srp::for_pool(sandbox);
    let request = json!({
        "AuthFlow": "USER_SRP_AUTH",
        "ClientId": client_id,
        "AuthParameters": { "USERNAME": username, "SRP_A": srp.srp_a() },
    });
    let challenge = idp(sandbox, "InitiateAuth", request).await.json();
    assert_eq!(challenge["ChallengeName"], "PASSWORD_VERIFIER", "{challenge}");
    (srp, challenge)
}

pub(crate) async fn respond(
    sandbox: &Sandbox,
    client_id: &str,
    name: &str,
    session: &Value,
    responses: &Value,
) -> Answer {
    let mut request =
        json!({ "ClientId": client_id, "ChallengeName": name, "ChallengeResponses": responses });
    if !session.is_null() {
        request["Session"] = session.clone();
    }
    idp(sandbox, "RespondToAuthChallenge", request).await
}

/// Signs in by SRP, to the first answer after the password.
pub(crate) async fn srp_sign_in(
    sandbox: &Sandbox,
    client_id: &str,
    username: &str,
    password: &str,
) -> Answer {
    let (srp, challenge) = initiate_srp(sandbox, client_id, username).await;
    let responses = srp.responses(&challenge, password);
    respond(sandbox, client_id, "PASSWORD_VERIFIER", &Value::Null, &responses).await
}

/// AuthenticationResult of the sandbox's own user.
pub(crate) async fn sign_in(sandbox: &Sandbox) -> Value {
    let password = sandbox.password().expose_secret();
    let answer = srp_sign_in(sandbox, sandbox.client_id(), sandbox.username(), password).await;
    answer.json()["AuthenticationResult"].take()
}

pub(crate) fn provider(sandbox: &Sandbox) -> String {
    format!("cognito-idp.{}.amazonaws.com/{}", sandbox.region(), sandbox.user_pool_id())
}

pub(crate) fn logins(sandbox: &Sandbox, tokens: &Value) -> Value {
    json!({ provider(sandbox): tokens["IdToken"] })
}

pub(crate) async fn identity_id(sandbox: &Sandbox, logins: &Value) -> String {
    let request = json!({ "IdentityPoolId": sandbox.identity_pool_id(), "Logins": logins });
    let answer = identity(sandbox, "GetId", request).await.json();
    answer["IdentityId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Signs in with the password and exchanges the ID token for credentials.
pub(crate) async fn credentials(sandbox: &Sandbox) -> Credentials {
    let logins = logins(sandbox, &sign_in(sandbox).await);
    let id = identity_id(sandbox, &logins).await;
    let request = json!({ "IdentityId": id, "Logins": logins });
    let answer = identity(sandbox, "GetCredentialsForIdentity", request).await.json();
    read_credentials(&answer["Credentials"])
}

pub(crate) fn read_credentials(value: &Value) -> Credentials {
    let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{value}"));
    let expiry = Duration::from_secs_f64(value["Expiration"].as_f64().expect("a number"));
    let (key, secret, token) = (text("AccessKeyId"), text("SecretKey"), text("SessionToken"));
    let expiry = SystemTime::UNIX_EPOCH + expiry;
    Credentials::new(key, secret, Some(token.to_owned()), Some(expiry), "sandbox")
}

/// Signs as the AWS SDK does, for the sandbox's region and at the sandbox's time.
pub(crate) fn signed(
    sandbox: &Sandbox,
    credentials: &Credentials,
    request: Request<Bytes>,
) -> Request<Full<Bytes>> {
    signed_at(sandbox.clock().now(), sandbox.region(), "execute-api", credentials, request)
}

pub(crate) fn signed_at(
    time: SystemTime,
    region: &str,
    service: &str,
    credentials: &Credentials,
    mut request: Request<Bytes>,
) -> Request<Full<Bytes>> {
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .expect("complete parameters")
        .into();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let uri = request.uri().to_string();
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, body).expect("signable");
    let (instructions, _) = sign(signable, &parameters).expect("a signature").into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request.map(Full::new)
}

/// A signed GET of a path below the stage.
pub(crate) async fn signed_get(sandbox: &Sandbox, credentials: &Credentials, path: &str) -> Answer {
    let url = format!("{}{path}", sandbox.api_url());
    let request = Request::get(url).body(Bytes::new()).expect("a valid request");
    exchange(signed(sandbox, credentials, request)).await
}

/// InitiateAuth with parameters besides the user name.
pub(crate) async fn initiate(sandbox: &Sandbox, flow: &str, parameters: Value) -> Answer {
    let request = json!({ "AuthFlow": flow, "ClientId": sandbox.client_id(), "AuthParameters": parameters });
    idp(sandbox, "InitiateAuth", request).await
}

/// The answer to `challenge`, in its own session, by the default client.
pub(crate) async fn answer(sandbox: &Sandbox, challenge: &Value, responses: Value) -> Answer {
    let name = challenge["ChallengeName"].as_str().unwrap_or_else(|| panic!("{challenge}"));
    respond(sandbox, sandbox.client_id(), name, &challenge["Session"], &responses).await
}

/// Signs in by SRP at the default client, to the challenge after the password.
pub(crate) async fn challenge_after_password(sandbox: &Sandbox, username: &str, password: &str) -> Value {
    srp_sign_in(sandbox, sandbox.client_id(), username, password).await.json()
}

pub(crate) fn has_tokens(answer: &Answer) -> bool {
    answer.json()["AuthenticationResult"]["IdToken"].is_string()
}

pub(crate) fn error(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

/// A sandbox with these users.
pub(crate) async fn start_with_users(users: Vec<User>) -> Sandbox {
    start_with(Settings { users, ..Settings::default() }).await
}

/// The verifier that ConfirmDevice carries, as `BigInteger.toByteArray`.
pub(crate) fn device_verifier(group: &str, key: &str, password: &str, salt: &[u8]) -> Vec<u8> {
    let identity = [group.as_bytes(), key.as_bytes(), b":", password.as_bytes()].concat();
    let salt = BigUint::from_bytes_be(salt);
    let x = hash(&[&padded(&salt), &Sha256::digest(identity)]);
    padded(&g().modpow(&x, &n()))
}

//! The JSON web tokens of the user pool and of the identity pool: signing, checking, published keys.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey, rand_core::OsRng, traits::PublicKeyParts};
use serde_json::{Value, json};

const KEY_BITS: usize = 2048;
const KEY_ID: &str = "c2FuZGJveC1rZXktMQ==";

/// Making a key takes a moment, and one serves every sandbox of the process.
static KEY: LazyLock<Key> = LazyLock::new(Key::generate);

struct Key {
    signing: EncodingKey,
    checking: DecodingKey,
    modulus: String,
    exponent: String,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbelievable {
    /// Not a JSON web token at all.
    Malformed,
    /// Signed by another key.
    Signature,
}

/// Makes the key, unless the process has it.
pub(super) async fn prepare() {
    let made = tokio::task::spawn_blocking(|| {
        LazyLock::force(&KEY);
    });
    // A panic there shows again, with its message, at the first use.
    made.await.unwrap_or_default();
}

pub(super) fn sign(claims: &Value) -> String {
    let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::RS256) };
    encode(&header, claims, &KEY.signing).expect("RS256 signs any claims")
}

/// The claims, when the signature is right; whether they have expired is the caller's to judge.
pub(super) fn check(token: &str) -> Result<Value, Unbelievable> {
    decode_header(token).map_err(|_| Unbelievable::Malformed)?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = decode::<Value>(token, &KEY.checking, &validation);
    decoded.map(|decoded| decoded.claims).map_err(|_| Unbelievable::Signature)
}

/// The public keys, as `/.well-known/jwks.json` lists them.
pub(super) fn published_keys() -> Value {
    json!({ "keys": [{
        "alg": "RS256",
        "e": KEY.exponent,
        "kid": KEY_ID,
        "kty": "RSA",
        "n": KEY.modulus,
        "use": "sig",
    }] })
}

/// A time as claims have it, in seconds since 1970.
pub(super) fn epoch(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Key {
    fn generate() -> Self {
        let key = RsaPrivateKey::new(&mut OsRng, KEY_BITS).expect("the system gives random numbers");
        let der = key.to_pkcs1_der().expect("a key that was just made can be encoded");
        let (modulus, exponent) = (key.n().to_bytes_be(), key.e().to_bytes_be());
        Self {
            signing: EncodingKey::from_rsa_der(der.as_bytes()),
            checking: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
            modulus: URL_SAFE_NO_PAD.encode(modulus),
            exponent: URL_SAFE_NO_PAD.encode(exponent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_claims_come_back() {
        let claims = json!({ "sub": "me", "exp": 1 });
        assert_eq!(check(&sign(&claims)), Ok(claims));
    }

    #[test]
    fn a_changed_token_is_not_believed() {
        let token = sign(&json!({ "sub": "me" }));
        let other = sign(&json!({ "sub": "you" }));
        let (payload, signature) = (&token[..token.rfind('.').expect("dot")], other.rsplit('.').next());
        let forged = format!("{payload}.{}", signature.expect("signature"));
        assert_eq!(check(&forged), Err(Unbelievable::Signature));
        assert_eq!(check("rubbish"), Err(Unbelievable::Malformed));
    }
}

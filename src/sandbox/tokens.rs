//! The JSON web tokens of the user pool and of the identity pool: signing, checking, published keys.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    pkcs1v15::Signature,
    signature::{SignatureEncoding, Signer, Verifier},
};
use serde_json::{Value, json};

use super::token_key;

const ALGORITHM: &str = "RS256";

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidToken {
    /// Not a JSON web token at all.
    Malformed,
    /// Signed by another key.
    Signature,
}

/// A signed token in the compact form of RFC 7515, section 7.1: header, claims and signature.
pub(super) fn sign(claims: &Value) -> String {
    let key = token_key::current();
    let header = json!({ "alg": ALGORITHM, "kid": key.id, "typ": "JWT" });
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = key.signing.sign(signed.as_bytes());
    format!("{signed}.{}", encode(signature.to_bytes()))
}

/// The claims, if the signature is valid. The caller checks whether they have expired.
pub(super) fn check(token: &str) -> Result<Value, InvalidToken> {
    let (signed, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(InvalidToken::Malformed)?;
    if decode(header)?["alg"] != ALGORITHM {
        return Err(InvalidToken::Signature);
    }
    let claims = decode(claims)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidToken::Malformed)?;
    let signature = Signature::try_from(&signature[..]).map_err(|_| InvalidToken::Signature)?;
    token_key::current()
        .verifying
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| InvalidToken::Signature)?;
    Ok(claims)
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn decode(part: &str) -> Result<Value, InvalidToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| InvalidToken::Malformed)
}

/// The public keys, as `/.well-known/jwks.json` lists them.
pub(super) fn published_keys() -> Value {
    let key = token_key::current();
    json!({ "keys": [{
        "alg": ALGORITHM,
        "e": key.exponent,
        "kid": key.id,
        "kty": "RSA",
        "n": key.modulus,
        "use": "sig",
    }] })
}

/// The time in seconds since 1970, as claims have it.
pub(super) fn epoch(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
        assert_eq!(check(&forged), Err(InvalidToken::Signature));
        assert_eq!(check("rubbish"), Err(InvalidToken::Malformed));
    }

    #[test]
    fn an_unsigned_token_is_not_believed() {
        let (header, claims) = (encode(r#"{"alg":"none"}"#), encode(r#"{"sub":"you"}"#));
        assert_eq!(check(&format!("{header}.{claims}.")), Err(InvalidToken::Signature));
    }
}

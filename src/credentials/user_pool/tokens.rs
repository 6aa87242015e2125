//! The tokens of a signed-in user, and their claims.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{api::AuthenticationResult, error::Error};

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The tokens of a signed-in user.
#[derive(Clone)]
pub struct Tokens {
    /// Proves to an identity pool who the user is.
    pub id_token: SecretString,
    /// Allows calls of the user pool itself.
    pub access_token: SecretString,
    /// Renews the tokens. After a renewal it is present only if the pool rotates refresh tokens; the one before is used
    /// up then.
    pub refresh_token: Option<SecretString>,
    /// The claims of the ID token.
    pub claims: Claims,
    /// The user name by which the pool knows the owner of the refresh token.
    pub username: String,
}

/// The claims of an ID token.
///
/// The signature is not checked: the token comes from the issuer over TLS, or from a file that the user trusts, and the
/// identity pool checks it anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `exp`.
    pub expiry: SystemTime,
    /// `aud`, the first if there are several.
    pub audience: Option<String>,
    /// `cognito:username`, or `username` in an access token.
    pub username: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// `nonce`.
    pub nonce: Option<String>,
}

impl Claims {
    /// Reads a token's claims.
    ///
    /// # Errors
    /// When `token` is not a JWT with `iss`, `sub` and `exp`.
    pub fn of(token: &str) -> Result<Self, InvalidToken> {
        let payload = token.split('.').nth(1).ok_or(InvalidToken)?;
        let payload = BASE64URL.decode(payload).map_err(|_| InvalidToken)?;
        let claims: RawClaims = serde_json::from_slice(&payload).map_err(|_| InvalidToken)?;
        let life = Duration::try_from_secs_f64(claims.exp).map_err(|_| InvalidToken)?;
        Ok(Self {
            issuer: claims.iss,
            subject: claims.sub,
            expiry: SystemTime::UNIX_EPOCH.checked_add(life).ok_or(InvalidToken)?,
            audience: claims.aud.and_then(Audience::first),
            username: claims.cognito_username.or(claims.username),
            email: claims.email,
            nonce: claims.nonce,
        })
    }

    /// The key in `Logins` under which an identity pool expects the token.
    #[must_use]
    pub fn login_provider(&self) -> &str {
        self.issuer.strip_prefix("https://").unwrap_or(&self.issuer)
    }
}

impl Tokens {
    pub(super) fn new(result: AuthenticationResult) -> Result<Self, Error> {
        let id_token = result.id_token.ok_or(Error::Unintelligible("no ID token"))?;
        let access_token = result.access_token.ok_or(Error::Unintelligible("no access token"))?;
        let claims = Claims::of(id_token.expose_secret())
            .map_err(|InvalidToken| Error::Unintelligible("the ID token is not a JWT"))?;
        let username = claims.username.clone().unwrap_or_else(|| claims.subject.clone());
        Ok(Self { id_token, access_token, refresh_token: result.refresh_token, claims, username })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("subject", &self.claims.subject)
            .field("expiry", &self.claims.expiry)
            .finish_non_exhaustive()
    }
}

/// Not a JWT with the claims that every token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a JSON Web Token with the claims iss, sub and exp")
    }
}

impl std::error::Error for InvalidToken {}

#[derive(Deserialize)]
struct RawClaims {
    iss: String,
    sub: String,
    exp: f64,
    aud: Option<Audience>,
    #[serde(rename = "cognito:username")]
    cognito_username: Option<String>,
    username: Option<String>,
    email: Option<String>,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn first(self) -> Option<String> {
        match self {
            Self::One(audience) => Some(audience),
            Self::Several(audiences) => audiences.into_iter().next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn claims_are_read_without_a_key() {
        let text = r#"{"iss":"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc","sub":"s-1",
            "exp":1793610307,"aud":"client","cognito:username":"jörg","email":"j@example.com","nonce":"n"}"#;
        let claims = Claims::of(&token(text)).expect("a token");
        assert_eq!(
            claims,
            Claims {
                issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc".to_owned(),
                subject: "s-1".to_owned(),
                expiry: SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_610_307),
                audience: Some("client".to_owned()),
                username: Some("jörg".to_owned()),
                email: Some("j@example.com".to_owned()),
                nonce: Some("n".to_owned()),
            }
        );
        assert_eq!(claims.login_provider(), "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc");
    }

    #[test]
    fn an_access_token_and_padding_and_several_audiences_are_read_too() {
        let text = r#"{"iss":"i","sub":"s","exp":1.5e9,"aud":["a","b"],"username":"user"}"#;
        let padded = format!("e30.{}.", base64::engine::general_purpose::URL_SAFE.encode(text));
        let claims = Claims::of(&padded).expect("a token");
        assert_eq!(claims.audience.as_deref(), Some("a"));
        assert_eq!(claims.username.as_deref(), Some("user"));
        assert_eq!(claims.expiry, SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000));
    }

    #[test]
    fn invalid_tokens_are_refused() {
        for text in [
            String::new(),
            "x".to_owned(),
            "a.b.c".to_owned(),
            "e30.%.e30".to_owned(),
            token("{}"),
            token("[]"),
            token(r#"{"iss":"i","sub":"s","exp":-1}"#),
            token(r#"{"iss":"i","sub":"s","exp":1e300}"#),
        ] {
            assert_eq!(Claims::of(&text), Err(InvalidToken), "{text}");
        }
    }
}

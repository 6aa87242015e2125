//! Sign-in in a browser: the authorization code flow with PKCE at the pool's managed login.
//!
//! It covers what a terminal cannot, passkeys and federation above all, and keeps the password out of this process (RFC
//! 7636, RFC 8252). The port is a setting because Cognito compares the redirect URI with the registered one, port
//! included.

mod callback;
mod failure;
mod opener;
mod token_endpoint;

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{Claims, SignedIn, Tokens, UserPoolClient};
use crate::credentials::UserPool;

pub use failure::BrowserError;
pub(crate) use opener::open as open_in_browser;

use callback::Callback;

/// How long the sign-in may take, until the tokens have arrived.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// With `openid` alone, the ID token has all attributes that the app client may read.
const SCOPE: &str = "openid";

/// A sign-in that waits for the browser.
pub struct BrowserSignIn<'a> {
    client: &'a UserPoolClient,
    domain: String,
    callback: Callback,
    url: String,
    state: SecretString,
    nonce: SecretString,
    verifier: SecretString,
}

impl UserPoolClient {
    /// Prepares a sign-in in a browser: listens for the redirect and makes the URL of the page.
    ///
    /// # Errors
    /// When there is no usable `domain`, or the redirect port is taken.
    pub async fn start_browser_sign_in(&self) -> Result<BrowserSignIn<'_>, BrowserError> {
        let domain = base_url(self.pool.domain.as_deref().ok_or(BrowserError::NoDomain)?)?;
        let callback = Callback::listen(self.pool.redirect_port)?;
        let (state, nonce, verifier) = (random_text(), random_text(), random_text());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.pool.client_id)
            .append_pair("redirect_uri", &callback.redirect_uri())
            .append_pair("scope", SCOPE)
            .append_pair("state", state.expose_secret())
            .append_pair("nonce", nonce.expose_secret())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let url = format!("{domain}/oauth2/authorize?{query}");
        Ok(BrowserSignIn { client: self, domain, callback, url, state, nonce, verifier })
    }
}

impl BrowserSignIn<'_> {
    /// The page on which the user signs in.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Prints the URL of the page on stderr and opens it in a browser if there is one.
    ///
    /// # Errors
    /// When stderr is closed. A browser that does not open is not an error, since the user can open the URL.
    pub fn announce(&self) -> io::Result<()> {
        writeln!(io::stderr(), "Sign in on this page within five minutes:\n\n  {}\n", self.url)?;
        if let Err(error) = opener::open(&self.url) {
            tracing::debug!(error = &error as &dyn std::error::Error, "no browser opened");
        }
        Ok(())
    }

    /// Waits for the redirect and fetches the tokens.
    ///
    /// # Errors
    /// When that takes more than five minutes, when the user or the pool refuses, or when the tokens do not belong to
    /// this sign-in.
    pub async fn complete(self) -> Result<SignedIn, BrowserError> {
        timeout(TIMEOUT, self.fetch_tokens()).await.unwrap_or(Err(BrowserError::TimedOut))
    }

    async fn fetch_tokens(&self) -> Result<SignedIn, BrowserError> {
        let code = self.callback.wait(&self.state).await?;
        let exchange = self.client.api.exchange();
        let request = token_endpoint::CodeExchange {
            domain: &self.domain,
            pool: &self.client.pool,
            redirect_uri: &self.callback.redirect_uri(),
            code: &code,
            verifier: &self.verifier,
        };
        let tokens = request.send(exchange).await?;
        self.check(&tokens)?;
        Ok(SignedIn { tokens, device: None })
    }

    /// Validates the ID token (OpenID Connect Core 3.1.3.7), except for the signature, which TLS to the token endpoint
    /// replaces.
    fn check(&self, tokens: &Tokens) -> Result<(), BrowserError> {
        let (claims, pool) = (&tokens.claims, &self.client.pool);
        let nonce = claims.nonce.as_deref().unwrap_or_default();
        if !is_same(nonce, self.nonce.expose_secret()) {
            return Err(BrowserError::IdToken("its nonce is not the one that was sent"));
        }
        if claims.audience.as_deref() != Some(&pool.client_id) {
            return Err(BrowserError::IdToken("it was issued to another app client than client-id"));
        }
        if !is_issued_by(claims, pool) {
            return Err(BrowserError::IdToken("it was issued by another pool than user-pool-id"));
        }
        if claims.expiry <= self.client.api.exchange().clock().now() {
            return Err(BrowserError::IdToken("it has expired"));
        }
        Ok(())
    }
}

/// Compares the path of the issuer, which is the pool's id. The host depends on the partition and the pool's settings.
fn is_issued_by(claims: &Claims, pool: &UserPool) -> bool {
    claims.issuer.rsplit_once('/').is_some_and(|(_, id)| id == pool.id.to_string())
}

/// Compares digests, so that the time taken reveals nothing about the secret.
fn is_same(given: &str, expected: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(expected)
}

/// 256 random bits in base64url, which needs no encoding in a URL.
fn random_text() -> SecretString {
    SecretString::from(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// The base URL of the domain, which is a host or a URL; http is allowed on loopback only.
fn base_url(domain: &str) -> Result<String, BrowserError> {
    let text = if domain.contains("://") { domain.to_owned() } else { format!("https://{domain}") };
    let invalid = || BrowserError::Domain(domain.to_owned());
    let uri: http::Uri = text.parse().map_err(|_| invalid())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(invalid()) };
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let bare = uri.path() == "/" && uri.query().is_none() && !text.contains(['@', '#']);
    match scheme {
        "https" if bare => Ok(text.trim_end_matches('/').to_owned()),
        "http" if bare && loopback => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(invalid()),
    }
}

impl fmt::Debug for BrowserSignIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserSignIn").field("domain", &self.domain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

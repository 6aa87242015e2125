//! The token endpoint and the revocation endpoint, with the authentication of clients.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::sandbox::{
    answer::{AwsError, Body, Form, plain},
    digest::sha256,
    people::AppClient,
    percent::{self, Pairs},
    user_pool::{UserPool, clients::check_secret, grants::has_scope, sessions::TokenSource},
};

impl UserPool {
    pub(super) async fn token(&self, headers: &HeaderMap, form: &Pairs) -> Result<Response<Body>, AwsError> {
        let client = self.authenticated_client(headers, form)?;
        let result = match form.get("grant_type") {
            Some("authorization_code") => self.exchange_code(client, form).await?,
            Some("refresh_token") => self.exchange_refresh_token(client, form).await?,
            Some(_) => return Err(oauth("unsupported_grant_type")),
            None => return Err(oauth("invalid_request")),
        };
        Ok(Form::OAuth.ok(&result))
    }

    async fn exchange_code(&self, client: &AppClient, form: &Pairs) -> Result<Value, AwsError> {
        let id = form.get("code").ok_or_else(|| oauth("invalid_request"))?;
        let invalid = || oauth("invalid_grant");
        let now = self.clock.now();
        let code = self.codes.take(id, now).filter(|code| code.client_id == client.id).ok_or_else(invalid)?;
        let proven = code.challenge.as_ref().is_none_or(|challenge| {
            form.get("code_verifier").is_some_and(|verifier| challenge_of(verifier) == *challenge)
        });
        if !proven || form.get("redirect_uri") != Some(code.redirect_uri.as_str()) {
            return Err(invalid());
        }
        let account = self.directory.account(&code.username).ok_or_else(invalid)?;
        account.admit().map_err(|_| invalid())?;
        let changes = self.token_changes(&account, &client.id, TokenSource::Hosted, &code.scope, None);
        let changes = changes.await.map_err(|_| oauth("invalid_request"))?;
        // A trigger may have changed the user.
        let account = self.directory.account(&code.username).ok_or_else(invalid)?;
        account.admit().map_err(|_| invalid())?;
        let mut grant = self.grants.begin(&account, client, now);
        grant.nonce = code.nonce;
        grant.scope.clone_from(&code.scope);
        Ok(token_response(&self.grants.issue(grant, &account, &changes, now), &code.scope))
    }

    async fn exchange_refresh_token(&self, client: &AppClient, form: &Pairs) -> Result<Value, AwsError> {
        let token = form.get("refresh_token").ok_or_else(|| oauth("invalid_request"))?;
        let invalid = |error: AwsError| match error.code.as_str() {
            // A trigger that fails says nothing about the token.
            code if code.contains("Lambda") => oauth("invalid_request"),
            _ => oauth("invalid_grant"),
        };
        let grant = self.grants.find(token, client, self.clock.now()).map_err(invalid)?;
        let result = self.refreshed(token, &grant, client, None, None).await.map_err(invalid)?;
        Ok(token_response(&result, &grant.scope))
    }

    pub(super) fn revoke(&self, headers: &HeaderMap, form: &Pairs) -> Result<Response<Body>, AwsError> {
        let client = self.authenticated_client(headers, form)?;
        let token = form.get("token").ok_or_else(|| oauth("invalid_request"))?;
        self.grants.revoke(token, client).map_err(|error| {
            oauth(match error.code.as_str() {
                "UnsupportedTokenTypeException" => "unsupported_token_type",
                _ => "unauthorized_client",
            })
        })?;
        Ok(plain(StatusCode::OK, "application/json", String::new()))
    }

    /// The client, by Basic authorisation or by the form.
    fn authenticated_client(&self, headers: &HeaderMap, form: &Pairs) -> Result<&AppClient, AwsError> {
        let invalid = |_| oauth("invalid_client");
        let basic = basic_credentials(headers);
        let (id, secret) = match &basic {
            Some((id, secret)) => (Some(id.as_str()), Some(secret.as_str())),
            None => (form.get("client_id"), form.get("client_secret")),
        };
        let client = self.clients.find(id.unwrap_or_default()).map_err(invalid)?;
        check_secret(client, secret).map_err(invalid)?;
        Ok(client)
    }
}

/// Id and secret, which are form-encoded before they are joined (RFC 6749, section 2.3.1).
fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = value.split_once(' ')?;
    let value = scheme.eq_ignore_ascii_case("basic").then_some(value.trim())?;
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| String::from_utf8(percent::decode(text)).ok();
    Some((decoded(id)?, decoded(secret)?))
}

/// S256 of RFC 7636.
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&[verifier.as_bytes()]))
}

/// The tokens as an OAuth response; without the scope `openid` it has no ID token.
fn token_response(result: &Value, scope: &str) -> Value {
    let mut response = json!({
        "access_token": result["AccessToken"],
        "expires_in": result["ExpiresIn"],
        "token_type": "Bearer",
    });
    if has_scope(scope, "openid") {
        response["id_token"] = result["IdToken"].clone();
    }
    if result["RefreshToken"].is_string() {
        response["refresh_token"] = result["RefreshToken"].clone();
    }
    response
}

fn oauth(code: &str) -> AwsError {
    AwsError::new(code, "")
}

//! Managed login: the authorisation code grant with PKCE, its token endpoint and revocation.
//!
//! A `login_hint` that names a user stands for that user's consent; without it there is a page that
//! asks for name and password. Second factors are not asked for.

mod authorization;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{UserPool, clients::check_secret};
use crate::sandbox::{
    answer::{AwsError, Body, Form, plain},
    digest::sha256,
    json_protocol::read_body,
    paced::Hangup,
    people::AppClient,
    percent::Pairs,
};

/// Authorisation codes that were not yet exchanged.
#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<String, Code>>);

/// What a user has consented to.
struct Code {
    username: String,
    client_id: String,
    redirect_uri: String,
    challenge: Option<String>,
    nonce: Option<String>,
    scope: String,
    expires: SystemTime,
}

impl Codes {
    fn put(&self, code: Code) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        self.lock().insert(id.clone(), code);
        id
    }

    /// Removes a code, which is valid once.
    fn take(&self, id: &str, now: SystemTime) -> Option<Code> {
        self.lock().remove(id).filter(|code| now < code.expires)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserPool {
    /// The name by which calls of a path of managed login are counted; `None` for other paths.
    pub(super) fn managed_login_operation(request: &Request<Incoming>) -> Option<&'static str> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/oauth2/authorize") => Some("oauth2/authorize"),
            (&Method::POST, "/login") => Some("login"),
            (&Method::POST, "/oauth2/token") => Some("oauth2/token"),
            (&Method::POST, "/oauth2/revoke") => Some("oauth2/revoke"),
            _ => None,
        }
    }

    pub(super) async fn managed_login(
        &self,
        operation: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Hangup> {
        self.calls.add(operation);
        if let Some(disturbed) = Form::OAuth.disturbed(&self.faults, operation).await? {
            return Ok(disturbed);
        }
        let query = Pairs::parse(request.uri().query().unwrap_or_default());
        let headers = request.headers().clone();
        let body = read_body(request).await?;
        let form = Pairs::parse(&String::from_utf8_lossy(&body));
        let answered = match operation {
            "oauth2/authorize" => return Ok(self.authorize(&query)),
            "login" => return Ok(self.log_in(&query, &form)),
            "oauth2/token" => self.token(&headers, &form),
            _ => self.revoke(&headers, &form),
        };
        Ok(answered.unwrap_or_else(|error| Form::OAuth.error(&error)))
    }

    fn token(&self, headers: &HeaderMap, form: &Pairs) -> Result<Response<Body>, AwsError> {
        let client = self.authenticated_client(headers, form)?;
        let result = match form.get("grant_type") {
            Some("authorization_code") => self.exchange_code(client, form)?,
            Some("refresh_token") => self.exchange_refresh_token(client, form)?,
            Some(_) => return Err(oauth("unsupported_grant_type")),
            None => return Err(oauth("invalid_request")),
        };
        Ok(Form::OAuth.ok(&result))
    }

    fn exchange_code(&self, client: &AppClient, form: &Pairs) -> Result<Value, AwsError> {
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
        let mut grant = self.grants.begin(&account, client, now);
        grant.nonce = code.nonce;
        grant.scope.clone_from(&code.scope);
        Ok(token_response(&self.grants.issue(grant, &account, now), &code.scope))
    }

    fn exchange_refresh_token(&self, client: &AppClient, form: &Pairs) -> Result<Value, AwsError> {
        let token = form.get("refresh_token").ok_or_else(|| oauth("invalid_request"))?;
        let invalid = |_| oauth("invalid_grant");
        let grant = self.grants.find(token, client, self.clock.now()).map_err(invalid)?;
        let answer = self.refreshed(token, &grant, client, None).map_err(invalid)?;
        Ok(token_response(&answer["AuthenticationResult"], &grant.scope))
    }

    fn revoke(&self, headers: &HeaderMap, form: &Pairs) -> Result<Response<Body>, AwsError> {
        self.authenticated_client(headers, form)?;
        self.grants.revoke(form.get("token").ok_or_else(|| oauth("invalid_request"))?);
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

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
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
    if scope.split(' ').any(|scope| scope == "openid") {
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

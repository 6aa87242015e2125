//! The user pool: cognito-idp's JSON 1.1 operations and its published keys.

mod directory;
mod grants;
mod sessions;
mod sign_in;
mod srp;
mod timestamp;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    directory::{Directory, check_secret},
    grants::{Grant, Grants},
    sessions::Sessions,
};
use super::{
    answer::{AwsError, Body, Form, Hangup, plain},
    faults::{Calls, Faults},
    json_protocol::{self, parse},
    settings::{AppClient, Settings},
    tokens,
};
use crate::{clock::Clock, endpoint};

/// The pool's name, which SRP hashes.
pub(super) const POOL_NAME: &str = "Sandbox01";

pub(super) struct UserPool {
    issuer: String,
    directory: Directory,
    sessions: Sessions,
    grants: Grants,
    clock: Clock,
    faults: Faults,
    calls: Calls,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetTokensFromRefreshToken {
    refresh_token: String,
    client_id: String,
    client_secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RevokeToken {
    token: String,
    client_id: String,
    client_secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetUser {
    access_token: String,
}

pub(super) fn pool_id(region: &str) -> String {
    format!("{region}_{POOL_NAME}")
}

/// `iss` of the pool's tokens: the real service's, whatever address the sandbox has.
pub(super) fn issuer(region: &str) -> String {
    format!("{}/{}", endpoint::service_endpoint("cognito-idp", region), pool_id(region))
}

impl UserPool {
    pub(super) fn new(settings: &Settings, clock: Clock, faults: Faults, calls: Calls) -> Self {
        let issuer = issuer(&settings.region);
        let (lifetime, refresh_lifetime) = (settings.token_lifetime, settings.refresh_token_lifetime);
        Self {
            grants: Grants::new(issuer.clone(), lifetime, refresh_lifetime),
            issuer,
            directory: Directory::new(POOL_NAME, &settings.users, &settings.clients),
            sessions: Sessions::default(),
            clock,
            faults,
            calls,
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        if request.method() == Method::GET {
            return Ok(self.document(request.uri().path()));
        }
        let Some((operation, body)) = json_protocol::read(request).await? else {
            return Ok(Form::Cognito.error(&json_protocol::unknown_operation()));
        };
        self.calls.add(&operation);
        if let Some(disturbed) = Form::Cognito.disturbed(&self.faults, &operation).await? {
            return Ok(disturbed);
        }
        Ok(match self.perform(&operation, &body) {
            Ok(value) => Form::Cognito.ok(&value),
            Err(error) => Form::Cognito.error(&error),
        })
    }

    fn perform(&self, operation: &str, body: &[u8]) -> Result<Value, AwsError> {
        match operation {
            "InitiateAuth" => self.initiate_auth(&parse(body)?),
            "RespondToAuthChallenge" => self.respond_to_auth_challenge(&parse(body)?),
            "GetTokensFromRefreshToken" => self.get_tokens_from_refresh_token(&parse(body)?),
            "RevokeToken" => self.revoke_token(&parse(body)?),
            "GetUser" => self.get_user(&parse(body)?),
            _ => Err(json_protocol::unknown_operation()),
        }
    }

    fn get_tokens_from_refresh_token(&self, request: &GetTokensFromRefreshToken) -> Result<Value, AwsError> {
        let client = self.directory.client(&request.client_id)?;
        check_secret(client, request.client_secret.as_deref())?;
        let grant = self.grants.find(&request.refresh_token, client, self.clock.now())?;
        self.refreshed(&request.refresh_token, &grant, client)
    }

    fn refreshed(&self, token: &str, grant: &Grant, client: &AppClient) -> Result<Value, AwsError> {
        let account = self.directory.account(&grant.username);
        let account = account.ok_or_else(|| AwsError::not_authorized("Invalid Refresh Token"))?;
        let result = self.grants.refresh(token, grant, &account, client, self.clock.now());
        Ok(json!({ "AuthenticationResult": result, "ChallengeParameters": {} }))
    }

    fn revoke_token(&self, request: &RevokeToken) -> Result<Value, AwsError> {
        let client = self.directory.client(&request.client_id)?;
        check_secret(client, request.client_secret.as_deref())?;
        self.grants.revoke(&request.token);
        Ok(json!({}))
    }

    fn get_user(&self, request: &GetUser) -> Result<Value, AwsError> {
        let username = self.grants.access(&request.access_token, self.clock.now())?;
        let account = self.directory.account(&username);
        let account =
            account.ok_or_else(|| AwsError::new("UserNotFoundException", "User does not exist."))?;
        Ok(json!({
            "Username": account.user.username,
            "UserAttributes": [{ "Name": "sub", "Value": account.sub }],
        }))
    }

    fn document(&self, path: &str) -> Response<Body> {
        let base = &self.issuer;
        let pool = base.rsplit('/').next().unwrap_or_default();
        let Some(name) = path.trim_start_matches('/').strip_prefix(pool) else {
            return plain(StatusCode::NOT_FOUND, "text/plain", "Not Found".to_owned());
        };
        let value = match name {
            "/.well-known/jwks.json" => tokens::published_keys(),
            "/.well-known/openid-configuration" => json!({
                "issuer": base,
                "jwks_uri": format!("{base}/.well-known/jwks.json"),
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "scopes_supported": ["openid", "email", "phone", "profile"],
            }),
            _ => return plain(StatusCode::NOT_FOUND, "text/plain", "Not Found".to_owned()),
        };
        plain(StatusCode::OK, "application/json", value.to_string())
    }
}

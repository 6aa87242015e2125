//! The user pool: cognito-idp's JSON 1.1 operations, managed login, and the published keys.

mod clients;
mod devices;
mod directory;
mod first_factor;
mod grants;
mod managed_login;
mod outbox;
mod parameters;
mod respond;
mod second_factor;
mod sessions;
mod sign_in;
mod srp;
mod stored;
mod timestamp;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{AwsError, Body, Form, plain},
    faults::{Calls, Faults},
    json_protocol::{self, parse},
    paced::Hangup,
    people::{AppClient, User, UserState},
    settings::Settings,
    tokens,
};
use crate::{clock::Clock, endpoint};
use clients::{Clients, check_secret};
use directory::Directory;
use grants::{Grant, Grants, invalid_refresh_token};
use managed_login::Codes;
pub use outbox::Message;
use outbox::Outbox;
use sessions::Sessions;
pub(super) use stored::Stored;

/// The pool's name, which SRP hashes.
const POOL_NAME: &str = "Sandbox01";

pub(super) struct UserPool {
    region: String,
    issuer: String,
    mfa_required: bool,
    device_tracking: bool,
    clients: Clients,
    directory: Directory,
    sessions: Sessions,
    outbox: Outbox,
    codes: Codes,
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
    device_key: Option<String>,
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
struct WithAccessToken {
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
            region: settings.region.clone(),
            grants: Grants::new(issuer.clone(), lifetime, refresh_lifetime),
            issuer,
            mfa_required: settings.mfa_required,
            device_tracking: settings.device_tracking,
            clients: Clients::new(&settings.clients),
            directory: Directory::new(POOL_NAME, &settings.seed(), &settings.users),
            sessions: Sessions::default(),
            outbox: Outbox::default(),
            codes: Codes::default(),
            clock,
            faults,
            calls,
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        if let Some(operation) = Self::managed_login_operation(&request) {
            return self.managed_login(operation, request).await;
        }
        if request.method() == Method::GET {
            return Ok(self.document(request.uri().path()));
        }
        let Some((operation, body)) = json_protocol::read(request).await? else {
            return Ok(Form::Cognito.error(&json_protocol::unknown_operation()));
        };
        self.calls.add(&operation);
        let lateness = self.faults.take_lateness(&operation);
        if lateness.is_none()
            && let Some(disturbed) = Form::Cognito.disturbed(&self.faults, &operation).await?
        {
            return Ok(disturbed);
        }
        let answer = self.perform(&operation, &body);
        tokio::time::sleep(lateness.unwrap_or_default()).await;
        Ok(match answer {
            Ok(value) => Form::Cognito.ok(&value),
            Err(error) => Form::Cognito.error(&error),
        })
    }

    /// Codes that were sent, oldest first.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.outbox.messages()
    }

    /// The user with this name, as the pool knows them now.
    pub(super) fn user(&self, username: &str) -> Option<User> {
        self.directory.account(username).map(|account| account.user)
    }

    pub(super) fn set_user_state(&self, username: &str, state: UserState) {
        self.directory.update(username, |account| account.user.state = state);
    }

    /// Revokes every sign-in of a user, as AdminUserGlobalSignOut does.
    pub(super) fn sign_out(&self, username: &str) {
        if let Some(account) = self.directory.account(username) {
            self.grants.revoke_user(&account.user.username);
        }
    }

    fn perform(&self, operation: &str, body: &[u8]) -> Result<Value, AwsError> {
        match operation {
            "InitiateAuth" => self.initiate_auth(&parse(body)?),
            "RespondToAuthChallenge" => self.respond_to_auth_challenge(&parse(body)?),
            "GetTokensFromRefreshToken" => self.get_tokens_from_refresh_token(&parse(body)?),
            "RevokeToken" => self.revoke_token(&parse(body)?),
            "GlobalSignOut" => self.global_sign_out(&parse(body)?),
            "GetUser" => self.get_user(&parse(body)?),
            "ConfirmDevice" => self.confirm_device(&parse(body)?),
            "AssociateSoftwareToken" => self.associate_software_token(&parse(body)?),
            "VerifySoftwareToken" => self.verify_software_token(&parse(body)?),
            _ => Err(json_protocol::unknown_operation()),
        }
    }

    fn get_tokens_from_refresh_token(&self, request: &GetTokensFromRefreshToken) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret(client, request.client_secret.as_deref())?;
        let grant = self.grants.find(&request.refresh_token, client, self.clock.now())?;
        self.refreshed(&request.refresh_token, &grant, client, request.device_key.as_deref())
    }

    fn refreshed(
        &self,
        token: &str,
        grant: &Grant,
        client: &AppClient,
        device_key: Option<&str>,
    ) -> Result<Value, AwsError> {
        let account = self.directory.account(&grant.username).ok_or_else(invalid_refresh_token)?;
        account.admit()?;
        self.require_device_of(grant, &account, device_key)?;
        let result = self.grants.refresh(token, grant, &account, client, self.clock.now());
        Ok(json!({ "AuthenticationResult": result, "ChallengeParameters": {} }))
    }

    fn revoke_token(&self, request: &RevokeToken) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret(client, request.client_secret.as_deref())?;
        self.grants.revoke(&request.token);
        Ok(json!({}))
    }

    fn global_sign_out(&self, request: &WithAccessToken) -> Result<Value, AwsError> {
        let claims = self.grants.access(&request.access_token, self.clock.now())?;
        self.grants.revoke_user(claims["username"].as_str().unwrap_or_default());
        Ok(json!({}))
    }

    fn get_user(&self, request: &WithAccessToken) -> Result<Value, AwsError> {
        let claims = self.grants.access(&request.access_token, self.clock.now())?;
        let account = self.directory.existing(claims["username"].as_str().unwrap_or_default())?;
        let mut attributes = vec![json!({ "Name": "sub", "Value": account.sub })];
        for (name, value) in &account.attributes {
            attributes.push(json!({ "Name": name, "Value": value }));
        }
        Ok(json!({ "Username": account.user.username, "UserAttributes": attributes }))
    }

    fn document(&self, path: &str) -> Response<Body> {
        let base = &self.issuer;
        let name = path.trim_start_matches('/').strip_prefix(&pool_id(&self.region));
        let value = match name {
            Some("/.well-known/jwks.json") => tokens::published_keys(),
            Some("/.well-known/openid-configuration") => json!({
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

//! The user pool: cognito-idp's JSON 1.1 operations, managed login, and the published keys.

mod account;
mod administration;
mod attributes;
mod clients;
mod custom_auth;
mod devices;
mod directory;
mod discovery;
mod first_factor;
mod grants;
mod groups;
mod managed_login;
mod mfa_preference;
mod operations;
mod outbox;
mod parameters;
mod passwords;
mod profile;
mod request;
mod respond;
mod second_factor;
mod sessions;
mod sign_in;
mod sign_up;
mod srp;
mod stored;
mod timestamp;
mod token_changes;
mod trigger_events;
mod triggers;
mod user_list;
mod verification;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{AwsError, Body, Form},
    faults::{Calls, Faults},
    json_protocol,
    paced::Hangup,
    people::{AppClient, User, UserState},
    pool_rules::PoolRules,
    settings::Settings,
};
use crate::{clock::Clock, endpoint};
use attributes::Schema;
use clients::{Clients, check_secret};
use directory::Directory;
pub(super) use discovery::Location;
use grants::{Grant, Grants, invalid_refresh_token};
use groups::Groups;
use managed_login::{AuthorizationCodes, BrowserSessions};
use outbox::Outbox;
pub use outbox::{Message, Purpose};
use sessions::{Sessions, TokenSource};
pub(super) use stored::Stored;
use triggers::{Metadata, Triggers};
use verification::VerificationCodes;

/// The pool's name, which SRP hashes.
const POOL_NAME: &str = "Sandbox01";

pub(super) struct UserPool {
    region: String,
    location: Location,
    rules: PoolRules,
    groups: Arc<Groups>,
    schema: Schema,
    mfa_required: bool,
    device_tracking: bool,
    clients: Clients,
    directory: Directory,
    sessions: Sessions,
    outbox: Outbox,
    verification: VerificationCodes,
    codes: AuthorizationCodes,
    browser_sessions: BrowserSessions,
    grants: Grants,
    triggers: Triggers,
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
    client_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RevokeToken {
    token: String,
    client_id: String,
    client_secret: Option<String>,
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
        let rules = settings.rules.clone();
        let groups = Arc::new(Groups::new(&rules.groups, &settings.users, clock.now()));
        let location = Location::new(&settings.region, rules.issuer);
        let (lifetime, refresh_lifetime) = (settings.token_lifetime, settings.refresh_token_lifetime);
        Self {
            region: settings.region.clone(),
            grants: Grants::new(location.clone(), groups.clone(), lifetime, refresh_lifetime),
            location,
            schema: Schema::new(&rules),
            mfa_required: settings.mfa_required,
            device_tracking: settings.device_tracking,
            clients: Clients::new(&settings.clients),
            directory: Directory::new(
                POOL_NAME,
                settings.seed().as_str(),
                &rules,
                &settings.users,
                clock.now(),
            ),
            verification: VerificationCodes::new(rules.max_attempts),
            rules,
            groups,
            sessions: Sessions::default(),
            outbox: Outbox::default(),
            codes: AuthorizationCodes::default(),
            browser_sessions: BrowserSessions::default(),
            triggers: Triggers::new(&settings.triggers, &settings.region, pool_id(&settings.region)),
            clock,
            faults,
            calls,
        }
    }

    /// Where the pool listens, which the discovery document and a local issuer name.
    pub(super) fn location(&self) -> &Location {
        &self.location
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
        let answer = self.perform(&operation, &body).await;
        tokio::time::sleep(lateness.unwrap_or_default()).await;
        Ok(match answer {
            // Operations without an output, DeleteUser for example.
            Ok(Value::Null) => Form::Cognito.text(StatusCode::OK, String::new()),
            Ok(value) => Form::Cognito.ok(&value),
            Err(error) => Form::Cognito.error(&error),
        })
    }

    pub(super) fn rules(&self) -> &PoolRules {
        &self.rules
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
        self.directory.update(username, |account| account.set_state(state));
    }

    /// Revokes every sign-in of a user, as AdminUserGlobalSignOut does.
    pub(super) fn sign_out(&self, username: &str) {
        if let Some(account) = self.directory.account(username) {
            self.grants.revoke_user(&account.user.username);
        }
    }

    async fn get_tokens_from_refresh_token(
        &self,
        request: &GetTokensFromRefreshToken,
    ) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret(client, request.client_secret.as_deref())?;
        let grant = self.grants.find(&request.refresh_token, client, self.clock.now())?;
        let device_key = request.device_key.as_deref();
        let metadata = request.client_metadata.as_ref();
        let result = self.refreshed(&request.refresh_token, &grant, client, device_key, metadata).await?;
        Ok(json!({ "AuthenticationResult": result }))
    }

    /// AuthenticationResult of a refresh.
    async fn refreshed(
        &self,
        token: &str,
        grant: &Grant,
        client: &AppClient,
        device_key: Option<&str>,
        metadata: Option<&Metadata>,
    ) -> Result<Value, AwsError> {
        let account = self.directory.account(&grant.username).ok_or_else(invalid_refresh_token)?;
        account.admit()?;
        self.require_device_of(grant, &account, device_key)?;
        let source = TokenSource::Refresh;
        let changes = self.token_changes(&account, &client.id, source, &grant.scope, metadata).await?;
        // While the trigger ran, the token may have been revoked or used, and the user changed.
        let grant = self.grants.find(token, client, self.clock.now())?;
        let account = self.directory.account(&grant.username).ok_or_else(invalid_refresh_token)?;
        account.admit()?;
        Ok(self.grants.refresh(token, &grant, &account, &changes, client, self.clock.now()))
    }

    fn revoke_token(&self, request: &RevokeToken) -> Result<Value, AwsError> {
        let client = self.clients.find(&request.client_id)?;
        check_secret(client, request.client_secret.as_deref())?;
        self.grants.revoke(&request.token, client)?;
        Ok(json!({}))
    }
}

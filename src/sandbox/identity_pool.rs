//! The identity pool: cognito-identity's JSON 1.1 operations, which exchange a login for credentials.

mod identities;
mod logins;
mod sts;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{AwsError, Body, Form},
    credential_store::{CredentialStore, Issued, Principal},
    faults::{Calls, Faults},
    json_protocol::{self, parse},
    paced::Hangup,
    percent::Pairs,
    settings::Settings,
    user_pool::{self, Location},
};
use crate::clock::Clock;
use identities::Identities;
pub(super) use identities::Known as KnownIdentities;
use logins::{Login, Providers};

/// The account that everything in the sandbox belongs to.
pub(super) const ACCOUNT: &str = "123456789012";
const SESSION_NAME: &str = "CognitoIdentityCredentials";

pub(super) struct IdentityPool {
    id: String,
    providers: Providers,
    guests: bool,
    classic_flow: bool,
    credentials_lifetime: Duration,
    identities: Identities,
    store: Arc<CredentialStore>,
    clock: Clock,
    faults: Faults,
    calls: Calls,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetId {
    identity_pool_id: String,
    logins: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetCredentialsForIdentity {
    identity_id: String,
    logins: Option<HashMap<String, String>>,
    custom_role_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetOpenIdToken {
    identity_id: String,
    logins: Option<HashMap<String, String>>,
}

pub(super) fn pool_id(region: &str) -> String {
    format!("{region}:5a4db0c5-1f2e-4d3c-8b9a-000000000001")
}

impl IdentityPool {
    pub(super) fn new(
        settings: &Settings,
        location: Location,
        store: Arc<CredentialStore>,
        clock: Clock,
        faults: Faults,
        calls: Calls,
    ) -> Self {
        let issuer = user_pool::issuer(&settings.region);
        Self {
            id: pool_id(&settings.region),
            providers: Providers {
                user_pool: issuer.trim_start_matches("https://").to_owned(),
                location,
                others: settings.openid_providers.clone(),
                audiences: settings.clients.iter().map(|client| client.id.clone()).collect(),
            },
            guests: settings.guests,
            classic_flow: settings.classic_flow,
            credentials_lifetime: settings.credentials_lifetime,
            identities: Identities::new(&settings.region, settings.seed()),
            store,
            clock,
            faults,
            calls,
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let operation = json_protocol::operation(&request);
        let body = json_protocol::read_body(request).await?;
        match operation {
            Some(operation) => self.answer_cognito(&operation, &body).await,
            None => self.answer_sts(&Pairs::parse(&String::from_utf8_lossy(&body))).await,
        }
    }

    async fn answer_cognito(&self, operation: &str, body: &Bytes) -> Result<Response<Body>, Hangup> {
        self.calls.add(operation);
        if let Some(disturbed) = Form::Cognito.disturbed(&self.faults, operation).await? {
            return Ok(disturbed);
        }
        Ok(match self.perform(operation, body) {
            Ok(value) => Form::Cognito.ok(&value),
            Err(error) => Form::Cognito.error(&error),
        })
    }

    /// Forgets an identity, as DeleteIdentities does.
    pub(super) fn delete_identity(&self, identity_id: &str) {
        self.identities.delete(identity_id);
    }

    pub(super) fn known_identities(&self) -> KnownIdentities {
        self.identities.known()
    }

    pub(super) fn stored_credentials(&self) -> Vec<Issued> {
        self.store.stored(self.clock.now())
    }

    pub(super) fn restore(&self, known: KnownIdentities, credentials: Vec<Issued>) {
        self.identities.restore(known);
        self.store.restore(credentials);
    }

    /// Credentials of a new guest.
    pub(super) fn issue_to_guest(&self, lifetime: Duration) -> Issued {
        let principal = Principal {
            identity_id: self.identities.of(None),
            login: None,
            role_arn: default_role(false),
            session_name: SESSION_NAME.to_owned(),
        };
        self.store.issue(principal, lifetime, self.clock.now())
    }

    fn perform(&self, operation: &str, body: &[u8]) -> Result<Value, AwsError> {
        match operation {
            "GetId" => self.get_id(&parse(body)?),
            "GetOpenIdToken" => self.get_open_id_token(&parse(body)?),
            "GetCredentialsForIdentity" => self.get_credentials_for_identity(&parse(body)?),
            _ => Err(json_protocol::unknown_operation()),
        }
    }

    fn get_id(&self, request: &GetId) -> Result<Value, AwsError> {
        if request.identity_pool_id != self.id {
            let message = format!("IdentityPool '{}' not found.", request.identity_pool_id);
            return Err(AwsError::not_found(message));
        }
        let login = self.providers.check(request.logins.as_ref(), self.clock.now())?;
        if login.is_none() {
            self.require_guests()?;
        }
        let subject = login.map(|login| (login.provider, login.subject));
        Ok(json!({ "IdentityId": self.identities.of(subject) }))
    }

    fn get_credentials_for_identity(&self, request: &GetCredentialsForIdentity) -> Result<Value, AwsError> {
        let now = self.clock.now();
        let (identity_id, login) = self.admit(&request.identity_id, request.logins.as_ref(), now)?;
        let role_arn = role(login.as_ref(), request.custom_role_arn.as_deref())?;
        let principal = Principal {
            identity_id: identity_id.clone(),
            login: login.map(|login| (login.provider, login.subject)),
            role_arn,
            session_name: SESSION_NAME.to_owned(),
        };
        let issued = self.store.issue(principal, self.credentials_lifetime, now);
        Ok(json!({ "IdentityId": identity_id, "Credentials": credentials(&issued) }))
    }

    fn get_open_id_token(&self, request: &GetOpenIdToken) -> Result<Value, AwsError> {
        if !self.classic_flow {
            let message = "Basic (classic) flow is not enabled, please use enhanced flow.";
            return Err(AwsError::not_authorized(message));
        }
        let now = self.clock.now();
        let (identity_id, login) = self.admit(&request.identity_id, request.logins.as_ref(), now)?;
        let token = self.open_id_token(&identity_id, login.as_ref(), now);
        Ok(json!({ "IdentityId": identity_id, "Token": token }))
    }

    /// The identity for these logins, when the request names `identity_id`.
    ///
    /// A guest's identity becomes that of the login, unless the login has one already.
    fn admit(
        &self,
        identity_id: &str,
        logins: Option<&HashMap<String, String>>,
        now: SystemTime,
    ) -> Result<(String, Option<Login>), AwsError> {
        let login = self.providers.check(logins, now)?;
        let not_found = || AwsError::not_found(format!("Identity '{identity_id}' not found."));
        let subject = login.as_ref().map(|login| (login.provider.clone(), login.subject.clone()));
        let owner = self.identities.owner(identity_id, &subject).ok_or_else(not_found)?;
        let identity_id = match (owner, subject) {
            (None, None) => {
                self.require_guests()?;
                identity_id.to_owned()
            }
            (None, Some(subject)) => self.identities.merge(identity_id, subject),
            (owner, subject) if owner == subject => identity_id.to_owned(),
            (_, None) => {
                let message = format!("Access to Identity '{identity_id}' is forbidden.");
                return Err(AwsError::not_authorized(message));
            }
            (_, Some(_)) => {
                return Err(AwsError::not_authorized(
                    "Logins don't match. Please include at least one valid login for this identity or \
                     identity pool.",
                ));
            }
        };
        Ok((identity_id, login))
    }

    fn require_guests(&self) -> Result<(), AwsError> {
        if self.guests {
            return Ok(());
        }
        Err(AwsError::not_authorized("Unauthenticated access is not supported for this identity pool."))
    }
}

/// The role: the one asked for if the token allows it, else the preferred one, else the pool's.
fn role(login: Option<&Login>, asked: Option<&str>) -> Result<String, AwsError> {
    let allowed = login.map_or(&[][..], |login| &login.roles);
    match asked {
        Some(asked) if allowed.iter().any(|role| role == asked) => Ok(asked.to_owned()),
        Some(_) => Err(AwsError::not_authorized("Access denied. Invalid custom role ARN.")),
        None => Ok(allowed.first().cloned().unwrap_or_else(|| default_role(login.is_some()))),
    }
}

fn default_role(authenticated: bool) -> String {
    let name = if authenticated { "sandbox-authenticated" } else { "sandbox-unauthenticated" };
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn credentials(issued: &Issued) -> Value {
    let expiration = issued.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "AccessKeyId": issued.access_key,
        "SecretKey": issued.secret_key,
        "SessionToken": issued.session_token,
        "Expiration": expiration.as_millis() as f64 / 1000.0,
    })
}

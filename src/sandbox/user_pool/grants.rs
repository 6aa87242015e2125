//! Completed sign-ins: refreshing, rotating and revoking their tokens.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{account::Account, discovery::Location, groups::Groups, token_changes::TokenChanges};
use crate::sandbox::{
    answer::AwsError,
    people::AppClient,
    tokens::{self, epoch},
};

/// The scope of tokens that do not come from managed login.
pub(super) const ADMIN_SCOPE: &str = "aws.cognito.signin.user.admin";

pub(super) struct Grants {
    location: Location,
    groups: Arc<Groups>,
    token_lifetime: Duration,
    refresh_lifetime: Duration,
    refresh_tokens: Mutex<HashMap<String, Grant>>,
}

/// One sign-in of one user, which all its tokens descend from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) username: String,
    pub(super) client_id: String,
    pub(super) scope: String,
    /// The device that was used, when the pool tracks devices.
    pub(super) device_key: Option<String>,
    /// What the ID token repeats of the authorisation request.
    pub(super) nonce: Option<String>,
    origin: String,
    auth_time: u64,
    expires: SystemTime,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Live,
    /// Another refresh token replaced it; it works until the grace period ends.
    Rotated(SystemTime),
    Revoked,
}

impl Grants {
    pub(super) fn new(
        location: Location,
        groups: Arc<Groups>,
        token_lifetime: Duration,
        refresh_lifetime: Duration,
    ) -> Self {
        Self { location, groups, token_lifetime, refresh_lifetime, refresh_tokens: Mutex::default() }
    }

    /// A sign-in that begins now, of which nothing has been issued yet.
    pub(super) fn begin(&self, account: &Account, client: &AppClient, now: SystemTime) -> Grant {
        Grant {
            username: account.user.username.clone(),
            client_id: client.id.clone(),
            scope: ADMIN_SCOPE.to_owned(),
            device_key: None,
            nonce: None,
            origin: uuid::Uuid::new_v4().to_string(),
            auth_time: epoch(now),
            expires: now + self.refresh_lifetime,
            state: State::Live,
        }
    }

    /// AuthenticationResult of a complete sign-in.
    pub(super) fn issue(
        &self,
        grant: Grant,
        account: &Account,
        changes: &TokenChanges,
        now: SystemTime,
    ) -> Value {
        let mut result = self.tokens(&grant, account, changes, now);
        result["RefreshToken"] = self.keep(Grant { nonce: None, ..grant }).into();
        result
    }

    /// The sign-in that a refresh token stands for, if `client` may use it at `now`.
    pub(super) fn find(&self, token: &str, client: &AppClient, now: SystemTime) -> Result<Grant, AwsError> {
        let grant = self.lock().get(token).cloned();
        let grant = grant.filter(|grant| grant.client_id == client.id);
        let grant = grant.ok_or_else(invalid_refresh_token)?;
        match grant.state {
            State::Revoked => Err(AwsError::not_authorized("Refresh Token has been revoked")),
            State::Rotated(until) if now >= until => Err(AwsError::new(
                "RefreshTokenReuseException",
                "Refresh token has been invalidated by refresh token rotation",
            )),
            _ if now >= grant.expires => Err(AwsError::not_authorized("Refresh Token has expired")),
            _ => Ok(grant),
        }
    }

    /// New ID and access tokens, and a new refresh token where the client rotates.
    pub(super) fn refresh(
        &self,
        token: &str,
        grant: &Grant,
        account: &Account,
        changes: &TokenChanges,
        client: &AppClient,
        now: SystemTime,
    ) -> Value {
        let mut result = self.tokens(grant, account, changes, now);
        if let Some(grace) = client.rotation {
            if let Some(old) = self.lock().get_mut(token)
                && old.state == State::Live
            {
                old.state = State::Rotated(now + grace);
            }
            result["RefreshToken"] = self.keep(Grant { state: State::Live, ..grant.clone() }).into();
        }
        result
    }

    /// Revokes a refresh token with everything that descends from the same sign-in.
    pub(super) fn revoke(&self, token: &str, client: &AppClient) -> Result<(), AwsError> {
        if tokens::check(token).is_ok() {
            let message = "The token must be a refresh token.";
            return Err(AwsError::new("UnsupportedTokenTypeException", message));
        }
        let found = self.lock().get(token).map(|grant| (grant.origin.clone(), grant.client_id.clone()));
        let Some((origin, client_id)) = found else { return Ok(()) };
        if client_id != client.id {
            let message = "The token was issued to another client.";
            return Err(AwsError::new("UnauthorizedException", message));
        }
        self.revoke_if(|grant| grant.origin == origin);
        Ok(())
    }

    /// Revokes every sign-in of a user.
    pub(super) fn revoke_user(&self, username: &str) {
        self.revoke_if(|grant| grant.username == username);
    }

    /// Forgets the sign-ins of a user who is gone.
    pub(super) fn forget_user(&self, username: &str) {
        self.lock().retain(|_, grant| grant.username != username);
    }

    /// The claims of an access token that has not expired; it may be revoked.
    pub(super) fn access(&self, token: &str, now: SystemTime) -> Result<Value, AwsError> {
        let invalid = || AwsError::not_authorized("Invalid Access Token");
        let claims = tokens::check(token).map_err(|_| invalid())?;
        if claims["token_use"] != "access" || claims["iss"] != self.location.issuer() {
            return Err(invalid());
        }
        if claims["exp"].as_u64().is_none_or(|expiry| epoch(now) >= expiry) {
            return Err(AwsError::not_authorized("Access Token has expired"));
        }
        Ok(claims)
    }

    /// Refuses access tokens of a sign-in that was revoked.
    pub(super) fn require_unrevoked(&self, claims: &Value) -> Result<(), AwsError> {
        let revoked = |grant: &Grant| grant.state == State::Revoked && claims["origin_jti"] == grant.origin;
        if self.lock().values().any(revoked) {
            return Err(AwsError::not_authorized("Access Token has been revoked"));
        }
        Ok(())
    }

    /// The refresh tokens that may still be used, and those of which it is known why not.
    pub(super) fn stored(&self, now: SystemTime) -> BTreeMap<String, Grant> {
        let tokens = self.lock();
        let lasting = tokens.iter().filter(|(_, grant)| now < grant.expires);
        lasting.map(|(token, grant)| (token.clone(), grant.clone())).collect()
    }

    pub(super) fn restore(&self, tokens: BTreeMap<String, Grant>) {
        self.lock().extend(tokens);
    }

    fn revoke_if(&self, chosen: impl Fn(&Grant) -> bool) {
        for grant in self.lock().values_mut().filter(|grant| chosen(grant)) {
            grant.state = State::Revoked;
        }
    }

    fn keep(&self, grant: Grant) -> String {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 48]>());
        self.lock().insert(token.clone(), grant);
        token
    }

    fn tokens(&self, grant: &Grant, account: &Account, changes: &TokenChanges, now: SystemTime) -> Value {
        let (mut access, mut id) =
            (self.access_claims(grant, account, now), self.id_claims(grant, account, now));
        changes.apply_to_access(&mut access);
        changes.apply_to_id(&mut id);
        json!({
            "AccessToken": tokens::sign(&access),
            "IdToken": tokens::sign(&id),
            "ExpiresIn": self.token_lifetime.as_secs(),
            "TokenType": "Bearer",
        })
    }

    fn id_claims(&self, grant: &Grant, account: &Account, now: SystemTime) -> Value {
        let mut claims = self.common_claims(grant, account, now);
        claims["token_use"] = "id".into();
        claims["aud"] = grant.client_id.clone().into();
        claims["cognito:username"] = account.user.username.clone().into();
        for (name, value) in readable_attributes(account, &grant.scope) {
            let is_flag = name == "email_verified" || name == "phone_number_verified";
            claims[name] = if is_flag { (value == "true").into() } else { value.into() };
        }
        let (roles, preferred) = self.groups.roles(account);
        if !roles.is_empty() {
            claims["cognito:roles"] = roles.into();
        }
        if let Some(preferred) = preferred {
            claims["cognito:preferred_role"] = preferred.into();
        }
        if let Some(nonce) = &grant.nonce {
            claims["nonce"] = nonce.clone().into();
        }
        claims
    }

    fn access_claims(&self, grant: &Grant, account: &Account, now: SystemTime) -> Value {
        let mut claims = self.common_claims(grant, account, now);
        claims["token_use"] = "access".into();
        claims["client_id"] = grant.client_id.clone().into();
        claims["username"] = account.user.username.clone().into();
        claims["scope"] = grant.scope.clone().into();
        if let Some(device_key) = &grant.device_key {
            claims["device_key"] = device_key.clone().into();
        }
        claims
    }

    fn common_claims(&self, grant: &Grant, account: &Account, now: SystemTime) -> Value {
        let mut claims = json!({
            "iss": self.location.issuer(),
            "sub": account.sub,
            "origin_jti": grant.origin,
            "event_id": uuid::Uuid::new_v4().to_string(),
            "jti": uuid::Uuid::new_v4().to_string(),
            "auth_time": grant.auth_time,
            "iat": epoch(now),
            "exp": epoch(now + self.token_lifetime),
        });
        if !account.user.groups.is_empty() {
            claims["cognito:groups"] = account.user.groups.clone().into();
        }
        claims
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.refresh_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn has_scope(scopes: &str, scope: &str) -> bool {
    scopes.split(' ').any(|known| known == scope)
}

/// The attributes that the scopes of a token show: all, unless it asks for some.
pub(super) fn readable_attributes<'a>(
    account: &'a Account,
    scopes: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let [email, phone, profile] = ["email", "phone", "profile"].map(|scope| has_scope(scopes, scope));
    let all = has_scope(scopes, ADMIN_SCOPE) || !(email || phone || profile);
    let attributes = account.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    attributes.filter(move |(name, _)| {
        all || match *name {
            "email" | "email_verified" => email,
            "phone_number" | "phone_number_verified" => phone,
            _ => profile,
        }
    })
}

pub(super) fn invalid_refresh_token() -> AwsError {
    AwsError::not_authorized("Invalid Refresh Token")
}

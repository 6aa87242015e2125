//! The handle of a running sandbox: addresses, ids, faults, and recorded requests.

use std::{fmt, io, sync::Arc, time::Duration};

use aws_credential_types::Credentials;
use secrecy::SecretString;
use serde_json::json;

use super::{
    Servers, Service, Services,
    api::{Received, STAGE},
    credential_store::CredentialStore,
    faults::{Calls, Faults},
    identity_pool,
    people::{AppClient, Mfa, User, UserState},
    pool_rules::PoolRules,
    skew::Skew,
    tokens::{self, epoch},
    user_pool::{self, Message},
};
use crate::clock::Clock;

/// A running sandbox. Dropping it closes its listeners and connections.
pub struct Sandbox {
    pub(super) region: String,
    pub(super) user: User,
    pub(super) client: AppClient,
    pub(super) clock: Clock,
    pub(super) skew: Skew,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    pub(super) store: Arc<CredentialStore>,
    pub(super) services: Services,
    pub(super) servers: Servers,
}

impl Sandbox {
    /// The base URL of cognito-idp, which is that of managed login as well.
    #[must_use]
    pub fn user_pool_endpoint(&self) -> String {
        self.servers.of(Service::UserPool).url()
    }

    /// The base URL of cognito-identity, which is that of STS as well.
    #[must_use]
    pub fn identity_pool_endpoint(&self) -> String {
        self.servers.of(Service::IdentityPool).url()
    }

    /// The API with its stage, `http://127.0.0.1:PORT/prod`.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("{}/{STAGE}", self.servers.of(Service::Api).url())
    }

    /// The region of everything.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The user pool's id.
    #[must_use]
    pub fn user_pool_id(&self) -> String {
        user_pool::pool_id(&self.region)
    }

    /// The identity pool's id.
    #[must_use]
    pub fn identity_pool_id(&self) -> String {
        identity_pool::pool_id(&self.region)
    }

    /// The rules of the user pool.
    #[must_use]
    pub fn rules(&self) -> &PoolRules {
        self.services.user_pool.rules()
    }

    /// The first app client, which by default has no secret.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client.id
    }

    /// The first user's name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.user.username
    }

    /// The first user's password, as it was at the start.
    #[must_use]
    pub fn password(&self) -> &SecretString {
        &self.user.password
    }

    /// The secret of the first user's authenticator, in base32, if they had one at the start.
    #[must_use]
    pub fn authenticator_secret(&self) -> Option<&SecretString> {
        self.user.mfa.iter().find_map(|mfa| match mfa {
            Mfa::Authenticator { secret } => Some(secret),
            Mfa::Sms | Mfa::Email => None,
        })
    }

    /// The secret of the first app client, if it has one.
    #[must_use]
    pub fn client_secret(&self) -> Option<&SecretString> {
        self.client.secret.as_ref()
    }

    /// The sandbox's clock, skew included.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sets the sandbox's clock ahead by `millis`, or behind when negative, of the one it was given.
    pub fn set_clock_skew(&self, millis: i64) {
        self.skew.set(millis);
    }

    /// Sets the sandbox's clock ahead, and no other.
    pub fn advance_clock(&self, by: Duration) {
        self.skew.add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Plans faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How often each operation was called.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The latest requests that reached the API, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.services.api.recorded()
    }

    /// Forgets the requests that reached the API.
    pub fn clear_requests(&self) {
        self.services.api.forget_recorded();
    }

    /// The codes that were sent to users, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.services.user_pool.messages()
    }

    /// Disables a user, demands a new password of them, or makes them usable again.
    pub fn set_user_state(&self, username: &str, state: UserState) {
        self.services.user_pool.set_user_state(username, state);
    }

    /// Revokes every token of a user, as AdminUserGlobalSignOut does.
    pub fn sign_out(&self, username: &str) {
        self.services.user_pool.sign_out(username);
    }

    /// Makes the credentials issued so far unknown to the API.
    pub fn invalidate_credentials(&self) {
        self.store.invalidate_all();
    }

    /// Makes the credentials issued so far expire now.
    pub fn expire_credentials(&self) {
        self.store.expire_all(self.clock.now());
    }

    /// Forgets an identity, as DeleteIdentities does.
    pub fn delete_identity(&self, identity_id: &str) {
        self.services.identity_pool.delete_identity(identity_id);
    }

    /// Credentials of a guest, without a call.
    #[must_use]
    pub fn issue_credentials(&self, lifetime: Duration) -> Credentials {
        let issued = self.services.identity_pool.issue_to_guest(lifetime);
        let (key, secret) = (issued.access_key, issued.secret_key);
        Credentials::new(key, secret, issued.session_token, Some(issued.expires), "sandbox")
    }

    /// An ID token of any issuer, such as one of [`Settings::openid_providers`], or of the user
    /// pool with its own. Signed with the user pool's key.
    ///
    /// [`Settings::openid_providers`]: super::Settings::openid_providers
    #[must_use]
    pub fn id_token(&self, issuer: &str, audience: &str, subject: &str, lifetime: Duration) -> String {
        let now = self.clock.now();
        tokens::sign(&json!({
            "iss": issuer,
            "aud": audience,
            "sub": subject,
            "iat": epoch(now),
            "exp": epoch(now + lifetime),
        }))
    }

    /// `iss` of the user pool's tokens.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.services.user_pool.location().issuer()
    }

    /// Closes a service's listener and connections, until [`Sandbox::restart`]. WebSocket connections of the API get a
    /// Close frame before.
    pub async fn stop(&self, service: Service) {
        if service == Service::Api {
            self.services.api.close_connections().await;
        }
        self.servers.of(service).stop().await;
    }

    /// Starts a stopped service on the port it had.
    ///
    /// # Errors
    ///
    /// When the port was taken in the meantime.
    pub async fn restart(&self, service: Service) -> io::Result<()> {
        self.servers.of(service).restart().await
    }

    /// Stops everything and waits for it.
    pub async fn shutdown(self) {
        for service in [Service::Api, Service::IdentityPool, Service::UserPool] {
            self.stop(service).await;
        }
        if let Err(error) = self.services.save().await {
            tracing::warn!(%error, "sandbox state not saved");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(state) = &self.services.state {
            state.close();
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("servers", &self.servers).finish_non_exhaustive()
    }
}

//! The settings of a sandbox: lifetimes, ports, and the rules of the pools.

use std::{path::PathBuf, time::Duration};

use super::{
    api::{ApiRoute, WebSocketLimits},
    people::{AppClient, User},
    pool_rules::PoolRules,
    seed::Seed,
    trigger_hooks::TriggerHooks,
};
use crate::clock::Clock;

/// The settings of a sandbox.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region of everything in it.
    pub region: String,
    /// The user pool's users; the first is the one that [`Sandbox::username`] names.
    ///
    /// [`Sandbox::username`]: super::Sandbox::username
    pub users: Vec<User>,
    /// The user pool's app clients; the first is the one that [`Sandbox::client_id`] names.
    ///
    /// [`Sandbox::client_id`]: super::Sandbox::client_id
    pub clients: Vec<AppClient>,
    /// The user pool's rules for sign-up, names, passwords and tokens.
    pub rules: PoolRules,
    /// The hooks of the user pool's triggers.
    pub triggers: TriggerHooks,
    /// Whether users without a second factor must set one up at sign-in.
    pub mfa_required: bool,
    /// Whether the user pool tracks devices, and refreshes only for those that were confirmed.
    pub device_tracking: bool,
    /// Whether the identity pool gives credentials without a login.
    pub guests: bool,
    /// Whether the identity pool gives tokens for STS.
    pub classic_flow: bool,
    /// Issuers that the identity pool accepts besides the user pool, without their scheme.
    pub openid_providers: Vec<String>,
    /// How long the identity pool's credentials last. STS grants what is asked of it, unless this
    /// is less than its minimum of 15 minutes.
    pub credentials_lifetime: Duration,
    /// How long ID and access tokens last.
    pub token_lifetime: Duration,
    /// How long refresh tokens last.
    pub refresh_token_lifetime: Duration,
    /// The sandbox's clock, before any skew that is set at run time.
    pub clock: Clock,
    /// The ports on 127.0.0.1; zero picks one.
    pub ports: Ports,
    /// Where verified requests are forwarded to, instead of being echoed.
    pub backend: Option<http::Uri>,
    /// The routes of the API that authorise by something else than a signature.
    pub api_routes: Vec<ApiRoute>,
    /// The limits of WebSocket connections to the API.
    pub websocket: WebSocketLimits,
    /// What the token key, `sub` and identity ids are derived from, the same for all sandboxes of a process; `None` for
    /// the one that is stored in `state_dir`, else the default.
    pub seed: Option<Seed>,
    /// The folder in which users and identities are kept from one run to the next; `None` for none.
    pub state_dir: Option<PathBuf>,
    /// How many of the latest requests to the API are kept for inspection, bodies included; fewer of large ones.
    pub recorded_requests: usize,
}

/// One port for each service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The user pool, managed login included.
    pub user_pool: u16,
    /// The identity pool and STS.
    pub identity_pool: u16,
    /// The API.
    pub api: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "eu-west-1".to_owned(),
            users: vec![User::new("demo", "Sandbox-password-1")],
            clients: vec![AppClient::public(), AppClient::confidential(), AppClient::rotating()],
            rules: PoolRules::default(),
            triggers: TriggerHooks::default(),
            mfa_required: false,
            device_tracking: false,
            guests: true,
            classic_flow: true,
            openid_providers: Vec::new(),
            credentials_lifetime: Duration::from_secs(3600),
            token_lifetime: Duration::from_secs(3600),
            refresh_token_lifetime: Duration::from_secs(30 * 24 * 3600),
            clock: Clock::system(),
            ports: Ports::default(),
            backend: None,
            api_routes: Vec::new(),
            websocket: WebSocketLimits::default(),
            seed: None,
            state_dir: None,
            recorded_requests: 1000,
        }
    }
}

impl Settings {
    pub(super) fn seed(&self) -> Seed {
        self.seed.clone().unwrap_or_default()
    }
}

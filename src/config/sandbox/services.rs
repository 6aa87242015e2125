//! What the sandbox's services are set to: ports, routes of the API, callback URLs.

use std::{path::PathBuf, time::Duration};

use super::{
    people::{SandboxClient, SandboxUser, SecondFactor, client, second_factor},
    pool::SandboxPool,
    triggers::SandboxTriggers,
};
use crate::{
    config::{
        reader::Reader,
        source::Origin,
        url,
        value::{self, Parsed},
    },
    downstream::listener::Listen,
};

/// What the user pool, the identity pool and the API are set to.
#[derive(Clone, Debug)]
pub struct SandboxServices {
    /// The ports of user pool, identity pool and API; zeros pick free ones.
    pub ports: [u16; 3],
    /// The users, at least one.
    pub users: Vec<SandboxUser>,
    /// App clients besides those that every sandbox has, before these.
    pub clients: Vec<SandboxClient>,
    /// Callback URLs of all app clients, besides those of the usual dev servers.
    pub callback_urls: Vec<String>,
    /// The second factor of the users.
    pub second_factor: Option<SecondFactor>,
    /// Whether users may sign up.
    pub self_sign_up: bool,
    /// The other rules of the user pool.
    pub pool: SandboxPool,
    /// The hooks of the user pool's triggers.
    pub triggers: SandboxTriggers,
    /// Whether tokens name the sandbox's own address as their issuer.
    pub local_issuer: bool,
    /// The routes of the API that do not authorise by a signature.
    pub api_routes: Vec<SandboxRoute>,
    /// How long ID and access tokens last.
    pub token_lifetime: Duration,
    /// Where users and identities are kept from one run to the next.
    pub state_dir: Option<PathBuf>,
    /// What keys and ids are derived from; `None` for the stored one or the default.
    pub seed: Option<String>,
}

/// A route of the sandbox's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxRoute {
    /// The path below the stage, which stands for all paths below it, too.
    pub path: String,
    /// How requests are authorised.
    pub authorization: RouteAuthorization,
}

/// How a route of the sandbox's API authorises requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAuthorization {
    /// By their signature.
    Iam,
    /// By an ID token of the user pool.
    UserPool,
    /// Not at all.
    None,
}

impl Reader<'_> {
    /// The settings of the services, of which the listeners must leave the ports alone.
    pub(super) fn sandbox_services(
        &mut self,
        listeners: Option<&(Listen, Option<Listen>)>,
    ) -> Option<SandboxServices> {
        let ports = self.value("port-base", ports);
        if let (Some(ports), Some((listen, admin))) = (ports, listeners) {
            self.refuse_shared_ports(ports, [("listen", Some(listen)), ("admin-listen", admin.as_ref())]);
        }
        let users = self.sandbox_users();
        let clients = self.values("client", client);
        let callback_urls = self.values("callback-url", callback_url);
        let second_factor = self.value("mfa", second_factor);
        let self_sign_up = self.value("signup", sign_up);
        let pool = self.sandbox_pool();
        let triggers = self.sandbox_triggers();
        let local_issuer = self.value("issuer", issuer);
        let api_routes = self.values("api-route", api_route);
        let token_lifetime = self.value("token-lifetime", value::duration);
        let state_dir = self.sandbox_state();
        let seed = self.value("seed", value::text);
        Some(SandboxServices {
            ports: ports?,
            users,
            clients,
            callback_urls,
            second_factor,
            self_sign_up: self_sign_up?,
            pool: pool?,
            triggers: triggers?,
            local_issuer: local_issuer?,
            api_routes,
            token_lifetime: token_lifetime?,
            state_dir,
            seed,
        })
    }

    fn sandbox_state(&mut self) -> Option<PathBuf> {
        let given = self.explicit("state")?;
        let path = self.parsed(&given, value::text)?;
        Some(self.environment.path(&given.origin, &path))
    }

    fn refuse_shared_ports(&mut self, ports: [u16; 3], listeners: [(&str, Option<&Listen>); 2]) {
        for (name, listen) in listeners {
            let port = match listen {
                Some(Listen::Localhost(port)) => *port,
                Some(Listen::Address(address)) => address.port(),
                Some(Listen::Unix(_)) | None => continue,
            };
            if port == 0 || !ports.contains(&port) {
                continue;
            }
            let base = self.origin("port-base");
            let place = self.origin(name).or(base).unwrap_or(Origin::Default);
            let [first, _, last] = ports;
            self.problem(
                place,
                format!(
                    "{name} has port {port}, and the sandbox's services have {first} to {last}: choose others"
                ),
            );
        }
    }
}

/// The ports from a base: zero stands for free ones.
fn ports(text: &str) -> Parsed<[u16; 3]> {
    const MAX_BASE: u16 = u16::MAX - 2;
    match text.parse::<u16>() {
        Ok(0) => Ok([0; 3]),
        Ok(base) if base <= MAX_BASE => Ok([base, base + 1, base + 2]),
        _ => Err(format!("{text:?} is not a port from 1 to {MAX_BASE}, or 0 for free ports")),
    }
}

/// `PATH=AUTHORIZATION`.
fn api_route(text: &str) -> Parsed<SandboxRoute> {
    let Some((path, authorization)) = text.rsplit_once('=') else {
        return Err(format!("{text:?} is not PATH=AUTHORIZATION, such as /public=none"));
    };
    let authorization = match authorization {
        "iam" => RouteAuthorization::Iam,
        "user-pool" => RouteAuthorization::UserPool,
        "none" => RouteAuthorization::None,
        other => return Err(format!("{other:?} is not iam, user-pool or none")),
    };
    Ok(SandboxRoute { path: url::route_path(path)?, authorization })
}

/// An absolute URL without a fragment, as Cognito takes it; also `myapp://callback`.
fn callback_url(text: &str) -> Parsed<String> {
    let is_absolute =
        text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    let is_legal = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['#', '*']);
    if is_absolute && is_legal {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not a URL such as http://localhost:5173/callback, without * and fragment"))
}

fn sign_up(text: &str) -> Parsed<bool> {
    match text {
        "open" => Ok(true),
        "closed" => Ok(false),
        _ => Err(format!("{text:?} is neither open nor closed")),
    }
}

fn issuer(text: &str) -> Parsed<bool> {
    match text {
        "aws" => Ok(false),
        "local" => Ok(true),
        _ => Err(format!("{text:?} is neither aws nor local")),
    }
}

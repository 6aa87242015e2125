//! The settings of the data path, already valid.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use secrecy::SecretString;

use crate::{
    forward_proxy::ForwardProxies,
    signing::SigningRegion,
    upstream::{self, Resolver},
};

/// The settings of the data path.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may ask.
    pub guard: GuardSettings,
    /// Limits on what is accepted.
    pub limits: Limits,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Where requests go, at least one; paths are distinct.
    pub routes: Vec<RouteSettings>,
    /// Headers removed on the way up.
    pub strip_headers: Vec<HeaderName>,
    /// PEM file with more trusted roots for the upstream.
    pub ca_files: Vec<PathBuf>,
    /// Which upstreams are reached through a forward proxy.
    pub forward_proxies: ForwardProxies,
    /// How the names of upstreams are looked up.
    pub resolver: Resolver,
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct GuardSettings {
    /// Exact origins of pages that may call the proxy from a browser, `http://localhost:5173`.
    pub allowed_origins: Vec<String>,
    /// Further names under which clients may address the proxy, lower case, without port.
    pub allowed_hosts: Vec<String>,
    /// The token that clients must present.
    pub bearer_token: Option<SecretString>,
    /// The token with which clients other than this user and root may use all of the admin listener.
    pub admin_token: Option<SecretString>,
    /// Whether other users of this machine may ask without the token.
    pub allow_other_users: bool,
    /// Whether pages that the API serves may run scripts on the proxy's origin.
    pub trust_documents: bool,
}

impl GuardSettings {
    /// Whether the user behind a connection decides who may ask, so that it has to be looked up.
    #[must_use]
    pub fn asks_for_users(&self) -> bool {
        self.bearer_token.is_none() && !self.allow_other_users
    }
}

/// Limits on what is accepted at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// All buffered bodies together, in bytes.
    pub body_memory: u64,
    /// Connections of clients.
    pub max_connections: usize,
    /// Requests that wait for the upstream's answer.
    pub max_in_flight: usize,
    /// WebSocket connections, which count among those of clients.
    pub max_tunnels: usize,
}

/// How long the proxy waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to the upstream, TLS included.
    pub connect: Duration,
    /// From the last byte of the request to the response head.
    pub response: Duration,
    /// Between two chunks of a streaming body, either way; towards the upstream, also before the response head.
    pub idle: Duration,
    /// For requests in flight at shutdown.
    pub drain: Duration,
    /// For a WebSocket on which nothing passes either way.
    pub websocket_idle: Duration,
}

impl Timeouts {
    /// The timeouts of the wire towards the upstream.
    pub(super) fn upstream(&self) -> upstream::Timeouts {
        let Self { connect, response, idle, .. } = *self;
        upstream::Timeouts { connect, response, idle }
    }
}

/// Where the requests below one path go.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The path prefix that selects this route, `/` or `/orders`.
    pub path: String,
    /// Base URL, with stage and path prefix.
    pub upstream: Uri,
    /// The region in the signature's scope, or the set of regions that SigV4A signs for.
    pub region: SigningRegion,
    /// The service in the signature's scope, `execute-api`.
    pub service: String,
    /// The Host to sign and send, when it is not the upstream's.
    pub sign_host: Option<String>,
    /// What is removed from the front of a request's path.
    pub strip_prefix: Option<String>,
    /// Headers set on the way up.
    pub set_headers: Vec<(HeaderName, HeaderValue)>,
    /// How request bodies are signed.
    pub payload: PayloadSigning,
    /// Where the signature of a WebSocket handshake goes.
    pub websocket_signing: WebsocketSigning,
}

/// How request bodies are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSigning {
    /// By their hash, for which a body is collected first.
    Hashed,
    /// Not at all (`UNSIGNED-PAYLOAD`), so that a body streams.
    Unsigned,
}

impl PayloadSigning {
    /// The value of the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hashed => "hashed",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Where the signature of a WebSocket handshake goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebsocketSigning {
    /// Into headers, as for every other request.
    Headers,
    /// Into the query, as browsers sign that cannot set headers.
    Query,
}

impl WebsocketSigning {
    /// What a service takes unless a setting says otherwise: AWS IoT reads the query only.
    #[must_use]
    pub fn of_service(service: &str) -> Self {
        if service == IOT { Self::Query } else { Self::Headers }
    }

    /// The value of the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Query => "query",
        }
    }
}

/// The service that MQTT clients of AWS IoT sign for.
pub(super) const IOT: &str = "iotdevicegateway";

//! The data path: admission, forwarding and the answers of the proxy itself.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use secrecy::SecretString;

/// What the data path needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may ask.
    pub guard: GuardSettings,
    /// How much is taken on.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Where requests go, at least one; paths are distinct.
    pub routes: Vec<RouteSettings>,
    /// Headers removed on the way up.
    pub strip_headers: Vec<HeaderName>,
    /// PEM file with more trusted roots for the upstream.
    pub ca_files: Vec<PathBuf>,
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
    /// Whether pages that the API serves may run scripts on the proxy's origin.
    pub trust_documents: bool,
}

/// How much is taken on at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// All buffered bodies together, in bytes.
    pub body_memory: u64,
    /// Connections of clients.
    pub max_connections: usize,
    /// Requests being answered.
    pub max_in_flight: usize,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to the upstream, TLS included.
    pub connect: Duration,
    /// From the sent request to the response head.
    pub response: Duration,
    /// Between two chunks of a streaming body, either way.
    pub idle: Duration,
    /// For requests in flight at shutdown.
    pub drain: Duration,
}

/// Where the requests below one path go.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The path prefix that selects this route, `/` or `/orders`.
    pub path: String,
    /// Base URL, with stage and path prefix.
    pub upstream: Uri,
    /// The region in the signature's scope.
    pub region: String,
    /// The service in the signature's scope, `execute-api`.
    pub service: String,
    /// The Host to sign and send, when it is not the upstream's.
    pub sign_host: Option<String>,
    /// What is removed from the front of a request's path.
    pub strip_prefix: Option<String>,
    /// Headers set on the way up.
    pub set_headers: Vec<(HeaderName, HeaderValue)>,
}

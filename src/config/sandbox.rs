//! The configuration of the sandbox, which brings its own upstream and its own user.

mod people;
mod pool;
mod services;
mod triggers;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::{Arguments, Config, ConfigError, Environment, reader::Reader, table::Use, url, value};
#[cfg(feature = "otlp")]
use crate::telemetry::spans;
use crate::{downstream::listener::Listen, inspector, proxy, telemetry};

pub use people::{SandboxClient, SandboxUser, SecondFactor};
pub use pool::{PasswordClasses, SandboxAttribute, SandboxAttributeKind, SandboxPool, SandboxUsernames};
pub use services::{RouteAuthorization, SandboxRoute, SandboxServices};
pub use triggers::{SandboxTrigger, SandboxTriggers};

/// What `sandbox` needs.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where clients connect.
    pub listen: Listen,
    /// Health, metrics and status, unless that is off.
    pub admin_listen: Option<Listen>,
    /// What is done with requests; has no routes, since the sandbox has its own upstream.
    pub proxy: proxy::Settings,
    /// What the inspector keeps.
    pub inspector: inspector::Settings,
    /// Headers that the sandbox's route sets on the way up.
    pub set_headers: Vec<(HeaderName, HeaderValue)>,
    /// The local server that gets the verified requests, instead of an echo.
    pub backend: Option<Uri>,
    /// How long the credentials last that the sandbox issues.
    pub credentials_lifetime: Duration,
    /// The user pool, the identity pool and the API.
    pub services: SandboxServices,
    /// Logging.
    pub telemetry: telemetry::Settings,
    /// Where spans of requests are exported, if they are.
    #[cfg(feature = "otlp")]
    pub spans: Option<spans::Settings>,
    /// Whether SIGTERM ends the process with 0 instead of 143.
    pub exit_zero_on_sigterm: bool,
    /// What is unusual and still valid, for the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// The configuration of `sandbox`: no upstream, no credentials.
    pub fn for_sandbox(
        arguments: &Arguments,
        environment: &Environment,
    ) -> Result<SandboxConfig, ConfigError> {
        let mut reader = Reader::new(Use::Sandbox, arguments, environment);
        let listeners = reader.listeners();
        let proxy = reader.proxy(Vec::new());
        let inspector = reader.inspector(listeners.as_ref());
        let set_headers = reader.common_headers();
        let backend = reader.value("backend", url::base_url);
        if let (Some(listeners), Some(backend)) = (&listeners, &backend) {
            reader.refuse_circle_of_backend(listeners, backend);
        }
        let credentials_lifetime = reader.value("credentials-lifetime", value::duration);
        let services = reader.sandbox_services(listeners.as_ref());
        let telemetry = reader.telemetry();
        #[cfg(feature = "otlp")]
        let spans = reader.spans_away_from(listeners.as_ref());
        #[cfg(not(feature = "otlp"))]
        reader.spans();
        let exit_zero_on_sigterm = reader.value("exit-zero-on-sigterm", value::switch);
        let warnings = std::mem::take(&mut reader.warnings);
        let config = || {
            let (listen, admin_listen) = listeners?;
            Some(SandboxConfig {
                listen,
                admin_listen,
                proxy: proxy?,
                inspector: inspector?,
                set_headers,
                backend,
                credentials_lifetime: credentials_lifetime?,
                services: services?,
                telemetry: telemetry?,
                #[cfg(feature = "otlp")]
                spans,
                exit_zero_on_sigterm: exit_zero_on_sigterm?,
                warnings,
            })
        };
        reader.finish(config())
    }
}

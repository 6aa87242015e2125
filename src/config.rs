//! The configuration: from flags, variables and the file to settings that are valid, or to all that is wrong.
//!
//! One table has the settings; each source becomes a layer of texts that know where they were given; one pass
//! over the layers makes the types that the components take. Components know nothing of this module.

use http::Uri;

#[cfg(feature = "otlp")]
use crate::telemetry::spans;
use crate::{aws_http, credentials, downstream::listener::Listen, inspector, proxy, telemetry};

mod admission;
mod amplify;
mod doubts;
mod effective;
mod environment;
mod file;
mod forward_proxy;
mod header;
mod open_telemetry;
pub mod outputs;
mod payload;
mod problem;
mod reader;
mod routes;
mod sandbox;
mod secret;
mod signer;
mod source;
pub mod table;
mod url;
mod value;

pub(crate) use header::field;
pub(crate) use problem::nearest;
pub(crate) use value::duration;

pub use effective::{Effective, RouteRow, Row, Shown};
pub use environment::Environment;
pub use problem::{ConfigError, Problem};
pub use sandbox::{
    PasswordClasses, RouteAuthorization, SandboxAttribute, SandboxAttributeKind, SandboxClient,
    SandboxConfig, SandboxPool, SandboxRoute, SandboxServices, SandboxTrigger, SandboxTriggers, SandboxUser,
    SandboxUsernames, SecondFactor,
};
pub use source::Arguments;

use reader::Reader;
use source::Origin;
use table::Use;

/// What `serve` and `exec` need.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// Health, metrics and status, unless that is off.
    pub admin_listen: Option<Listen>,
    /// Who signs.
    pub credentials: credentials::Settings,
    /// What is done with requests.
    pub proxy: proxy::Settings,
    /// What the inspector keeps.
    pub inspector: inspector::Settings,
    /// Whether a non-loopback listener is allowed without a bearer token.
    pub allow_unauthenticated: bool,
    /// Logging.
    pub telemetry: telemetry::Settings,
    /// Services that the proxy itself calls, where settings or variables name them.
    services: Vec<(Origin, Uri)>,
    /// How the endpoints of AWS are reached.
    pub aws_http: aws_http::Settings,
    /// Where spans of requests are exported, if they are.
    #[cfg(feature = "otlp")]
    pub spans: Option<spans::Settings>,
    /// Whether SIGTERM ends the process with 0 instead of 143.
    pub exit_zero_on_sigterm: bool,
    /// What is unusual and still valid, for the log.
    pub warnings: Vec<String>,
    /// Every setting with its value and origin.
    pub effective: Effective,
}

/// What `login`, `logout`, `whoami` and `credentials` need.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Who signs in.
    pub credentials: credentials::Settings,
    /// Logging.
    pub telemetry: telemetry::Settings,
    /// How the endpoints of AWS are reached.
    pub aws_http: aws_http::Settings,
    /// What is unusual and still valid, for the log.
    pub warnings: Vec<String>,
}

/// What `call` needs.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// Who signs.
    pub credentials: credentials::Settings,
    /// Where the request goes.
    pub proxy: proxy::Settings,
    /// Logging.
    pub telemetry: telemetry::Settings,
    /// How the endpoints of AWS are reached.
    pub aws_http: aws_http::Settings,
    /// What is unusual and still valid, for the log.
    pub warnings: Vec<String>,
}

/// What `explain` needs.
#[derive(Clone, Debug)]
pub struct ExplainConfig {
    /// Where the request would go.
    pub proxy: proxy::Settings,
    /// Logging.
    pub telemetry: telemetry::Settings,
    /// What is unusual and still valid, for the log.
    pub warnings: Vec<String>,
}

/// What `healthcheck`, `inspect` and `wait` need.
#[derive(Clone, Debug)]
pub struct HealthcheckConfig {
    /// The admin listener of the running proxy.
    pub admin_listen: Listen,
}

impl Config {
    /// The configuration of `serve` and `check`.
    pub fn for_serve(arguments: &Arguments, environment: &Environment) -> Result<Self, ConfigError> {
        Self::of_proxy(Reader::new(Use::Serve, arguments, environment))
    }

    /// The configuration of `exec`: that of `serve` with other defaults.
    pub fn for_exec(arguments: &Arguments, environment: &Environment) -> Result<Self, ConfigError> {
        Self::of_proxy(Reader::new(Use::Exec, arguments, environment))
    }

    fn of_proxy(mut reader: Reader<'_>) -> Result<Self, ConfigError> {
        let listeners = reader.listeners();
        let routes = reader.all_routes();
        if let (Some(listeners), Some(routes)) = (&listeners, &routes) {
            reader.refuse_circles(listeners, routes);
        }
        let route_settings = routes.iter().flatten().map(|route| route.settings.clone()).collect();
        let proxy = reader.proxy(route_settings);
        let inspector = reader.inspector(listeners.as_ref());
        let credentials = reader.credentials();
        if let Some(listeners) = &listeners {
            reader.refuse_circles_of_services(listeners);
        }
        let allow_unauthenticated = reader.value("allow-unauthenticated", value::switch);
        let telemetry = reader.telemetry();
        let aws_http = reader.aws_http();
        #[cfg(feature = "otlp")]
        let spans = reader.spans_away_from(listeners.as_ref());
        #[cfg(not(feature = "otlp"))]
        reader.spans();
        let exit_zero_on_sigterm = reader.value("exit-zero-on-sigterm", value::switch);
        let warnings = std::mem::take(&mut reader.warnings);
        let services = std::mem::take(&mut reader.services);
        let effective = reader.effective(routes.as_deref().unwrap_or_default());
        let config = || {
            let (listen, admin_listen) = listeners?;
            routes?;
            Some(Self {
                listen,
                admin_listen,
                credentials: credentials?,
                proxy: proxy?,
                inspector: inspector?,
                allow_unauthenticated: allow_unauthenticated?,
                telemetry: telemetry?,
                services,
                aws_http,
                #[cfg(feature = "otlp")]
                spans,
                exit_zero_on_sigterm: exit_zero_on_sigterm?,
                warnings,
                effective,
            })
        };
        reader.finish(config())
    }

    /// The configuration of `login`, `logout` and `whoami`: nothing about the upstream.
    pub fn for_session(
        arguments: &Arguments,
        environment: &Environment,
    ) -> Result<SessionConfig, ConfigError> {
        Self::of_session(Reader::new(Use::Session, arguments, environment))
    }

    /// The configuration of `credentials`: that of `whoami` with a quieter log.
    pub fn for_credentials(
        arguments: &Arguments,
        environment: &Environment,
    ) -> Result<SessionConfig, ConfigError> {
        Self::of_session(Reader::new(Use::Credentials, arguments, environment))
    }

    fn of_session(mut reader: Reader<'_>) -> Result<SessionConfig, ConfigError> {
        let credentials = reader.credentials();
        let telemetry = reader.telemetry();
        let aws_http = reader.aws_http();
        let warnings = std::mem::take(&mut reader.warnings);
        let config =
            || Some(SessionConfig { credentials: credentials?, telemetry: telemetry?, aws_http, warnings });
        reader.finish(config())
    }

    /// The configuration of `call`: no listeners.
    pub fn for_call(arguments: &Arguments, environment: &Environment) -> Result<CallConfig, ConfigError> {
        let mut reader = Reader::new(Use::Call, arguments, environment);
        let routes = reader.all_routes();
        let route_settings = routes.iter().flatten().map(|route| route.settings.clone()).collect();
        let proxy = reader.forwarding(route_settings);
        let credentials = reader.credentials();
        let telemetry = reader.telemetry();
        let aws_http = reader.aws_http();
        let warnings = std::mem::take(&mut reader.warnings);
        let config = || {
            routes?;
            let (credentials, proxy, telemetry) = (credentials?, proxy?, telemetry?);
            Some(CallConfig { credentials, proxy, telemetry, aws_http, warnings })
        };
        reader.finish(config())
    }

    /// The configuration of `explain`: no credentials.
    pub fn for_explain(
        arguments: &Arguments,
        environment: &Environment,
    ) -> Result<ExplainConfig, ConfigError> {
        let mut reader = Reader::new(Use::Call, arguments, environment);
        let routes = reader.all_routes();
        let route_settings = routes.iter().flatten().map(|route| route.settings.clone()).collect();
        let proxy = reader.forwarding(route_settings);
        let telemetry = reader.telemetry();
        let warnings = std::mem::take(&mut reader.warnings);
        let config = || {
            routes?;
            Some(ExplainConfig { proxy: proxy?, telemetry: telemetry?, warnings })
        };
        reader.finish(config())
    }

    /// The configuration of `healthcheck`, `inspect` and `wait`.
    pub fn for_healthcheck(
        arguments: &Arguments,
        environment: &Environment,
    ) -> Result<HealthcheckConfig, ConfigError> {
        let mut reader = Reader::new(Use::Healthcheck, arguments, environment);
        let admin_listen = reader.value("admin-listen", value::listen_or_off);
        if let Some(None) = admin_listen {
            let place = reader.origin("admin-listen").unwrap_or(source::Origin::Default);
            reader.problem(place, "is off, so that there is nothing to ask");
        }
        reader.finish(admin_listen.flatten().map(|admin_listen| HealthcheckConfig { admin_listen }))
    }
}

//! Who may ask and how much is taken on: listeners, the guard, limits and timeouts.

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf};

use http::{Uri, uri::Scheme};

use super::{
    Config, ConfigError, Problem, header,
    reader::Reader,
    routes::Route,
    source::{Given, Origin},
    url, value,
};
#[cfg(feature = "otlp")]
use crate::telemetry::spans;
use crate::{
    aws_http,
    downstream::listener::Listen,
    forward_proxy::ForwardProxies,
    inspector,
    proxy::{GuardSettings, Limits, PayloadSigning, RouteSettings, Settings, Timeouts},
    regular_file::RegularFile,
    telemetry,
    tls::roots::Roots,
};

impl Config {
    /// Whether clients may connect at `addresses`, which may differ from `listen`.
    ///
    /// # Errors
    /// When others reach one of them, and nothing says who may ask.
    pub fn admits_clients_at(&self, addresses: &[Listen]) -> Result<(), ConfigError> {
        if self.proxy.guard.bearer_token.is_some() || self.allow_unauthenticated {
            return Ok(());
        }
        let open = addresses.iter().filter(|address| address.is_open());
        let problems: Vec<Problem> = open.map(|address| Problem::new("listen", reachable(address))).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
    }
}

impl Config {
    /// Checks that nothing to which this proxy sends requests is one of `addresses`, at which it listens itself.
    ///
    /// # Errors
    /// When an upstream, a service or the forward proxy is one of them: each request would come back as another one.
    pub fn leads_away_from(&self, addresses: &[Listen]) -> Result<(), ConfigError> {
        let upstreams =
            self.proxy.routes.iter().filter_map(|route| {
                circle(&route.upstream, addresses).map(|why| Problem::new("upstream", why))
            });
        let services = self
            .services
            .iter()
            .filter_map(|(origin, url)| circle(url, addresses).map(|why| Problem::new(origin, why)));
        let proxy = proxy_circle(&self.proxy.forward_proxies, addresses);
        let problems: Vec<Problem> = upstreams.chain(services).chain(proxy).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
    }
}

fn both((listen, admin): &(Listen, Option<Listen>)) -> Vec<Listen> {
    [Some(listen), admin.as_ref()].into_iter().flatten().cloned().collect()
}

/// What is wrong with a URL that leads to one of `addresses`.
fn circle(url: &Uri, addresses: &[Listen]) -> Option<String> {
    let port = url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
    circle_at(url.host().unwrap_or_default(), port, addresses)
}

fn circle_at(host: &str, port: u16, addresses: &[Listen]) -> Option<String> {
    let own = addresses.iter().find(|address| address.is_reached_at(host, port))?;
    Some(format!(
        "{host}:{port} is where this proxy itself listens ({own}); each request would come back to it"
    ))
}

fn proxy_circle(proxies: &ForwardProxies, addresses: &[Listen]) -> Option<Problem> {
    let proxy = proxies.proxy()?;
    circle_at(&proxy.host, proxy.port, addresses).map(|why| Problem::new(proxy.variable, why))
}

fn reachable(listen: &Listen) -> String {
    format!("{listen} can be reached from other machines; set bearer-token-file, or allow-unauthenticated")
}

impl Reader<'_> {
    /// The listener for clients and the one for administration.
    pub(super) fn listeners(&mut self) -> Option<(Listen, Option<Listen>)> {
        let listen = self.value("listen", value::listen);
        let admin = self.value("admin-listen", value::listen_or_off);
        let open = self.value("allow-unauthenticated", value::switch)?;
        let token = self.origin("bearer-token-file");
        let (listen, admin) = (listen?, admin?);
        if open && let Some(token) = token {
            let why = "contradicts allow-unauthenticated; remove one of them";
            self.problem(token, why);
        } else if !open && token.is_none() && listen.is_open() {
            let place = self.origin("listen").unwrap_or(Origin::Default);
            self.problem(place, reachable(&listen));
        }
        if admin.as_ref().is_some_and(|admin| overlap(&listen, admin)) {
            let place =
                self.origin("admin-listen").or_else(|| self.origin("listen")).unwrap_or(Origin::Default);
            self.problem(
                place,
                format!(
                    "listen and admin-listen are both {listen}; choose another port, or --admin-listen off"
                ),
            );
        }
        Some((listen, admin))
    }

    /// Refuses services that lead back to this proxy's own listeners: it would wait for credentials from itself.
    pub(super) fn refuse_circles_of_services(&mut self, listeners: &(Listen, Option<Listen>)) {
        let addresses = both(listeners);
        for (origin, url) in self.services.clone() {
            if let Some(why) = circle(&url, &addresses) {
                self.problem(origin, why);
            }
        }
    }

    /// How spans are exported, unless that is to this proxy's own listeners: each export would be a request with a span
    /// of its own.
    #[cfg(feature = "otlp")]
    pub(super) fn spans_away_from(
        &mut self,
        listeners: Option<&(Listen, Option<Listen>)>,
    ) -> Option<spans::Settings> {
        let spans = self.spans()?;
        let Some(why) = circle(&spans.endpoint, &both(listeners?)) else { return Some(spans) };
        self.warnings.push(format!("the collector at {why}; no spans are exported"));
        None
    }

    /// Refuses routes and a forward proxy that lead back to this proxy's own listeners.
    pub(super) fn refuse_circles(&mut self, listeners: &(Listen, Option<Listen>), routes: &[Route]) {
        let addresses = both(listeners);
        for route in routes {
            if let Some(why) = circle(&route.settings.upstream, &addresses) {
                self.problem(&route.origin, format!("the upstream {why}"));
            }
        }
        if let Some(problem) = proxy_circle(&self.forward_proxies, &addresses) {
            self.problem(problem.place, problem.message);
        }
    }

    /// Refuses a backend that is one of this proxy's own listeners.
    pub(super) fn refuse_circle_of_backend(&mut self, listeners: &(Listen, Option<Listen>), backend: &Uri) {
        let addresses = both(listeners);
        if let (Some(why), Some(place)) = (circle(backend, &addresses), self.origin("backend")) {
            self.problem(place, why);
        }
    }

    /// The data path behind a listener.
    pub(super) fn proxy(&mut self, routes: Vec<RouteSettings>) -> Option<Settings> {
        let guard = self.guard();
        let strip_headers = self.values("strip-header", header::name);
        let forwarding = self.forwarding(routes);
        Some(Settings { guard: guard?, strip_headers, ..forwarding? })
    }

    /// The data path without a listener: no clients to guard against, nothing to strip.
    pub(super) fn forwarding(&mut self, routes: Vec<RouteSettings>) -> Option<Settings> {
        let limits = self.limits(&routes);
        let timeouts = self.timeouts();
        let own = self.explicit("ca-file").and_then(|given| self.roots_file(&given));
        let ca_files = own.into_iter().chain(self.aws_ca_files()).collect();
        let (guard, strip_headers) = (GuardSettings::default(), Vec::new());
        let (forward_proxies, resolver) = (self.forward_proxies.clone(), self.resolver.clone());
        Some(Settings {
            guard,
            limits: limits?,
            timeouts: timeouts?,
            routes,
            strip_headers,
            ca_files,
            forward_proxies,
            resolver,
        })
    }

    /// How the endpoints of AWS are reached.
    pub(super) fn aws_http(&mut self) -> aws_http::Settings {
        let (proxies, resolver) = (self.forward_proxies.clone(), self.resolver.clone());
        aws_http::Settings { ca_files: self.aws_ca_files(), proxies, resolver }
    }

    /// What the SDKs trust besides the system's roots.
    fn aws_ca_files(&mut self) -> Vec<PathBuf> {
        self.refuse_odd_system_roots();
        let bundle = self.environment.variable("AWS_CA_BUNDLE").map(str::to_owned);
        bundle
            .map(|text| Given { text, origin: Origin::Variable("AWS_CA_BUNDLE".to_owned()) })
            .and_then(|given| self.roots_file(&given))
            .into_iter()
            .collect()
    }

    /// The library that reads the file of `SSL_CERT_FILE` would wait at a pipe for ever.
    fn refuse_odd_system_roots(&mut self) {
        let name = "SSL_CERT_FILE";
        let Some(path) = self.environment.path_variable(name) else { return };
        if let Err(error) = RegularFile::open(&path)
            && error.kind() == ErrorKind::InvalidInput
        {
            self.problem(name, format!("cannot read {}: {error}", path.display()));
        }
    }

    /// A file of trusted roots, which is read again when they are needed.
    fn roots_file(&mut self, given: &Given) -> Option<PathBuf> {
        let path = self.environment.path(&given.origin, &self.parsed(given, value::text)?);
        let Err(error) = Roots::read(&path) else { return Some(path) };
        let path = path.display();
        self.problem(
            &given.origin,
            match error.kind() {
                ErrorKind::InvalidData => format!("{path} cannot be used as trusted roots: {error}"),
                _ => format!("cannot read {path}: {error}"),
            },
        );
        None
    }

    pub(super) fn telemetry(&mut self) -> Option<telemetry::Settings> {
        let format = self.value("log-format", value::log_format);
        let from_flag = matches!(self.origin("log-level"), Some(Origin::Flag(_)));
        let filter = self.environment.variable("RUST_LOG").filter(|_| !from_flag).map(str::to_owned);
        let level = match filter {
            Some(text) => self
                .parsed(&Given { text, origin: Origin::Variable("RUST_LOG".to_owned()) }, value::log_filter),
            None => self.value("log-level", value::log_level),
        };
        Some(telemetry::Settings { format: format?, level: level?, colour: self.environment.colour() })
    }

    fn guard(&mut self) -> Option<GuardSettings> {
        Some(GuardSettings {
            allowed_origins: self.values("allow-origin", url::origin),
            allowed_hosts: self.values("allow-host", url::host_name),
            bearer_token: self.secret_as("bearer-token-file", value::bearer_token),
            admin_token: self.secret_as("admin-token-file", value::bearer_token),
            allow_other_users: self.value("allow-other-users", value::switch)?
                | self.value("allow-unauthenticated", value::switch)?,
            trust_documents: self.value("trust-documents", value::switch)?,
        })
    }

    /// What the inspector keeps. It is shown by the admin listener only.
    pub(super) fn inspector(
        &mut self,
        listeners: Option<&(Listen, Option<Listen>)>,
    ) -> Option<inspector::Settings> {
        let mode = self.value("inspect", value::inspect)?;
        let redact = self.values("inspect-redact", value::field_name);
        let has_no_listener = listeners.is_some_and(|(_, admin)| admin.is_none());
        if mode.is_none() || !has_no_listener {
            return Some(inspector::Settings { mode, redact });
        }
        // In exec it is off unless it is set, and the file may be another command's as well.
        if self.origin("admin-listen").is_none() {
            self.warnings
                .push("inspect has no effect while the admin listener is off; set admin-listen".to_owned());
        } else if let Some(place) = self.origin("inspect") {
            self.problem(
                place,
                "needs the admin listener, which is off; set admin-listen, such as localhost:8182",
            );
        }
        Some(inspector::Settings { mode: None, redact })
    }

    fn limits(&mut self, routes: &[RouteSettings]) -> Option<Limits> {
        let max_body = self.value("max-body", value::size);
        let body_memory = self.value("body-memory", value::size);
        let max_connections = self.value("max-connections", value::count);
        let max_in_flight = self.value("max-in-flight", value::count);
        let max_tunnels = self.value("max-tunnels", value::count);
        let (max_body, body_memory) = (max_body?, body_memory?);
        if let (Some(tunnels), Some(connections)) = (max_tunnels, max_connections)
            && tunnels > connections
            && let Some(place) = self.origin("max-tunnels")
        {
            let why =
                format!("is larger than max-connections ({connections}), and each WebSocket is a connection");
            self.problem(place, why);
        }
        let stream = |route: &RouteSettings| route.payload == PayloadSigning::Unsigned;
        let all_stream = !routes.is_empty() && routes.iter().all(stream);
        if body_memory < max_body && !all_stream {
            let place =
                self.origin("body-memory").or_else(|| self.origin("max-body")).unwrap_or(Origin::Default);
            self.problem(place, "body-memory is smaller than max-body, so the largest body would never fit");
        }
        Some(Limits {
            max_body,
            body_memory,
            max_connections: max_connections?,
            max_in_flight: max_in_flight?,
            max_tunnels: max_tunnels?,
        })
    }

    fn timeouts(&mut self) -> Option<Timeouts> {
        let connect = self.value("connect-timeout", value::duration);
        let response = self.value("response-timeout", value::duration);
        let idle = self.value("idle-timeout", value::duration);
        let drain = self.value("drain-timeout", value::duration_or_zero);
        let websocket_idle = self.value("websocket-idle-timeout", value::duration);
        Some(Timeouts {
            connect: connect?,
            response: response?,
            idle: idle?,
            drain: drain?,
            websocket_idle: websocket_idle?,
        })
    }
}

/// Whether two listeners would bind the same port.
fn overlap(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        (Listen::Unix(_), _) | (_, Listen::Unix(_)) => false,
        (one, other) => {
            let others = addresses(other);
            addresses(one).iter().any(|one| others.iter().any(|other| same_port(one, other)))
        }
    }
}

fn same_port(one: &SocketAddr, other: &SocketAddr) -> bool {
    let same_address = one.ip() == other.ip()
        || one.is_ipv4() == other.is_ipv4() && (one.ip().is_unspecified() || other.ip().is_unspecified());
    one.port() != 0 && one.port() == other.port() && same_address
}

fn addresses(listen: &Listen) -> Vec<SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};

    match listen {
        Listen::Localhost(port) => {
            vec![(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()]
        }
        Listen::Address(address) => vec![*address],
        Listen::Unix(_) => Vec::new(),
    }
}

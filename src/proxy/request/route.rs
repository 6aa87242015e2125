//! The route of a path: the longest prefix wins.

use std::{collections::HashMap, error::Error, fmt, sync::Arc};

use http::{
    HeaderName, HeaderValue,
    uri::{InvalidUri, Scheme},
};

use super::bucket_host::Addressing;
use crate::{
    endpoint::{self, Protocol},
    inspector::Destination,
    proxy::{
        error::ProxyError,
        settings::{IOT, PayloadSigning, RouteSettings, Settings, WebsocketSigning},
    },
    signing::{QueryToken, Scope, Signer, Unsigned, WireHost},
    upstream::{ConnectOptions, Connector, Trust, TrustError, Upstream},
};

/// A route, ready to be used.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Route {
    path: String,
    /// Host to sign and send.
    pub(in crate::proxy) host: WireHost,
    pub(in crate::proxy) mount: Mount,
    /// Headers set on the way up.
    pub(in crate::proxy) set_headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::proxy) payload: PayloadSigning,
    /// How WebSocket handshakes are signed in the query, unless they are signed in headers.
    pub(super) handshake_token: Option<QueryToken>,
    signer: Signer,
    /// What the inspector shows of the route, with the scope of `signer`.
    destination: Arc<Destination>,
    /// Signs what goes to version 2 of Amazon Location, on hosts that have both versions.
    location_version_2: Option<(Signer, Arc<Destination>)>,
    /// How the upstream is told the bucket; `None` where the service has no buckets.
    pub(super) buckets: Option<Addressing>,
    /// What clients of the service speak.
    pub(in crate::proxy) protocol: Option<Protocol>,
    pub(in crate::proxy) upstream: Arc<Upstream>,
}

/// How the upstream's URLs and the proxy's correspond.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Mount {
    /// `scheme://authority` as an upstream's redirect names it.
    pub(in crate::proxy) origin: String,
    /// `scheme://authority` that is connected to.
    pub(in crate::proxy) address: String,
    /// The base path at the upstream, without a slash at its end.
    pub(in crate::proxy) base: String,
    /// What stands for the base path on the proxy's side, without a slash at its end.
    pub(in crate::proxy) prefix: String,
}

impl Route {
    /// A route as `settings` describe it, over `upstream`.
    ///
    /// # Errors
    /// When the host to sign is no authority.
    pub(in crate::proxy) fn new(
        settings: &RouteSettings,
        upstream: Arc<Upstream>,
    ) -> Result<Self, InvalidUri> {
        let authority =
            settings.upstream.authority().map(without_default_port(&settings.upstream)).unwrap_or_default();
        let host = settings.sign_host.as_deref().unwrap_or(&authority);
        let scheme = settings.upstream.scheme_str().unwrap_or("https");
        let scope = Scope { region: settings.region.clone(), service: settings.service.clone() };
        let base = settings.upstream.path().trim_end_matches('/');
        let address = format!("{scheme}://{authority}");
        let destination = |scope: &Scope| {
            Arc::new(Destination {
                upstream: address.clone(),
                region: scope.region.to_string(),
                service: scope.service.clone(),
                set_headers: settings.set_headers.iter().map(|(name, _)| name.clone()).collect(),
            })
        };
        Ok(Self {
            path: settings.path.trim_end_matches('/').to_owned(),
            host: WireHost::new(host)?,
            mount: Mount {
                origin: format!("{scheme}://{host}"),
                address: address.clone(),
                base: base.to_owned(),
                prefix: settings.strip_prefix.as_deref().unwrap_or_default().trim_end_matches('/').to_owned(),
            },
            set_headers: settings.set_headers.clone(),
            payload: settings.payload,
            handshake_token: match settings.websocket_signing {
                WebsocketSigning::Headers => None,
                WebsocketSigning::Query if settings.service == IOT => Some(QueryToken::Appended),
                WebsocketSigning::Query => Some(QueryToken::Signed),
            },
            location_version_2: scope
                .location_version_2(host)
                .map(|scope| (Signer::new(scope.clone()), destination(&scope))),
            destination: destination(&scope),
            buckets: scope.is_s3().then(|| Addressing::of(&scope.service, host, base)),
            protocol: endpoint::protocol(&scope.service, host),
            signer: Signer::new(scope),
            upstream,
        })
    }

    /// What the route's requests are signed for. The path rules are those of every signer of the route.
    pub(in crate::proxy) fn scope(&self) -> &Scope {
        self.signer.scope()
    }

    /// What signs `unsigned`.
    pub(in crate::proxy) fn signer(&self, unsigned: &Unsigned) -> &Signer {
        match &self.location_version_2 {
            Some((signer, _)) if unsigned.is_location_version_2() => signer,
            _ => &self.signer,
        }
    }

    /// Where `unsigned` goes, for the inspector.
    pub(in crate::proxy) fn destination(&self, unsigned: &Unsigned) -> &Arc<Destination> {
        match &self.location_version_2 {
            Some((_, destination)) if unsigned.is_location_version_2() => destination,
            _ => &self.destination,
        }
    }
}

fn without_default_port(uri: &http::Uri) -> impl Fn(&http::uri::Authority) -> String {
    let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    move |authority| match authority.port_u16() {
        Some(port) if port == default => authority.host().to_owned(),
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    }
}

/// Why no proxy can be built from its settings.
#[derive(Debug)]
pub enum BuildError {
    /// The trusted roots cannot be used.
    Trust(TrustError),
    /// A host to sign is no authority.
    Host(InvalidUri),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trust(_) => "upstreams cannot be trusted",
            Self::Host(_) => "a host to sign is not a host name",
        })
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Trust(error) => Some(error),
            Self::Host(error) => Some(error),
        }
    }
}

/// All routes.
#[derive(Debug)]
pub(in crate::proxy) struct Routes {
    /// Longest path first.
    pub(super) routes: Vec<Route>,
    /// Names of the proxy that are no buckets.
    pub(super) own_names: Arc<[String]>,
    /// Whether the service of any route has buckets.
    pub(super) has_buckets: bool,
    /// Whether the clients of any route speak a protocol in which errors have a form of their own.
    pub(in crate::proxy) has_protocol: bool,
}

impl Routes {
    /// The routes of `settings`. Those to one origin share its connections.
    ///
    /// # Errors
    /// When trusted roots are missing or cannot be read, or a host cannot be signed.
    pub(in crate::proxy) fn build(settings: &Settings) -> Result<Self, BuildError> {
        let secure = |route: &RouteSettings| route.upstream.scheme() != Some(&Scheme::HTTP);
        let trust = if settings.routes.iter().any(secure) {
            Some(Trust::load(&settings.ca_files).map_err(BuildError::Trust)?)
        } else {
            None
        };
        let mut upstreams: HashMap<String, Arc<Upstream>> = HashMap::new();
        let mut routes = Vec::with_capacity(settings.routes.len());
        for route in &settings.routes {
            // By origin: routes to different stages of one API share connections and TLS sessions.
            let origin = format!("{:?}://{:?}", route.upstream.scheme(), route.upstream.authority());
            let upstream = match upstreams.get(&origin) {
                Some(upstream) => Arc::clone(upstream),
                None => {
                    let options = ConnectOptions {
                        trust: trust.as_ref(),
                        proxies: &settings.forward_proxies,
                        resolver: &settings.resolver,
                        timeout: settings.timeouts.connect,
                    };
                    let connector = Connector::new(&route.upstream, options).map_err(BuildError::Trust)?;
                    let upstream = Arc::new(Upstream::new(connector, settings.timeouts.upstream()));
                    upstreams.insert(origin, Arc::clone(&upstream));
                    upstream
                }
            };
            routes.push(Route::new(route, upstream).map_err(BuildError::Host)?);
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        let has_buckets = routes.iter().any(|route| route.buckets.is_some());
        let has_protocol = routes.iter().any(|route| route.protocol.is_some());
        let own_names = settings.guard.allowed_hosts.as_slice().into();
        Ok(Self { routes, own_names, has_buckets, has_protocol })
    }

    /// The same routes with other connections. Routes to one origin share theirs, as before.
    pub(in crate::proxy) fn sibling(&self) -> Self {
        let mut upstreams: Vec<(&Arc<Upstream>, Arc<Upstream>)> = Vec::new();
        let mut routes = Vec::with_capacity(self.routes.len());
        for route in &self.routes {
            let known = upstreams.iter().find(|(original, _)| Arc::ptr_eq(original, &route.upstream));
            let upstream =
                known.map_or_else(|| Arc::new(route.upstream.sibling()), |(_, own)| Arc::clone(own));
            upstreams.push((&route.upstream, Arc::clone(&upstream)));
            routes.push(Route { upstream, ..route.clone() });
        }
        let (has_buckets, has_protocol) = (self.has_buckets, self.has_protocol);
        Self { routes, own_names: Arc::clone(&self.own_names), has_buckets, has_protocol }
    }

    /// Uses the upstreams of `previous` that are reached in the same way, with their connections.
    pub(in crate::proxy) fn keep_connections_of(&mut self, previous: &Self) {
        for route in &mut self.routes {
            let mut upstreams = previous.routes.iter().map(|route| &route.upstream);
            if let Some(upstream) = upstreams.find(|upstream| upstream.is_like(&route.upstream)) {
                route.upstream = Arc::clone(upstream);
            }
        }
    }

    /// What the client of a request speaks, by the service that it means.
    pub(in crate::proxy) fn protocol(&self, path: &str, host: Option<&HeaderValue>) -> Option<Protocol> {
        match self.destination(path, host) {
            Ok(destination) => destination.route.protocol,
            // Only clients of S3 have buckets in their hosts.
            Err(ProxyError::UnclearBucket(_)) => Some(Protocol::S3),
            Err(_) => None,
        }
    }

    /// The route whose path is the longest prefix of `path`, by whole segments.
    pub(super) fn select(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| strip(path, &route.path).is_some())
    }
}

/// What follows `prefix` in `path`, when `prefix` ends where a segment ends.
pub(super) fn strip<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn prefixes_end_where_a_segment_ends() {
        for (path, prefix, rest) in [
            ("/orders/1", "/orders", Some("/1")),
            ("/orders", "/orders", Some("")),
            ("/ordersx", "/orders", None),
            ("/", "", Some("/")),
            ("/a//b", "/a", Some("//b")),
            ("/b", "/a", None),
        ] {
            assert_eq!(strip(path, prefix), rest, "{path} {prefix}");
        }
    }
}

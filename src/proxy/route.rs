//! Which upstream a path belongs to: the longest prefix wins.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{RouteSettings, upstream::Upstream};
use crate::signing::{Encoding, Scope, Signer, TargetError, WireTarget};

/// A route, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct Route {
    path: String,
    /// Host to sign and send.
    pub(super) host: HeaderValue,
    pub(super) mount: Mount,
    /// Headers set on the way up.
    pub(super) set_headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) signer: Signer,
    pub(super) upstream: Arc<Upstream>,
}

/// How the upstream's URLs and the proxy's correspond.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    /// `scheme://authority` as an upstream's redirect names it.
    pub(super) origin: String,
    /// `scheme://authority` that is connected to.
    pub(super) address: String,
    /// The base path at the upstream, without a slash at its end.
    pub(super) base: String,
    /// What stands for the base path on the proxy's side, without a slash at its end.
    pub(super) prefix: String,
}

impl Route {
    /// A route as `settings` describe it, over `upstream`.
    ///
    /// # Errors
    /// When the host to sign is no header value.
    pub(super) fn new(
        settings: &RouteSettings,
        upstream: Arc<Upstream>,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let authority =
            settings.upstream.authority().map(without_default_port(&settings.upstream)).unwrap_or_default();
        let host = settings.sign_host.as_deref().unwrap_or(&authority);
        let scheme = settings.upstream.scheme_str().unwrap_or("https");
        Ok(Self {
            path: settings.path.trim_end_matches('/').to_owned(),
            host: HeaderValue::from_str(host)?,
            mount: Mount {
                origin: format!("{scheme}://{host}"),
                address: format!("{scheme}://{authority}"),
                base: settings.upstream.path().trim_end_matches('/').to_owned(),
                prefix: settings.strip_prefix.as_deref().unwrap_or_default().trim_end_matches('/').to_owned(),
            },
            set_headers: settings.set_headers.clone(),
            signer: Signer::new(Scope { region: settings.region.clone(), service: settings.service.clone() }),
            upstream,
        })
    }

    /// The target at the upstream for a client's raw path and query.
    pub(super) fn target(&self, path: &str, query: Option<&str>) -> Result<WireTarget, TargetError> {
        let rest = strip(path, &self.mount.prefix).unwrap_or(path);
        let rest = if rest.is_empty() { "/" } else { rest };
        let encoding: Encoding = self.signer.scope().encoding();
        WireTarget::new(&self.mount.base, rest.as_bytes(), query.map(str::as_bytes), encoding)
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

/// All routes, longest path first.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

impl Routes {
    /// A table of `routes`.
    #[must_use]
    pub(super) fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Self(routes)
    }

    /// The same routes with connections of their own; those to one origin share them as before.
    pub(super) fn sibling(&self) -> Self {
        let mut upstreams: Vec<(&Arc<Upstream>, Arc<Upstream>)> = Vec::new();
        let mut routes = Vec::with_capacity(self.0.len());
        for route in &self.0 {
            let known = upstreams.iter().find(|(original, _)| Arc::ptr_eq(original, &route.upstream));
            let upstream =
                known.map_or_else(|| Arc::new(route.upstream.sibling()), |(_, own)| Arc::clone(own));
            upstreams.push((&route.upstream, Arc::clone(&upstream)));
            routes.push(Route { upstream, ..route.clone() });
        }
        Self(routes)
    }

    /// Uses the upstreams of `previous` that are reached in the same way, with their connections.
    pub(super) fn keep_connections_of(&mut self, previous: &Self) {
        for route in &mut self.0 {
            let mut upstreams = previous.0.iter().map(|route| &route.upstream);
            if let Some(upstream) = upstreams.find(|upstream| upstream.is_like(&route.upstream)) {
                route.upstream = Arc::clone(upstream);
            }
        }
    }

    /// The route whose path is the longest prefix of `path`, by whole segments.
    pub(super) fn select(&self, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| strip(path, &route.path).is_some())
    }
}

/// What follows `prefix` in `path`, when `prefix` ends where a segment ends.
fn strip<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
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

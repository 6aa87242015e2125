//! Where requests go: the upstream of the top level, the `[[route]]` tables, and what each is signed for.

use std::collections::{BTreeMap, HashSet};

use http::{HeaderName, HeaderValue, Uri};

use super::{
    file::RawRoute,
    header::{self, Value},
    reader::Reader,
    source::{Given, Layer, Origin},
    url,
    value::{self, Parsed},
};
use crate::{
    endpoint::{self, HostScope},
    proxy::{RouteSettings, WebsocketSigning},
    signing::{Scope, SigningRegion},
};

/// A route, and where its region or set of regions and its service come from.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) settings: RouteSettings,
    pub(super) region_origin: String,
    pub(super) service_origin: String,
    pub(super) payload_origin: String,
    pub(super) websocket_signing_origin: String,
    /// Where it was given.
    pub(super) origin: Origin,
}

/// A value and what it was taken from.
type Sourced<T> = (T, String);

type Headers = Vec<(HeaderName, HeaderValue)>;

impl Reader<'_> {
    /// All routes, the longest path first.
    pub(super) fn all_routes(&mut self) -> Option<Vec<Route>> {
        let common = self.common_headers();
        // Also where every route has its own: one of the two would never be used.
        if let (Some(region), Some(set)) = (self.explicit("region"), self.explicit("region-set")) {
            self.given_region(Some(region), Some(set));
        }
        self.adopt_api();
        let mut raw = std::mem::take(&mut self.routes);
        if self.explicit("upstream").is_some() {
            raw.insert(0, self.top_level());
        } else if raw.is_empty() {
            self.missing("upstream", "is required");
        } else {
            self.refuse(&["sign-host"], "belongs to upstream, which is not set; a [[route]] has its own");
        }
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        let mut routes = Vec::new();
        for raw in &raw {
            let route = self.route(raw, &common);
            if let Some(path) = self.route_value(raw, "path", url::route_path)
                && let Some(first) = places.insert(path.clone(), raw.origin.to_string())
            {
                self.problem(&raw.origin, format!("has the path {path}, which {first} has too"));
            }
            routes.push(route);
        }
        let mut routes = routes.into_iter().collect::<Option<Vec<Route>>>()?;
        routes.sort_by_key(|route| std::cmp::Reverse(route.settings.path.len()));
        (!routes.is_empty()).then_some(routes)
    }

    /// The headers that every route sets.
    pub(super) fn common_headers(&mut self) -> Headers {
        let given = self.given("set-header").to_vec();
        self.set_headers(&given)
    }

    /// The settings of the top level in the form of a `[[route]]` for `/`.
    fn top_level(&self) -> RawRoute {
        let mut keys = Layer::new();
        for name in
            ["upstream", "region", "region-set", "service", "payload", "websocket-signing", "sign-host"]
        {
            keys.extend(self.explicit(name).map(|given| (name, vec![given])));
        }
        keys.insert("path", vec![Given { text: "/".to_owned(), origin: Origin::Default }]);
        let origin = self.explicit("upstream").map_or(Origin::Default, |given| given.origin);
        RawRoute { keys, origin }
    }

    fn route(&mut self, raw: &RawRoute, common: &Headers) -> Option<Route> {
        for name in ["path", "upstream"] {
            if !raw.keys.contains_key(name) {
                self.problem(&raw.origin, format!("has no {name}"));
            }
        }
        let path = self.route_value(raw, "path", url::route_path);
        let upstream = self.route_value(raw, "upstream", url::upstream);
        let sign_host = self.route_value(raw, "sign-host", url::host_and_port);
        let strip_prefix = self.route_value(raw, "strip-prefix", url::route_path);
        if let (Some(path), Some(prefix)) = (&path, &strip_prefix)
            && !is_below(path, prefix)
        {
            let why = format!("strips {prefix}, which no path below {path} starts with");
            self.problem(&raw.origin, why);
        }
        let own = self.set_headers(raw.keys.get("set-header").map_or(&[], Vec::as_slice));
        let (host, of_host) = signed_host(sign_host.as_deref(), upstream.as_ref());
        let region = upstream.as_ref().and_then(|_| self.region(raw, &host, &of_host));
        let service = self.service(raw, &host, &of_host);
        let ((region, region_origin), (service, service_origin)) = (region?, service?);
        let scope = Scope { region: region.clone(), service: service.clone() };
        let (payload, payload_origin) = self.payload(raw, &scope, upstream.as_ref());
        let (websocket_signing, websocket_signing_origin) = self.websocket_signing(raw, &scope.service);
        let settings = RouteSettings {
            path: path?,
            upstream: upstream?,
            region,
            service,
            sign_host,
            strip_prefix,
            set_headers: merged(common, own),
            payload,
            websocket_signing,
        };
        let origin = raw.origin.clone();
        Some(Route {
            settings,
            region_origin,
            service_origin,
            payload_origin,
            websocket_signing_origin,
            origin,
        })
    }

    /// The region or the set of regions to sign for: the route's own, the host's, the top level's, the SDKs' variable.
    fn region(&mut self, raw: &RawRoute, host: &str, of_host: &HostScope) -> Option<Sourced<SigningRegion>> {
        let own = |name| raw.keys.get(name).and_then(|given| given.first()).cloned();
        let (region, set) = (own("region"), own("region-set"));
        if let (Some(region), None, HostScope::SigV4aOnly { .. }) = (&region, &set, of_host) {
            let why = format!("{host} accepts SigV4A signatures only; set region-set instead of region");
            self.problem(&region.origin, why);
            return None;
        }
        if region.is_some() || set.is_some() {
            return self.given_region(region, set);
        }
        match of_host {
            HostScope::Known(inferred) if !endpoint::can_be_region(&inferred.region) => {
                let message = format!("the host {host}: {}", value::not_a_region(&inferred.region));
                self.problem(&raw.origin, message);
                None
            }
            HostScope::Known(inferred) => {
                self.warn_of_unknown_region(Some(raw.origin.clone()), &inferred.region);
                Some((inferred.region.as_str().into(), "the host's name".to_owned()))
            }
            HostScope::SigV4aOnly { region_set, .. } => {
                let set = region_set.parse().expect("the table has sets of regions");
                Some((SigningRegion::Set(set), "the host's name".to_owned()))
            }
            HostScope::UnknownService | HostScope::NotAws => self.common_region(raw, host, of_host),
        }
    }

    /// The region or the set of regions of a route that has none, and whose host names none.
    fn common_region(
        &mut self,
        raw: &RawRoute,
        host: &str,
        of_host: &HostScope,
    ) -> Option<Sourced<SigningRegion>> {
        let (region, set) = (self.explicit("region"), self.explicit("region-set"));
        if region.is_some() || set.is_some() {
            return self.given_region(region, set);
        }
        if let Some(text) = self.environment.variable("AWS_REGION").map(str::to_owned) {
            let given = Given { text, origin: Origin::Variable("AWS_REGION".to_owned()) };
            return self.given_region(Some(given), None);
        }
        // A set that the file has in another form has been reported, and makes a region needless.
        if self.mistaken.contains(&"region-set") {
            return None;
        }
        match (of_host, endpoint::meant_api_host(host)) {
            (HostScope::UnknownService, _) => self.missing("region", &no_rule(host)),
            (_, Some(meant)) => {
                self.problem(&raw.origin, format!("{host} is not a host of AWS; did you mean {meant}?"));
            }
            (_, None) => self.missing("region", &format!("is required, since {host} does not name a region")),
        }
        None
    }

    /// What `region` and `region-set` say together. Only one of them can be meant, unless the region is that of an API
    /// in Amplify's file.
    fn given_region(&mut self, region: Option<Given>, set: Option<Given>) -> Option<Sourced<SigningRegion>> {
        let region = region.filter(|region| {
            let is_of_amplify = matches!(region.origin, Origin::Amplify { .. });
            !(is_of_amplify && set.is_some())
        });
        match (region, set) {
            (Some(region), Some(set)) => {
                let why = format!(
                    "contradicts {}: SigV4A signs for region-set and SigV4 for region; remove one of them",
                    region.origin
                );
                self.problem(&set.origin, why);
                None
            }
            (Some(region), None) => {
                let sourced = self.sourced(&region, value::region)?;
                self.warn_of_unknown_region(Some(region.origin), &sourced.0);
                Some((SigningRegion::One(sourced.0), sourced.1))
            }
            (None, Some(set)) => {
                let sourced = self.sourced(&set, value::region_set)?;
                self.warn_of_unknown_regions(&set.origin, sourced.0.as_str());
                Some((SigningRegion::Set(sourced.0), sourced.1))
            }
            (None, None) => None,
        }
    }

    /// The service to sign for: as for the region; only a name that is not one of AWS has a default.
    fn service(&mut self, raw: &RawRoute, host: &str, of_host: &HostScope) -> Option<Sourced<String>> {
        if raw.keys.contains_key("service") {
            return self.sourced(raw.keys.get("service")?.first()?, value::service);
        }
        match of_host {
            HostScope::Known(inferred) => {
                return Some((inferred.service.clone(), "the host's name".to_owned()));
            }
            HostScope::SigV4aOnly { service, .. } => {
                return Some(((*service).to_owned(), "the host's name".to_owned()));
            }
            HostScope::UnknownService | HostScope::NotAws => {}
        }
        if let Some(given) = self.explicit("service") {
            return self.sourced(&given, value::service);
        }
        match of_host {
            HostScope::UnknownService => {
                self.missing("service", &no_rule(host));
                None
            }
            _ => Some(("execute-api".to_owned(), "default".to_owned())),
        }
    }

    /// Where WebSocket handshakes are signed: by the route's own setting, the top level's, or what the service takes.
    fn websocket_signing(&mut self, raw: &RawRoute, service: &str) -> Sourced<WebsocketSigning> {
        let own = raw.keys.get("websocket-signing").and_then(|given| given.first().cloned());
        let given = own.or_else(|| self.explicit("websocket-signing"));
        given.and_then(|given| self.sourced(&given, value::websocket_signing)).unwrap_or_else(|| {
            match WebsocketSigning::of_service(service) {
                WebsocketSigning::Query => (WebsocketSigning::Query, format!("default for {service}")),
                default @ WebsocketSigning::Headers => (default, "default".to_owned()),
            }
        })
    }

    fn sourced<T>(&mut self, given: &Given, parse: fn(&str) -> Parsed<T>) -> Option<Sourced<T>> {
        self.parsed(given, parse).map(|value| (value, given.origin.source()))
    }

    fn route_value<T>(&mut self, raw: &RawRoute, key: &str, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        let given = raw.keys.get(key)?.first()?;
        self.parsed(given, parse)
    }

    fn set_headers(&mut self, given: &[Given]) -> Headers {
        let mut headers = Headers::new();
        let mut names = HashSet::new();
        for given in given {
            let Some((name, value)) = self.assignment(given) else { continue };
            if !names.insert(name.clone()) {
                self.problem(&given.origin, format!("sets {name} twice"));
            }
            headers.push((name, value));
        }
        headers
    }

    fn assignment(&mut self, given: &Given) -> Option<(HeaderName, HeaderValue)> {
        let assignment = header::assignment(&given.text);
        let (name, value) = assignment.map_err(|message| self.problem(&given.origin, message)).ok()?;
        let value = match value {
            Value::Literal(literal) => header::value(literal.as_bytes()),
            Value::File(file) => header::value(self.secret_text(given, file)?.as_bytes()),
        };
        value.map_err(|message| self.problem(&given.origin, message)).ok().map(|value| (name, value))
    }
}

/// Why region and service have to be set for a host of AWS that no rule covers.
fn no_rule(host: &str) -> String {
    format!("is required, since countersign has no rule for the AWS host {host}")
}

/// The host that says what to sign for, and what it says: the one that is signed tells more than the one that is
/// connected to.
fn signed_host(sign_host: Option<&str>, upstream: Option<&Uri>) -> (String, HostScope) {
    let upstream = upstream.and_then(Uri::host).unwrap_or_default();
    if let Some(host) = sign_host {
        match endpoint::infer(host) {
            HostScope::NotAws => {}
            of_host => return (host.to_owned(), of_host),
        }
    }
    (upstream.to_owned(), endpoint::infer(upstream))
}

/// A route's own headers replace those of the same name that all routes have.
fn merged(common: &Headers, own: Headers) -> Headers {
    let replaced: HashSet<HeaderName> = own.iter().map(|(name, _)| name.clone()).collect();
    common.iter().filter(|(name, _)| !replaced.contains(name)).cloned().chain(own).collect()
}

/// Whether `prefix` ends in `path` where a segment ends.
fn is_below(path: &str, prefix: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

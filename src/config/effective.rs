//! The configuration in effect: every setting, its value, and where the value came from.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    forward_proxy,
    reader::Reader,
    routes::Route,
    source::{Given, Origin},
    table::{Kind, SETTINGS, Setting, Use},
};
use crate::forward_proxy::ForwardProxies;

/// Stands for a secret that is set.
const SET: &str = "[set]";

/// The origin of a value that is the table's.
const DEFAULT: &str = "default";

/// The origin of a value that nothing gives.
const NOT_SET: &str = "not set";

/// Variables of the AWS SDKs and of other conventions that have an effect.
const STANDARD: &[&str] = &[
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY",
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
    "AWS_ENDPOINT_URL_STS",
    "AWS_REGION",
    "NO_COLOR",
    "RUST_LOG",
    "SSL_CERT_FILE",
];

/// Every setting with its value and origin. Display is aligned text, serialisation the same for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Effective {
    /// The configuration file, if there is one, with replacement characters where its name is no text.
    pub file: Option<String>,
    /// The settings of `serve`.
    pub settings: BTreeMap<&'static str, Row>,
    /// The routes, longest path first.
    pub routes: Vec<RouteRow>,
    /// Variables of other conventions that are set and honoured.
    pub variables: BTreeMap<&'static str, String>,
}

/// The value of one setting.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The value as written; `None` when there is none.
    pub value: Option<Shown>,
    /// A flag, a variable, a file and line, `default`, or `not set`.
    pub origin: String,
}

/// A value as it is shown: secrets are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// Of a setting with one value.
    One(String),
    /// Of a list.
    Many(Vec<String>),
}

/// One route.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RouteRow {
    /// The path prefix.
    pub path: String,
    /// The base URL.
    pub upstream: String,
    /// Where the route was given.
    pub origin: String,
    /// The region that SigV4 signs for.
    pub region: Option<String>,
    /// Where the region came from.
    pub region_origin: Option<String>,
    /// The regions that SigV4A signs for, in place of one region.
    pub region_set: Option<String>,
    /// Where the set of regions came from.
    pub region_set_origin: Option<String>,
    /// The service that is signed for.
    pub service: String,
    /// Where the service came from.
    pub service_origin: String,
    /// How request bodies are signed.
    pub payload: &'static str,
    /// Where that came from.
    pub payload_origin: String,
    /// Where WebSocket handshakes are signed.
    pub websocket_signing: &'static str,
    /// Where that came from.
    pub websocket_signing_origin: String,
    /// The Host that is signed and sent, when it is not the upstream's.
    pub sign_host: Option<String>,
    /// What is removed from the front of paths.
    pub strip_prefix: Option<String>,
    /// The names of headers that are set.
    pub set_header: Vec<String>,
    /// The forward proxy through which the upstream is reached, with `[set]` for user name and password.
    pub proxy: Option<String>,
    /// The variable that names the forward proxy.
    pub proxy_origin: Option<&'static str>,
}

impl Reader<'_> {
    pub(super) fn effective(&self, routes: &[Route]) -> Effective {
        let mut settings = BTreeMap::new();
        for setting in SETTINGS.iter().filter(|setting| setting.uses.contains(&Use::Serve)) {
            settings.insert(setting.name, self.row(setting));
            if let Some(given) = setting.secret().and_then(|secret| self.explicit(secret)) {
                let value = Some(Shown::One(SET.to_owned()));
                settings.insert(setting.name, Row { value, origin: given.origin.source() });
            }
        }
        let from_flag = matches!(self.origin("log-level"), Some(Origin::Flag(_)));
        if let Some(filter) = self.environment.variable("RUST_LOG").filter(|_| !from_flag) {
            let value = Some(Shown::One(filter.to_owned()));
            settings.insert("log-level", Row { value, origin: "RUST_LOG".to_owned() });
        }
        if let Some(top) = routes.iter().find(|route| self.origin("upstream").as_ref() == Some(&route.origin))
        {
            let derived = |value: &str, origin: &str| Row {
                value: Some(Shown::One(value.to_owned())),
                origin: origin.to_owned(),
            };
            let name = if top.settings.region.set().is_some() { "region-set" } else { "region" };
            // A region that only Amplify's file has is not signed for.
            settings.insert("region", Row { value: None, origin: NOT_SET.to_owned() });
            settings.insert(name, derived(top.settings.region.as_str(), &top.region_origin));
            settings.insert("service", derived(&top.settings.service, &top.service_origin));
            settings.insert("payload", derived(top.settings.payload.as_str(), &top.payload_origin));
            let signing = (top.settings.websocket_signing.as_str(), &top.websocket_signing_origin);
            settings.insert("websocket-signing", derived(signing.0, signing.1));
        }
        let routes = routes.iter().map(|route| RouteRow::new(route, &self.forward_proxies)).collect();
        Effective {
            file: self.file.as_ref().map(|path| path.display().to_string()),
            settings,
            routes,
            variables: self.standard_variables(),
        }
    }

    fn row(&self, setting: &Setting) -> Row {
        let given = self.given(setting.name);
        let value = match setting.kind {
            Kind::List => {
                let shown: Vec<String> = given.iter().map(|given| shown(setting, given)).collect();
                Some(Shown::Many(shown))
            }
            _ => given.first().map(|given| Shown::One(shown(setting, given))),
        };
        let default = setting.default.map(|default| Shown::One(default.to_owned()));
        let origin = match (given.first(), &default) {
            (Some(given), _) => given.origin.source(),
            (None, Some(_)) => DEFAULT.to_owned(),
            (None, None) => NOT_SET.to_owned(),
        };
        Row { value: value.or(default), origin }
    }

    fn standard_variables(&self) -> BTreeMap<&'static str, String> {
        let shown = |name: &&'static str| Some((*name, self.environment.variable(name)?.to_owned()));
        STANDARD.iter().filter_map(shown).chain(forward_proxy::shown(self.environment)).collect()
    }
}

/// A header may be an API key unless it comes from a file.
fn shown(setting: &Setting, given: &Given) -> String {
    match given.text.split_once('=') {
        Some((name, value)) if setting.name == "set-header" && !value.trim().starts_with('@') => {
            format!("{}={SET}", name.trim())
        }
        _ => given.text.clone(),
    }
}

impl Effective {
    /// Which of `names` have another value in `other`.
    pub fn differing(&self, other: &Self, names: &[&'static str]) -> Vec<&'static str> {
        let [own, other] =
            [self, other].map(|effective| |name: &str| effective.settings.get(name).map(|row| &row.value));
        names.iter().copied().filter(|name| own(name) != other(name)).collect()
    }
}

impl RouteRow {
    fn new(route: &Route, proxies: &ForwardProxies) -> Self {
        let settings = &route.settings;
        let proxy = proxies.towards(&settings.upstream);
        Self {
            path: settings.path.clone(),
            upstream: settings.upstream.to_string(),
            origin: route.origin.source(),
            region: settings.region.one().map(str::to_owned),
            region_origin: settings.region.one().map(|_| route.region_origin.clone()),
            region_set: settings.region.set().map(str::to_owned),
            region_set_origin: settings.region.set().map(|_| route.region_origin.clone()),
            service: settings.service.clone(),
            service_origin: route.service_origin.clone(),
            payload: settings.payload.as_str(),
            payload_origin: route.payload_origin.clone(),
            websocket_signing: settings.websocket_signing.as_str(),
            websocket_signing_origin: route.websocket_signing_origin.clone(),
            sign_host: settings.sign_host.clone(),
            strip_prefix: settings.strip_prefix.clone(),
            set_header: settings.set_headers.iter().map(|(name, _)| name.to_string()).collect(),
            proxy: proxy.map(ToString::to_string),
            proxy_origin: proxy.map(|proxy| proxy.variable),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(value) => f.write_str(value),
            Self::Many(values) if values.is_empty() => f.write_str("-"),
            Self::Many(values) => f.write_str(&values.join(", ")),
        }
    }
}

impl Effective {
    /// The settings that have another value than their default, as text, and how many are left out.
    pub fn without_defaults(&self) -> impl fmt::Display {
        fmt::from_fn(|f| {
            self.write(f, Row::is_given)?;
            match self.settings.values().filter(|row| !row.is_given()).count() {
                0 => Ok(()),
                count => writeln!(
                    f,
                    "\n{count} more settings are not set or have their defaults; --all shows them"
                ),
            }
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, is_shown: fn(&Row) -> bool) -> fmt::Result {
        let ordered = SETTINGS.iter().filter_map(|setting| self.settings.get_key_value(setting.name));
        let ordered = ordered.filter(|(_, row)| is_shown(row));
        let settings = ordered.map(|(name, row)| {
            let value = row.value.as_ref().map_or("-".to_owned(), Shown::to_string);
            [(*name).to_owned(), value, row.origin.clone()]
        });
        align(f, &settings.collect::<Vec<_>>())?;
        for route in &self.routes {
            writeln!(f, "\nroute {} ({})", route.path, route.origin)?;
            align(f, &route.lines())?;
        }
        if !self.variables.is_empty() {
            writeln!(f, "\nvariables honoured")?;
            let lines =
                self.variables.iter().map(|(name, value)| [(*name).to_owned(), value.clone(), String::new()]);
            align(f, &lines.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |_| true)
    }
}

impl Row {
    fn is_given(&self) -> bool {
        !matches!(self.origin.as_str(), DEFAULT | NOT_SET)
    }
}

impl RouteRow {
    fn lines(&self) -> Vec<[String; 3]> {
        let line =
            |name: &str, value: &str, origin: &str| [name.to_owned(), value.to_owned(), origin.to_owned()];
        let mut lines = vec![line("upstream", &self.upstream, "")];
        for (name, value, origin) in [
            ("region", &self.region, &self.region_origin),
            ("region-set", &self.region_set, &self.region_set_origin),
        ] {
            lines
                .extend(value.as_ref().map(|value| line(name, value, origin.as_deref().unwrap_or_default())));
        }
        lines.push(line("service", &self.service, &self.service_origin));
        lines.push(line("payload", self.payload, &self.payload_origin));
        lines.push(line("websocket-signing", self.websocket_signing, &self.websocket_signing_origin));
        lines.extend(self.sign_host.as_ref().map(|host| line("sign-host", host, "")));
        lines.extend(self.strip_prefix.as_ref().map(|prefix| line("strip-prefix", prefix, "")));
        lines.extend(
            self.proxy.as_ref().map(|proxy| line("proxy", proxy, self.proxy_origin.unwrap_or_default())),
        );
        lines.extend(self.set_header.iter().map(|name| line("set-header", name, "")));
        lines
    }
}

/// Columns wide enough for what stands in them, but for the rare long value.
fn align(f: &mut fmt::Formatter<'_>, lines: &[[String; 3]]) -> fmt::Result {
    let width = |column: usize, most: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .filter(|width| *width <= most)
            .max()
            .unwrap_or(0)
    };
    let (names, values) = (width(0, 48), width(1, 48));
    for [name, value, origin] in lines {
        let line = format!("  {name:names$}  {value:values$}  {origin}");
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

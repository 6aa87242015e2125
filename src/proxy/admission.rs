//! Who may ask: the checks that a request passes before any byte of its body is read.
//!
//! An admitted client acts as the signed-in user. Browsers do not protect a loopback port: any page can send a form
//! to it, and requests for images carry no `Origin`.

#[cfg(fuzzing)]
pub(in crate::proxy) mod fuzzing;
mod host;
mod site;
mod strict;
mod token;

use std::{borrow::Cow, fmt};

use http::{HeaderValue, Method, header, request::Parts};

use super::settings::GuardSettings;
use crate::{
    downstream::{
        HeadError, UpgradeOffer,
        listener::{Endpoints, Owner},
    },
    request_target::MAX_LENGTH,
};
use host::Host;

pub use token::Token;

/// Decides about each request.
#[derive(Debug)]
pub struct Guard {
    hosts: Vec<Host<'static>>,
    origins: Vec<String>,
    token: Option<Token>,
    /// Whether every user of this machine may ask.
    any_user: bool,
    trust_documents: bool,
}

/// Who gets the answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Audience {
    /// The allowed origin that asks across sites, to be echoed.
    pub(super) origin: Option<HeaderValue>,
    /// A CORS preflight, to be answered here.
    pub(super) preflight: bool,
    /// The browser will show the answer as a document, or run it as a worker.
    pub(super) document: bool,
}

/// What the settings say about answers to browsers.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrowserPolicy {
    /// Whether pages that the API serves may run scripts on the proxy's origin.
    pub(super) trust_documents: bool,
    /// Whether some origin is allowed, so that answers differ by origin, also those that have none to echo.
    pub(super) varies_by_origin: bool,
}

/// Why a request is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no valid request by RFC 9112; the text says what is wrong.
    Malformed(Cow<'static, str>),
    /// The beginning of a TLS handshake.
    Tls,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// A WebSocket handshake, where there are no WebSockets.
    Upgrade,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The target is too long.
    UriTooLong,
    /// The head is too long, or has too many fields.
    HeadTooLarge,
    /// The head did not come in time.
    HeadTimeout,
    /// CONNECT or TRACE.
    Method,
    /// A name under which the proxy does not answer.
    HostNotAllowed {
        /// The name, as text that is safe to show.
        host: String,
    },
    /// A page of another site.
    CrossSite {
        /// Its origin, when it is known, as text that is safe to show.
        origin: Option<String>,
    },
    /// The client token is missing or wrong.
    TokenRequired,
    /// The client is another user of this machine, and there is no token that it could present.
    OtherUser,
    /// The admin listener was asked for a route of operators, by another user and without its token.
    NotOperator,
    /// The kernel does not say which user the client is, and there is no token that it could present.
    UnknownUser,
}

impl Refusal {
    /// Whether the bytes that follow on the connection cannot be trusted.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        !matches!(
            self,
            Self::HostNotAllowed { .. }
                | Self::CrossSite { .. }
                | Self::TokenRequired
                | Self::OtherUser
                | Self::UnknownUser
                | Self::NotOperator
        )
    }

    /// The label in the metric of refusals.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Tls => "tls",
            Self::TransferCoding => "transfer-coding",
            Self::Upgrade => "upgrade",
            Self::Expectation => "expectation",
            Self::UriTooLong => "uri-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::HeadTimeout => "head-timeout",
            Self::Method => "method",
            Self::HostNotAllowed { .. } => "host",
            Self::CrossSite { .. } => "cross-site",
            Self::TokenRequired => "token",
            Self::OtherUser => "other-user",
            Self::UnknownUser => "unknown-user",
            Self::NotOperator => "not-operator",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "{what}."),
            Self::Tls => f.write_str(
                "The client began a TLS handshake, and this port speaks plain HTTP. Use http:// instead of https://.",
            ),
            Self::TransferCoding => f.write_str("The only transfer coding understood is one \"chunked\"."),
            Self::Upgrade => f.write_str("This listener has no WebSockets."),
            Self::Expectation => f.write_str("The only expectation understood is \"100-continue\"."),
            Self::UriTooLong => write!(f, "The request target is longer than {MAX_LENGTH} bytes."),
            Self::HeadTooLarge => f.write_str("The request head is longer than 64 KiB or has more than 100 fields."),
            Self::HeadTimeout => f.write_str("The request head did not arrive within 30 seconds."),
            Self::Method => f.write_str("CONNECT and TRACE are not forwarded."),
            Self::HostNotAllowed { host } => write!(
                f,
                "The proxy does not answer under the name \"{host}\". If it should, start it with --allow-host {host}."
            ),
            Self::CrossSite { origin: Some(origin) } => write!(
                f,
                "Pages of {origin} may not call the proxy. If they should, start it with --allow-origin {origin}."
            ),
            Self::CrossSite { origin: None } => f.write_str(
                "A page of another site may not call the proxy. \
                 If it should, start the proxy with --allow-origin and that page's origin.",
            ),
            Self::OtherUser => f.write_str(
                "The connection comes from another user of this machine. If that user may act as the one who is \
                 signed in, start the proxy with --allow-other-users, or with --bearer-token-file.",
            ),
            Self::NotOperator => f.write_str(
                "This is for the user who runs the proxy and for root, from the same machine. Others present the token \
                 of the setting admin-token-file, as \"Authorization: Bearer\".",
            ),
            Self::UnknownUser => f.write_str(
                "This system does not say which of its users a connection belongs to. Let clients present a token: \
                 start the proxy with --bearer-token-file; or let all users in with --allow-other-users.",
            ),
            Self::TokenRequired => f.write_str(
                "Clients must present the token of this proxy, as \"Authorization: Bearer\", as the password of \
                 Basic authentication or in x-countersign-token.",
            ),
        }
    }
}

impl From<HeadError> for Refusal {
    fn from(violation: HeadError) -> Self {
        match violation {
            HeadError::Malformed(what) => Self::Malformed(what),
            HeadError::Tls => Self::Tls,
            HeadError::TransferCoding => Self::TransferCoding,
            HeadError::TargetTooLong => Self::UriTooLong,
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::Slow => Self::HeadTimeout,
        }
    }
}

impl Guard {
    /// A guard as `settings` describe it.
    #[must_use]
    pub fn new(settings: &GuardSettings) -> Self {
        Self {
            hosts: hosts(&settings.allowed_hosts),
            origins: settings.allowed_origins.clone(),
            token: settings.bearer_token.as_ref().map(Token::new),
            any_user: settings.allow_other_users,
            trust_documents: settings.trust_documents,
        }
    }

    /// Decides about a connection by the user who holds its other end. With a client token, each request is checked
    /// for the token instead.
    pub(super) fn admit_owner(&self, owner: Owner) -> Result<(), Refusal> {
        if self.token.is_some() || self.any_user {
            return Ok(());
        }
        match owner {
            Owner::Own | Owner::OnThisMachine | Owner::Remote => Ok(()),
            Owner::Other(_) => Err(Refusal::OtherUser),
            Owner::Gone | Owner::Unknown => Err(Refusal::UnknownUser),
        }
    }

    /// How answers to browsers are marked.
    pub(super) fn browser_policy(&self) -> BrowserPolicy {
        BrowserPolicy { trust_documents: self.trust_documents, varies_by_origin: !self.origins.is_empty() }
    }

    /// Who gets the answer to a request that is not admitted: a page of an allowed origin may read why.
    pub(super) fn audience_of_refusal(&self, parts: &Parts) -> Audience {
        Audience { origin: site::allowed_origin(&parts.headers, &self.origins), ..Audience::default() }
    }

    /// Whether a request that came over a connection with these endpoints is admitted where there are no WebSockets.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, parts: &Parts, endpoints: &Endpoints) -> Result<(), Refusal> {
        self.admit(parts, endpoints)?;
        if is_handshake(parts) { Err(Refusal::Upgrade) } else { Ok(()) }
    }

    /// Decides about a request that came over a connection with these endpoints.
    pub(super) fn admit(&self, parts: &Parts, endpoints: &Endpoints) -> Result<Audience, Refusal> {
        // The token comes last: a page of another site is refused even where it presents the right one.
        let authority = strict::check(parts)?;
        if let Some(authority) = &authority {
            self.check_host(authority, endpoints)?;
        }
        let origin = site::check(parts, authority.as_ref(), &self.origins)?;
        if is_handshake(parts) {
            site::check_handshake(parts, authority.as_ref(), &self.origins)?;
        }
        let preflight = origin.is_some() && is_preflight(parts);
        // Browsers attach no credentials to a preflight (Fetch standard, "CORS protocol and credentials").
        match &self.token {
            Some(token) if !preflight => token.check(&parts.headers)?,
            Some(_) => {}
            // A reload may have removed the token since this connection was accepted.
            None => self.admit_owner(endpoints.owner)?,
        }
        Ok(Audience { origin, preflight, document: site::is_document(parts) })
    }

    fn check_host(&self, authority: &host::Authority<'_>, endpoints: &Endpoints) -> Result<(), Refusal> {
        if authority.is_local(endpoints) || self.hosts.iter().any(|allowed| authority.is_named(allowed)) {
            Ok(())
        } else {
            Err(Refusal::HostNotAllowed { host: authority.host_text() })
        }
    }
}

/// The hosts of the settings, which have been validated before.
fn hosts(allowed: &[String]) -> Vec<Host<'static>> {
    allowed.iter().filter_map(|host| Host::parse(host).map(Host::into_owned)).collect()
}

/// Whether the request asks for a WebSocket, as the parser of its head has seen it.
pub(super) fn is_handshake(parts: &Parts) -> bool {
    parts.extensions.get::<UpgradeOffer>().is_some()
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests;

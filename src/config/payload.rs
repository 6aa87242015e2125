//! How the bodies of a route are signed, and what contradicts it.

use http::{Uri, uri::Scheme};

use super::{file::RawRoute, reader::Reader, value};
use crate::{proxy::PayloadSigning, signing::Scope};

impl Reader<'_> {
    /// How bodies are signed: by the route's own setting, the top level's, or what the service accepts.
    pub(super) fn payload(
        &mut self,
        raw: &RawRoute,
        scope: &Scope,
        upstream: Option<&Uri>,
    ) -> (PayloadSigning, String) {
        let is_secure = upstream.and_then(Uri::scheme) == Some(&Scheme::HTTPS);
        let default = match scope.is_lattice() && is_secure {
            true => (PayloadSigning::Unsigned, format!("default for {}", scope.service)),
            false => (PayloadSigning::Hashed, "default".to_owned()),
        };
        let own = raw.keys.get("payload").and_then(|given| given.first().cloned());
        let is_own = own.is_some();
        let Some(given) = own.or_else(|| self.explicit("payload")) else { return default };
        let Some(payload) = self.parsed(&given, value::payload) else { return default };
        if payload == PayloadSigning::Unsigned {
            let service = &scope.service;
            if !scope.takes_unsigned_payload() {
                let cure = match is_own {
                    true => "write hashed, or leave it out",
                    false => "write hashed in that route, or unsigned only in the routes that take it",
                };
                let why = format!(
                    "\"unsigned\" is refused by {service}: only S3 and VPC Lattice accept UNSIGNED-PAYLOAD; {cure}"
                );
                self.problem(&given.origin, why);
            } else if !is_secure {
                let why = "\"unsigned\" needs an https upstream, since nothing else protects the body; \
                           write hashed, or an https:// URL in upstream";
                self.problem(&given.origin, why);
            }
        } else if scope.is_lattice() && is_secure {
            self.warn_of_hashed_payload(given.origin.clone());
        }
        (payload, given.origin.source())
    }
}

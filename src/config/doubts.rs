//! What `check` says of a configuration that is valid and still unlikely to work.

use super::{Config, reader::Reader, source::Origin, value};
use crate::{
    credentials::{Login, Settings},
    endpoint,
    proxy::RouteSettings,
};

impl Config {
    /// What is unlikely to work, a sentence each.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let pools = self.regions_of_pools();
        let mut doubts = Vec::new();
        if let [(one, region), (other, other_region)] = pools.as_slice()
            && region != other_region
        {
            doubts.push(format!(
                "the {one} is in {region} and the {other} in {other_region}; check that both ids are of one deployment"
            ));
        }
        for route in &self.proxy.routes {
            doubts.extend(without_stage(route));
            let host = route.upstream.host().unwrap_or_default();
            // A set of regions is for what one deployment has in several.
            if let (Some((pool, region)), Some(signed)) = (pools.last(), route.region.one())
                && *region != signed
            {
                doubts.push(format!(
                    "{host} is signed for {signed}, and the {pool} is in {region}; check that both are of one deployment"
                ));
            }
        }
        doubts
    }

    fn regions_of_pools(&self) -> Vec<(&'static str, &str)> {
        let (user_pool, identity_pool) = match &self.credentials {
            Settings::Cognito(cognito) => {
                let user_pool = match &cognito.login {
                    Login::UserPool(pool) => Some(pool.id.region()),
                    Login::IdTokenFile { .. } => None,
                };
                (user_pool, Some(cognito.identity_pool.id.region()))
            }
            Settings::Guest { identity_pool } => (None, Some(identity_pool.id.region())),
            Settings::Aws => (None, None),
        };
        let user_pool = user_pool.map(|region| ("user pool", region));
        let identity_pool = identity_pool.map(|region| ("identity pool", region));
        user_pool.into_iter().chain(identity_pool).collect()
    }
}

/// A host of API Gateway serves nothing below `/` but the `$default` stage, which REST APIs do not have.
fn without_stage(route: &RouteSettings) -> Option<String> {
    let host = route.upstream.host()?;
    let is_of_gateway =
        endpoint::infer(host).known().is_some_and(|inferred| inferred.service == "execute-api");
    (is_of_gateway && route.upstream.path() == "/").then(|| {
        format!(
            "https://{host} has no stage; write https://{host}/STAGE, unless it is an HTTP API with a $default stage"
        )
    })
}

impl Reader<'_> {
    /// Warns of a region that AWS did not have when this version was made.
    pub(super) fn warn_of_unknown_region(&mut self, origin: Option<Origin>, region: &str) {
        if let Some(message) = value::unknown_region(region) {
            self.warn(origin, &message);
        }
    }

    /// Warns of a part of a set that names no region that AWS had when this version was made.
    pub(super) fn warn_of_unknown_regions(&mut self, origin: &Origin, set: &str) {
        for entry in set.split(',') {
            if !entry.contains('*') {
                self.warn_of_unknown_region(Some(origin.clone()), entry);
            } else if !endpoint::matches_known_region(entry) {
                let message = format!("{entry} matches no region that this version knows");
                self.warn(Some(origin.clone()), &message);
            }
        }
    }

    /// Warns of hashes of bodies for VPC Lattice, which "does not support payload signing" (its user guide, "SIGv4
    /// authenticated requests").
    pub(super) fn warn_of_hashed_payload(&mut self, origin: Origin) {
        self.warn(Some(origin), "VPC Lattice refuses hashed bodies; write unsigned, or leave it out");
    }

    fn warn(&mut self, origin: Option<Origin>, message: &str) {
        let place = origin.map(|origin| format!("{origin}: ")).unwrap_or_default();
        let warning = format!("{place}{message}");
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

//! Who may call a route of the API: IAM by default, the user pool's ID tokens, or anyone.

use std::time::SystemTime;

use serde_json::Value;

use super::{received::Received, verifier::Scope};
use crate::sandbox::{
    answer::AwsError,
    credential_store::{CredentialStore, Issued},
    tokens::{self, epoch},
    user_pool::Location,
};

/// How the API authorises the requests of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// By their signature.
    Iam,
    /// By an ID token of the user pool, as a Cognito user-pool authoriser without scopes does.
    UserPool,
    /// Not at all.
    None,
}

/// A route of the API: a path below the stage, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRoute {
    /// The path, with a slash in front.
    pub path: String,
    /// How its requests are authorised.
    pub authorization: Authorization,
}

/// Who sent an authorised request.
pub(super) enum Caller {
    /// The owner of the credentials that signed it.
    Iam(Box<Issued>),
    /// The user of an ID token with these claims.
    UserPool(Value),
    /// Anyone.
    Anonymous,
}

/// The routes, and what their authorisation takes.
pub(super) struct Authorizer {
    pub(super) routes: Vec<ApiRoute>,
    pub(super) scope: Scope,
    /// Where the user pool is, whose tokens are taken.
    pub(super) location: Location,
    /// The app clients of the user pool.
    pub(super) clients: Vec<String>,
}

impl Authorizer {
    /// The caller of `received`, whose path is `path` below the stage.
    pub(super) fn authorize(
        &self,
        received: &Received,
        path: &str,
        store: &CredentialStore,
        now: SystemTime,
    ) -> Result<Caller, AwsError> {
        match self.authorization(path) {
            Authorization::Iam => {
                self.scope.verify(received, store, now).map(|issued| Caller::Iam(Box::new(issued)))
            }
            Authorization::UserPool => self.check_id_token(received, now).map(Caller::UserPool),
            Authorization::None => Ok(Caller::Anonymous),
        }
    }

    /// The authorisation of the longest matching route.
    fn authorization(&self, path: &str) -> Authorization {
        let matching = self.routes.iter().filter(|route| covers(&route.path, path));
        matching.max_by_key(|route| route.path.len()).map_or(Authorization::Iam, |route| route.authorization)
    }

    fn check_id_token(&self, received: &Received, now: SystemTime) -> Result<Value, AwsError> {
        let unauthorized = || AwsError::new("UnauthorizedException", "Unauthorized");
        let header = received.header("authorization").ok_or_else(unauthorized)?;
        let token = header.strip_prefix("Bearer ").unwrap_or(header);
        let claims = tokens::check(token).map_err(|_| unauthorized())?;
        let is_of_a_client = self.clients.iter().any(|client| claims["aud"] == client.as_str());
        if claims["iss"] != self.location.issuer().as_str() || claims["token_use"] != "id" || !is_of_a_client
        {
            return Err(unauthorized());
        }
        if claims["exp"].as_u64().is_none_or(|expiry| epoch(now) >= expiry) {
            return Err(AwsError::new("UnauthorizedException", "The incoming token has expired"));
        }
        Ok(claims)
    }
}

/// Whether `path` is the route's path or below it.
fn covers(route: &str, path: &str) -> bool {
    let rest = path.strip_prefix(route.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_covers_its_path_and_what_is_below() {
        for (route, path, expected) in [
            ("/public", "/public", true),
            ("/public", "/public/a", true),
            ("/public", "/publications", false),
            ("/public/", "/public/a", true),
            ("/", "/", true),
            ("/", "/a/b", true),
            ("/a/b", "/a", false),
        ] {
            assert_eq!(covers(route, path), expected, "{route} {path}");
        }
    }
}

//! Who may ask on the admin listener.

use http::{HeaderMap, Response, request::Parts};
use secrecy::SecretString;

use crate::{
    downstream::listener::{Endpoints, Owner},
    proxy::{Body, Guard, GuardSettings, ProxyError, Refusal, RequestId, Token},
};

/// Who may ask for something on the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the listener: probes and scrapers.
    Anyone,
    /// This process's user, root, and clients that present the admin token. Where the system does not say whose a
    /// connection is: without a token all on this machine, with a token those who present it.
    Operators,
}

/// Decides about the requests to the admin listener.
#[derive(Debug)]
pub struct AdminGuard {
    guard: Guard,
    token: Option<Token>,
}

impl AdminGuard {
    /// A guard that answers under the local names and `hosts`, and treats clients that present `token` as operators.
    #[must_use]
    pub fn new(hosts: &[String], token: Option<&SecretString>) -> Self {
        // Each access asks for the user or the token itself.
        let settings = GuardSettings {
            allowed_hosts: hosts.to_vec(),
            allow_other_users: true,
            ..GuardSettings::default()
        };
        Self { guard: Guard::new(&settings), token: token.map(Token::new) }
    }

    /// The answer to a request that is not admitted.
    #[must_use]
    pub fn refuse(&self, parts: &Parts, endpoints: &Endpoints, access: Access) -> Option<Response<Body>> {
        let refusal = self.check(parts, endpoints, access).err()?;
        Some(ProxyError::from(refusal).problem(RequestId::of(&parts.headers).as_str()))
    }

    /// Whether a request presents the token of operators.
    #[must_use]
    pub fn is_operator(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_some_and(|token| token.check(headers).is_ok())
    }

    fn check(&self, parts: &Parts, endpoints: &Endpoints, access: Access) -> Result<(), Refusal> {
        self.guard.check(parts, endpoints)?;
        let is_operator = match endpoints.owner {
            Owner::Own => true,
            // Only the token tells operators from other users, where there is one.
            Owner::OnThisMachine => self.token.is_none(),
            Owner::Other(_) | Owner::Remote | Owner::Gone | Owner::Unknown => false,
        };
        if access == Access::Anyone || is_operator {
            return Ok(());
        }
        match &self.token {
            Some(token) => token.check(&parts.headers).map_err(|_| Refusal::NotOperator),
            None => Err(Refusal::NotOperator),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(guard: &AdminGuard, owner: Owner, access: Access, token: Option<&str>) -> Result<(), Refusal> {
        let mut request = Request::builder().uri("/status").header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        guard.check(&parts, &Endpoints { owner, ..Endpoints::default() }, access)
    }

    #[test]
    fn probes_are_for_anyone_and_the_rest_for_operators() {
        let refused = Err(Refusal::NotOperator);
        let (open, guarded) = (AdminGuard::new(&[], None), AdminGuard::new(&[], Some(&"s3cret".into())));
        for owner in [Owner::Own, Owner::Other(1001), Owner::Remote, Owner::Unknown] {
            assert_eq!(asked(&open, owner, Access::Anyone, None), Ok(()));
            assert_eq!(asked(&guarded, owner, Access::Anyone, None), Ok(()), "probes need no token");
            assert_eq!(asked(&guarded, owner, Access::Operators, Some("s3cret")), Ok(()), "{owner:?}");
            let own = owner == Owner::Own;
            for (guard, token) in
                [(&open, None), (&open, Some("s3cret")), (&guarded, None), (&guarded, Some("x"))]
            {
                let expected = if own { Ok(()) } else { refused.clone() };
                assert_eq!(asked(guard, owner, Access::Operators, token), expected, "{owner:?} {token:?}");
            }
        }
    }

    #[test]
    fn where_users_are_unknown_the_token_alone_makes_an_operator() {
        let (open, guarded) = (AdminGuard::new(&[], None), AdminGuard::new(&[], Some(&"s3cret".into())));
        let ask = |guard, token| asked(guard, Owner::OnThisMachine, Access::Operators, token);
        assert_eq!(ask(&open, None), Ok(()));
        assert_eq!(ask(&guarded, None), Err(Refusal::NotOperator));
        assert_eq!(ask(&guarded, Some("s3cret")), Ok(()));
    }
}

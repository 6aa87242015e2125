//! Who may ask on the admin listener.

use http::{Response, request::Parts};
use secrecy::SecretString;

use super::{Guard, Refusal, Token};
use crate::{
    listener::{Endpoints, Owner},
    proxy::{accounting::RequestId, body::Body, error::ProxyError},
};

/// Whom an answer of the admin listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anyone who reaches the listener: probes and scrapers.
    Anyone,
    /// This process's user, root, and whoever presents the admin token.
    Operators,
}

/// Decides about the requests to the admin listener.
#[derive(Debug)]
pub struct AdminGuard {
    guard: Guard,
    token: Option<Token>,
}

impl AdminGuard {
    /// A guard that answers under the local names and `hosts`, and lets whoever presents `token` do what operators may.
    #[must_use]
    pub fn new(hosts: &[String], token: Option<&SecretString>) -> Self {
        let guard = Guard { hosts: hosts.to_vec(), origins: Vec::new(), token: None, any_user: true };
        Self { guard, token: token.map(Token::new) }
    }

    /// The answer to a request that is not admitted.
    #[must_use]
    pub fn refuse(&self, parts: &Parts, endpoints: &Endpoints, audience: Audience) -> Option<Response<Body>> {
        let refusal = self.check(parts, endpoints, audience).err()?;
        Some(ProxyError::from(refusal).response(RequestId::of(&parts.headers).as_str()))
    }

    fn check(&self, parts: &Parts, endpoints: &Endpoints, audience: Audience) -> Result<(), Refusal> {
        self.guard.check(parts, endpoints)?;
        if audience == Audience::Anyone || endpoints.owner == Owner::Own {
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

    fn asked(
        guard: &AdminGuard,
        owner: Owner,
        audience: Audience,
        token: Option<&str>,
    ) -> Result<(), Refusal> {
        let mut request = Request::builder().uri("/status").header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        guard.check(&parts, &Endpoints { owner, ..Endpoints::default() }, audience)
    }

    #[test]
    fn probes_are_for_anyone_and_the_rest_for_operators() {
        let refused = Err(Refusal::NotOperator);
        let (open, guarded) = (AdminGuard::new(&[], None), AdminGuard::new(&[], Some(&"s3cret".into())));
        for owner in [Owner::Own, Owner::Other(1001), Owner::Remote, Owner::Unknown] {
            assert_eq!(asked(&open, owner, Audience::Anyone, None), Ok(()));
            assert_eq!(asked(&guarded, owner, Audience::Anyone, None), Ok(()), "probes need no token");
            assert_eq!(asked(&guarded, owner, Audience::Operators, Some("s3cret")), Ok(()), "{owner:?}");
            let own = owner == Owner::Own;
            for (guard, token) in
                [(&open, None), (&open, Some("s3cret")), (&guarded, None), (&guarded, Some("x"))]
            {
                let expected = if own { Ok(()) } else { refused.clone() };
                assert_eq!(asked(guard, owner, Audience::Operators, token), expected, "{owner:?} {token:?}");
            }
        }
    }
}

//! The authorisation endpoint: checks the request, and answers with a code or with the page that asks for a sign-in.

use std::time::Duration;

use http::{Response, StatusCode, header};

use super::{
    PageRequest,
    codes::AuthorizationCode,
    page::{error_page, redirection, unlisted},
};
use crate::sandbox::{
    answer::Body,
    people::AppClient,
    percent::{Pairs, encode},
    user_pool::{UserPool, account::Account, grants::ADMIN_SCOPE},
};

const CODE_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Those of the pool itself; a scope with a slash belongs to a resource server.
const SCOPES: [&str; 5] = ["openid", "email", "phone", "profile", ADMIN_SCOPE];

/// An authorisation request whose redirect URI belongs to its client.
pub(super) struct Authorization<'a> {
    pub(super) client: &'a AppClient,
    redirect_uri: &'a str,
    pub(super) query: &'a Pairs,
}

/// An error that the client gets by redirect: code and description.
type Problem = (&'static str, &'static str);

impl UserPool {
    pub(super) fn authorize(&self, request: &PageRequest<'_>) -> Response<Body> {
        self.answer_authorization(request.query, |authorization| {
            let prompt = request.query.get("prompt").unwrap_or_default();
            let known = self.browser_sessions.username(request.headers, self.clock.now());
            let account = known.and_then(|username| self.directory.account(&username));
            match account.filter(|account| account.admit().is_ok() && prompt != "login") {
                Some(account) => self.approve(authorization, &account),
                None if prompt == "none" => authorization.refuse(("login_required", "Nobody has signed in")),
                None => authorization.login_page("", "").response(),
            }
        })
    }

    /// Answers a request that is in order with `answer`.
    pub(super) fn answer_authorization(
        &self,
        query: &Pairs,
        answer: impl FnOnce(&Authorization<'_>) -> Response<Body>,
    ) -> Response<Body> {
        self.authorization(query).map_or_else(|refusal| *refusal, |authorization| answer(&authorization))
    }

    /// The authorisation request, or the answer to one that is not in order. Only where a client has registered may
    /// anything be sent back by redirect.
    pub(super) fn authorization<'a>(
        &'a self,
        query: &'a Pairs,
    ) -> Result<Authorization<'a>, Box<Response<Body>>> {
        let refused = |error: &str, description: &str| Err(Box::new(error_page(error, description)));
        let redirect_uri = query.get("redirect_uri").unwrap_or_default();
        let Ok(client) = self.clients.find(query.get("client_id").unwrap_or_default()) else {
            return refused("invalid_client", "No app client has this client_id.");
        };
        if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
            return Err(Box::new(unlisted("redirect_uri", redirect_uri)));
        }
        let authorization = Authorization { client, redirect_uri, query };
        match authorization.problem() {
            Some(problem) => Err(Box::new(authorization.refuse(problem))),
            None => Ok(authorization),
        }
    }

    /// Remembers the sign-in in the browser, and sends a code to the client.
    pub(super) fn approve(&self, authorization: &Authorization<'_>, account: &Account) -> Response<Body> {
        let query = authorization.query;
        let default_scope = format!("openid {ADMIN_SCOPE}");
        let now = self.clock.now();
        let code = AuthorizationCode {
            username: account.user.username.clone(),
            client_id: authorization.client.id.clone(),
            redirect_uri: authorization.redirect_uri.to_owned(),
            challenge: query.get("code_challenge").map(str::to_owned),
            nonce: query.get("nonce").map(str::to_owned),
            scope: query.get("scope").map_or(default_scope, str::to_owned),
            expires: now + CODE_LIFETIME,
        };
        let code = self.codes.put(code, now);
        let mut response = authorization.redirect(&[("code", &code)]);
        let cookie = self.browser_sessions.begin(&account.user.username, now);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response
    }
}

impl Authorization<'_> {
    fn problem(&self) -> Option<Problem> {
        match self.query.get("response_type") {
            Some("code") => {}
            Some(_) => return Some(("unsupported_response_type", "response_type must be code")),
            None => return Some(("invalid_request", "response_type is missing")),
        }
        match (self.query.get("code_challenge"), self.query.get("code_challenge_method")) {
            (Some(_), Some("S256")) | (None, None) => {}
            (Some(_), _) => return Some(("invalid_request", "code_challenge_method must be S256")),
            (None, Some(_)) => return Some(("invalid_request", "code_challenge is missing")),
        }
        let mut scopes =
            self.query.get("scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        let unknown = scopes.any(|scope| !SCOPES.contains(&scope) && !scope.contains('/'));
        unknown.then_some(("invalid_scope", "The app client does not allow a scope of the request"))
    }

    fn refuse(&self, (error, description): Problem) -> Response<Body> {
        self.redirect(&[("error", error), ("error_description", description)])
    }

    /// Back to the client, with its `state`.
    fn redirect(&self, parameters: &[(&str, &str)]) -> Response<Body> {
        let state = self.query.get("state").map(|state| ("state", state));
        let pairs = parameters.iter().copied().chain(state);
        let query: Vec<String> =
            pairs.map(|(name, value)| format!("{name}={}", encode(value.as_bytes()))).collect();
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        redirection(StatusCode::FOUND, &format!("{}{separator}{}", self.redirect_uri, query.join("&")))
    }

    /// The path of another page of this authorisation request.
    pub(super) fn path(&self, page: &str) -> String {
        let pairs = self.query.clone().into_vec();
        let query: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name.as_bytes()), encode(value.as_bytes())))
            .collect();
        format!("/{page}?{}", query.join("&"))
    }
}

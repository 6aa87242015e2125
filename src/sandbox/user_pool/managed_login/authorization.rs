//! The authorisation endpoint and the login page behind it.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use super::Code;
use crate::sandbox::{
    answer::{Body, plain},
    percent::{Pairs, encode},
    user_pool::{UserPool, directory::Account, grants::ADMIN_SCOPE},
};

const CODE_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// An authorisation request whose redirect URI belongs to its client.
struct Authorization<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    state: Option<&'a str>,
    query: &'a Pairs,
}

impl UserPool {
    pub(super) fn authorize(&self, query: &Pairs) -> Response<Body> {
        self.answer_authorization(query, |authorization| {
            match query.get("login_hint").and_then(|hint| self.directory.account(hint)) {
                Some(account) => self.approve(authorization, &account),
                None => authorization.login_page(StatusCode::OK, ""),
            }
        })
    }

    pub(super) fn log_in(&self, query: &Pairs, form: &Pairs) -> Response<Body> {
        let field = |name| form.get(name).unwrap_or_default();
        self.answer_authorization(query, |authorization| {
            let now = self.clock.now();
            let checked = self.directory.check_password(field("username"), field("password"), now);
            match checked.and_then(|account| account.admit().map(|()| account)) {
                Ok(account) => self.approve(authorization, &account),
                Err(error) => authorization.login_page(StatusCode::BAD_REQUEST, &error.message),
            }
        })
    }

    /// Answers a request that is in order with `answer`. Only where a client has registered may
    /// anything be sent back by redirect.
    fn answer_authorization(
        &self,
        query: &Pairs,
        answer: impl FnOnce(&Authorization<'_>) -> Response<Body>,
    ) -> Response<Body> {
        let client_id = query.get("client_id").unwrap_or_default();
        let redirect_uri = query.get("redirect_uri").unwrap_or_default();
        let Ok(client) = self.clients.find(client_id) else { return error_page("invalid_client") };
        if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
            return error_page("redirect_mismatch");
        }
        let authorization = Authorization { client_id, redirect_uri, state: query.get("state"), query };
        match authorization.problem() {
            Some(problem) => authorization.redirect(problem),
            None => answer(&authorization),
        }
    }

    fn approve(&self, authorization: &Authorization<'_>, account: &Account) -> Response<Body> {
        let query = authorization.query;
        let default_scope = format!("openid {ADMIN_SCOPE}");
        let code = self.codes.put(Code {
            username: account.user.username.clone(),
            client_id: authorization.client_id.to_owned(),
            redirect_uri: authorization.redirect_uri.to_owned(),
            challenge: query.get("code_challenge").map(str::to_owned),
            nonce: query.get("nonce").map(str::to_owned),
            scope: query.get("scope").map_or(default_scope, str::to_owned),
            expires: self.clock.now() + CODE_LIFETIME,
        });
        authorization.redirect(&[("code", &code)])
    }
}

impl Authorization<'_> {
    fn problem(&self) -> Option<&'static [(&'static str, &'static str)]> {
        if self.query.get("response_type") != Some("code") {
            return Some(&[("error", "unsupported_response_type")]);
        }
        let method = self.query.get("code_challenge_method");
        match self.query.get("code_challenge") {
            Some(_) if method != Some("S256") => Some(&[
                ("error", "invalid_request"),
                ("error_description", "code_challenge_method must be S256"),
            ]),
            _ => None,
        }
    }

    fn redirect(&self, parameters: &[(&str, &str)]) -> Response<Body> {
        let state = self.state.map(|state| ("state", state));
        let pairs = parameters.iter().copied().chain(state);
        let query: Vec<String> =
            pairs.map(|(name, value)| format!("{name}={}", encode(value.as_bytes()))).collect();
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let location = format!("{}{separator}{}", self.redirect_uri, query.join("&"));
        let mut response = plain(StatusCode::FOUND, "text/html; charset=utf-8", String::new());
        match HeaderValue::try_from(location) {
            Ok(location) => {
                response.headers_mut().insert(header::LOCATION, location);
                response
            }
            Err(_) => error_page("redirect_mismatch"),
        }
    }

    fn login_page(&self, status: StatusCode, problem: &str) -> Response<Body> {
        let pairs = self.query.clone().into_vec();
        let query: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name.as_bytes()), encode(value.as_bytes())))
            .collect();
        let action = query.join("&amp;");
        let page = format!(
            "<!doctype html><title>Sandbox sign-in</title><h1>Sandbox sign-in</h1><p role=\"alert\">{problem}</p>\
             <form method=\"post\" action=\"/login?{action}\">\
             <p><label>Username <input name=\"username\" autocomplete=\"username\"></label></p>\
             <p><label>Password <input name=\"password\" type=\"password\"></label></p>\
             <p><button>Sign in</button></p></form>\n"
        );
        plain(status, "text/html; charset=utf-8", page)
    }
}

fn error_page(error: &str) -> Response<Body> {
    let page = format!("<!doctype html><title>Error</title><h1>An error was encountered: {error}</h1>\n");
    plain(StatusCode::BAD_REQUEST, "text/html; charset=utf-8", page)
}

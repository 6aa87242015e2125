//! The userInfo endpoint: the claims that an access token's scopes show.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::sandbox::{
    answer::{AwsError, Body, Form},
    user_pool::{
        UserPool,
        grants::{has_scope, readable_attributes},
    },
};

impl UserPool {
    pub(super) fn user_info(&self, headers: &HeaderMap) -> Response<Body> {
        let token = headers.get(header::AUTHORIZATION).and_then(bearer);
        let claims = match token {
            Some(token) => self.user_claims(token),
            None => Err(("invalid_request", "The request has no bearer token.".to_owned())),
        };
        claims.map_or_else(refuse, |claims| Form::OAuth.ok(&claims))
    }

    fn user_claims(&self, token: &str) -> Result<Value, (&'static str, String)> {
        let invalid = |error: AwsError| ("invalid_token", error.message);
        let claims = self.grants.access(token, self.clock.now()).map_err(invalid)?;
        let account =
            self.directory.existing(claims["username"].as_str().unwrap_or_default()).map_err(invalid)?;
        account.admit().map_err(invalid)?;
        self.grants.require_unrevoked(&claims).map_err(invalid)?;
        let scopes = claims["scope"].as_str().unwrap_or_default();
        if claims["sub"] != *account.sub || !has_scope(scopes, "openid") {
            return Err(("invalid_token", "Access token does not contain openid scope".to_owned()));
        }
        let mut answer = json!({ "sub": account.sub, "username": account.user.username });
        // Unlike the ID token, this endpoint of Cognito has its flags as text.
        for (name, value) in readable_attributes(&account, scopes) {
            answer[name] = value.into();
        }
        Ok(answer)
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn refuse((error, description): (&str, String)) -> Response<Body> {
    let body = json!({ "error": error, "error_description": description });
    let mut response = Form::OAuth.json(StatusCode::UNAUTHORIZED, &body);
    let challenge = format!("Bearer error=\"{error}\", error_description=\"{description}\"");
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

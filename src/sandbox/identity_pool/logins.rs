//! Checks the tokens of a login, as the identity pool does.

use std::{collections::HashMap, time::SystemTime};

use serde_json::Value;

use crate::sandbox::{
    answer::AwsError,
    tokens::{self, InvalidToken, epoch},
    user_pool::Location,
};

/// A login whose token is valid.
pub(super) struct Login {
    pub(super) provider: String,
    pub(super) subject: String,
    /// `cognito:roles`, the preferred one first.
    pub(super) roles: Vec<String>,
}

/// The providers that the identity pool accepts: its user pool, and others by their issuer.
pub(super) struct Providers {
    /// `iss` of the user pool without its scheme, the key in `Logins`.
    pub(super) user_pool: String,
    /// Where the user pool is: a local issuer is the same provider under another name.
    pub(super) location: Location,
    /// The app clients whose tokens are accepted.
    pub(super) audiences: Vec<String>,
    /// Other issuers without their scheme, whose audiences are not checked.
    pub(super) others: Vec<String>,
}

impl Providers {
    /// The first login of `logins`; `None` for a guest, who has none.
    pub(super) fn check(
        &self,
        logins: Option<&HashMap<String, String>>,
        now: SystemTime,
    ) -> Result<Option<Login>, AwsError> {
        let Some((name, token)) = logins.and_then(|logins| logins.iter().next()) else { return Ok(None) };
        let name = if self.is_local(name) { &self.user_pool } else { name };
        if *name != self.user_pool && !self.others.contains(name) {
            let message = "Token is not from a supported provider of this identity pool.";
            return Err(AwsError::not_authorized(message));
        }
        let claims = tokens::check(token).map_err(|error| match error {
            InvalidToken::Malformed => invalid("Not a valid OpenId Connect identity token."),
            InvalidToken::Signature => invalid("Couldn't verify signed token."),
        })?;
        self.check_claims(name, &claims, now)?;
        let subject = claims["sub"].as_str().ok_or_else(|| invalid("Missing a required claim: sub"))?;
        Ok(Some(Login { provider: name.clone(), subject: subject.to_owned(), roles: roles(&claims) }))
    }

    /// Whether this is a name of the local issuer: clients leave the scheme out or not.
    fn is_local(&self, name: &str) -> bool {
        let issuer = self.location.issuer();
        let issuer = issuer.strip_prefix("http://");
        issuer.is_some_and(|issuer| name.strip_prefix("http://").unwrap_or(name) == issuer)
    }

    fn check_claims(&self, name: &str, claims: &Value, now: SystemTime) -> Result<(), AwsError> {
        let issuer = claims["iss"].as_str().unwrap_or_default();
        let of_user_pool = name == self.user_pool && issuer == self.location.issuer();
        if !of_user_pool && issuer.strip_prefix("https://") != Some(name) {
            return Err(invalid("Issuer doesn't match providerName"));
        }
        let audience = claims["aud"].as_str();
        let audience = audience.ok_or_else(|| invalid("Missing a required claim: aud"))?;
        if name == self.user_pool && !self.audiences.iter().any(|known| known == audience) {
            return Err(invalid("Incorrect token audience."));
        }
        let expiry = claims["exp"].as_u64().ok_or_else(|| invalid("Missing a required claim: exp"))?;
        let now = epoch(now);
        if now >= expiry {
            return Err(invalid(&format!("Token expired: {now} >= {expiry}")));
        }
        Ok(())
    }
}

fn roles(claims: &Value) -> Vec<String> {
    let preferred = claims["cognito:preferred_role"].as_str();
    let listed = claims["cognito:roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let others = listed.filter(|role| Some(*role) != preferred);
    preferred.into_iter().chain(others).map(str::to_owned).collect()
}

fn invalid(why: &str) -> AwsError {
    AwsError::not_authorized(format!("Invalid login token. {why}"))
}

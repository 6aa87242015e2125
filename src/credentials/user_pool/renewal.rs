//! Renews tokens by a refresh token, and revokes refresh tokens.

use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::{ExposeSecret, SecretString};

use super::{
    RefreshGrant,
    api::{Api, AuthenticationResult, GetTokensFromRefreshToken, InitiateAuth, Parameters, RevokeToken},
    error::Error,
    refusal::Cause,
    tokens::Tokens,
};
use crate::credentials::UserPool;

/// Exchanges refresh tokens by the call that the pool supports.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// Set once the pool has shown that it lacks GetTokensFromRefreshToken, as some emulators do.
    by_auth_flow: AtomicBool,
}

impl Renewal {
    /// Tries GetTokensFromRefreshToken, then REFRESH_TOKEN_AUTH if the former does not exist. Pools that rotate refresh
    /// tokens have only the former, so that no token is exchanged twice.
    pub(super) async fn renew(
        &self,
        api: &Api,
        pool: &UserPool,
        grant: &RefreshGrant,
    ) -> Result<Tokens, Error> {
        if self.by_auth_flow.load(Ordering::Relaxed) {
            return Tokens::new(by_auth_flow(api, pool, grant).await?);
        }
        let error = match by_operation(api, pool, grant).await {
            Ok(result) => return Tokens::new(result),
            Err(error) => error,
        };
        let fallback = Fallback::after(&error);
        if let Fallback::None = fallback {
            return Err(error);
        }
        match by_auth_flow(api, pool, grant).await {
            Ok(result) => {
                if let Fallback::ForGood = fallback {
                    self.by_auth_flow.store(true, Ordering::Relaxed);
                }
                Tokens::new(result)
            }
            Err(second) if fallback.is_judged_by(&second) => Err(second),
            Err(_) => Err(error),
        }
    }
}

/// Whether to try REFRESH_TOKEN_AUTH.
enum Fallback {
    None,
    /// The operation does not exist.
    ForGood,
    /// The operation may not exist: some emulators answer an unknown operation with a bare 500.
    Once,
}

impl Fallback {
    fn after(error: &Error) -> Self {
        match error {
            Error::Refused(refusal) => match refusal.cause {
                Cause::Unsupported | Cause::InvalidParameter => Self::ForGood,
                _ => Self::None,
            },
            Error::Foreign { answer, .. } => match answer.status {
                501 => Self::ForGood,
                500.. => Self::Once,
                _ => Self::None,
            },
            _ => Self::None,
        }
    }

    /// Whether the error of the fallback says more about the refresh token than the first one.
    fn is_judged_by(&self, second: &Error) -> bool {
        let flow_missing = matches!(second.cause(), Some(Cause::FlowDisabled | Cause::Unsupported));
        matches!(self, Self::ForGood) && !flow_missing
    }
}

async fn by_operation(
    api: &Api,
    pool: &UserPool,
    grant: &RefreshGrant,
) -> Result<AuthenticationResult, Error> {
    let request = GetTokensFromRefreshToken {
        refresh_token: grant.refresh_token.expose_secret(),
        client_id: &pool.client_id,
        client_secret: pool.client_secret.as_ref().map(ExposeSecret::expose_secret),
        device_key: grant.device.as_ref().map(|device| device.key.as_str()),
    };
    let answer = api.call(&request).await?;
    answer.authentication_result.ok_or(Error::Unintelligible("no tokens"))
}

async fn by_auth_flow(
    api: &Api,
    pool: &UserPool,
    grant: &RefreshGrant,
) -> Result<AuthenticationResult, Error> {
    let auth_parameters = Parameters::default()
        .with("REFRESH_TOKEN", grant.refresh_token.clone())
        .with_some("SECRET_HASH", pool.secret_hash(&grant.username))
        .with_some("DEVICE_KEY", grant.device.as_ref().map(|device| device.key.as_str()));
    let client_id = &pool.client_id;
    let request = InitiateAuth { auth_flow: "REFRESH_TOKEN_AUTH", client_id, auth_parameters, session: None };
    let answer = api.call(&request).await?;
    answer.authentication_result.ok_or(Error::Unintelligible("no tokens"))
}

pub(super) async fn without_rotation(
    api: &Api,
    pool: &UserPool,
    grant: &RefreshGrant,
) -> Result<Tokens, Error> {
    Tokens::new(by_auth_flow(api, pool, grant).await?)
}

pub(super) async fn revoke(api: &Api, pool: &UserPool, refresh_token: &SecretString) -> Result<(), Error> {
    let request = RevokeToken {
        token: refresh_token.expose_secret(),
        client_id: &pool.client_id,
        client_secret: pool.client_secret.as_ref().map(ExposeSecret::expose_secret),
    };
    api.call(&request).await?;
    Ok(())
}

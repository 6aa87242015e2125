//! What `login` and `logout` share: the user pool of the settings and the store of its session.

use super::{Failure, start_log};
use crate::{
    aws_http,
    clock::Clock,
    config::{Arguments, Config, Environment},
    credentials::{Login, Settings, UserPool, session::SessionStore, user_pool::UserPoolClient},
    telemetry,
};

/// A user pool and where its session is kept.
pub(super) struct UserSession {
    pub(super) pool: UserPool,
    pub(super) client: UserPoolClient,
    pub(super) store: SessionStore,
    pub(super) clock: Clock,
}

impl UserSession {
    pub(super) fn open(arguments: &Arguments, environment: &Environment) -> Result<Self, Failure> {
        let config = Config::for_session(arguments, environment)?;
        start_log(&config.telemetry, &config.warnings)?;
        // The first question goes to stderr as well, and straight.
        telemetry::flush();
        let clock = Clock::system();
        let connector = aws_http::connector(&config.aws_http, clock.clone()).map_err(Failure::runtime)?;
        let pool = match config.credentials {
            Settings::Cognito(cognito) => match cognito.login {
                Login::UserPool(pool) => pool,
                Login::IdTokenFile { .. } => {
                    return Err(Failure::runtime("with id-token-file, something else signs the user in"));
                }
            },
            Settings::Guest { .. } | Settings::Aws => {
                return Err(Failure::runtime("nobody signs in unless credentials is cognito"));
            }
        };
        let folder = pool.state_dir.as_deref().ok_or_else(|| {
            Failure::runtime("there is no folder for the session; set XDG_STATE_HOME to one that this user can write to")
        })?;
        let store = SessionStore::new(folder, &pool.id, &pool.client_id);
        let client = UserPoolClient::new(pool.clone(), connector, clock.clone());
        Ok(Self { pool, client, store, clock })
    }
}

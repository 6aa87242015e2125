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
        // The first question is written to stderr directly, behind what is still in the log's buffer.
        telemetry::flush();
        let clock = Clock::system();
        let connector = aws_http::connector(&config.aws_http, clock.clone()).map_err(Failure::runtime)?;
        let pool = match config.credentials {
            Settings::Cognito(cognito) => match cognito.login {
                Login::UserPool(pool) => pool,
                Login::IdTokenFile { .. } => {
                    return Err(Failure::runtime(
                        "id-token-file is set, so another program signs the user in; remove it to sign in here",
                    ));
                }
            },
            Settings::Guest { .. } | Settings::Aws => {
                return Err(Failure::runtime(
                    "only credentials = cognito has a session; remove the setting credentials to sign in",
                ));
            }
        };
        let folder = pool.state_dir.as_deref().ok_or_else(|| {
            Failure::runtime(
                "there is no folder for the session; set XDG_STATE_HOME to one that this user can write to",
            )
        })?;
        let store = SessionStore::new(folder, &pool.id, &pool.client_id);
        let client = UserPoolClient::new(pool.clone(), connector, clock.clone());
        Ok(Self { pool, client, store, clock })
    }
}

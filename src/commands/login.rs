//! `countersign login`: signs a person in, at the terminal or in a browser, and remembers the session.

use std::process::ExitCode;

use secrecy::ExposeSecret;

use super::{
    Failure,
    advice::{advised, with_doubt_of_pool},
    print,
    sign_in::until_signal,
    user_session::UserSession,
};
use crate::{
    config::{Arguments, Environment},
    credentials::{
        session::Session,
        user_pool::{Answers, Question, SignedIn, Terminal, Unattended, User},
    },
};

/// How every failure of a sign-in begins.
const FAILED: &str = "sign-in failed: ";

pub(super) async fn run(
    arguments: &Arguments,
    environment: &Environment,
    browser: bool,
) -> Result<ExitCode, Failure> {
    let session = UserSession::open(arguments, environment)?;
    // A session that cannot be stored is not worth a password.
    let locked = session.store.lock().await.map_err(Failure::runtime)?;
    locked.try_out().await.map_err(Failure::runtime)?;
    drop(locked);
    let (signed_in, name) = if browser { in_browser(&session).await? } else { at_terminal(&session).await? };
    keep(&session, &signed_in, &name).await?;
    let user = &signed_in.tokens.username;
    print(format!("Signed in as {user}. `countersign serve` uses this session from now on.\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn in_browser(session: &UserSession) -> Result<(SignedIn, String), Failure> {
    let waiting = session.client.start_browser_sign_in().await.map_err(Failure::runtime)?;
    waiting.announce()?;
    let signed_in = waiting.complete().await.map_err(Failure::runtime)?;
    let name = signed_in.tokens.username.clone();
    Ok((signed_in, name))
}

async fn at_terminal(session: &UserSession) -> Result<(SignedIn, String), Failure> {
    let unattended = Unattended::new(session.pool.totp_secret.as_ref()).map_err(Failure::runtime)?;
    let mut terminal = Terminal::new(unattended);
    let name = match &session.pool.username {
        Some(name) => name.clone(),
        None => {
            let answer = terminal.answer(Question::Username, session.clock.now()).await;
            answer
                .map_err(|unanswered| advised(FAILED, &unanswered, unanswered.advice()))?
                .expose_secret()
                .to_owned()
        }
    };
    let device = remembered_device(session, &name).await?;
    let user = User { username: &name, password: session.pool.password.as_ref(), device: device.as_ref() };
    let signed_in = session.client.sign_in(&user, &mut terminal).await.map_err(|error| {
        let advice = error.verdict().advice().unwrap_or_default();
        advised(FAILED, &error, &with_doubt_of_pool(advice, &error, &session.pool))
    })?;
    Ok((signed_in, name))
}

/// The pool asks a device that it remembers for less.
async fn remembered_device(
    session: &UserSession,
    name: &str,
) -> Result<Option<crate::credentials::user_pool::Device>, Failure> {
    let stored = session.store.lock().await.map_err(Failure::runtime)?.read().await;
    // A session that cannot be used is replaced by the one that this sign-in makes.
    let stored = stored.ok().flatten().filter(|stored| stored.signed_in_as == name);
    Ok(stored.and_then(|stored| stored.device))
}

async fn keep(session: &UserSession, signed_in: &SignedIn, name: &str) -> Result<(), Failure> {
    if signed_in.tokens.refresh_token.is_none() {
        tracing::warn!("the user pool gave no refresh token: this sign-in lasts only for this command");
    }
    let session_of_user = Session::new(signed_in, name);
    until_signal(async { session.store.keep(session_of_user).await.map_err(Failure::runtime) }).await
}

//! Browsers that have signed in: a cookie stands for the sign-in, so that the next client asks for no password.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, header};

const COOKIE: &str = "cognito";
const LIFETIME: Duration = Duration::from_secs(3600);

struct BrowserSession {
    username: String,
    expires: SystemTime,
}

#[derive(Default)]
pub(in crate::sandbox::user_pool) struct BrowserSessions(Mutex<HashMap<String, BrowserSession>>);

impl BrowserSessions {
    /// The cookie of a new session.
    pub(super) fn begin(&self, username: &str, now: SystemTime) -> HeaderValue {
        let id = uuid::Uuid::new_v4().to_string();
        let mut sessions = self.lock();
        sessions.retain(|_, session| now < session.expires);
        let session = BrowserSession { username: username.to_owned(), expires: now + LIFETIME };
        sessions.insert(id.clone(), session);
        cookie(&id, LIFETIME.as_secs())
    }

    /// Who has signed in with the browser that sends these headers.
    pub(super) fn username(&self, headers: &HeaderMap, now: SystemTime) -> Option<String> {
        let sessions = self.lock();
        let session = sessions.get(id(headers)?)?;
        (now < session.expires).then(|| session.username.clone())
    }

    /// Ends the session, and returns the cookie that removes it from the browser.
    pub(super) fn end(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(id) = id(headers) {
            self.lock().remove(id);
        }
        cookie("", 0)
    }

    /// Ends the sessions of a user who is gone.
    pub(in crate::sandbox::user_pool) fn forget(&self, username: &str) {
        self.lock().retain(|_, session| session.username != username);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BrowserSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

fn cookie(value: &str, max_age: u64) -> HeaderValue {
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(text).expect("ids are ASCII")
}

//! What the log shows of a sign-in, at its most talkative.

use std::{
    io,
    sync::{Arc, Mutex},
};

use countersign::{
    credentials::{
        AuthFlow,
        session::{Session, SessionStore},
    },
    sandbox::{CONFIDENTIAL_CLIENT_SECRET, Fault},
};
use secrecy::ExposeSecret;
use tracing_subscriber::fmt::MakeWriter;

use crate::pool::{PASSWORD, Pool};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Logging is the whole process's: what the other tests log is searched as well.
fn trace_into(log: &Log) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber of this program");
}

#[tokio::test]
async fn the_log_of_a_session_shows_no_secret() {
    let log = Log::default();
    trace_into(&log);
    let mut secrets = vec![PASSWORD.to_owned(), CONFIDENTIAL_CLIENT_SECRET.to_owned()];
    for flow in [AuthFlow::Srp, AuthFlow::Password, AuthFlow::UserAuth] {
        let pool = Pool::start().await.flow(flow).confidential();
        let signed_in = pool.sign_in("demo", PASSWORD).await.expect("tokens");
        let folder = tempfile::tempdir().expect("a folder");
        let store = SessionStore::new(folder.path(), &pool.settings.id, &pool.settings.client_id);
        let session = Session::new(&signed_in, "demo");
        store.lock().await.expect("free").write(&session).await.expect("stored");
        let renewed = store.renew(&pool.client(), None).await.expect("renewed");
        for tokens in [&signed_in.tokens, &renewed.tokens] {
            secrets.push(tokens.id_token.expose_secret().to_owned());
            secrets.push(tokens.access_token.expose_secret().to_owned());
            secrets.extend(tokens.refresh_token.iter().map(|token| token.expose_secret().to_owned()));
        }
    }
    let text = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    assert!(text.contains("TRACE"), "the log is not at its most talkative");
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret}");
    }
}

#[tokio::test]
async fn errors_repeat_nothing_that_a_pool_throws_back() {
    let pool = Pool::start().await.flow(AuthFlow::Password).confidential();
    let grant = pool.sign_in("demo", PASSWORD).await.expect("tokens").refresh_grant().expect("a grant");
    let refresh_token = grant.refresh_token.expose_secret();
    let parrot = |words: &str| Fault::error("InternalErrorException", &format!("Value '{words}' failed"));
    pool.sandbox.faults().always("InitiateAuth", parrot(PASSWORD));
    let thrown_back = parrot(&format!("{refresh_token} {CONFIDENTIAL_CLIENT_SECRET}"));
    pool.sandbox.faults().always("GetTokensFromRefreshToken", thrown_back);
    let sign_in = pool.sign_in("demo", PASSWORD).await.expect_err("refused");
    let renewal = pool.client().refresh(&grant).await.expect_err("refused");
    assert!(sign_in.to_string().ends_with("Value '***' failed"), "{sign_in}");
    assert!(renewal.to_string().ends_with("Value '*** ***' failed"), "{renewal}");
    for text in [format!("{sign_in:?}"), format!("{renewal:?}")] {
        assert!(
            ![PASSWORD, refresh_token, CONFIDENTIAL_CLIENT_SECRET].iter().any(|s| text.contains(s)),
            "{text}"
        );
    }
}

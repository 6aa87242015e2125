//! The task that keeps credentials fresh: one attempt at a time, ahead of expiry, with bounded pauses.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, error, info, warn};

use super::{
    channel::{Problem, Publisher, phase, windows},
    pause::Pause,
    provider::{CredentialsProvider, FetchError, IssuedCredentials},
    refresh_window::{self, Phase},
};
use crate::clock::Clock;

/// A laptop that slept has no timer that went off; the wall clock is looked at this often.
const TICK: Duration = Duration::from_secs(5);

/// How soon after a success the next attempt may come, but for credentials that the gateway refuses: a clock that is moved
/// to and fro, by a gateway that lies about the time for one, must not make a call to Cognito of every request.
const RESPITE: Duration = Duration::from_secs(5);

/// The longest that one attempt may take, all its calls together.
const ATTEMPT: Duration = Duration::from_secs(20);

/// Keeps what `source` gives fresh.
#[derive(Debug)]
pub struct Refresher<S> {
    source: S,
    publisher: Publisher,
    clock: Clock,
    failures: u32,
    refresh_at: Option<SystemTime>,
    /// Kept after a success, whatever the clock says about its credentials.
    respite: Option<Pause>,
    /// Sources whose secrets are to be taken over.
    secret_updates: Option<mpsc::UnboundedReceiver<S>>,
}

impl<S: CredentialsProvider> Refresher<S> {
    /// A keeper that has obtained nothing yet.
    pub fn new(source: S, publisher: Publisher, clock: Clock) -> Self {
        Self { source, publisher, clock, failures: 0, refresh_at: None, respite: None, secret_updates: None }
    }

    /// The same, which takes over the secrets of the sources that come.
    #[must_use]
    pub fn with_secret_updates(self, secret_updates: mpsc::UnboundedReceiver<S>) -> Self {
        Self { secret_updates: Some(secret_updates), ..self }
    }

    /// Obtains credentials and refreshes them until `shutdown`.
    ///
    /// A panic in it counts as a failed attempt: without this task, the proxy would go on to the end of the credentials
    /// and fail every request from there, and nothing would say why.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                Err(panicked) = unwinding(self.work()) => {
                    self.refresh_at = Some(self.clock.now());
                    self.failed(&FetchError::transient(panicked));
                }
            }
        }
    }

    async fn work(&mut self) -> Infallible {
        loop {
            if self.is_due().await {
                self.attempt().await;
            } else {
                self.rest().await;
            }
        }
    }

    async fn rest(&mut self) {
        let pause = self.until_due();
        tokio::select! {
            biased;
            () = self.publisher.demanded() => {}
            successor = next(&mut self.secret_updates) => self.source.update_secrets(successor),
            () = sleep(pause) => {}
        }
    }

    async fn is_due(&mut self) -> bool {
        if self.publisher.take_rejection() {
            info!("the gateway refused the credentials: refreshing");
            self.refresh_at = Some(self.clock.now());
            // Rejections have a limit of their own.
            self.respite = None;
        }
        let (pausing, terminal) = {
            let state = self.publisher.state();
            let problem = state.problem.as_deref();
            let pause = problem.and_then(|problem| problem.pause);
            let pausing = pause.is_some_and(|pause| pause.left(&self.clock).is_some());
            (pausing, problem.is_some_and(|problem| problem.remedy.is_some()))
        };
        if terminal {
            return self.source.changed().await;
        }
        let resting = self.respite.is_some_and(|respite| respite.left(&self.clock).is_some());
        !pausing
            && !resting
            && (self.refresh_at.is_none_or(|at| self.clock.now() >= at) || self.is_pressing())
    }

    /// Requests wait already, or cannot be signed: chance has no say.
    fn is_pressing(&self) -> bool {
        let now = self.clock.now();
        let state = self.publisher.state();
        state
            .issued
            .as_ref()
            .is_none_or(|issued| matches!(phase(issued, now), Phase::Mandatory | Phase::Expired))
    }

    fn until_due(&self) -> Duration {
        let state = self.publisher.state();
        let pause = match state.problem.as_deref() {
            Some(problem) => problem.pause.map(|pause| pause.left(&self.clock).unwrap_or_default()),
            None => self.refresh_at.map(|at| at.duration_since(self.clock.now()).unwrap_or_default()),
        };
        let respite = self.respite.and_then(|respite| respite.left(&self.clock)).unwrap_or_default();
        // A timer rounds down to its own resolution.
        pause.map_or(TICK, |pause| pause.min(TICK)).max(respite).max(Duration::from_millis(1))
    }

    async fn attempt(&mut self) {
        let started = Instant::now();
        let outcome = match timeout(ATTEMPT, self.source.fetch()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::transient(self.delay())),
        };
        match outcome {
            Ok(issued) if phase(&issued, self.clock.now()) == Phase::Expired => {
                self.failed(&FetchError::transient("the credentials that were issued have already expired"));
            }
            Ok(issued) => self.succeeded(issued, started),
            Err(error) => self.failed(&error),
        }
    }

    /// What has kept the attempt from ending in time.
    fn delay(&self) -> String {
        match self.source.waits_for() {
            Some(obstacle) => format!("{obstacle}; trying again"),
            None => format!("no answer within {} seconds", ATTEMPT.as_secs()),
        }
    }

    fn succeeded(&mut self, issued: IssuedCredentials, started: Instant) {
        let now = self.clock.now();
        let left = issued.expiry.and_then(|expiry| expiry.duration_since(now).ok());
        // Far enough ahead to be never: keys without expiry are asked for again once a day.
        let never = now + Duration::from_secs(86_400);
        self.refresh_at =
            Some(issued.expiry.map_or(never, |expiry| windows(&issued).refresh_at(expiry, rand::random())));
        let lifetime = issued.expiry.and_then(|expiry| expiry.duration_since(issued.issued_at).ok());
        let respite = lifetime.map_or(RESPITE, |lifetime| RESPITE.min(lifetime / 4));
        self.respite = Some(Pause::new(respite, None, &self.clock));
        let (identity, expires_in) = (&issued.identity, left.map(|left| left.as_secs()));
        if self.failures > 0 {
            info!(%identity, expires_in, failures = self.failures, "credentials are refreshed again");
        } else {
            let took_ms = started.elapsed().as_millis() as u64;
            debug!(%identity, expires_in, took_ms, "credentials refreshed");
        }
        self.failures = 0;
        self.publisher.issued(issued, now);
    }

    fn failed(&mut self, failure: &FetchError) {
        let now = self.clock.now();
        let expiry = self.publisher.state().issued.as_ref().and_then(|issued| issued.expiry);
        let expiry = expiry.filter(|expiry| *expiry > now);
        let left = expiry.and_then(|expiry| expiry.duration_since(now).ok()).unwrap_or_default();
        let message = chain(failure);
        let (remedy, pause) = match failure {
            FetchError::Terminal { remedy, .. } => {
                error!(error = message, "credentials cannot be refreshed until somebody acts");
                (Some(remedy.clone()), None)
            }
            FetchError::Transient { retry_after, .. } => {
                let asked_for = refresh_window::pause_asked_for(retry_after.unwrap_or_default(), left);
                let length = refresh_window::pause(self.failures, left, rand::random()).max(asked_for);
                if self.failures == 0 {
                    warn!(error = message, valid_for = left.as_secs(), "credentials could not be refreshed");
                } else {
                    debug!(error = message, failures = self.failures, "credentials could not be refreshed");
                }
                (None, Some(Pause::new(length, expiry, &self.clock)))
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.publisher.failed(Problem { message, remedy, pause, at: now });
    }
}

/// A part of this program has failed in a way that it does not know.
#[derive(Debug)]
struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("internal error in countersign; stderr names the line of code")
    }
}

impl Error for Panicked {}

/// Runs `future` to its end or to its panic, which has been reported by then.
async fn unwinding<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// The next that comes, if any does.
async fn next<S>(secret_updates: &mut Option<mpsc::UnboundedReceiver<S>>) -> S {
    match secret_updates {
        Some(receiver) => match receiver.recv().await {
            Some(successor) => successor,
            None => pending().await,
        },
        None => pending().await,
    }
}

/// The error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;

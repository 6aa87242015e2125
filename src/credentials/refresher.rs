//! The task that keeps credentials fresh: one attempt at a time, before they expire, with limited pauses.

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

/// How long the task sleeps at most. Timers stand still while a laptop sleeps, so that the wall clock is read this
/// often.
const MAX_SLEEP: Duration = Duration::from_secs(5);

/// How soon after a success the next attempt may come, unless the gateway refused the credentials. A clock that jumps,
/// as with a gateway that sends a wrong `Date`, must not make every request call Cognito.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// How long one attempt may take, with all its calls.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// Keeps the credentials of `provider` fresh.
#[derive(Debug)]
pub struct Refresher<P> {
    provider: P,
    publisher: Publisher,
    clock: Clock,
    failures: u32,
    refresh_at: Option<SystemTime>,
    /// Runs after a success, whatever the clock says about the credentials.
    refresh_interval: Option<Pause>,
    /// Receives providers with other secrets for the same user.
    secret_updates: Option<mpsc::UnboundedReceiver<P>>,
}

impl<P: CredentialsProvider> Refresher<P> {
    /// A refresher without credentials.
    pub fn new(provider: P, publisher: Publisher, clock: Clock) -> Self {
        Self {
            provider,
            publisher,
            clock,
            failures: 0,
            refresh_at: None,
            refresh_interval: None,
            secret_updates: None,
        }
    }

    /// Takes over the secrets of the providers that come through `secret_updates`.
    #[must_use]
    pub fn with_secret_updates(self, secret_updates: mpsc::UnboundedReceiver<P>) -> Self {
        Self { secret_updates: Some(secret_updates), ..self }
    }

    /// Obtains credentials and refreshes them until `shutdown`.
    ///
    /// A panic counts as a failed attempt. If it ended the task, every request would fail once the credentials have
    /// expired, and nothing would say why.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                Err(panicked) = catching_panics(self.refresh_forever()) => {
                    self.refresh_at = Some(self.clock.now());
                    self.failed(&FetchError::transient(panicked));
                }
            }
        }
    }

    async fn refresh_forever(&mut self) -> Infallible {
        loop {
            if self.is_due().await {
                self.attempt().await;
            } else {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        let pause = self.until_due();
        tokio::select! {
            biased;
            () = self.publisher.demanded() => {}
            update = next(&mut self.secret_updates) => self.provider.update_secrets(update),
            () = sleep(pause) => {}
        }
    }

    async fn is_due(&mut self) -> bool {
        if self.publisher.take_rejection() {
            info!("the gateway refused the credentials: refreshing");
            self.refresh_at = Some(self.clock.now());
            // The channel limits how often rejections come.
            self.refresh_interval = None;
        }
        let (is_pausing, is_terminal) = {
            let state = self.publisher.state();
            let problem = state.problem.as_deref();
            let pause = problem.and_then(|problem| problem.pause);
            let is_pausing = pause.is_some_and(|pause| pause.left(&self.clock).is_some());
            (is_pausing, problem.is_some_and(|problem| problem.remedy.is_some()))
        };
        if is_terminal {
            return self.provider.changed().await;
        }
        let is_too_soon = self
            .refresh_interval
            .is_some_and(|refresh_interval| refresh_interval.left(&self.clock).is_some());
        !is_pausing
            && !is_too_soon
            && (self.refresh_at.is_none_or(|at| self.clock.now() >= at) || self.is_urgent())
    }

    /// Whether requests wait already or cannot be signed, so that the random delay does not apply.
    fn is_urgent(&self) -> bool {
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
        let refresh_interval = self
            .refresh_interval
            .and_then(|refresh_interval| refresh_interval.left(&self.clock))
            .unwrap_or_default();
        // At least a millisecond, since timers round down and the loop would spin.
        pause
            .map_or(MAX_SLEEP, |pause| pause.min(MAX_SLEEP))
            .max(refresh_interval)
            .max(Duration::from_millis(1))
    }

    async fn attempt(&mut self) {
        let started = Instant::now();
        let outcome = match timeout(ATTEMPT_TIMEOUT, self.provider.fetch()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::transient(self.timeout_message())),
        };
        match outcome {
            Ok(issued) if phase(&issued, self.clock.now()) == Phase::Expired => {
                self.failed(&FetchError::transient("the credentials that were issued have already expired"));
            }
            Ok(issued) => self.succeeded(issued, started),
            Err(error) => self.failed(&error),
        }
    }

    /// The error of an attempt that timed out.
    fn timeout_message(&self) -> String {
        match self.provider.waits_for() {
            Some(obstacle) => format!("{obstacle}; trying again"),
            None => format!("no answer within {} seconds", ATTEMPT_TIMEOUT.as_secs()),
        }
    }

    fn succeeded(&mut self, issued: IssuedCredentials, started: Instant) {
        let now = self.clock.now();
        let left = issued.expiry.and_then(|expiry| expiry.duration_since(now).ok());
        // Keys without an expiry are fetched again once a day.
        let tomorrow = now + Duration::from_secs(86_400);
        self.refresh_at = Some(
            issued.expiry.map_or(tomorrow, |expiry| windows(&issued).refresh_at(expiry, rand::random())),
        );
        let lifetime = issued.expiry.and_then(|expiry| expiry.duration_since(issued.issued_at).ok());
        let refresh_interval =
            lifetime.map_or(MIN_REFRESH_INTERVAL, |lifetime| MIN_REFRESH_INTERVAL.min(lifetime / 4));
        self.refresh_interval = Some(Pause::new(refresh_interval, None, &self.clock));
        let (identity, expires_in) = (&issued.identity, left.map(|left| left.as_secs()));
        if self.failures > 0 {
            info!(%identity, expires_in, failures = self.failures, "credentials refreshed after failures");
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
        let message = error_chain(failure);
        let (remedy, pause) = match failure {
            FetchError::Terminal { remedy, .. } => {
                error!(error = message, "cannot refresh credentials, action needed");
                (Some(remedy.clone()), None)
            }
            FetchError::Transient { retry_after, .. } => {
                let requested_pause = refresh_window::requested_pause(retry_after.unwrap_or_default(), left);
                let length = refresh_window::pause(self.failures, left, rand::random()).max(requested_pause);
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

/// A panic in an attempt.
#[derive(Debug)]
struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("internal error in countersign; stderr names the line of code")
    }
}

impl Error for Panicked {}

/// Runs `future` to its end, or to a panic, which the panic hook has logged by then.
async fn catching_panics<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// The next update; pending for ever without a sender.
async fn next<P>(secret_updates: &mut Option<mpsc::UnboundedReceiver<P>>) -> P {
    match secret_updates {
        Some(receiver) => match receiver.recv().await {
            Some(update) => update,
            None => pending().await,
        },
        None => pending().await,
    }
}

/// The error and its causes in one line.
fn error_chain(error: &dyn Error) -> String {
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

//! The channel from the refresher to the requests: one publisher and its receivers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use super::{
    pause::Pause,
    provider::IssuedCredentials,
    refresh_window::{Phase, Windows},
};
use crate::clock::Clock;

/// How long a request waits for a refresh at most.
const MAX_REFRESH_WAIT: Duration = Duration::from_secs(10);

/// The shortest time between two replacements of refused credentials.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(10);

/// How far the gateway's clock and ours may differ: `Date`, from which the offset is learnt, has whole seconds.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(2);

/// What is known about the credentials at one moment.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last issued credentials, which may have expired.
    pub issued: Option<Arc<IssuedCredentials>>,
    /// Why the last attempt failed; `None` when it succeeded.
    pub problem: Option<Arc<Problem>>,
    /// How many attempts have succeeded.
    pub refreshes: u64,
    /// How many attempts have failed.
    pub failures: u64,
    /// When the last successful attempt ended.
    pub refreshed_at: Option<SystemTime>,
}

impl State {
    fn attempts(&self) -> u64 {
        self.refreshes + self.failures
    }
}

/// Why the last attempt failed.
#[derive(Debug)]
pub struct Problem {
    /// The error and its causes, free of secrets.
    pub message: String,
    /// What a person should do; `None` when the failure may pass by itself.
    pub remedy: Option<String>,
    /// The pause before the next attempt; `None` when there will be none.
    pub pause: Option<Pause>,
    /// When the attempt failed, in AWS's time.
    pub at: SystemTime,
}

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// A person has to act first.
    LoginRequired {
        /// What that person should do.
        remedy: String,
    },
    /// A retry may succeed.
    Temporarily {
        /// When to retry.
        retry_after: Duration,
    },
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoginRequired { remedy } => write!(f, "sign-in is required: {remedy}"),
            Self::Temporarily { .. } => f.write_str("no valid credentials at the moment"),
        }
    }
}

impl std::error::Error for Unavailable {}

/// Makes a publisher and its receiver.
#[must_use]
pub fn channel(clock: Clock) -> (Publisher, Receiver) {
    let (sender, state) = watch::channel(State::default());
    let demand = Arc::new(Demand::default());
    let publisher = Publisher { state: sender, demand: Arc::clone(&demand) };
    (publisher, Receiver { state, demand, clock })
}

/// What requests ask of the refresher.
#[derive(Debug, Default)]
struct Demand {
    /// Notified by a request that finds the credentials due, or refused.
    wake: Notify,
    rejection: Mutex<Rejection>,
}

/// The last credentials that the gateway refused.
#[derive(Debug, Default)]
struct Rejection {
    pending: Option<Arc<IssuedCredentials>>,
    /// When a replacement was last requested, and how many attempts had ended by then.
    requested: Option<(Instant, u64)>,
}

impl Demand {
    /// Requests a replacement of `rejected`; `false` if the last one was made moments ago. Without this limit, a
    /// gateway that refuses all credentials would make every request call Cognito.
    fn reject(&self, rejected: &Arc<IssuedCredentials>, attempts: u64) -> bool {
        let mut rejection = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        match rejection.requested {
            Some((at, during)) if at.elapsed() < MIN_REPLACEMENT_INTERVAL => return during == attempts,
            _ => rejection.requested = Some((Instant::now(), attempts)),
        }
        rejection.pending = Some(Arc::clone(rejected));
        self.wake.notify_one();
        true
    }
}

/// The end that the refresher has.
#[derive(Debug)]
pub struct Publisher {
    state: watch::Sender<State>,
    demand: Arc<Demand>,
}

impl Publisher {
    /// Waits until a request finds the credentials to be due or refused.
    pub(super) async fn demanded(&self) {
        self.demand.wake.notified().await;
    }

    /// Whether the gateway has refused the published credentials. Resets the answer.
    pub(super) fn take_rejection(&self) -> bool {
        let mut rejection = self.demand.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rejected) = rejection.pending.take() else { return false };
        self.state.borrow().issued.as_ref().is_some_and(|issued| Arc::ptr_eq(issued, &rejected))
    }

    pub(super) fn state(&self) -> watch::Ref<'_, State> {
        self.state.borrow()
    }

    /// Publishes new credentials.
    pub fn issued(&self, issued: IssuedCredentials, now: SystemTime) {
        self.state.send_modify(|state| {
            *state = State {
                issued: Some(Arc::new(issued)),
                problem: None,
                refreshes: state.refreshes + 1,
                failures: state.failures,
                refreshed_at: Some(now),
            };
        });
    }

    /// Publishes a failure. The credentials stay, which may still be valid.
    pub fn failed(&self, problem: Problem) {
        self.state.send_modify(|state| {
            state.problem = Some(Arc::new(problem));
            state.failures += 1;
        });
    }
}

/// The end that requests have. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Receiver {
    state: watch::Receiver<State>,
    demand: Arc<Demand>,
    clock: Clock,
}

impl Receiver {
    /// Credentials that are valid now, by the wall clock at this moment.
    ///
    /// Returns at once, except in the mandatory window, in which it waits for the refresh.
    ///
    /// # Errors
    /// When there are none: at once after a terminal failure and during the pause after a transient one, otherwise
    /// after at most ten seconds.
    pub async fn valid(&self) -> Result<Arc<IssuedCredentials>, Unavailable> {
        let deadline = Instant::now() + MAX_REFRESH_WAIT;
        let mut state = self.state.clone();
        loop {
            // Cloned, since the borrow locks the channel and must not be held across an await.
            let seen = state.borrow_and_update().clone();
            let phase = seen.issued.as_ref().map_or(Phase::Expired, |issued| phase(issued, self.clock.now()));
            match (phase, seen.issued) {
                (Phase::Fresh, Some(issued)) => return Ok(issued),
                (Phase::Advisory, Some(issued)) => {
                    self.demand.wake.notify_one();
                    return Ok(issued);
                }
                // During an outage, waiting would delay every request although the credentials are still valid.
                (Phase::Mandatory, Some(issued)) if seen.problem.is_some() => return Ok(issued),
                (Phase::Mandatory, Some(issued)) => {
                    self.demand.wake.notify_one();
                    if !matches!(timeout_at(deadline, state.changed()).await, Ok(Ok(()))) {
                        return if phase_is_usable(&issued, self.clock.now()) {
                            Ok(issued)
                        } else {
                            Err(Unavailable::Temporarily { retry_after: Duration::from_secs(1) })
                        };
                    }
                }
                (_, _) => {
                    if let Some(reason) =
                        seen.problem.as_deref().and_then(|problem| problem.unavailable(&self.clock))
                    {
                        return Err(reason);
                    }
                    self.demand.wake.notify_one();
                    if !matches!(timeout_at(deadline, state.changed()).await, Ok(Ok(()))) {
                        return Err(Unavailable::Temporarily { retry_after: Duration::from_secs(1) });
                    }
                }
            }
        }
    }

    /// Waits for credentials that replace `rejected`, which the gateway refused as expired or invalid.
    ///
    /// `None` when there are none in time. The client then gets the refusal, unless [`ended`](Self::ended) gives a
    /// reason.
    pub async fn replacing(&self, rejected: &Arc<IssuedCredentials>) -> Option<Arc<IssuedCredentials>> {
        let mut state = self.state.clone();
        let deadline = Instant::now() + MAX_REFRESH_WAIT;
        let attempts = state.borrow().attempts();
        loop {
            let seen = state.borrow_and_update().clone();
            let issued = seen.issued.clone()?;
            if !Arc::ptr_eq(&issued, rejected) {
                return phase_is_usable(&issued, self.clock.now()).then_some(issued);
            }
            let refusal = seen.problem.as_deref().and_then(|problem| problem.unavailable(&self.clock));
            if refusal.is_some() || seen.attempts() > attempts || !self.demand.reject(rejected, attempts) {
                return None;
            }
            if !matches!(timeout_at(deadline, state.changed()).await, Ok(Ok(()))) {
                return None;
            }
        }
    }

    /// Why a request cannot be signed, when the gateway has refused `refused` and nothing could replace it: the
    /// credentials have expired by our clock too, or did so between signing and arriving.
    ///
    /// `None` while they should be valid. Then only the gateway's own answer can explain the refusal.
    #[must_use]
    pub fn ended(&self, refused: &IssuedCredentials) -> Option<Unavailable> {
        if refused.expiry? > self.clock.now() + MAX_CLOCK_SKEW {
            return None;
        }
        let problem = self.state.borrow().problem.clone();
        let reason = problem.and_then(|problem| problem.unavailable(&self.clock));
        Some(reason.unwrap_or(Unavailable::Temporarily { retry_after: Duration::from_secs(1) }))
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits for a change of the state; `false` when the refresher has ended.
    pub async fn changed(&mut self) -> bool {
        self.state.changed().await.is_ok()
    }

    /// Whether a request could be signed now.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state.borrow().issued.as_ref().is_some_and(|issued| phase_is_usable(issued, self.clock.now()))
    }
}

impl Problem {
    fn unavailable(&self, clock: &Clock) -> Option<Unavailable> {
        if let Some(remedy) = &self.remedy {
            return Some(Unavailable::LoginRequired { remedy: remedy.clone() });
        }
        self.pause?.left(clock).map(|retry_after| Unavailable::Temporarily { retry_after })
    }
}

pub(super) fn phase(issued: &IssuedCredentials, now: SystemTime) -> Phase {
    issued.expiry.map_or(Phase::Fresh, |expiry| windows(issued).phase(expiry, now))
}

pub(super) fn windows(issued: &IssuedCredentials) -> Windows {
    let lifetime = issued.expiry.and_then(|expiry| expiry.duration_since(issued.issued_at).ok());
    Windows::of(lifetime.unwrap_or_default())
}

fn phase_is_usable(issued: &IssuedCredentials, now: SystemTime) -> bool {
    phase(issued, now) != Phase::Expired
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use tokio::time::advance;

    use super::*;
    use crate::credentials::provider::Identity;

    /// Publishes credentials that live for an hour, and are `age` old.
    fn publish(publisher: &Publisher, receiver: &Receiver, age: Duration) -> Arc<IssuedCredentials> {
        let now = receiver.clock.now();
        let issued_at = now - age;
        publisher.issued(
            IssuedCredentials {
                credentials: Credentials::new("ASIA", "secret", None, None, "test"),
                issued_at,
                expiry: Some(issued_at + Duration::from_secs(3_600)),
                identity: Identity::default(),
            },
            now,
        );
        receiver.state().issued.expect("published")
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_older_credentials_does_not_replace_newer_ones() {
        let (publisher, receiver) = channel(Clock::system());
        let older = publish(&publisher, &receiver, Duration::ZERO);
        assert!(receiver.demand.reject(&older, 1));
        let newer = publish(&publisher, &receiver, Duration::ZERO);
        assert!(!publisher.take_rejection());
        advance(MIN_REPLACEMENT_INTERVAL).await;
        assert!(receiver.demand.reject(&newer, 2));
        assert!(publisher.take_rejection());
        assert!(!publisher.take_rejection(), "once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_refused_with_older_credentials_gets_the_newer_ones_at_once_while_they_are_valid() {
        let (publisher, receiver) = channel(Clock::system());
        let (fresh, expired) = (Duration::ZERO, Duration::from_secs(3_601));
        let older = publish(&publisher, &receiver, fresh);
        let newer = publish(&publisher, &receiver, fresh);
        let asked = Instant::now();
        let given = receiver.replacing(&older).await.expect("the newer ones");
        assert!(Arc::ptr_eq(&given, &newer));
        publish(&publisher, &receiver, expired);
        assert!(receiver.replacing(&older).await.is_none(), "the newest have expired");
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn another_replacement_is_asked_for_after_a_while_only() {
        let (publisher, receiver) = channel(Clock::system());
        let issued = publish(&publisher, &receiver, Duration::ZERO);
        assert!(receiver.demand.reject(&issued, 1));
        assert!(receiver.demand.reject(&issued, 1), "the same one is waited for");
        assert!(!receiver.demand.reject(&issued, 2), "it has been made, and is refused as well");
        advance(MIN_REPLACEMENT_INTERVAL).await;
        assert!(receiver.demand.reject(&issued, 2));
    }
}

//! The channel from the task that refreshes to the requests that sign: a publisher and its receivers.

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

/// The longest that a request waits for a refresh.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long after one replacement of refused credentials no other is asked for.
const BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(10);

/// How far the gateway's clock and ours can be apart unnoticed, since `Date` has whole seconds.
const UNNOTICED_SKEW: Duration = Duration::from_secs(2);

/// What is known about the credentials at one moment.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last credentials that were obtained, perhaps expired.
    pub issued: Option<Arc<IssuedCredentials>>,
    /// Why the last attempt failed; `None` when it succeeded.
    pub problem: Option<Arc<Problem>>,
    /// Attempts that ended well.
    pub refreshes: u64,
    /// Attempts that failed.
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
    /// What a person should do, when only a person can help.
    pub remedy: Option<String>,
    /// What is waited for before the next attempt; `None` when none will be made.
    pub pause: Option<Pause>,
    /// When the attempt failed, in AWS's time.
    pub at: SystemTime,
}

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// Until a person acts.
    LoginRequired {
        /// What that person should do.
        remedy: String,
    },
    /// For the moment.
    Temporarily {
        /// When it is worth asking again.
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

/// Makes the two ends.
#[must_use]
pub fn channel(clock: Clock) -> (Publisher, Receiver) {
    let (sender, state) = watch::channel(State::default());
    let demand = Arc::new(Demand::default());
    let publisher = Publisher { state: sender, demand: Arc::clone(&demand) };
    (publisher, Receiver { state, demand, clock })
}

/// What requests ask of the refreshing task.
#[derive(Debug, Default)]
struct Demand {
    /// Somebody found the credentials to be due, or refused.
    wake: Notify,
    rejection: Mutex<Rejection>,
}

/// The last credentials that the gateway refused.
#[derive(Debug, Default)]
struct Rejection {
    pending: Option<Arc<IssuedCredentials>>,
    /// When a replacement was last asked for, and how many attempts had ended by then.
    asked: Option<(Instant, u64)>,
}

impl Demand {
    /// Asks for a replacement of `rejected`, unless one was asked for and made moments ago: a gateway that
    /// refuses every credential must not make a call to Cognito of every request.
    fn reject(&self, rejected: &Arc<IssuedCredentials>, attempts: u64) -> bool {
        let mut rejection = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        match rejection.asked {
            Some((at, during)) if at.elapsed() < BETWEEN_REPLACEMENTS => return during == attempts,
            _ => rejection.asked = Some((Instant::now(), attempts)),
        }
        rejection.pending = Some(Arc::clone(rejected));
        self.wake.notify_one();
        true
    }
}

/// The end of the refreshing task.
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

    /// Whether the gateway has refused the credentials that are published at this moment; asked once.
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

    /// Publishes a failure; what is still valid stays.
    pub fn failed(&self, problem: Problem) {
        self.state.send_modify(|state| {
            state.problem = Some(Arc::new(problem));
            state.failures += 1;
        });
    }
}

/// The end of those who sign. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Receiver {
    state: watch::Receiver<State>,
    demand: Arc<Demand>,
    clock: Clock,
}

impl Receiver {
    /// Credentials that are valid now, by the wall clock at this moment.
    ///
    /// Returns at once outside the mandatory window; inside it, waits for the refresh that is under way.
    ///
    /// # Errors
    /// When there are none: at once after a terminal failure or while an outage's pause lasts, else after
    /// ten seconds at most.
    pub async fn valid(&self) -> Result<Arc<IssuedCredentials>, Unavailable> {
        let deadline = Instant::now() + LONGEST_WAIT;
        let mut state = self.state.clone();
        loop {
            let seen = state.borrow_and_update().clone();
            let phase = seen.issued.as_ref().map_or(Phase::Expired, |issued| phase(issued, self.clock.now()));
            match (phase, seen.issued) {
                (Phase::Fresh, Some(issued)) => return Ok(issued),
                (Phase::Advisory, Some(issued)) => {
                    self.demand.wake.notify_one();
                    return Ok(issued);
                }
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
                        seen.problem.as_deref().and_then(|problem| problem.forbids_waiting(&self.clock))
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

    /// Credentials that replace `rejected`, which the gateway refused as expired or invalid.
    ///
    /// `None` when there are none in time: then the refusal is the answer, unless [`ended`](Self::ended) says why not.
    pub async fn replacing(&self, rejected: &Arc<IssuedCredentials>) -> Option<Arc<IssuedCredentials>> {
        let mut state = self.state.clone();
        let deadline = Instant::now() + LONGEST_WAIT;
        let attempts = state.borrow().attempts();
        loop {
            let seen = state.borrow_and_update().clone();
            let issued = seen.issued.clone()?;
            if !Arc::ptr_eq(&issued, rejected) {
                return phase_is_usable(&issued, self.clock.now()).then_some(issued);
            }
            let refusal = seen.problem.as_deref().and_then(|problem| problem.forbids_waiting(&self.clock));
            let hopeless = refusal.is_some();
            if hopeless || seen.attempts() > attempts || !self.demand.reject(rejected, attempts) {
                return None;
            }
            if !matches!(timeout_at(deadline, state.changed()).await, Ok(Ok(()))) {
                return None;
            }
        }
    }

    /// Why nothing can be signed with `refused`, which the gateway refused and nothing could replace: it has reached
    /// its end by our clock as well, or is about to, between signing and arriving for one.
    ///
    /// `None` while it should be valid; then the refusal is the gateway's own to explain.
    #[must_use]
    pub fn ended(&self, refused: &IssuedCredentials) -> Option<Unavailable> {
        if refused.expiry? > self.clock.now() + UNNOTICED_SKEW {
            return None;
        }
        let problem = self.state.borrow().problem.clone();
        let reason = problem.and_then(|problem| problem.forbids_waiting(&self.clock));
        Some(reason.unwrap_or(Unavailable::Temporarily { retry_after: Duration::from_secs(1) }))
    }

    /// What is known at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until something else is known; `false` when the refreshing task has ended.
    pub async fn changed(&mut self) -> bool {
        self.state.changed().await.is_ok()
    }

    /// Whether a request could be signed at this moment.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state.borrow().issued.as_ref().is_some_and(|issued| phase_is_usable(issued, self.clock.now()))
    }
}

impl Problem {
    fn forbids_waiting(&self, clock: &Clock) -> Option<Unavailable> {
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
        advance(BETWEEN_REPLACEMENTS).await;
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
        advance(BETWEEN_REPLACEMENTS).await;
        assert!(receiver.demand.reject(&issued, 2));
    }
}

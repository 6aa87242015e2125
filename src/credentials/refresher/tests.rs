mod rehearsal;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use aws_credential_types::Credentials;
use aws_smithy_async::time::TimeSource;

use super::*;
use crate::credentials::{
    channel::{Receiver, Unavailable, channel},
    provider::Identity,
};

/// Wall time that runs with tokio's paused clock, and can jump as after a sleep.
#[derive(Clone, Debug)]
struct PausedWall {
    start: Instant,
    /// By how much a sleep has put it on, for everybody.
    jump_seconds: Arc<AtomicU64>,
    /// By how much somebody has set it wrong.
    step_seconds: Arc<AtomicI64>,
}

impl PausedWall {
    fn new() -> Self {
        Self { start: Instant::now(), jump_seconds: Arc::default(), step_seconds: Arc::default() }
    }

    /// The right time.
    fn at_aws(&self) -> SystemTime {
        let jump = Duration::from_secs(self.jump_seconds.load(Ordering::SeqCst));
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000) + jump + self.start.elapsed()
    }
}

impl TimeSource for PausedWall {
    fn now(&self) -> SystemTime {
        let step = self.step_seconds.load(Ordering::SeqCst);
        let by = Duration::from_secs(step.unsigned_abs());
        if step >= 0 { self.at_aws() + by } else { self.at_aws() - by }
    }
}

type Answer = Box<dyn FnMut(u64) -> Result<Duration, FetchError> + Send>;

/// A source that answers as scripted, after the time that a call takes.
struct Scripted {
    clock: Clock,
    calls: Arc<AtomicU64>,
    answer: Arc<Mutex<Answer>>,
    has_changed: Arc<AtomicBool>,
}

/// What stands for the lifetime of keys that do not end.
const NEVER: Duration = Duration::MAX;

impl CredentialsProvider for Scripted {
    async fn fetch(&mut self) -> Result<IssuedCredentials, FetchError> {
        sleep(Duration::from_millis(200)).await;
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let lifetime = (self.answer.lock().unwrap_or_else(PoisonError::into_inner))(call)?;
        let issued_at = self.clock.now();
        Ok(IssuedCredentials {
            credentials: Credentials::new(format!("ASIA{call}"), "secret", None, None, "test"),
            issued_at,
            expiry: (lifetime != NEVER).then(|| issued_at + lifetime),
            identity: Identity::default(),
        })
    }

    async fn changed(&mut self) -> bool {
        self.has_changed.swap(false, Ordering::SeqCst)
    }
}

struct Bench {
    clock: Clock,
    wall: PausedWall,
    calls: Arc<AtomicU64>,
    answer: Arc<Mutex<Answer>>,
    has_changed: Arc<AtomicBool>,
    receiver: Receiver,
    _keeper: tokio::task::JoinSet<()>,
}

impl Bench {
    fn start(answer: impl FnMut(u64) -> Result<Duration, FetchError> + Send + 'static) -> Self {
        let wall = PausedWall::new();
        let clock = Clock::from_source(wall.clone());
        let calls = Arc::new(AtomicU64::new(0));
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let has_changed = Arc::new(AtomicBool::new(false));
        let source = Scripted {
            clock: clock.clone(),
            calls: Arc::clone(&calls),
            answer: Arc::clone(&answer),
            has_changed: Arc::clone(&has_changed),
        };
        let (publisher, receiver) = channel(clock.clone());
        let mut keeper = tokio::task::JoinSet::new();
        keeper.spawn(Refresher::new(source, publisher, clock.clone()).run(std::future::pending()));
        Self { clock, wall, calls, answer, has_changed, receiver, _keeper: keeper }
    }

    fn now_answer(&self, answer: impl FnMut(u64) -> Result<Duration, FetchError> + Send + 'static) {
        *self.answer.lock().expect("not poisoned") = Box::new(answer);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn key(&self) -> Result<String, Unavailable> {
        self.receiver.valid().await.map(|issued| issued.credentials.access_key_id().to_owned())
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[expect(clippy::unnecessary_wraps, reason = "the shape of a scripted answer")]
fn an_hour(_call: u64) -> Result<Duration, FetchError> {
    Ok(HOUR)
}

fn down(_call: u64) -> Result<Duration, FetchError> {
    Err(FetchError::transient("connection refused"))
}

fn revoked(_call: u64) -> Result<Duration, FetchError> {
    Err(FetchError::terminal("run countersign login", "NotAuthorizedException"))
}

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_for_the_first_credentials() {
    let bench = Bench::start(an_hour);
    assert_eq!(bench.key().await, Ok("ASIA0".into()));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_refreshed_in_the_advisory_window_without_a_request() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    sleep(Duration::from_secs(2_690)).await;
    assert_eq!(bench.calls(), 1);
    sleep(Duration::from_secs(470)).await;
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_at_expiry_share_one_call() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.wall.jump_seconds.store(3_600, Ordering::SeqCst);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let receiver = bench.receiver.clone();
        requests.spawn(async move {
            receiver.valid().await.map(|issued| issued.credentials.access_key_id().to_owned())
        });
    }
    while let Some(key) = requests.join_next().await {
        assert_eq!(key.expect("no panic"), Ok("ASIA1".into()));
    }
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_moved_to_and_fro_makes_no_call_of_every_request() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    // Each refresh sets the clock right, and each request's upstream sets it wrong.
    let clock = bench.clock.clone();
    bench.now_answer(move |_| {
        clock.observe(clock.local(), clock.local());
        Ok(HOUR)
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        bench.clock.observe(bench.clock.local() + 2 * HOUR, bench.clock.local());
        bench.key().await.expect("issued");
        sleep(Duration::from_millis(500)).await;
    }
    assert!((2..=14).contains(&bench.calls()), "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_past_expiry_recovers_on_the_first_request() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.wall.jump_seconds.store(20 * 3_600, Ordering::SeqCst);
    assert_eq!(bench.key().await, Ok("ASIA1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_recovers_without_a_request_too() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.wall.jump_seconds.store(20 * 3_600, Ordering::SeqCst);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_while_credentials_are_valid_fails_no_request() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(down);
    for _ in 0..3_500 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.key().await, Ok("ASIA0".into()));
    }
    assert!((10..80).contains(&bench.calls()), "{} calls", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn an_outage_past_expiry_is_answered_at_once_and_ends_within_seconds() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(down);
    sleep(2 * HOUR).await;
    let asked = Instant::now();
    for _ in 0..100 {
        if let Err(Unavailable::LoginRequired { .. }) = bench.key().await {
            panic!("an outage asks nobody to sign in");
        }
    }
    assert!(asked.elapsed() < Duration::from_secs(1));
    bench.now_answer(an_hour);
    sleep(Duration::from_secs(6)).await;
    assert!(bench.key().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_terminal_failure_stops_the_calls_and_names_the_remedy() {
    let bench = Bench::start(revoked);
    for _ in 0..50 {
        let expected = Unavailable::LoginRequired { remedy: "run countersign login".into() };
        assert_eq!(bench.key().await, Err(expected));
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_failure_is_over_when_the_source_has_changed() {
    let bench = Bench::start(revoked);
    assert!(bench.key().await.is_err());
    bench.now_answer(an_hour);
    bench.has_changed.store(true, Ordering::SeqCst);
    sleep(MAX_SLEEP + Duration::from_secs(1)).await;
    assert_eq!(bench.key().await, Ok("ASIA1".into()));
}

#[tokio::test(start_paused = true)]
async fn keys_without_expiry_are_fetched_once_a_day() {
    let bench = Bench::start(|_| Ok(NEVER));
    let day = 24 * HOUR;
    assert_eq!(bench.key().await, Ok("ASIA0".into()));
    sleep(day - HOUR).await;
    assert_eq!((bench.key().await, bench.calls()), (Ok("ASIA0".into()), 1));
    sleep(2 * HOUR).await;
    assert_eq!((bench.key().await, bench.calls()), (Ok("ASIA1".into()), 2));
}

#[tokio::test(start_paused = true)]
async fn valid_credentials_are_served_to_their_end_after_a_terminal_failure() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(revoked);
    sleep(Duration::from_secs(3_590)).await;
    assert_eq!(bench.key().await, Ok("ASIA0".into()));
    sleep(Duration::from_secs(20)).await;
    assert!(matches!(bench.key().await, Err(Unavailable::LoginRequired { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up() {
    let wall = PausedWall::new();
    let clock = Clock::from_source(wall);
    struct Hanging;
    impl CredentialsProvider for Hanging {
        fn fetch(&mut self) -> impl Future<Output = Result<IssuedCredentials, FetchError>> + Send {
            std::future::pending()
        }
    }
    let (publisher, receiver) = channel(clock.clone());
    let mut keeper = tokio::task::JoinSet::new();
    keeper.spawn(Refresher::new(Hanging, publisher, clock).run(std::future::pending()));
    let asked = Instant::now();
    assert!(matches!(receiver.valid().await, Err(Unavailable::Temporarily { .. })));
    assert!(asked.elapsed() <= Duration::from_secs(11));
    sleep(Duration::from_secs(21)).await;
    let problem = receiver.state().problem.expect("a problem");
    assert!(problem.message.ends_with(": no answer within 20 seconds"), "{}", problem.message);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_a_file_reports_the_file() {
    struct Obstructed;
    impl CredentialsProvider for Obstructed {
        fn fetch(&mut self) -> impl Future<Output = Result<IssuedCredentials, FetchError>> + Send {
            std::future::pending()
        }

        fn waits_for(&self) -> Option<String> {
            Some("process 12 holds the session lock /state/x.lock".to_owned())
        }
    }
    let clock = Clock::from_source(PausedWall::new());
    let (publisher, mut receiver) = channel(clock.clone());
    let mut keeper = tokio::task::JoinSet::new();
    keeper.spawn(Refresher::new(Obstructed, publisher, clock).run(std::future::pending()));
    assert!(receiver.changed().await);
    let problem = receiver.state().problem.expect("a problem");
    let words = ": process 12 holds the session lock /state/x.lock; trying again";
    assert!(problem.message.ends_with(words) && problem.remedy.is_none(), "{problem:?}");
}

#[tokio::test(start_paused = true)]
async fn thirty_second_credentials_rotate_without_a_gap() {
    let bench = Bench::start(|_| Ok(Duration::from_secs(30)));
    bench.key().await.expect("issued");
    for _ in 0..6_000 {
        sleep(Duration::from_millis(100)).await;
        bench.key().await.expect("valid at every moment");
    }
    assert!((20..35).contains(&bench.calls()), "{} calls in ten minutes", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_few_seconds_are_replaced_before_they_end() {
    let bench = Bench::start(|_| Ok(Duration::from_secs(4)));
    bench.key().await.expect("issued");
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        let asked = Instant::now();
        bench.key().await.expect("valid at every moment");
        assert!(asked.elapsed() < Duration::from_millis(250), "{:?}, a call at most", asked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_replaced_once_for_all_who_were_refused() {
    let bench = Bench::start(an_hour);
    let rejected = bench.receiver.valid().await.expect("issued");
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (receiver, rejected) = (bench.receiver.clone(), Arc::clone(&rejected));
        requests.spawn(async move { receiver.replacing(&rejected).await.is_some() });
    }
    let asked = Instant::now();
    while let Some(replaced) = requests.join_next().await {
        assert!(replaced.expect("no panic"));
    }
    assert_eq!(bench.calls(), 2);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}: no pause comes before", asked.elapsed());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_refuses_everything_does_not_cause_a_call_per_request() {
    let bench = Bench::start(an_hour);
    for _ in 0..300 {
        let rejected = bench.receiver.valid().await.expect("issued");
        let asked = Instant::now();
        bench.receiver.replacing(&rejected).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(bench.calls() <= 6, "{} calls in half a minute", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_of_older_credentials_gets_the_newer_ones_and_replaces_nothing() {
    let bench = Bench::start(an_hour);
    let older = bench.receiver.valid().await.expect("issued");
    bench.wall.jump_seconds.store(3_600, Ordering::SeqCst);
    let newer = bench.receiver.valid().await.expect("issued");
    let asked = Instant::now();
    let replacement = bench.receiver.replacing(&older).await.expect("the newer ones");
    assert!(Arc::ptr_eq(&replacement, &newer) && asked.elapsed() < Duration::from_secs(1));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_heard_of_after_a_refresh_replaces_nothing() {
    let clock = Clock::from_source(PausedWall {
        start: Instant::now(),
        jump_seconds: Arc::default(),
        step_seconds: Arc::default(),
    });
    let (publisher, receiver) = channel(clock.clone());
    let issue = || {
        let issued_at = clock.now();
        let issued = IssuedCredentials {
            credentials: Credentials::new("ASIA", "secret", None, None, "test"),
            issued_at,
            expiry: Some(issued_at + HOUR),
            identity: Identity::default(),
        };
        publisher.issued(issued, issued_at);
    };
    issue();
    let refused = receiver.valid().await.expect("issued");
    let (replacement, ()) = tokio::join!(receiver.replacing(&refused), async {
        publisher.demanded().await;
        issue();
    });
    assert!(replacement.is_some_and(|replacement| !Arc::ptr_eq(&replacement, &refused)));
    assert!(!publisher.take_rejection(), "it was about the credentials before");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_issued_expired_count_as_a_failure() {
    let bench = Bench::start(|_| Ok(Duration::ZERO));
    assert!(bench.key().await.is_err());
    assert!(bench.receiver.state().issued.is_none());
}

#[tokio::test(start_paused = true)]
async fn instances_that_start_together_do_not_refresh_in_step() {
    let issued_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let windows = refresh_window::Windows::of(HOUR);
    let mut buckets = [0_u32; 450];
    for _ in 0..5_000 {
        let at = windows.refresh_at(issued_at + HOUR, rand::random());
        let after = at.duration_since(issued_at + Duration::from_secs(2_700)).expect("in the window");
        buckets[(after.as_secs() as usize).min(449)] += 1;
    }
    assert!(buckets.iter().all(|&calls| calls < 40), "{:?}", buckets.iter().max());
}

fn throttled(_call: u64) -> Result<Duration, FetchError> {
    let retry_after = Some(Duration::from_secs(86_400));
    Err(FetchError::Transient { retry_after, source: "TooManyRequestsException".into() })
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_seconds_gets_them() {
    let asks_for_twenty_seconds = |_| {
        let retry_after = Some(Duration::from_secs(20));
        Err(FetchError::Transient { retry_after, source: "TooManyRequestsException".into() })
    };
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(asks_for_twenty_seconds);
    let mut receiver = bench.receiver.clone();
    while receiver.state().problem.is_none() {
        receiver.changed().await;
    }
    sleep(Duration::from_secs(19)).await;
    assert_eq!(bench.calls(), 2);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_an_outage_begin_anew_after_a_success() {
    let bench = Bench::start(|call| if call < 8 { down(call) } else { an_hour(call) });
    sleep(Duration::from_secs(60)).await;
    let calls = bench.calls();
    bench.now_answer(down);
    let mut receiver = bench.receiver.clone();
    while receiver.state().problem.is_none() {
        receiver.changed().await;
    }
    assert_eq!(bench.calls(), calls + 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.calls(), calls + 2, "the first pause is half a second at most");
}

/// An error that tells its cause itself.
#[derive(Debug)]
struct Telling(io::Error);

impl fmt::Display for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect: {}", self.0)
    }
}

impl Error for Telling {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_and_its_causes_are_told_once_each() {
    let bench = Bench::start(|_| Err(FetchError::transient(Telling(io::Error::other("refused")))));
    bench.key().await.expect_err("none");
    let problem = bench.receiver.state().problem.expect("a problem");
    assert_eq!(problem.message, "credentials could not be obtained for the moment: cannot connect: refused");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_a_day_is_asked_again_within_a_minute() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(throttled);
    sleep(Duration::from_secs(3_500)).await;
    let calls = bench.calls();
    bench.now_answer(an_hour);
    sleep(Duration::from_secs(61)).await;
    assert_eq!((bench.calls(), bench.key().await), (calls + 1, Ok(format!("ASIA{calls}"))));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_a_day_is_asked_again_within_seconds_while_nothing_is_valid() {
    let bench = Bench::start(|call| if call == 0 { throttled(call) } else { an_hour(call) });
    let Err(Unavailable::Temporarily { retry_after }) = bench.key().await else {
        panic!("not for the moment")
    };
    assert!(retry_after <= Duration::from_secs(5), "{retry_after:?}");
    sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.key().await, Ok("ASIA1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_with_the_credentials_that_it_was_computed_for() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(throttled);
    let mut receiver = bench.receiver.clone();
    while receiver.state().problem.is_none() {
        receiver.changed().await;
    }
    bench.now_answer(an_hour);
    bench.wall.jump_seconds.store(8 * 3_600, Ordering::SeqCst);
    let asked = Instant::now();
    assert_eq!(bench.key().await, Ok("ASIA2".into()));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_the_clock_learns_that_the_credentials_have_ended() {
    let bench = Bench::start(an_hour);
    bench.key().await.expect("issued");
    bench.now_answer(throttled);
    let mut receiver = bench.receiver.clone();
    while receiver.state().problem.is_none() {
        receiver.changed().await;
    }
    bench.now_answer(an_hour);
    bench.clock.observe(bench.clock.local() + 2 * HOUR, bench.clock.local());
    let asked = Instant::now();
    assert_eq!(bench.key().await, Ok("ASIA2".into()));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pause_in_an_outage_is_over_after_a_sleep() {
    let bench = Bench::start(|call| if call < 8 { down(call) } else { an_hour(call) });
    while bench.calls() < 8 {
        sleep(Duration::from_millis(100)).await;
    }
    bench.wall.jump_seconds.store(8 * 3_600, Ordering::SeqCst);
    let asked = Instant::now();
    assert_eq!(bench.key().await, Ok("ASIA8".into()));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_provider_is_a_logged_transient_failure() {
    let bench = Bench::start(|call| if call == 0 { panic!("a fault of ours") } else { an_hour(call) });
    assert!(matches!(bench.key().await, Err(Unavailable::Temporarily { .. })));
    let problem = bench.receiver.state().problem.expect("a problem");
    assert!(problem.message.contains("internal error"), "{}", problem.message);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.key().await, Ok("ASIA1".into()));
    assert!(bench.receiver.state().problem.is_none());
}

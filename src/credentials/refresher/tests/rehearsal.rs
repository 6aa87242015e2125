//! Three days of a user who works without a pause, while calls fail, clocks are set, the machine sleeps and Cognito is
//! replaced by another one.
//!
//! Everything from the keeper down to the HTTP calls and the file of the session is the program's own; Cognito, a
//! gateway, the wall clock and the timers are played.

use std::{collections::VecDeque, io};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::credentials::{
    AuthFlow, Cognito, IdentityPool, Login, RoleChoice, UserPool,
    cognito::CognitoProvider,
    session::{Session, SessionStore},
    user_pool::script,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400;

/// What pools with rotation grant to a token that has been used.
const GRACE: Duration = MINUTE;

/// By how much a gateway lets the time of a signature be wrong.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// After a call that failed, the next one comes within so much while nothing valid is held: a call that hangs for ten
/// seconds, and a pause of five.
const RECOVERY: Duration = Duration::from_secs(16);

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Unreachable,
    /// The call takes effect, and its answer is lost.
    AnswerLost,
    /// 429, and a day to wait.
    Throttled,
    /// A page of something that stands before Cognito, with the time of last week.
    Page,
    Hangs,
    /// A fault of ours.
    Panics,
}

/// One Cognito after another, as they are at each moment.
#[derive(Debug, Default)]
struct Services {
    /// Counts replacements: tokens, keys, identities and credentials of another era are unknown.
    era: u32,
    serial: u64,
    refresh_token: String,
    /// The refresh token before, and when it was used first.
    rotated: Option<(String, SystemTime)>,
    outage: Option<Trouble>,
    /// What is going to happen to single calls, by operation.
    planned: VecDeque<(&'static str, Trouble)>,
    last_trouble: Option<Instant>,
    /// Expiry and era of the last credentials.
    delivered: Option<(SystemTime, u32)>,
    calls: u64,
    renewals: u64,
    sign_ins: u64,
}

/// The world outside the program. Clones are the same world.
#[derive(Clone, Debug)]
struct World {
    wall: PausedWall,
    services: Arc<Mutex<Services>>,
}

type Refusal = (&'static str, String);

impl World {
    fn services(&self) -> std::sync::MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_trouble(&self, operation: &str) -> Option<Trouble> {
        let mut services = self.services();
        services.calls += 1;
        let planned = services.planned.iter().position(|(planned, _)| *planned == operation);
        let planned = planned.and_then(|at| services.planned.remove(at)).map(|(_, trouble)| trouble);
        let trouble = services.outage.or(planned);
        if trouble.is_some() {
            services.last_trouble = Some(Instant::now());
        }
        trouble
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").expect("a target");
        let operation = target.rsplit('.').next().expect("an operation").to_owned();
        let body = serde_json::from_slice(request.body().bytes().expect("in memory")).expect("JSON");
        sleep(Duration::from_millis(80)).await;
        let trouble = self.take_trouble(&operation);
        match trouble {
            Some(Trouble::Unreachable) => return Err(broken()),
            Some(Trouble::Throttled) => {
                let body = json!({ "__type": "TooManyRequestsException", "message": "Rate exceeded" });
                let mut response = self.response(429, &body);
                response.headers_mut().insert("retry-after", "86400");
                return Ok(response);
            }
            Some(Trouble::Page) => {
                let page = SdkBody::from("<html><title>Blocked by ACME</title></html>");
                let mut response = HttpResponse::new(403.try_into().expect("a status"), page);
                let date = httpdate::fmt_http_date(self.wall.at_aws() - 7 * 24 * HOUR);
                response.headers_mut().insert("date", date);
                return Ok(response);
            }
            Some(Trouble::Hangs) => std::future::pending().await,
            Some(Trouble::Panics) => panic!("a fault of ours"),
            Some(Trouble::AnswerLost) | None => {}
        }
        let answer = self.services().carry_out(&operation, &body, self.wall.at_aws());
        match (trouble, answer) {
            (Some(_), _) => Err(broken()),
            (None, Ok(answer)) => Ok(self.response(200, &answer)),
            (None, Err((code, message))) => {
                Ok(self.response(400, &json!({ "__type": code, "message": message })))
            }
        }
    }

    fn response(&self, status: u16, body: &Value) -> HttpResponse {
        let body = SdkBody::from(body.to_string());
        let mut response = HttpResponse::new(status.try_into().expect("a status"), body);
        response.headers_mut().insert("x-amzn-requestid", "id");
        response.headers_mut().insert("date", httpdate::fmt_http_date(self.wall.at_aws()));
        response
    }
}

impl HttpConnector for World {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

fn broken() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

impl Services {
    fn carry_out(&mut self, operation: &str, body: &Value, now: SystemTime) -> Result<Value, Refusal> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        match operation {
            "InitiateAuth" if text("AuthFlow") == "USER_PASSWORD_AUTH" => {
                self.sign_ins += 1;
                self.rotated = None;
                self.refresh_token = self.unique("refresh");
                Ok(self.tokens(now))
            }
            "GetTokensFromRefreshToken" => {
                self.renewals += 1;
                let sent = text("RefreshToken");
                let is_in_grace =
                    self.rotated.as_ref().is_some_and(|(token, at)| token == sent && now <= *at + GRACE);
                if sent == self.refresh_token {
                    self.rotated = Some((sent.to_owned(), now));
                } else if !is_in_grace {
                    return Err(("NotAuthorizedException", "Refresh Token has been revoked".into()));
                }
                self.refresh_token = self.unique("refresh");
                Ok(self.tokens(now))
            }
            "GetId" => {
                self.verify(body, now)?;
                Ok(json!({ "IdentityId": self.identity() }))
            }
            "GetCredentialsForIdentity" => {
                self.verify(body, now)?;
                if text("IdentityId") != self.identity() {
                    let message = format!("Identity '{}' not found.", text("IdentityId"));
                    return Err(("ResourceNotFoundException", message));
                }
                // As Cognito tells it, in whole seconds.
                let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds(now + HOUR));
                self.delivered = Some((expiry, self.era));
                let credentials = json!({ "AccessKeyId": format!("ASIA{}", self.era), "SecretKey": "secret",
                    "SessionToken": "session", "Expiration": seconds(expiry) });
                Ok(json!({ "IdentityId": self.identity(), "Credentials": credentials }))
            }
            _ => Err(("InvalidParameterException", format!("{operation} is not enabled for this client"))),
        }
    }

    fn tokens(&self, now: SystemTime) -> Value {
        let claims = json!({ "iss": "https://pool.test/eu-west-1_AbCdEf123", "sub": "sub-1", "era": self.era,
            "exp": seconds(now + HOUR), "cognito:username": "demo" });
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        json!({ "AuthenticationResult": { "AccessToken": "access", "IdToken": token,
            "RefreshToken": self.refresh_token, "ExpiresIn": 3600, "TokenType": "Bearer" } })
    }

    fn verify(&self, body: &Value, now: SystemTime) -> Result<(), Refusal> {
        let refused = |why: &str| Err(("NotAuthorizedException", format!("Invalid login token. {why}")));
        let token = body["Logins"].as_object().and_then(|logins| logins.values().next()?.as_str());
        let claims = token.and_then(|token| URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok());
        let claims: Value = serde_json::from_slice(&claims.expect("a token")).expect("claims");
        if claims["era"] != self.era {
            return refused("Couldn't verify signed token.");
        }
        match claims["exp"].as_u64() {
            Some(expiry) if expiry > seconds(now) => Ok(()),
            expiry => refused(&format!("Token expired: {} >= {}", seconds(now), expiry.unwrap_or_default())),
        }
    }

    fn identity(&self) -> String {
        format!("eu-west-1:00000000-0000-0000-0000-{:012}", self.era)
    }

    fn unique(&mut self, name: &str) -> String {
        self.serial += 1;
        format!("{name}-{}-{}", self.era, self.serial)
    }

    fn holds_valid_credentials(&self, now: SystemTime) -> bool {
        self.delivered.is_some_and(|(expiry, era)| era == self.era && expiry > now)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A user's program, and the gateway that it sends to.
struct Work {
    world: World,
    clock: Clock,
    receiver: Receiver,
    _folder: tempfile::TempDir,
    _keeper: tokio::task::JoinSet<()>,
}

impl Work {
    async fn begin() -> Self {
        let world = World { wall: PausedWall::new(), services: Arc::default() };
        let clock = Clock::from_source(world.wall.clone());
        let folder = tempfile::tempdir().expect("a folder");
        let pool = UserPool {
            client_secret: None,
            username: Some("demo".to_owned()),
            password: Some(SecretString::from("password")),
            auth_flow: AuthFlow::Password,
            state_dir: Some(folder.path().join("countersign")),
            ..script::pool()
        };
        let store = SessionStore::new(&folder.path().join("countersign"), &pool.id, &pool.client_id);
        let first = world.services().unique("refresh");
        world.services().refresh_token.clone_from(&first);
        let session = Session {
            refresh_token: Some(SecretString::from(first)),
            ended: None,
            username: "demo".to_owned(),
            signed_in_as: "demo".to_owned(),
            subject: "sub-1".to_owned(),
            device: None,
            identity_ids: std::collections::BTreeMap::new(),
        };
        store.lock().await.expect("free").write(&session).await.expect("stored");
        let identity_pool = IdentityPool {
            id: "eu-west-1:01234567-89ab-cdef-0123-456789abcdef".parse().expect("valid"),
            endpoint: "http://identity.test".to_owned(),
            role: RoleChoice::Pool,
        };
        let settings = Cognito { login: Login::UserPool(pool), identity_pool };
        let connector = crate::aws_http::observing(SharedHttpConnector::new(world.clone()), clock.clone());
        let source = CognitoProvider::login(settings, connector, clock.clone()).expect("no TOTP secret");
        let (publisher, receiver) = channel(clock.clone());
        let mut keeper = tokio::task::JoinSet::new();
        keeper.spawn(Refresher::new(source, publisher, clock.clone()).run(std::future::pending()));
        Self { world, clock, receiver, _folder: folder, _keeper: keeper }
    }

    /// Sends one request, with the cures that the proxy has: one for the clock and one for the credentials.
    async fn request(&self) -> Result<(), String> {
        let unavailable = |unavailable: Unavailable| unavailable.to_string();
        let mut issued = self.receiver.valid().await.map_err(unavailable)?;
        let (mut clock_cured, mut credentials_cured) = (false, false);
        loop {
            let (sent, at_aws) = (self.clock.local(), self.world.wall.at_aws());
            let signed_at = self.clock.now();
            let skew = at_aws.duration_since(signed_at).unwrap_or_else(|error| error.duration());
            let era = format!("ASIA{}", self.world.services().era);
            if skew > TOLERANCE {
                if std::mem::replace(&mut clock_cured, true) {
                    return Err(format!("signed {skew:?} off, twice"));
                }
                self.clock.observe_between(at_aws, sent, self.clock.local());
                issued = self.receiver.valid().await.map_err(unavailable)?;
            } else if issued.credentials.access_key_id() != era
                || issued.expiry.is_some_and(|expiry| expiry <= at_aws)
            {
                if std::mem::replace(&mut credentials_cured, true) {
                    return Err("refused credentials, twice".to_owned());
                }
                issued = self.receiver.replacing(&issued).await.ok_or("refused credentials, not replaced")?;
            } else {
                return Ok(());
            }
        }
    }

    /// Sends one request; it may fail only without valid credentials while Cognito gives none.
    async fn request_at(&self, minute: u64) {
        let had_valid = self.world.services().holds_valid_credentials(self.world.wall.at_aws());
        let Err(failure) = self.request().await else { return };
        let services = self.world.services();
        let has_valid = services.holds_valid_credentials(self.world.wall.at_aws());
        let is_in_trouble = services.last_trouble.is_some_and(|at| at.elapsed() < RECOVERY);
        assert!(
            !(had_valid && has_valid) && is_in_trouble,
            "minute {minute}: {failure}; {:?}, {services:?}",
            self.receiver.state().problem
        );
    }

    fn replace_cognito(&self) {
        let mut services = self.world.services();
        services.era += 1;
        services.rotated = None;
        services.refresh_token = services.unique("nobody has this");
    }
}

/// What happens at this minute.
fn happens(work: &Work, minute: u64) {
    // By a clock that is ahead, valid credentials look expired, and Cognito alone can tell: it answers then.
    let step = |seconds: i64| {
        work.world.services().planned.clear();
        work.world.wall.step_seconds.fetch_add(seconds, Ordering::SeqCst);
    };
    let sleep = |hours: u64| {
        work.world.wall.jump_seconds.fetch_add(hours * 3_600, Ordering::SeqCst);
    };
    let outage = |trouble| work.world.services().outage = trouble;
    let plan = |operation, trouble| work.world.services().planned.push_back((operation, trouble));
    let (hour, minute_of_hour) = (minute / 60, minute % 60);
    match (hour, minute_of_hour) {
        // A few minutes of every fourth hour, and one outage in which everything expires.
        (50, 10) => outage(Some(Trouble::Unreachable)),
        (51, 30) => outage(None),
        (_, 12) if hour % 4 == 3 => outage(Some(match hour / 4 % 4 {
            0 => Trouble::Unreachable,
            1 => Trouble::Throttled,
            2 => Trouble::Page,
            _ => Trouble::Hangs,
        })),
        (_, 55) if hour % 4 == 3 => outage(None),
        (_, 0) if hour % 8 == 1 => {
            plan("GetTokensFromRefreshToken", Trouble::AnswerLost);
            plan("GetCredentialsForIdentity", Trouble::Panics);
            plan("InitiateAuth", Trouble::Unreachable);
        }
        (_, 0) if hour % 8 == 5 => {
            plan("GetTokensFromRefreshToken", Trouble::Throttled);
            plan("GetTokensFromRefreshToken", Trouble::Hangs);
            plan("GetCredentialsForIdentity", Trouble::Throttled);
            plan("GetId", Trouble::Page);
        }
        (6, 5) | (14, 5) => step(7_200),
        // The last one of each of these is in an outage.
        (8, 5) | (12, 5) | (67, 20) => step(-7_200),
        (16, 5) | (24, 5) => step(DAY),
        (18, 5) | (20, 5) | (42, 5) => step(-DAY),
        (22, 5) | (30, 7) | (38, 5) | (63, 20) => sleep(8),
        // A machine that wakes up with a late clock, or with none.
        (26, 5) => {
            sleep(8);
            step(-3_600);
        }
        (28, 5) => step(-999_000_000),
        (29, 5) => step(999_000_000 + 3_600),
        (32, 5) | (60, 5) => work.replace_cognito(),
        (40, 5) => {
            work.replace_cognito();
            step(DAY);
        }
        (44, 5) => {
            sleep(8);
            work.replace_cognito();
        }
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn seventy_two_hours_of_faults_fail_no_request_that_valid_credentials_exist_for() {
    let work = Work::begin().await;
    for minute in 0..72 * 60 {
        let calls = work.world.services().calls;
        happens(&work, minute);
        for _ in 0..3 {
            work.request_at(minute).await;
            sleep(MINUTE / 3).await;
        }
        let calls = work.world.services().calls - calls;
        // An attempt every 2.5 to 5 seconds while nothing is valid, and up to two a second just before that.
        assert!(calls <= 50, "{calls} calls in minute {minute}: {:?}", work.world.services());
    }
    let services = work.world.services();
    assert_eq!(services.sign_ins, 4, "one for each Cognito that knows no token: {services:?}");
    assert!(services.renewals >= 40, "{services:?}");
}

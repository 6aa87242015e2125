//! Where the signature comes from: never without credentials, fresh ones in time, refusals cured once.
#![cfg(feature = "sandbox")]

mod support;

use std::time::{Duration, SystemTime};

use countersign::{
    clock::Clock,
    sandbox::{Fault, INVOKE, ROTATING_CLIENT_ID, Sandbox, Verdict},
};
use support::{
    Answer, Proxy, Running, Setup, StoppedClock, WrongClock,
    http::{get, request},
    soon, start,
    upstream::{FINE, Upstream},
    with_user_pool,
};
use tokio::task::JoinSet;

const VEND: &str = "GetCredentialsForIdentity";

fn unavailable() -> (u16, String, String) {
    (503, "credentials-unavailable".to_owned(), "proxy_internal_error".to_owned())
}

fn login_required() -> (u16, String, String) {
    (503, "login-required".to_owned(), "proxy_configuration_error".to_owned())
}

fn verdicts(sandbox: &Sandbox) -> Vec<String> {
    let verdicts = sandbox.requests().into_iter().map(|received| match received.verdict {
        Verdict::Verified { .. } => "verified".to_owned(),
        Verdict::Admitted(_) => "admitted".to_owned(),
        Verdict::Refused(code) => code,
        Verdict::Disturbed => "disturbed".to_owned(),
    });
    verdicts.collect()
}

/// Waits until the proxy knows of an attempt that failed.
async fn failure(proxy: &Proxy) {
    let mut credentials = proxy.credentials.clone();
    soon("a failure", async {
        while credentials.state().problem.is_none() {
            credentials.changed().await;
        }
    })
    .await;
}

/// Waits until requests can be signed again.
async fn recovery(proxy: &Proxy) {
    let mut credentials = proxy.credentials.clone();
    soon("recovery", async {
        while credentials.valid().await.is_err() {
            credentials.changed().await;
        }
    })
    .await;
}

/// Sends `count` requests at once.
async fn at_once(proxy: &Proxy, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut requests = JoinSet::new();
    for number in 0..count {
        let mut connection = proxy.connect().await;
        requests.spawn(async move {
            let text = format!("POST /{number} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi");
            connection.write(text).await;
            connection.answer().await
        });
    }
    while let Some(answer) = requests.join_next().await {
        let (head, body) = answer.expect("no panic");
        answers.push(Answer {
            status: http::StatusCode::from_u16(head.status).expect("a status"),
            headers: http::HeaderMap::new(),
            body: body.into(),
            trailers: None,
        });
    }
    answers
}

fn all_fine(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn while_cognito_hangs_requests_get_503_and_nothing_goes_up() {
    let running = Setup::new()
        .faults(|faults| faults.always("InitiateAuth", Fault::Hang))
        .without_waiting()
        .start()
        .await;
    // The seconds that a request waits pass at once: nothing else is left to do.
    tokio::time::pause();
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), unavailable());
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    assert!(running.sandbox.requests().is_empty());
}

#[tokio::test]
async fn while_cognito_fails_requests_get_503_at_once_until_it_recovers() {
    let running = Setup::new()
        .faults(|faults| faults.always("InitiateAuth", Fault::Status(500)))
        .without_waiting()
        .start()
        .await;
    failure(&running.proxy).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), unavailable());
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    assert!(running.sandbox.requests().is_empty());
    running.sandbox.faults().clear_all();
    recovery(&running.proxy).await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
}

#[tokio::test]
async fn outages_of_every_kind_are_recovered_from() {
    for (operation, fault) in [
        ("InitiateAuth", Fault::Disconnect),
        ("RespondToAuthChallenge", Fault::throttled()),
        ("GetId", Fault::MalformedJson),
        (VEND, Fault::Truncate),
        ("InitiateAuth", Fault::Page(403, "Blocked".to_owned())),
        ("RespondToAuthChallenge", Fault::Page(302, "Moved".to_owned())),
        ("GetId", Fault::Page(407, "Proxy".to_owned())),
        (VEND, Fault::Page(200, "Portal".to_owned())),
    ] {
        let planned = fault.clone();
        let running = Setup::new()
            .faults(move |faults| faults.next(operation, 2, planned))
            .without_waiting()
            .start()
            .await;
        recovery(&running.proxy).await;
        assert_eq!(running.proxy.get("/x").await.status, 200, "{operation} {fault:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_reported() {
    let running = Setup::new()
        .proxy(|settings| with_user_pool(settings, |pool| pool.password = Some("wrong".into())))
        .without_waiting()
        .start()
        .await;
    failure(&running.proxy).await;
    for _ in 0..5 {
        let answer = running.proxy.get("/x").await;
        assert_eq!(answer.problem(), login_required());
        assert_eq!(answer.header("retry-after"), "");
    }
    assert_eq!(running.sandbox.calls().count("RespondToAuthChallenge"), 1);
    assert!(running.sandbox.requests().is_empty());
    let ready = running.proxy.admin("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["reasons"][0]["code"]), (503, &"login-required".into()));
    assert_eq!(running.proxy.admin("/livez").await.status, 200);
}

#[tokio::test]
async fn requests_succeed_through_every_rotation() {
    let (running, clock) = with_one_clock().await;
    let calls = running.sandbox.calls();
    // In the advisory window, in the mandatory one, and when it is too late.
    for (renewals, left) in (2..).zip([400, 30, 0]) {
        leave(&running, &clock, left);
        all_fine(&at_once(&running.proxy, 100).await);
        let mut credentials = running.proxy.credentials.clone();
        soon("new credentials", async {
            while credentials.state().refreshes < renewals {
                credentials.changed().await;
            }
        })
        .await;
        assert_eq!(calls.count(VEND), renewals);
    }
    assert_eq!(calls.count("RespondToAuthChallenge"), 1);
}

#[tokio::test]
async fn a_hundred_refusals_at_once_cause_one_refresh() {
    let running = start().await;
    running.sandbox.expire_credentials();
    all_fine(&at_once(&running.proxy, 100).await);
    assert_eq!(running.sandbox.calls().count(VEND), 2);
}

#[tokio::test]
async fn a_refused_token_costs_one_hidden_retry_for_every_method() {
    let running = start().await;
    running.sandbox.expire_credentials();
    let answer = running.proxy.send(request("POST", "/orders", "once")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(verdicts(&running.sandbox), ["ExpiredTokenException", "verified"]);
    let received = running.sandbox.requests();
    assert!(received.iter().all(|received| received.body == "once"));
    assert_ne!(received[0].header("x-amz-security-token"), received[1].header("x-amz-security-token"));
    assert_eq!(running.proxy.metric("countersign_upstream_retries_total{reason=\"credentials\"}").await, 1.0);
}

#[tokio::test]
async fn invalidated_credentials_are_replaced() {
    let running = start().await;
    running.sandbox.invalidate_credentials();
    let answer = running.proxy.send(request("DELETE", "/orders/7", "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(verdicts(&running.sandbox), ["UnrecognizedClientException", "verified"]);
}

#[tokio::test]
async fn a_gateway_that_refuses_every_credential_gets_one_replay_and_cognito_one_call() {
    let running = start().await;
    running.sandbox.faults().always(INVOKE, Fault::expired_token());
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["message"], "The security token included in the request is expired");
    assert_eq!(answer.header("proxy-status"), "");
    assert_eq!(running.sandbox.calls().count(INVOKE), 2);
    for _ in 0..5 {
        assert_eq!(running.proxy.get("/x").await.status, 403);
    }
    assert_eq!(running.sandbox.calls().count(VEND), 2);
}

#[tokio::test]
async fn a_policys_refusal_passes_unchanged() {
    let running = start().await;
    let answer = running.proxy.get("/denied").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-amzn-errortype")), (403, "AccessDeniedException"));
    assert!(answer.json()["message"].as_str().is_some_and(|text| text.contains("is not authorized")));
    assert!(!answer.header("x-amzn-requestid").is_empty());
    assert_eq!(answer.header("proxy-status"), "");
    assert_eq!((running.sandbox.calls().count(INVOKE), running.sandbox.calls().count(VEND)), (1, 1));
}

#[tokio::test]
async fn a_wrong_stage_is_not_taken_for_missing_credentials() {
    let running = Setup::new()
        .proxy(|settings| {
            let upstream = &mut settings.proxy.routes[0].upstream;
            *upstream = upstream.to_string().replace("/prod", "/wrong").parse().expect("a URL");
        })
        .start()
        .await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json(), serde_json::json!({ "message": "Missing Authentication Token" }));
    assert_eq!(running.sandbox.calls().count(VEND), 1);
}

#[tokio::test]
async fn a_clock_wrong_by_an_hour_costs_no_request() {
    for seconds in [3_600, -3_600] {
        let running = Setup::new().clock(WrongClock::ahead_by(seconds).clock()).start().await;
        for _ in 0..5 {
            assert_eq!(running.proxy.get("/x").await.status, 200, "{seconds}");
        }
        let refused = verdicts(&running.sandbox).iter().filter(|verdict| *verdict != "verified").count();
        assert!(refused <= 1, "{seconds}: {:?}", verdicts(&running.sandbox));
        let offset = running.proxy.metric("countersign_clock_offset_seconds").await;
        assert!((offset + seconds as f64).abs() < 5.0, "{offset}");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_costs_no_request() {
    for seconds in [3_600, -3_600] {
        let clock = WrongClock::default();
        let running = Setup::new().clock(clock.clock()).start().await;
        assert_eq!(running.proxy.get("/x").await.status, 200);
        clock.set(seconds);
        for _ in 0..5 {
            let answer = running.proxy.send(request("POST", "/x", "hi")).await;
            assert_eq!(answer.status, 200, "{seconds}: {}", answer.text());
        }
        clock.set(0);
        for _ in 0..5 {
            assert_eq!(running.proxy.get("/x").await.status, 200, "{seconds} and back");
        }
    }
}

/// An API that gives every answer this `Date`, two hours off.
async fn api_with_date(date: &'static str) -> Upstream {
    Upstream::start(move |_, mut wire| async move {
        while wire.request().await.is_some() {
            let head = format!("HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n");
            wire.write(head).await;
        }
    })
    .await
}

#[tokio::test]
async fn the_date_of_an_ordinary_answer_moves_no_clock_and_no_credentials() {
    for date in ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        let upstream = api_with_date(date).await;
        let running = Setup::new().upstream(upstream.url()).start().await;
        for _ in 0..20 {
            assert_eq!(running.proxy.get("/x").await.status, 200, "{date}");
        }
        assert_eq!(running.proxy.metric("countersign_clock_offset_seconds").await, 0.0, "{date}");
        assert_eq!(running.sandbox.calls().count(VEND), 1, "{date}");
    }
}

/// An API that refuses the first request as signed ten minutes ago, in two chunks that part the words, and answers the
/// next ones.
async fn api_that_is_ahead(further_fields: &'static str) -> Upstream {
    let date = httpdate::fmt_http_date(Clock::system().local() + Duration::from_secs(600));
    let refusal = format!(
        "HTTP/1.1 403 Forbidden\r\ndate: {date}\r\n{further_fields}x-amzn-requestid: 1\r\n\
         x-amzn-errortype: InvalidSignatureException\r\ntransfer-encoding: chunked\r\n\r\n\
         4\r\nSign\r\n10\r\nature expired: x\r\n0\r\n\r\n"
    );
    Upstream::start(move |_, mut wire| {
        let refusal = refusal.clone();
        async move {
            wire.request().await;
            wire.write(refusal).await;
            while wire.request().await.is_some() {
                wire.write(FINE).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_refusal_for_skew_is_understood_in_however_many_pieces_it_comes() {
    let upstream = api_that_is_ahead("").await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let answer = running.proxy.send(request("POST", "/x", "hi")).await;
    assert_eq!((answer.status.as_u16(), upstream.requests().len()), (200, 2), "{}", answer.text());
    let offset = running.proxy.metric("countersign_clock_offset_seconds").await;
    assert!((offset - 600.0).abs() < 60.0, "{offset}");
    let cured = running.proxy.metric("countersign_upstream_retries_total{reason=\"clock-skew\"}").await;
    assert_eq!(cured, 1.0);
}

#[tokio::test]
async fn a_refusal_that_a_cache_kept_says_nothing_about_the_clock() {
    let upstream = api_that_is_ahead("age: 7\r\n").await;
    let running = Setup::new().upstream(upstream.url()).start().await;
    let answer = running.proxy.send(request("POST", "/x", "hi")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (403, "Signature expired: x"));
    assert_eq!(upstream.requests().len(), 1, "nothing has changed that another attempt could use");
    assert_eq!(running.proxy.metric("countersign_clock_offset_seconds").await, 0.0);
}

#[tokio::test]
async fn a_machine_that_slept_with_a_late_clock_and_expired_credentials_costs_no_request() {
    let clock = WrongClock::default();
    let running = Setup::new().clock(clock.clock()).start().await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
    // Two hours have passed, of which the local clock has noticed one: by it, the credentials end in a moment.
    running.sandbox.advance_clock(Duration::from_secs(2 * 3_600));
    clock.set(3_600 - 1_200);
    running.sandbox.clear_requests();
    let answer = running.proxy.send(request("POST", "/x", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(running.sandbox.requests().len() <= 2, "one hidden retry: {:?}", verdicts(&running.sandbox));
}

#[tokio::test]
async fn a_laptop_that_slept_recovers_on_its_first_request() {
    let clock = WrongClock::default();
    let running = Setup::new().clock(clock.clock()).start().await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
    clock.set(8 * 3_600);
    running.sandbox.advance_clock(Duration::from_secs(8 * 3_600));
    running.sandbox.clear_requests();
    all_fine(&at_once(&running.proxy, 20).await);
    assert!(verdicts(&running.sandbox).iter().all(|verdict| verdict == "verified"));
    assert_eq!(running.sandbox.calls().count(VEND), 2);
}

#[tokio::test]
async fn a_refresh_that_hangs_holds_no_request_up() {
    let clock = WrongClock::default();
    let running = Setup::new().clock(clock.clock()).start().await;
    running.sandbox.faults().always(VEND, Fault::Hang);
    // Of an hour 400 seconds are left: the refresh is due, and nobody has to wait for it.
    clock.set(3_200);
    running.sandbox.advance_clock(Duration::from_secs(3_200));
    let calls = running.sandbox.calls();
    soon("the refresh to begin", async {
        while calls.count(VEND) < 2 {
            assert_eq!(running.proxy.get("/x").await.status, 200);
        }
    })
    .await;
    all_fine(&at_once(&running.proxy, 20).await);
    let state = running.proxy.credentials.state();
    assert_eq!((state.refreshes, state.failures), (1, 0), "the refresh still hangs");
    assert_eq!(calls.count(VEND), 2);
}

/// Makes Cognito unreachable: it renews nothing, and no `Date` of its answers corrects a clock.
fn cut_cognito_off(sandbox: &Sandbox) {
    for operation in ["InitiateAuth", "GetTokensFromRefreshToken", VEND] {
        sandbox.faults().always(operation, Fault::Disconnect);
    }
}

/// A proxy and a sandbox that share a clock which the test moves.
fn one_clock(clock: &WrongClock) -> Setup {
    let sandbox = clock.clock();
    Setup::new().sandbox(|settings| settings.clock = sandbox).clock(clock.clock())
}

async fn with_one_clock() -> (Running, WrongClock) {
    let clock = WrongClock::default();
    (one_clock(&clock).start().await, clock)
}

/// Moves the clock to so many seconds before the end of the credentials.
fn leave(running: &Running, clock: &WrongClock, seconds: u64) {
    let ahead = expiry(running).duration_since(Clock::system().local()).expect("an end to come");
    let ahead = i64::try_from(ahead.as_secs() + 1).expect("seconds");
    clock.set(ahead - i64::try_from(seconds).expect("seconds"));
}

fn expiry(running: &Running) -> SystemTime {
    running.proxy.credentials.state().issued.and_then(|issued| issued.expiry).expect("an expiry")
}

#[tokio::test]
async fn credentials_that_end_on_the_way_to_the_gateway_are_a_failure_of_the_proxy() {
    let clock = StoppedClock::now();
    let running = Setup::new().clock(clock.clock()).start().await;
    cut_cognito_off(&running.sandbox);
    // The gateway, whose clock goes on, sees the end of credentials that have a second left by the local clock.
    let end = expiry(&running);
    let left = end.duration_since(running.sandbox.clock().now()).expect("valid credentials");
    running.sandbox.advance_clock(left + Duration::from_secs(1));
    clock.set(end - Duration::from_secs(1));
    let answer = running.proxy.send(request("POST", "/x", "hi")).await;
    assert_eq!(answer.problem(), unavailable());
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=5).contains(&seconds)));
    assert_eq!(verdicts(&running.sandbox), ["ExpiredTokenException"]);
}

#[tokio::test]
async fn credentials_that_have_ended_by_a_corrected_clock_are_a_failure_of_the_proxy() {
    let clock = WrongClock::default();
    let running = Setup::new().clock(clock.clock()).start().await;
    cut_cognito_off(&running.sandbox);
    running.sandbox.advance_clock(Duration::from_secs(2 * 3_600));
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), unavailable());
    assert_eq!(verdicts(&running.sandbox), ["InvalidSignatureException"]);
}

#[tokio::test]
async fn credentials_that_end_before_another_attempt_are_not_sent_again() {
    let clock = StoppedClock::now();
    let local = clock.clone();
    let upstream = Upstream::start(move |_, mut wire| {
        let local = local.clone();
        async move {
            if wire.request().await.is_some() {
                wire.write(FINE).await;
            }
            // The next request finds the connection stale, and is to be sent again on another one.
            if wire.request().await.is_some() {
                local.advance(Duration::from_secs(2 * 3_600));
            }
        }
    })
    .await;
    let running = Setup::new().upstream(upstream.url()).clock(clock.clock()).start().await;
    cut_cognito_off(&running.sandbox);
    assert_eq!(running.proxy.get("/first").await.status, 200);
    assert_eq!(running.proxy.get("/second").await.problem(), unavailable());
    let paths: Vec<String> =
        upstream.requests().iter().filter_map(|head| head.split(' ').nth(1).map(str::to_owned)).collect();
    assert_eq!(paths, ["/first", "/second"]);
}

#[tokio::test]
async fn credentials_are_served_to_their_end_while_cognito_is_down() {
    let (running, clock) = with_one_clock().await;
    running.sandbox.faults().always(VEND, Fault::Status(500));
    for left in [400, 60, 30, 10, 5] {
        leave(&running, &clock, left);
        assert_eq!(running.proxy.get("/x").await.status, 200, "{left} s are left");
    }
    leave(&running, &clock, 0);
    assert_eq!(running.proxy.get("/x").await.problem(), unavailable());
    assert_eq!(running.proxy.admin("/readyz").await.status, 503);
    running.sandbox.faults().clear_all();
    recovery(&running.proxy).await;
    assert_eq!(running.proxy.get("/x").await.status, 200);
    assert_eq!(running.proxy.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn rotating_refresh_tokens_are_used_once_each() {
    let clock = WrongClock::default();
    let running = one_clock(&clock)
        .proxy(|settings| with_user_pool(settings, |pool| pool.client_id = ROTATING_CLIENT_ID.to_owned()))
        .start()
        .await;
    let calls = running.sandbox.calls();
    while calls.count(VEND) < 4 {
        leave(&running, &clock, 30);
        assert_eq!(running.proxy.send(get("/x")).await.status, 200);
    }
    assert_eq!(calls.count("RespondToAuthChallenge"), 1);
    assert!(calls.count("GetTokensFromRefreshToken") >= 2);
}

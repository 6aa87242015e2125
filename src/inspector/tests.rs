use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use super::{record::Begin, *};
use crate::clock::Clock;

fn recorder() -> Recorder {
    let settings = Settings { mode: Some(Mode::Bodies), redact: Vec::new() };
    Recorder::new(&settings, Clock::system()).expect("a mode")
}

fn begin(recorder: &Recorder, headers: &HeaderMap) -> Recording {
    recorder.begin(&Begin {
        request_id: "id",
        method: Some(&Method::GET),
        path: "/x",
        query: None,
        version: Version::HTTP_11,
        headers,
    })
}

fn end(recording: &Recording) {
    recording.end(Ending { aborted: None, code: None }, Duration::from_millis(1), None);
}

fn text_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/plain".parse().expect("a value"));
    headers
}

#[test]
fn nothing_is_recorded_without_a_mode() {
    assert!(Recorder::new(&Settings::default(), Clock::system()).is_none());
}

#[test]
fn the_oldest_exchanges_give_way_by_number_and_by_memory() {
    let recorder = recorder();
    for _ in 0..MAX_EXCHANGES + 10 {
        begin(&recorder, &HeaderMap::new());
    }
    assert_eq!(recorder.0.ring().entries().len(), MAX_EXCHANGES);
    assert_eq!(recorder.0.ring().entries()[0].number, 10);
    for _ in 0..MAX_BYTES / MAX_BODY + 20 {
        let recording = begin(&recorder, &HeaderMap::new());
        recording.response(StatusCode::OK, &text_headers(), "upstream");
        recording.chunk(&vec![b'a'; 2 * MAX_BODY]);
        end(&recording);
        assert!(recorder.0.ring().bytes() <= MAX_BYTES);
    }
    let entries = recorder.0.ring().entries();
    let memory: usize = entries.iter().map(|entry| entry.memory(entry.pending().memory())).sum();
    assert!(memory <= recorder.0.ring().bytes(), "all that is there is counted: {memory}");
    recorder.0.redact_all();
    let memory: usize = entries.iter().map(|entry| entry.memory(entry.pending().memory())).sum();
    assert!(memory <= recorder.0.ring().bytes(), "all that is there is counted: {memory}");
    assert!(entries.len() < MAX_BYTES / MAX_BODY, "{} exchanges of more than 64 KiB", entries.len());
}

#[test]
fn exchanges_that_go_on_are_within_the_limit_as_well() {
    let recorder = recorder();
    let recordings: Vec<_> = (0..400)
        .map(|_| {
            let recording = begin(&recorder, &HeaderMap::new());
            recording.response(StatusCode::OK, &text_headers(), "upstream");
            recording.chunk(&vec![b'a'; MAX_BODY - 1]);
            recording
        })
        .collect();
    assert!(recorder.0.ring().bytes() <= MAX_BYTES);
    assert!(recordings[0].memory() < 10_000, "what was dropped has been freed: {}", recordings[0].memory());
    recordings[0].chunk(b"more");
    assert!(recordings[0].memory() < 10_000);
}

#[tokio::test]
async fn a_feed_has_what_is_kept_and_then_the_latest_state_of_each_exchange() {
    let recorder = recorder();
    let first = begin(&recorder, &HeaderMap::new());
    let hello = Hello { version: "1", proxy: "http://localhost:1".to_owned(), region: None, service: None };
    let mut feed = recorder.feed(hello).expect("a place");
    let parsed = |line: bytes::Bytes| serde_json::from_slice::<serde_json::Value>(&line).expect("JSON");
    assert_eq!(parsed(feed.next().await)["type"], "hello");
    let begun = parsed(feed.next().await);
    assert_eq!(begun["exchange"]["state"], "active");
    for _ in 0..100 {
        first.chunk(b"x");
    }
    end(&first);
    let ended = parsed(feed.next().await);
    assert_eq!(
        (&ended["exchange"]["id"], &ended["exchange"]["state"]),
        (&begun["exchange"]["id"], &"complete".into())
    );
    assert!(ended["exchange"]["revision"].as_u64() > begun["exchange"]["revision"].as_u64());
    assert!(feed.rest().is_none(), "a hundred changes are one line");
}

#[tokio::test]
async fn every_viewer_forgets_what_was_cleared_before_it_sees_what_came_after() {
    let recorder = recorder();
    begin(&recorder, &HeaderMap::new());
    let hello = Hello { version: "1", proxy: String::new(), region: None, service: None };
    let mut feeds: Vec<_> = (0..2).map(|_| recorder.feed(hello.clone()).expect("a place")).collect();
    let parsed = |line: bytes::Bytes| serde_json::from_slice::<serde_json::Value>(&line).expect("JSON");
    for feed in &mut feeds {
        assert_eq!(parsed(feed.next().await)["type"], "hello");
        assert_eq!(parsed(feed.next().await)["type"], "exchange");
    }
    recorder.clear();
    let after = begin(&recorder, &HeaderMap::new());
    end(&after);
    for feed in &mut feeds {
        assert_eq!(parsed(feed.next().await)["type"], "cleared");
        assert_eq!(parsed(feed.next().await)["exchange"]["state"], "complete");
    }
    let clear = async {
        tokio::task::yield_now().await;
        recorder.clear();
    };
    let (woken, ()) = tokio::join!(feeds[0].next(), clear);
    assert_eq!(
        parsed(woken)["type"],
        "cleared",
        "a viewer that waits hears of it although nothing else happens"
    );
    assert_eq!(parsed(feeds[1].rest().expect("a line"))["type"], "cleared", "also when the proxy ends");
}

#[test]
fn there_are_eight_viewers_at_most() {
    let recorder = recorder();
    let hello = Hello { version: "1", proxy: String::new(), region: None, service: None };
    let feeds: Vec<_> = (0..8).map(|_| recorder.feed(hello.clone()).expect("a place")).collect();
    assert!(recorder.feed(hello.clone()).is_none());
    drop(feeds);
    assert!(recorder.feed(hello).is_some());
}

#[test]
fn only_the_announced_request_is_a_replay_and_only_once() {
    let recorder = recorder();
    let replay = recorder.announce_replay("id".to_owned(), "0-0");
    assert!(replay.id().is_none());
    let (first, second) = (begin(&recorder, &HeaderMap::new()), begin(&recorder, &HeaderMap::new()));
    assert_eq!(replay.id(), Some(first.id()));
    drop(replay);
    let third = begin(&recorder, &HeaderMap::new());
    for (recording, of) in [(first, Some("0-0")), (second, None), (third, None)] {
        let (exchange, _) = recorder.detail(&recording.id()).expect("kept");
        assert_eq!(exchange.get("replay_of").and_then(|of| of.as_str()), of);
    }
}

#[test]
fn the_memory_of_a_recorder_shows_no_secret_while_an_exchange_goes_on_and_afterwards() {
    const CANARY: &str = "canary-0123456789";
    let recorder = recorder();
    let mut headers = text_headers();
    for name in ["authorization", "cookie", "x-api-key"] {
        headers.insert(name, format!("a={CANARY}").parse().expect("a value"));
    }
    let recording = begin(&recorder, &headers);
    recording.received(&text_headers(), RequestBody::Collected(&[format!("password={CANARY}").into()]));
    let destination = Arc::new(Destination {
        upstream: "https://localhost".to_owned(),
        region: "eu-west-1".to_owned(),
        service: "execute-api".to_owned(),
        set_headers: vec![HeaderName::from_static("x-partner")],
    });
    let signed_by = SignedBy {
        username: Some("ada"),
        identity_id: None,
        access_key_id: "AKIDEXAMPLE",
        secrets: [CANARY, CANARY],
    };
    let mut sent = headers.clone();
    sent.insert("x-partner", CANARY.parse().expect("a value"));
    let signed = Signed {
        headers: &sent,
        canonical_request: format!("GET\n/\n\nx-amz-security-token:{CANARY}\n\nhost\nhash").into(),
        string_to_sign: String::new(),
        signed_at: SystemTime::UNIX_EPOCH,
    };
    recording.attempt(None, &destination, &signed_by, signed);
    recording.answered(StatusCode::OK, &headers);
    recording.response(StatusCode::OK, &headers, "upstream");
    recording.chunk(format!("{{\"access_token\":\"{CANARY}\"}} {CANARY}").as_bytes());
    recording.explain(&serde_json::json!({ "cause": format!("it said {CANARY}") }));
    let reported = format!("{recorder:?}");
    let while_it_lasts = format!("{recorder:?} {:?}", recorder.detail(&recording.id()));
    end(&recording);
    let afterwards = format!("{recorder:?} {:?}", recorder.detail(&recording.id()));
    assert!(!reported.contains(CANARY), "{reported}");
    for dump in [while_it_lasts, afterwards] {
        assert!(dump.contains("[redacted]") && !dump.contains(CANARY), "{dump}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_reported_is_redacted_within_a_second_without_a_viewer_and_then_wiped() {
    let recorder = recorder();
    let mut headers = text_headers();
    headers.insert("authorization", "Bearer canary-0123456789".parse().expect("a value"));
    let (trigger, ended) = tokio::sync::oneshot::channel();
    let redacting = recorder.clone().redact_until(async {
        let _ = ended.await;
    });
    let reporting = async {
        // Before the redaction begins, after it has found nothing, and while it waits for more.
        for _ in 0..3 {
            let recording = begin(&recorder, &headers);
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let entry = recorder.entry(&recording.id()).expect("kept");
            let pending = entry.pending();
            assert_eq!((pending.events.len(), pending.memory()), (0, 0));
            drop(pending);
            end(&recording);
        }
        trigger.send(()).expect("a redaction that goes on");
    };
    tokio::join!(redacting, reporting);
}

#[test]
fn what_an_exchange_knows_is_counted_for_as_long_as_it_goes_on() {
    let recorder = recorder();
    let cookies: Vec<_> = (0..100).map(|number| format!("c{number}={number}{}", "x".repeat(500))).collect();
    let mut headers = text_headers();
    headers.insert("cookie", cookies.join("; ").parse().expect("a value"));
    let recording = begin(&recorder, &headers);
    let entry = recorder.entry(&recording.id()).expect("kept");
    recorder.0.redact_all();
    assert!(recording.memory() > 50_000, "{}", recording.memory());
    end(&recording);
    drop(recording);
    recorder.0.redact_all();
    assert!(entry.memory(0) < 10_000, "{}", entry.memory(0));
}

#[test]
fn of_more_exchanges_than_are_kept_the_first_are_wiped_unredacted() {
    let recorder = recorder();
    let first = begin(&recorder, &text_headers());
    let entry = recorder.entry(&first.id()).expect("kept");
    for _ in 0..MAX_EXCHANGES {
        begin(&recorder, &text_headers());
    }
    assert!(entry.is_dropped());
    assert!(entry.pending().events.is_empty());
    first.response(StatusCode::OK, &text_headers(), "upstream");
    assert!(entry.pending().events.is_empty(), "what is dropped takes no more");
}

#[test]
fn each_exchange_is_redacted_once_and_looked_at_no_more_when_it_has_ended() {
    let recorder = recorder();
    let recordings: Vec<_> = (0..3).map(|_| begin(&recorder, &text_headers())).collect();
    recorder.0.redact_all();
    let seen = recorder.0.revision();
    recordings[1].chunk(b"x");
    recorder.0.redact_all();
    assert_eq!(recorder.0.ring().changed_since(seen), [1]);
    recordings.iter().for_each(end);
    drop(recordings);
    recorder.0.redact_all();
    assert!(recorder.0.ring().open().is_empty());
    assert_eq!(recorder.0.ring().changed_since(seen), [0, 1, 2]);
}

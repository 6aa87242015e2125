use tracing::{error, info, warn};
use tracing_subscriber::{fmt as layers, layer::SubscriberExt};

use super::*;
use crate::telemetry::{captured::Lines, repeats::Repeats};

fn written(text: Text, events: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = layers::layer().event_format(Repeats::new(text)).with_writer(move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
    lines.take()
}

/// The lines without the time, which each of them that begins a new event has.
fn plain(events: impl FnOnce()) -> Vec<String> {
    let lines = written(Text { colour: false, details: false }, events);
    for line in &lines {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
    lines.iter().map(|line| line[INDENT..].to_owned()).collect()
}

fn request(path: &str, status: Option<u16>, error: Option<&str>, aborted: Option<&str>) {
    info!(
        target: ACCESS,
        {
        request.id = "6d8f1a3c",
        request.method = "GET",
        request.path = path,
        status,
        origin = "proxy",
        error,
        bytes = 3_512_u64,
        head_ms = 1_u64,
        total_ms = 2_u64,
        aborted,
        },
        "request"
    );
}

#[test]
fn a_request_is_one_short_line() {
    let lines = plain(|| {
        request("/hello", Some(200), None, None);
        request("/hello", Some(403), Some("cross-site"), None);
        request("/hello", None, None, Some("client"));
    });
    let expected = [
        "GET /hello 200 3.5 kB 2 ms",
        "GET /hello 403 cross-site 3.5 kB 2 ms",
        "GET /hello - 3.5 kB 2 ms (aborted: client)",
    ];
    assert_eq!(lines, expected);
}

fn tunnel(path: &str, code: Option<u16>, closed_by: &str, cause: Option<&str>, cure: Option<&str>) {
    info!(
        target: TUNNEL,
        {
        request.id = "6d8f1a3c",
        request.path = path,
        closed_by,
        code,
        meaning = "normal",
        cause,
        cure,
        up.messages = 12_u64,
        up.bytes = 500_u64,
        down.messages = 34_u64,
        down.bytes = 3_012_u64,
        total_ms = 130_000_u64,
        },
        "websocket closed"
    );
}

#[test]
fn the_end_of_a_websocket_is_one_short_line_with_what_went_wrong_below_it() {
    let path = format!("/{}", "x".repeat(300));
    let lines = plain(|| {
        tunnel("/chat", Some(1000), "client", None, None);
        tunnel("/chat", None, "upstream", Some("the upstream closed"), Some("look at its log"));
    });
    let expected = [
        "WebSocket /chat closed 1000 by client 12 up 34 down 3.5 kB 2 min 10 s",
        "WebSocket /chat closed by upstream 12 up 34 down 3.5 kB 2 min 10 s",
        "the upstream closed",
        "tip: look at its log",
    ];
    assert_eq!(lines, expected);
    let lines = plain(|| tunnel(&path, Some(1000), "client", None, None));
    assert_eq!(lines[0].chars().count(), COLUMNS - COUNT_COLUMNS - INDENT);
}

#[test]
fn a_long_path_is_cut_in_the_middle_and_leaves_room_for_a_count() {
    let path = format!("/first/{}/last", "x".repeat(300));
    let lines = plain(|| request(&path, Some(200), None, None));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("GET /first/xx") && line.contains("x…x"), "{line}");
    assert!(line.ends_with("x/last 200 3.5 kB 2 ms"), "{line}");
    assert_eq!(line.chars().count(), COLUMNS - COUNT_COLUMNS - INDENT);
}

#[test]
fn warnings_are_sentences_that_continue_below_themselves() {
    let lines = plain(|| {
        warn!(
            request.id = "one",
            reason = "cross-site",
            origin = "http://evil.example",
            detail = "Pages of http://evil.example may not call the proxy. If they should, start it with \
                      --allow-origin http://evil.example.",
            "request refused"
        );
        error!(worker = 1, "worker exited unexpectedly");
        info!(version = "1", url = "http://localhost:8181", "starting");
    });
    let expected = [
        "warning: request refused: Pages of http://evil.example may not call the proxy. If they",
        "should, start it with --allow-origin http://evil.example.",
        "error: worker exited unexpectedly (worker: 1)",
        "starting: http://localhost:8181",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_meaning_of_a_refusal_stands_below_the_line_of_its_request() {
    let lines = written(Text { colour: false, details: false }, || {
        warn!(
            request.id = "one",
            meaning = "denied",
            cause = "the role Auth is not allowed it: no policy allows it",
            cure = "add a statement to a policy of the role Auth: {\"Effect\":\"Allow\",\"Action\":\"execute-api:Invoke\"}",
            region = "r",
            "the gateway refused the request"
        );
    });
    let expected = [
        "         the gateway refused the request: the role Auth is not allowed it: no policy allows it",
        "         tip: add a statement to a policy of the role Auth:",
        "         {\"Effect\":\"Allow\",\"Action\":\"execute-api:Invoke\"}",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_to_do_about_a_failure_of_the_proxy_stands_below_it_unless_its_detail_says_it() {
    let lines = plain(|| {
        warn!(
            request.id = "one",
            error = "no name",
            meaning = "upstream-dns",
            cure = "check it",
            "no response"
        );
        warn!(request.id = "two", detail = "A. B.", meaning = "no-route", cause = "a", cure = "b", "refused");
    });
    assert_eq!(lines, ["warning: no response: no name", "tip: check it", "warning: refused: A. B."]);
}

#[test]
fn ready_is_a_block() {
    let lines = plain(|| {
        info!(
            target: READY,
            {
            url = "http://localhost:8181",
            admin = "http://localhost:8182",
            upstream = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod",
            region = "eu-west-1",
            service = "execute-api",
            identity = "alice (eu-west-1:1b2c)",
            expires_in = 3_600_u64,
            },
            "ready"
        );
    });
    let (until, others): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| line.starts_with("until"));
    let expected = [
        "Ready.",
        "listening  http://localhost:8181",
        "upstream   https://abc123.execute-api.eu-west-1.amazonaws.com/prod (execute-api, eu-west-1)",
        "signed in  alice (eu-west-1:1b2c)",
        "admin      http://localhost:8182",
    ];
    assert_eq!(others, expected);
    assert!(until[0].ends_with(", renewed before then"), "{until:?}");
}

#[test]
fn the_block_shows_a_set_of_regions_in_place_of_the_region() {
    let lines = plain(|| {
        info!(target: READY, { upstream = "https://api.example.com", region_set = "us-*", service = "s3" }, "ready");
    });
    assert_eq!(lines, ["Ready.", "upstream   https://api.example.com (s3, region-set us-*)"]);
}

#[test]
fn details_and_colours_are_there_where_they_are_asked_for() {
    let details = written(Text { colour: false, details: true }, || request("/a", Some(200), None, None));
    assert_eq!(details[1], "         request.id=6d8f1a3c origin=proxy head_ms=1");
    let coloured = written(Text { colour: true, details: false }, || request("/a", Some(503), None, None));
    assert!(coloured[0].contains(" GET /a \u{1b}[31m503\u{1b}[0m 3.5 kB 2 ms"), "{coloured:?}");
}

#[test]
fn what_clients_send_moves_no_cursor() {
    let lines = plain(|| request("/\u{1b}[2J\n", Some(400), None, None));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
}

#[test]
fn durations_have_the_unit_that_fits() {
    let shown = [2, 1_250, 75_000, 3_725_000].map(|ms| duration(Duration::from_millis(ms)));
    assert_eq!(shown, ["2 ms", "1.2 s", "1 min 15 s", "1 h 2 min"]);
}

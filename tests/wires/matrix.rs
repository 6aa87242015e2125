//! What hostile and faulty upstreams do, and what becomes of it.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, sync::Arc};

use serde_json::Value;

use crate::{
    support::{
        Connection, PATIENCE,
        program::{self, Program, address},
        tls::Authority,
    },
    upstream::{
        CANCEL, ENHANCE_YOUR_CALM, FINE, Framing, HTTP_1_1_REQUIRED, HTTP1, HTTP2, INTERNAL_ERROR, Manner,
        NO_ERROR, REFUSED_STREAM, Request, Step, Step::*, Upstream,
    },
};

/// Offers both versions, and takes HTTP/2 first.
const BOTH: Manner = Manner { protocols: &["h2", "http/1.1"], ..HTTP2 };

/// One row: what the upstream does with the requests in their order, and with all others what is right.
struct Case {
    manner: Manner,
    name: &'static str,
    /// Whether one request has been answered on the connection before.
    is_reused: bool,
    script: &'static [&'static [Step]],
    get: Outcome,
    post: Outcome,
}

/// What is seen of it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// `fine`, `fine and trailers`, `broken`, or the code of a problem.
    answer: &'static str,
    /// `aborted` in the log.
    aborted: &'static str,
    /// How many times the request came whole.
    sent: usize,
    /// Whether the next request needs no new connection.
    is_kept: bool,
}

const fn outcome(answer: &'static str, aborted: &'static str, sent: usize, is_kept: bool) -> Outcome {
    Outcome { answer, aborted, sent, is_kept }
}

const WHOLE: Outcome = outcome("fine", "", 1, true);
const WHOLE_AND_CLOSED: Outcome = outcome("fine", "", 1, false);
const WHOLE_WITH_TRAILERS: Outcome = outcome("fine and trailers", "", 1, true);
/// Sent again, over a connection that is kept.
const AGAIN: Outcome = outcome("fine", "", 2, true);
const RESET: Outcome = outcome("broken", "upstream-reset", 1, false);
/// Over HTTP/2 only the stream is lost.
const STREAM_RESET: Outcome = outcome("broken", "upstream-reset", 1, true);
const CLOSED: Outcome = outcome("broken", "upstream-closed", 1, false);
const NO_ANSWER: Outcome = outcome("upstream-closed", "", 1, false);
const NO_ANSWER_ON_STREAM: Outcome = outcome("upstream-closed", "", 1, true);

const fn same(
    manner: Manner,
    name: &'static str,
    script: &'static [&'static [Step]],
    outcome: Outcome,
) -> Case {
    let Outcome { answer, aborted, sent, is_kept } = outcome;
    let post = Outcome { answer, aborted, sent, is_kept };
    Case { manner, name, is_reused: false, script, get: outcome, post }
}

const fn reused(
    manner: Manner,
    name: &'static str,
    script: &'static [&'static [Step]],
    get: Outcome,
    post: Outcome,
) -> Case {
    Case { manner, name, is_reused: true, script, get, post }
}

const LENGTH: Step = Head(Framing::Length(4));
const LONGER: Step = Head(Framing::Length(40));
const STREAM: Step = Head(Framing::Stream);
const UNTIL_CLOSE: Step = Head(Framing::Close);
const FINE_DATA: Step = Data("fine");

fn table() -> Vec<Case> {
    vec![
        // Whole answers.
        same(HTTP1, "length", &[&[LENGTH, FINE_DATA, End]], WHOLE),
        same(HTTP1, "chunks", &[&[STREAM, FINE_DATA, End]], WHOLE),
        same(HTTP1, "trailers", &[&[STREAM, FINE_DATA, Trailers]], WHOLE_WITH_TRAILERS),
        same(HTTP1, "until-close", &[&[UNTIL_CLOSE, FINE_DATA, Close]], WHOLE_AND_CLOSED),
        same(HTTP1, "length-then-cut", &[&[LENGTH, FINE_DATA, Cut]], WHOLE_AND_CLOSED),
        same(HTTP1, "length-then-half-close", &[&[LENGTH, FINE_DATA, HalfClose]], WHOLE_AND_CLOSED),
        same(HTTP1, "chunks-then-reset", &[&[STREAM, FINE_DATA, End, Abort]], WHOLE_AND_CLOSED),
        same(
            HTTP1,
            "more-than-declared",
            &[&[LENGTH, FINE_DATA, Raw(b"HTTP/1.1 200 OK\r\n")]],
            WHOLE_AND_CLOSED,
        ),
        same(HTTP2, "length", &[&[LENGTH, FINE_DATA, End]], WHOLE),
        same(HTTP2, "no-length", &[&[STREAM, FINE_DATA, End]], WHOLE),
        same(HTTP2, "trailers", &[&[STREAM, FINE_DATA, Trailers]], WHOLE_WITH_TRAILERS),
        same(HTTP2, "length-and-trailers", &[&[LENGTH, FINE_DATA, Trailers]], WHOLE),
        same(HTTP2, "end-then-no-error", &[&[STREAM, FINE_DATA, End, Reset(NO_ERROR)]], WHOLE),
        same(HTTP2, "end-then-cancel", &[&[STREAM, FINE_DATA, End, Reset(CANCEL)]], WHOLE),
        same(
            HTTP2,
            "end-then-goaway",
            &[&[STREAM, FINE_DATA, End, GoAway { begun: true, code: NO_ERROR }]],
            WHOLE_AND_CLOSED,
        ),
        same(
            HTTP2,
            "goaway-then-end",
            &[&[STREAM, GoAway { begun: true, code: NO_ERROR }, FINE_DATA, End]],
            WHOLE_AND_CLOSED,
        ),
        same(HTTP2, "end-then-cut", &[&[STREAM, FINE_DATA, End, Cut]], WHOLE_AND_CLOSED),
        // Bodies that break off.
        same(HTTP1, "short-length-close", &[&[LONGER, FINE_DATA, Close]], CLOSED),
        same(HTTP1, "short-length-cut", &[&[LONGER, FINE_DATA, Cut]], CLOSED),
        same(HTTP1, "short-length-half-close", &[&[LONGER, FINE_DATA, HalfClose]], CLOSED),
        same(HTTP1, "short-length-reset", &[&[LONGER, FINE_DATA, Abort]], RESET),
        same(HTTP1, "no-last-chunk-close", &[&[STREAM, FINE_DATA, Close]], CLOSED),
        same(HTTP1, "no-last-chunk-half-close", &[&[STREAM, FINE_DATA, HalfClose]], CLOSED),
        same(HTTP1, "no-last-chunk-reset", &[&[STREAM, FINE_DATA, Abort]], RESET),
        same(HTTP1, "cut-chunk", &[&[STREAM, FINE_DATA, Raw(b"4\r\nfi"), Close]], CLOSED),
        same(HTTP1, "cut-trailers", &[&[STREAM, FINE_DATA, Raw(b"0\r\nx-sum: "), Close]], CLOSED),
        same(HTTP1, "no-end-of-trailers", &[&[STREAM, FINE_DATA, Raw(b"0\r\nx-sum: 1\r\n"), Close]], CLOSED),
        same(
            HTTP1,
            "bad-chunk",
            &[&[STREAM, FINE_DATA, Raw(b"zz\r\n")]],
            outcome("broken", "upstream-protocol", 1, false),
        ),
        same(
            HTTP1,
            "bad-chunk-of-a-refusal",
            &[&[
                Raw(b"HTTP/1.1 403 Forbidden\r\nx-amzn-requestid: 1\r\n"),
                Raw(b"x-amzn-errortype: InvalidSignatureException\r\ntransfer-encoding: chunked\r\n\r\n"),
                FINE_DATA,
                Raw(b"zz\r\n"),
            ]],
            outcome("broken", "upstream-protocol", 1, false),
        ),
        same(HTTP1, "until-cut", &[&[UNTIL_CLOSE, FINE_DATA, Cut]], CLOSED),
        same(HTTP1, "until-reset", &[&[UNTIL_CLOSE, FINE_DATA, Abort]], RESET),
        same(HTTP1, "silence", &[&[STREAM, FINE_DATA]], outcome("broken", "idle", 1, false)),
        same(HTTP2, "no-error", &[&[STREAM, FINE_DATA, Reset(NO_ERROR)]], STREAM_RESET),
        same(HTTP2, "no-error-with-length", &[&[LONGER, FINE_DATA, Reset(NO_ERROR)]], STREAM_RESET),
        same(HTTP2, "no-error-after-head", &[&[STREAM, Reset(NO_ERROR)]], STREAM_RESET),
        same(HTTP2, "no-error-at-length", &[&[LENGTH, FINE_DATA, Reset(NO_ERROR)]], WHOLE),
        same(HTTP2, "cancel", &[&[STREAM, FINE_DATA, Reset(CANCEL)]], STREAM_RESET),
        same(HTTP2, "refused-in-the-middle", &[&[STREAM, FINE_DATA, Reset(REFUSED_STREAM)]], STREAM_RESET),
        same(
            HTTP2,
            "wants-http1-in-the-middle",
            &[&[STREAM, FINE_DATA, Reset(HTTP_1_1_REQUIRED)]],
            STREAM_RESET,
        ),
        same(HTTP2, "internal-error", &[&[LONGER, FINE_DATA, Reset(INTERNAL_ERROR)]], STREAM_RESET),
        same(
            HTTP2,
            "short-length",
            &[&[LONGER, FINE_DATA, End]],
            outcome("broken", "upstream-protocol", 1, true),
        ),
        same(
            HTTP2,
            "long-length",
            &[&[Head(Framing::Length(2)), FINE_DATA, End]],
            outcome("broken", "upstream-protocol", 1, true),
        ),
        same(
            HTTP2,
            "short-length-trailers",
            &[&[LONGER, FINE_DATA, Trailers]],
            outcome("broken", "upstream-protocol", 1, true),
        ),
        same(HTTP2, "close", &[&[STREAM, FINE_DATA, Close]], CLOSED),
        same(HTTP2, "cut", &[&[STREAM, FINE_DATA, Cut]], CLOSED),
        same(HTTP2, "half-close", &[&[STREAM, FINE_DATA, HalfClose]], CLOSED),
        same(HTTP2, "abort", &[&[STREAM, FINE_DATA, Abort]], RESET),
        same(
            HTTP2,
            "goaway-not-begun",
            &[&[STREAM, FINE_DATA, GoAway { begun: false, code: NO_ERROR }]],
            CLOSED,
        ),
        same(
            HTTP2,
            "goaway-then-close",
            &[&[STREAM, FINE_DATA, GoAway { begun: true, code: NO_ERROR }, Close]],
            CLOSED,
        ),
        same(HTTP2, "silence", &[&[STREAM, FINE_DATA]], outcome("broken", "idle", 1, true)),
        // No answer, from a connection that is new.
        same(HTTP1, "close-before-head", &[&[Close]], NO_ANSWER),
        same(HTTP1, "reset-before-head", &[&[Abort]], NO_ANSWER),
        same(HTTP1, "half-close-before-head", &[&[HalfClose]], NO_ANSWER),
        same(HTTP1, "half-a-head", &[&[Raw(b"HTTP/1.1 200 OK\r\ncont"), Close]], NO_ANSWER),
        same(HTTP1, "nonsense", &[&[Raw(b"nonsense\r\n\r\n")]], outcome("upstream-protocol", "", 1, false)),
        same(HTTP2, "close-before-head", &[&[Close]], NO_ANSWER),
        same(HTTP2, "abort-before-head", &[&[Abort]], NO_ANSWER),
        same(HTTP2, "half-close-before-head", &[&[HalfClose]], NO_ANSWER),
        same(HTTP2, "no-error-before-head", &[&[Reset(NO_ERROR)]], NO_ANSWER_ON_STREAM),
        same(HTTP2, "cancel-before-head", &[&[Reset(CANCEL)]], NO_ANSWER_ON_STREAM),
        same(HTTP2, "goaway-begun", &[&[GoAway { begun: true, code: NO_ERROR }, Close]], NO_ANSWER),
        same(
            HTTP2,
            "goaway-begun-error",
            &[&[GoAway { begun: true, code: INTERNAL_ERROR }, Close]],
            NO_ANSWER,
        ),
        same(
            HTTP2,
            "nonsense",
            &[&[Raw(b"\0\0\x01\x00\0\0\0\0\0x")]],
            outcome("upstream-protocol", "", 1, false),
        ),
        // Not begun, as the upstream says itself: sent again whatever the method.
        same(HTTP2, "refused", &[&[Reset(REFUSED_STREAM)]], AGAIN),
        same(
            HTTP2,
            "refused-twice",
            &[&[Reset(REFUSED_STREAM)], &[Reset(REFUSED_STREAM)]],
            outcome("fine", "", 3, true),
        ),
        same(HTTP2, "goaway-before", &[&[GoAway { begun: false, code: NO_ERROR }]], AGAIN),
        same(HTTP2, "goaway-before-calm", &[&[GoAway { begun: false, code: ENHANCE_YOUR_CALM }]], AGAIN),
        same(HTTP2, "goaway-before-error", &[&[GoAway { begun: false, code: INTERNAL_ERROR }]], AGAIN),
        same(BOTH, "wants-http1", &[&[Reset(HTTP_1_1_REQUIRED)]], AGAIN),
        same(BOTH, "wants-http1-goaway", &[&[GoAway { begun: false, code: HTTP_1_1_REQUIRED }]], AGAIN),
        // On a connection that was used before: what may have run is sent again where that does no harm.
        reused(HTTP1, "close", &[&[Close]], AGAIN, NO_ANSWER),
        reused(HTTP1, "reset", &[&[Abort]], AGAIN, NO_ANSWER),
        reused(HTTP2, "close", &[&[Close]], AGAIN, NO_ANSWER),
        reused(HTTP2, "abort", &[&[Abort]], AGAIN, NO_ANSWER),
        reused(
            HTTP2,
            "nonsense",
            &[&[Raw(b"\0\0\x01\x00\0\0\0\0\0x")]],
            outcome("upstream-protocol", "", 1, false),
            outcome("upstream-protocol", "", 1, false),
        ),
        reused(HTTP2, "refused", &[&[Reset(REFUSED_STREAM)]], AGAIN, AGAIN),
        reused(HTTP2, "cancel", &[&[Reset(CANCEL)]], AGAIN, NO_ANSWER_ON_STREAM),
        reused(HTTP2, "goaway-before", &[&[GoAway { begun: false, code: NO_ERROR }]], AGAIN, AGAIN),
        reused(
            HTTP2,
            "goaway-before-calm",
            &[&[GoAway { begun: false, code: ENHANCE_YOUR_CALM }]],
            AGAIN,
            AGAIN,
        ),
        reused(HTTP2, "goaway-begun", &[&[GoAway { begun: true, code: NO_ERROR }, Close]], AGAIN, NO_ANSWER),
        reused(
            HTTP2,
            "goaway-begun-calm",
            &[&[GoAway { begun: true, code: ENHANCE_YOUR_CALM }, Close]],
            AGAIN,
            NO_ANSWER,
        ),
        reused(HTTP2, "no-error", &[&[Reset(NO_ERROR)]], AGAIN, NO_ANSWER_ON_STREAM),
        reused(HTTP2, "half-close", &[&[HalfClose]], AGAIN, NO_ANSWER),
        reused(
            HTTP2,
            "cancel-in-the-middle",
            &[&[STREAM, FINE_DATA, Reset(CANCEL)]],
            STREAM_RESET,
            STREAM_RESET,
        ),
        reused(BOTH, "wants-http1", &[&[Reset(HTTP_1_1_REQUIRED)]], AGAIN, AGAIN),
        reused(
            HTTP1,
            "close-twice",
            &[&[Close], &[Close]],
            outcome("upstream-closed", "", 2, false),
            NO_ANSWER,
        ),
    ]
}

#[tokio::test]
async fn upstream_faults_lead_to_the_answers_and_log_lines_of_the_table() {
    let authority = Authority::new();
    let mut runs = Vec::new();
    let mut routes = String::new();
    for case in table() {
        for (method, expected) in [("GET", case.get), ("POST", case.post)] {
            let skipped = usize::from(case.is_reused);
            let (script, manner, is_reused) = (case.script, case.manner, case.is_reused);
            let upstream = Upstream::start(&authority, manner, move |request: Request| async move {
                let steps = request.number.checked_sub(skipped).and_then(|number| script.get(number));
                request.play(steps.copied().unwrap_or(FINE));
            })
            .await;
            let version = manner.protocols[0].replace('/', "");
            let name =
                format!("{version}-{}-{}-{method}", case.name, if is_reused { "reused" } else { "new" });
            routes += &format!("[[route]]\npath = '/{name}'\nupstream = '{}'\n", upstream.url());
            runs.push(Run { name, method, is_reused, upstream, expected });
        }
    }
    let (sandbox, folder) = (program::sandbox().await, program::folder());
    let mut command = program::serve(&sandbox, folder.path());
    let file = folder.path().join("countersign.toml");
    std::fs::write(&file, routes).expect("a file");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a file of ours");
    command.env_remove("COUNTERSIGN_UPSTREAM").env("COUNTERSIGN_CA_FILE", authority.file());
    command.env("COUNTERSIGN_IDLE_TIMEOUT", "2s").env("COUNTERSIGN_RESPONSE_TIMEOUT", "20s");
    // Each worker has connections of its own: with one processor there is one worker.
    let script = "cpu=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//'); exec taskset -c \"$cpu\" \"$@\"";
    let program = Arc::new(Program::start(program::through_shell(&command, script)));
    program.logged("ready", "url").await;

    let mut tasks = tokio::task::JoinSet::new();
    for run in runs {
        let program = Arc::clone(&program);
        tasks.spawn(async move {
            let seen = run.outcome(&program).await;
            (seen != run.expected)
                .then(|| format!("{}\n   expected {:?}\n       seen {seen:?}", run.name, run.expected))
        });
    }
    let wrong: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Run {
    name: String,
    method: &'static str,
    is_reused: bool,
    upstream: Upstream,
    expected: Outcome,
}

impl Run {
    async fn outcome(&self, program: &Program) -> Outcome {
        let url = program.logged("ready", "url").await;
        let ask = async |method: &str, id: &str| {
            let mut client = Connection::open(address(&url)).await;
            let body = if method == "POST" { "content-length: 2\r\n\r\nhi" } else { "\r\n" };
            let head =
                format!("{method} /{}/x HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\n", self.name);
            client.write(format!("{head}te: trailers\r\nconnection: te, close\r\n{body}")).await;
            answer(&client.rest_within(PATIENCE).await.expect("an end"))
        };
        let before = usize::from(self.is_reused);
        if self.is_reused {
            assert_eq!(ask("GET", "prime").await, "fine", "{}", self.name);
        }
        let id = &self.name;
        let answer = ask(self.method, id).await;
        let line = program.stderr_line(&format!("\"message\":\"request\",\"request.id\":\"{id}\"")).await;
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let (sent, connections) = (self.upstream.requests() - before, self.upstream.connections());
        assert_eq!(line["attempts"], sent, "{line}");
        // A script may be longer than the request needed.
        while ask("GET", "next").await != "fine" {
            assert!(self.upstream.requests() < 5, "{}", self.name);
        }
        let is_kept = self.upstream.connections() == connections;
        let known =
            ["client", "upstream-reset", "upstream-closed", "upstream-protocol", "idle", "limit", "shutdown"];
        let aborted = match &line["aborted"] {
            Value::Null => "",
            word => known.iter().find(|known| word == *known).expect("a known word"),
        };
        Outcome { answer, aborted, sent, is_kept }
    }
}

/// What a client makes of these bytes, after which the connection ended.
fn answer(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return "broken" };
    let head = head.to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let codes = ["upstream-closed", "upstream-protocol", "upstream-timeout"];
    match field("content-length:") {
        Some(length) if length != body.len().to_string() => "broken",
        Some(_) if body == "fine" => "fine",
        Some(_) => codes.iter().find(|code| body.contains(*code)).unwrap_or(&"something else"),
        None if body == "4\r\nfine\r\n0\r\n\r\n" => "fine",
        None if body == "4\r\nfine\r\n0\r\nx-sum: 1\r\n\r\n" => "fine and trailers",
        None if body.ends_with("0\r\n\r\n") => "something else",
        None => "broken",
    }
}

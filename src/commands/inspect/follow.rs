//! The exchanges of a running proxy as lines, until it ends.

use std::{
    collections::HashMap,
    io::{self, Write},
    process::ExitCode,
};

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::spawn_blocking;

use crate::{
    commands::{Failure, local_http},
    downstream::listener::Listen,
    inspector::{MAX_BYTES, MAX_EXCHANGES, is_unprintable},
    telemetry,
};

/// The longest line of the feed, in bytes: what all exchanges may take, with every letter escaped.
const MAX_LINE: usize = 6 * MAX_BYTES;

/// The longest problem document that is read, in bytes.
const MAX_PROBLEM: usize = 64 * 1024;

/// Prints each exchange when it has ended, and what it means.
pub(super) async fn run(
    listen: &Listen,
    token: &SecretString,
    json: bool,
    colour: bool,
) -> Result<ExitCode, Failure> {
    let authorization = format!("Bearer {}", token.expose_secret());
    let mut stream =
        local_http::open(listen, "/inspect/feed", &authorization).await.map_err(Failure::Runtime)?;
    if stream.status() != StatusCode::OK {
        let status = stream.status();
        let detail = detail(&mut stream).await.map(|detail| format!(": {detail}")).unwrap_or_default();
        return Err(Failure::runtime(format!("the inspector at {listen} answers {status}{detail}")));
    }
    let (mut printer, mut rest) = (Printer { colour, json, printed: HashMap::new() }, Vec::new());
    while let Some(chunk) = stream.next().await.map_err(Failure::Runtime)? {
        rest.extend_from_slice(&chunk);
        let Some(end) = memchr::memrchr(b'\n', &rest) else {
            if rest.len() > MAX_LINE {
                return Err(Failure::runtime(format!("{listen} sends a line that no inspector sends")));
            }
            continue;
        };
        let lines: Vec<u8> = rest.drain(..=end).collect();
        let mut text = String::new();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).map_err(Failure::runtime)?;
            if event["type"] == "exchange" {
                text.push_str(&printer.lines(&event["exchange"]));
            }
        }
        if !text.is_empty() && !print(text).await? {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a problem document says in words.
async fn detail(answer: &mut local_http::Answer) -> Option<String> {
    let mut document = Vec::new();
    while let Some(chunk) = answer.next().await.ok()?.filter(|_| document.len() < MAX_PROBLEM) {
        document.extend_from_slice(&chunk);
    }
    let problem: Value = serde_json::from_slice(&document).ok()?;
    let detail = problem["detail"].as_str()?;
    Some(detail.replace(is_unprintable, "\u{fffd}"))
}

/// Writes to stdout on a blocking thread; `false` when its reader has gone away, `head` for one.
async fn print(text: String) -> Result<bool, Failure> {
    let written = spawn_blocking(move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    });
    match written.await.map_err(Failure::runtime)? {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

struct Printer {
    colour: bool,
    json: bool,
    /// The exchanges that have their line, and whether what they mean has been printed as well.
    printed: HashMap<String, bool>,
}

impl Printer {
    /// What is new in an exchange.
    fn lines(&mut self, exchange: &Value) -> String {
        if exchange["state"] == "active" {
            return String::new();
        }
        // The proxy forgets them as well.
        if self.printed.len() > 4 * MAX_EXCHANGES {
            self.printed.clear();
        }
        let id = exchange["id"].as_str().unwrap_or_default();
        let known = self.printed.get(id).copied();
        let meaning = explanation(exchange);
        let explains = meaning.is_some() && known != Some(true);
        self.printed.insert(id.to_owned(), meaning.is_some());
        if self.json {
            return if known.is_none() || explains { printable(exchange) } else { String::new() };
        }
        let time = exchange["started"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let request = known.is_none().then(|| fields(exchange));
        telemetry::recorded_request(self.colour, time, request, meaning.as_deref().filter(|_| explains))
    }
}

/// A line of JSON. Its writer leaves some characters as they are that a terminal obeys, or that reverse text.
fn printable(exchange: &Value) -> String {
    let mut line = String::new();
    for letter in exchange.to_string().chars() {
        if is_unprintable(letter) {
            line.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            line.push(letter);
        }
    }
    line.push('\n');
    line
}

/// What a refusal means and what to do, in a sentence or two.
fn explanation(exchange: &Value) -> Option<String> {
    let meaning = exchange.get("meaning")?;
    let words = ["cause", "cure"].into_iter().filter_map(|part| meaning[part].as_str());
    let words: Vec<&str> = words.filter(|words| !words.is_empty()).collect();
    (!words.is_empty()).then(|| words.join("\n"))
}

/// The fields of the line that the proxy's own log has for the request.
fn fields(exchange: &Value) -> Vec<(&'static str, String)> {
    let text = |name: &str| exchange[name].as_str().map(str::to_owned);
    let number = |name: &str| exchange[name].as_f64().map(|number| format!("{number:.0}"));
    let fields = [
        ("request.method", text("method").filter(|method| !method.is_empty())),
        ("request.path", text("path")),
        ("status", number("status")),
        ("error", text("code")),
        ("bytes", number("bytes_down")),
        ("total_ms", number("duration_ms")),
        ("aborted", text("aborted")),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange(state: &str, meaning: Option<Value>) -> Value {
        let mut exchange = json!({
            "id": "0-1", "started": "2026-01-02T03:04:05.678Z", "method": "GET", "path": "/x", "status": 403,
            "state": state, "bytes_down": 23, "duration_ms": 12.3,
        });
        if let Some(meaning) = meaning {
            exchange["meaning"] = meaning;
        }
        exchange
    }

    #[test]
    fn an_exchange_is_printed_once_it_has_ended_and_explained_once() {
        let mut printer = Printer { colour: false, json: false, printed: HashMap::new() };
        assert_eq!(printer.lines(&exchange("active", None)), "");
        let line = printer.lines(&exchange("complete", None));
        assert!(line.ends_with(" GET /x 403 23 B 12 ms\n"), "{line:?}");
        let meaning = json!({ "name": "denied", "cause": "a policy denies it", "cure": "Allow it." });
        let explained = printer.lines(&exchange("complete", Some(meaning.clone())));
        assert_eq!(explained, "         a policy denies it\n         Allow it.\n");
        assert_eq!(printer.lines(&exchange("complete", Some(meaning))), "");
    }

    #[test]
    fn a_line_of_json_has_nothing_that_a_terminal_obeys() {
        let mut exchange = exchange("complete", None);
        exchange["request_headers"] = json!([["x-a", "\u{9b}31m \u{202e}\u{1b}"]]);
        let line = Printer { colour: false, json: true, printed: HashMap::new() }.lines(&exchange);
        assert!(!line.trim_end().chars().any(is_unprintable), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), exchange);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_and_nothing_moves_its_cursor() {
        let mut printer = Printer { colour: false, json: false, printed: HashMap::new() };
        let cause = format!("\u{1b}[2J {}", "a long explanation ".repeat(20));
        let mut wide = exchange("complete", Some(json!({ "name": "x", "cause": cause })));
        wide["path"] = json!(format!("/{}\u{202e}", "segment/".repeat(40)));
        let text = printer.lines(&wide);
        assert!(text.lines().count() > 3);
        for line in text.lines() {
            assert!(line.chars().count() <= 100 && !line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        }
    }
}

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
    telemetry::{self, RecordedLine},
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
    /// What has been printed of exchanges.
    printed: HashMap<String, Printed>,
}

/// What has been printed of one exchange. The beginning and the end of a WebSocket have a line each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Printed {
    begin: bool,
    end: bool,
    meaning: bool,
}

impl Printer {
    /// What is new in an exchange.
    fn lines(&mut self, exchange: &Value) -> String {
        let tunnel = exchange["websocket"]["state"].as_str();
        let has_ended = exchange["state"] != "active";
        if !has_ended && tunnel.is_none() {
            return String::new();
        }
        // The proxy forgets them as well.
        if self.printed.len() > 4 * MAX_EXCHANGES {
            self.printed.clear();
        }
        let id = exchange["id"].as_str().unwrap_or_default();
        let known = self.printed.get(id).copied().unwrap_or_default();
        let meaning = explanation(exchange);
        let now = Printed { begin: true, end: has_ended, meaning: meaning.is_some() || known.meaning };
        self.printed.insert(id.to_owned(), now);
        if self.json {
            return if now == known { String::new() } else { printable(exchange) };
        }
        let time = exchange["started"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let request = (!known.begin).then(|| RecordedLine::Request(fields(exchange)));
        let meaning = meaning.as_deref().filter(|_| !known.meaning);
        if tunnel.is_none() {
            return telemetry::recorded_request(self.colour, time, request, meaning);
        }
        let mut lines = telemetry::recorded_request(self.colour, time, request, None);
        let lasted = exchange["duration_ms"].as_f64().unwrap_or_default();
        let end = (has_ended && !known.end).then(|| RecordedLine::Tunnel(tunnel_fields(exchange)));
        let time = time.saturating_add(time::Duration::seconds_f64(lasted / 1_000.0));
        lines.push_str(&telemetry::recorded_request(self.colour, time, end, meaning));
        lines
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
    let is_tunnel = exchange["websocket"].is_object();
    // What has passed behind a handshake belongs to the line of its end.
    let bytes = if is_tunnel { Some("0".to_owned()) } else { number(&exchange["bytes_down"]) };
    let took = if is_tunnel { handshake_ms(exchange) } else { number(&exchange["duration_ms"]) };
    present([
        ("request.method", text(&exchange["method"]).filter(|method| !method.is_empty())),
        ("request.path", text(&exchange["path"])),
        ("status", number(&exchange["status"])),
        ("error", text(&exchange["code"])),
        ("bytes", bytes),
        ("total_ms", took),
        ("aborted", text(&exchange["aborted"])),
    ])
}

/// The fields of the line that the proxy's own log has for the end of a WebSocket.
fn tunnel_fields(exchange: &Value) -> Vec<(&'static str, String)> {
    let tunnel = &exchange["websocket"];
    present([
        ("request.path", text(&exchange["path"])),
        ("closed_by", text(&tunnel["closed_by"])),
        ("code", number(&tunnel["code"])),
        ("up.messages", number(&tunnel["messages_up"])),
        ("up.bytes", number(&exchange["bytes_up"])),
        ("down.messages", number(&tunnel["messages_down"])),
        ("down.bytes", number(&exchange["bytes_down"])),
        ("total_ms", number(&exchange["duration_ms"])),
    ])
}

fn handshake_ms(exchange: &Value) -> Option<String> {
    let phases = exchange["timing"].as_object()?;
    Some(format!("{:.0}", phases.values().filter_map(Value::as_f64).sum::<f64>()))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<String> {
    value.as_f64().map(|number| format!("{number:.0}"))
}

fn present<const N: usize>(fields: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
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
    fn a_websocket_has_a_line_at_its_beginning_and_one_at_its_end() {
        let mut printer = Printer { colour: false, json: false, printed: HashMap::new() };
        let mut tunnel = exchange("active", None);
        tunnel["status"] = json!(101);
        tunnel["timing"] = json!({ "connect": 3.2, "send": null, "wait": 4.0 });
        tunnel["websocket"] = json!({ "state": "open", "messages_up": 0, "messages_down": 0 });
        let line = printer.lines(&tunnel);
        assert!(line.ends_with(" GET /x 101 0 B 7 ms\n"), "{line:?}");
        tunnel["websocket"]["messages_up"] = json!(1);
        assert_eq!(printer.lines(&tunnel), "");

        tunnel["state"] = json!("complete");
        tunnel["duration_ms"] = json!(61_000);
        tunnel["websocket"] = json!({
            "state": "closed", "messages_up": 2, "messages_down": 3, "closed_by": "upstream", "code": 1009,
        });
        tunnel["bytes_up"] = json!(1_000);
        tunnel["meaning"] = json!({ "name": "message-too-big", "cause": "too big", "cure": "split it" });
        let lines = printer.lines(&tunnel);
        let (end, explanation) = lines.split_once('\n').expect("two lines");
        assert!(
            end.ends_with(" WebSocket /x closed 1009 by upstream 2 up 3 down 1.0 kB 1 min 1 s"),
            "{end:?}"
        );
        assert_eq!(explanation, "         too big\n         split it\n");
        assert_eq!(printer.lines(&tunnel), "");
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

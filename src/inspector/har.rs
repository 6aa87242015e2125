//! Exchanges as an HTTP Archive 1.2, which browsers and other tools open.

use std::collections::VecDeque;

use bytes::Bytes;
use http::StatusCode;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    record::{Phase, Record, fields, millis},
    recorder::Recorder,
};
use crate::rfc3339;

/// What a client may send in a target, and a URL may not contain.
const NO_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'[')
    .add(b']');

/// The archive in pieces: of all exchanges it may be larger than what is kept of them.
#[derive(Debug)]
pub struct Har {
    recorder: Recorder,
    base: String,
    entries: VecDeque<u64>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Begin,
    First,
    Further,
    Ended,
}

/// The archive of all exchanges, or of the one with this id; `None` when there is none. `base` is the URL for clients.
#[must_use]
pub fn har(recorder: &Recorder, id: Option<&str>, base: &str) -> Option<Har> {
    let entries = match id {
        Some(id) => VecDeque::from([recorder.entry(id)?.number]),
        None => recorder.0.ring().entries().iter().map(|entry| entry.number).collect(),
    };
    // A socket has no URL, and an archive needs one for each request.
    let base = if base.starts_with("http://") { base } else { "http://localhost" };
    Some(Har { recorder: recorder.clone(), base: base.to_owned(), entries, state: State::Begin })
}

impl Iterator for Har {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.state == State::Begin {
            self.state = State::First;
            let creator = json!({ "name": "countersign", "version": env!("CARGO_PKG_VERSION") });
            return Some(format!(r#"{{"log":{{"version":"1.2","creator":{creator},"entries":["#).into());
        }
        while let Some(number) = self.entries.pop_front() {
            // It may have been dropped meanwhile.
            let Some(kept) = self.recorder.0.ring().entry(number) else { continue };
            let entry = self.entry(&self.recorder.0.record(&kept));
            let comma = if self.state == State::First { "" } else { "," };
            self.state = State::Further;
            return Some(format!("{comma}{entry}").into());
        }
        let is_end = self.state != State::Ended;
        self.state = State::Ended;
        is_end.then(|| Bytes::from_static(b"]}}"))
    }
}

impl Har {
    fn entry(&self, record: &Record) -> Value {
        let (timings, total) = timings(record);
        let mut entry = json!({
            "startedDateTime": rfc3339::millis(record.started),
            "time": total,
            "request": self.request(record),
            "response": self.response(record),
            "cache": {},
            "timings": timings,
        });
        if let Some(messages) = &record.messages {
            // Without the type, Chrome shows no messages.
            entry["_resourceType"] = json!("websocket");
            entry["_webSocketMessages"] = messages.har(record.started);
        }
        let meaning = record.meaning.as_ref().and_then(|meaning| meaning["cause"].as_str());
        if let Some(meaning) = meaning {
            entry["comment"] = json!(meaning);
        }
        entry
    }

    fn request(&self, record: &Record) -> Value {
        let query = record.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{query}", record.path);
        let base = match &record.messages {
            Some(_) => self.base.replacen("http", "ws", 1),
            None => self.base.clone(),
        };
        let url = format!("{base}{}", url_target(&target));
        let body = record.request_body.text(&self.recorder.0.redaction, record.known.clone());
        let mut request = json!({
            "method": record.method,
            "url": url,
            "httpVersion": version(record),
            "cookies": [],
            "headers": named(fields(&record.request_headers)),
            "queryString": parameters(record.query.as_deref().unwrap_or_default()),
            "headersSize": -1,
            "bodySize": record.request_body.size,
        });
        if let Some(text) = body {
            let media_type = record.request_body.media_type().unwrap_or("application/octet-stream");
            request["postData"] = json!({ "mimeType": media_type, "text": text });
        }
        request
    }

    fn response(&self, record: &Record) -> Value {
        let location = fields(&record.response_headers).find(|(name, _)| *name == "location");
        let mut content = json!({
            "size": record.response_body.size,
            "mimeType": record.response_body.media_type().unwrap_or("x-unknown"),
        });
        if let Some(text) = record.response_body.text(&self.recorder.0.redaction, record.known.clone()) {
            content["text"] = json!(text);
        }
        json!({
            // Browsers write 0 where there was no response.
            "status": record.status.map_or(0, |status| status.as_u16()),
            "statusText": record.status.and_then(|status| StatusCode::canonical_reason(&status)).unwrap_or_default(),
            "httpVersion": version(record),
            "cookies": [],
            "headers": named(fields(&record.response_headers)),
            "content": content,
            "redirectURL": location.map(|(_, value)| value).unwrap_or_default(),
            "headersSize": -1,
            "bodySize": record.response_body.size,
        })
    }
}

/// A target as a URL has it: encoded, also a percent sign that encodes nothing, and with a slash before `*`.
fn url_target(target: &str) -> String {
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut url = slash.to_owned();
    for (number, part) in target.split('%').enumerate() {
        let is_escape = part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
        if number > 0 {
            url.push_str(if is_escape { "%" } else { "%25" });
        }
        url.extend(utf8_percent_encode(part, NO_URL));
    }
    url
}

/// The phases, -1 where one is not known, and their sum.
fn timings(record: &Record) -> (Value, f64) {
    let of = |phase: Phase| record.phases[phase as usize].map(millis);
    let (queue, credentials) = (of(Phase::Queue), of(Phase::Credentials));
    let blocked = queue.or(credentials).map(|_| queue.unwrap_or_default() + credentials.unwrap_or_default());
    let [connect, send, wait, receive] = [Phase::Connect, Phase::Send, Phase::Wait, Phase::Receive].map(of);
    let total = [blocked, connect, send, wait, receive].into_iter().flatten().sum();
    let timings = json!({
        "blocked": blocked.unwrap_or(-1.0),
        "dns": -1,
        "connect": connect.unwrap_or(-1.0),
        "ssl": -1,
        "send": send.unwrap_or(-1.0),
        "wait": wait.unwrap_or(-1.0),
        "receive": receive.unwrap_or(-1.0),
    });
    (timings, total)
}

fn version(record: &Record) -> String {
    format!("{:?}", record.version)
}

fn named<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    pairs.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn parameters(query: &str) -> Value {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| json!({ "name": decoded(name), "value": decoded(value) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_becomes_a_part_of_a_url() {
        for (target, url) in [
            ("/a%2Fb?c=%5Bd%5D", "/a%2Fb?c=%5Bd%5D"),
            ("/%zz?a=100%", "/%25zz?a=100%25"),
            ("/[a]|b", "/%5Ba%5D%7Cb"),
            ("*", "/*"),
        ] {
            assert_eq!(url_target(target), url);
        }
    }
}

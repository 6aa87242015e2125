//! The exchanges as lines of JSON: those that are kept, and then each change, and that all have been forgotten.

use std::{collections::VecDeque, mem, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};

use super::{MAX_BYTES, MAX_EXCHANGES, recorder::Recorder, summary::Summary};

/// How often a viewer is brought up to date at most.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// After so long without a change, an empty line shows that the connection is alive.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// As long as the line about most exchanges, in bytes.
const USUAL_LINE: usize = 2 * 1024;

/// What the first line says of the proxy.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The version of the program.
    pub version: &'static str,
    /// The URL for clients.
    pub proxy: String,
    /// The region of the first route.
    pub region: Option<String>,
    /// The service of the first route.
    pub service: Option<String>,
}

/// What one viewer gets. It holds no lines: a viewer that reads slowly gets the latest state of what has changed.
#[derive(Debug)]
pub struct Feed {
    recorder: Recorder,
    hello: Option<Hello>,
    /// Exchanges of the current round, by their numbers.
    round: VecDeque<u64>,
    /// Changes up to this one belong to the current round or to one before.
    seen: u64,
    /// The clearing that the viewer knows of.
    clears: u64,
    /// Whether the line about a clearing is still to come.
    has_cleared: bool,
    next_round: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Recorder {
    /// A feed for another viewer; `None` when there are too many.
    #[must_use]
    pub fn feed(&self, hello: Hello) -> Option<Feed> {
        let permit = self.0.viewers.clone().try_acquire_owned().ok()?;
        let (recorder, hello) = (self.clone(), Some(hello));
        let clears = self.0.ring().clears();
        Some(Feed {
            recorder,
            hello,
            round: VecDeque::new(),
            seen: 0,
            clears,
            has_cleared: false,
            next_round: Instant::now(),
            _permit: permit,
        })
    }
}

impl Feed {
    /// The next line, when there is one.
    pub async fn next(&mut self) -> Bytes {
        loop {
            if let Some(line) = self.pending() {
                return line;
            }
            let shared = std::sync::Arc::clone(&self.recorder.0);
            let mut changed = std::pin::pin!(shared.change());
            // Before the look, or a change in between would be missed.
            changed.as_mut().enable();
            shared.await_change();
            shared.redact_in_turns().await;
            let is_cleared = shared.ring().clears() > self.clears;
            if is_cleared || shared.revision() > self.seen {
                sleep_until(self.next_round).await;
                // So that little is left to do at once.
                shared.redact_in_turns().await;
                self.begin_round();
            } else if timeout_at(Instant::now() + MAX_SILENCE, changed).await.is_err() {
                return Bytes::from_static(b"\n");
            }
        }
    }

    /// The lines that are left, when no more changes are waited for.
    pub fn rest(&mut self) -> Option<Bytes> {
        if self.round.is_empty() && self.hello.is_none() {
            self.begin_round();
        }
        self.pending()
    }

    fn pending(&mut self) -> Option<Bytes> {
        if let Some(hello) = self.hello.take() {
            return Some(self.greeting(&hello));
        }
        if mem::take(&mut self.has_cleared) {
            return Some(line(&json!({ "type": "cleared" })));
        }
        while let Some(number) = self.round.pop_front() {
            let shared = &self.recorder.0;
            let Some(entry) = shared.ring().entry(number) else { continue };
            let record = shared.record(&entry);
            return Some(line(&Event { r#type: "exchange", exchange: record.summary() }));
        }
        None
    }

    fn begin_round(&mut self) {
        let shared = &self.recorder.0;
        shared.redact_all();
        let now = shared.revision();
        // Under one lock: what arrives after a clearing comes after the line about it.
        let ring = shared.ring();
        self.round = ring.changed_since(self.seen);
        self.has_cleared |= ring.clears() > self.clears;
        self.clears = ring.clears();
        drop(ring);
        self.seen = now;
        self.next_round = Instant::now() + MIN_INTERVAL;
    }

    fn greeting(&self, hello: &Hello) -> Bytes {
        let mut greeting = Map::new();
        let mut put = |name: &str, value: Value| greeting.insert(name.to_owned(), value);
        put("type", json!("hello"));
        put("version", json!(hello.version));
        put("proxy", json!(hello.proxy));
        put("mode", json!(self.recorder.mode().as_str()));
        put("limits", json!({ "exchanges": MAX_EXCHANGES, "bytes": MAX_BYTES }));
        if let Some(region) = &hello.region {
            put("region", json!(region));
        }
        if let Some(service) = &hello.service {
            put("service", json!(service));
        }
        line(&Value::Object(greeting))
    }
}

/// A line about an exchange.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    exchange: Summary<'a>,
}

fn line(event: &impl Serialize) -> Bytes {
    let mut text = Vec::with_capacity(USUAL_LINE);
    serde_json::to_writer(&mut text, event).expect("a line has text and numbers only");
    text.push(b'\n');
    Bytes::from(text)
}

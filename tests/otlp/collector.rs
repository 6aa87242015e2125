//! A collector in the test's own process, which remembers what it was sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1 as otlp,
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::support::soon;

/// Less than spans wait for their batch.
pub(crate) const AWHILE: Duration = Duration::from_millis(20);

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    /// Closes a connection that has rested for a while, without a word.
    ClosesAfterEachAnswer,
    /// Takes everything and never answers.
    Hangs,
    Refuses,
    /// Takes a batch but for one span.
    TakesPart,
}

pub(crate) struct Collector {
    address: SocketAddr,
    memory: Memory,
    _accepting: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Memory {
    posts: Arc<Mutex<Vec<Post>>>,
    more: Arc<Notify>,
}

/// One batch as it came.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// The request line and the fields, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A span in the terms of a test.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    /// Empty for the first of a trace.
    pub(crate) parent_id: String,
    pub(crate) state: String,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    pub(crate) failed: bool,
    pub(crate) attributes: Value,
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_behind(None, manner).await
    }

    /// One that is reached by TLS, if there is an acceptor.
    pub(crate) async fn start_behind(tls: Option<TlsAcceptor>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let memory = Memory::default();
        let seen = memory.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, tls) = (seen.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(BufReader::new(stream), seen, manner).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(BufReader::new(stream), seen, manner).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, memory, _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.memory.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.posts().iter().flat_map(Post::spans).collect()
    }

    /// Waits until so many spans have come, and gives all of them.
    pub(crate) async fn spans_at_least(&self, number: usize) -> Vec<Span> {
        soon("spans", async {
            loop {
                let more = self.memory.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                let spans = self.spans();
                if spans.len() >= number {
                    return spans;
                }
                more.await;
            }
        })
        .await
    }
}

async fn serve(mut stream: impl AsyncBufRead + AsyncWriteExt + Unpin, memory: Memory, manner: Manner) {
    while let Some(post) = read(&mut stream).await {
        memory.posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
        memory.more.notify_waiters();
        let (status, body) = match manner {
            Manner::Answers | Manner::ClosesAfterEachAnswer => ("200 OK", Vec::new()),
            Manner::Refuses => ("401 Unauthorized", Vec::new()),
            Manner::TakesPart => ("200 OK", part()),
            Manner::Hangs => std::future::pending().await,
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        let answer = [head.into_bytes(), body].concat();
        if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if manner == Manner::ClosesAfterEachAnswer {
            // Not at once: a client that still looks at the connection would see it close.
            sleep(AWHILE).await;
            return;
        }
    }
}

fn part() -> Vec<u8> {
    let error_message = "too old".to_owned();
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 1, error_message });
    ExportTraceServiceResponse { partial_success }.encode_to_vec()
}

async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Post> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().expect("a length")];
    stream.read_exact(&mut body).await.ok()?;
    Some(Post { head, body })
}

impl Post {
    fn message(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.as_slice()).expect("a message of OTLP")
    }

    /// What is said of the process.
    pub(crate) fn resource(&self) -> Value {
        let resource = self.message().resource_spans.remove(0).resource.expect("a resource");
        object(resource.attributes)
    }

    fn spans(&self) -> Vec<Span> {
        let scopes = self.message().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(Span::from).collect()
    }
}

impl From<otlp::Span> for Span {
    fn from(span: otlp::Span) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let at = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        let error = otlp::status::StatusCode::Error as i32;
        Self {
            name: span.name,
            kind: span.kind,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            state: span.trace_state,
            start: at(span.start_time_unix_nano),
            end: at(span.end_time_unix_nano),
            failed: span.status.is_some_and(|status| status.code == error),
            attributes: object(span.attributes),
        }
    }
}

fn object(attributes: Vec<KeyValue>) -> Value {
    let value = |attribute: KeyValue| match attribute.value.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::BoolValue(yes)) => json!(yes),
        other => panic!("{other:?}"),
    };
    let pairs = attributes.into_iter().map(|attribute| (attribute.key.clone(), value(attribute)));
    json!(pairs.collect::<BTreeMap<_, _>>())
}

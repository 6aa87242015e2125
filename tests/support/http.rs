//! Two clients: one that sends requests, and one that sends bytes.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::soon;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The first value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// All values of a header, in their order.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }

    /// Status, code and Proxy-Status error of an answer of the proxy itself, whose form is checked.
    pub(crate) fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem = self.json();
        let code = problem["code"].as_str().expect("a code").to_owned();
        assert_eq!(problem["type"], format!("urn:countersign:{code}"));
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["message"], problem["detail"]);
        for name in ["title", "detail", "request_id"] {
            assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {problem}");
        }
        let detail = problem["detail"].to_string();
        for inside in ["os error", "hyper", "rustls", "/tmp", "src/", "127.0.0.1:", "{"] {
            assert!(!detail.contains(inside), "{inside} is nobody's business: {detail}");
        }
        let error = self.header("proxy-status").strip_prefix("countersign; error=");
        (self.status.as_u16(), code, error.expect("a proxy-status").to_owned())
    }
}

/// Status, code and Proxy-Status error, as [`Answer::problem`] gives them.
pub(crate) fn problem(status: u16, code: &str, error: &str) -> (u16, String, String) {
    (status, code.to_owned(), error.to_owned())
}

pub(crate) fn get(path: &str) -> Request<Bytes> {
    request("GET", path, Bytes::new())
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::builder().method(method).uri(path).body(body.into()).expect("a valid request")
}

/// Sends `request` to `address` and reads the whole answer.
pub(crate) async fn exchange(
    client: &Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    request: Request<impl Into<Bytes>>,
) -> Answer {
    let mut request = request.map(|body| Full::new(body.into()));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{address}{path}").parse().expect("a valid URL");
    let response = soon("an answer", client.request(request)).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = soon("a whole body", body.collect()).await.expect("a whole body");
    let trailers = body.trailers().cloned();
    Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
}

/// A connection on which a test says each byte itself.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await.expect("a connection");
        stream.set_nodelay(true).expect("a live socket");
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon("bytes to be taken", self.stream.write_all(bytes.as_ref())).await.expect("an open connection");
    }

    /// As [`write`](Self::write); whether the other end still takes bytes.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon("bytes to be taken", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// A response head: the status line, and the fields as they came.
    pub(crate) async fn head(&mut self) -> Head {
        self.try_head().await.expect("a response head")
    }

    /// As [`head`](Self::head); `None` when the connection ends before it.
    pub(crate) async fn try_head(&mut self) -> Option<Head> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = soon("a line of the head", self.stream.read_line(&mut line)).await;
            if !matches!(read, Ok(read) if read > 0) {
                return None;
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                break;
            }
            lines.push(line.to_owned());
        }
        let status = lines.first()?.split(' ').nth(1).and_then(|code| code.parse().ok());
        let fields = lines[1..].iter().filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Some(Head { status: status.expect("a status"), fields: fields.collect() })
    }

    /// The head and, as it frames it, the body.
    pub(crate) async fn answer(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let body = self.body(&head).await;
        (head, body)
    }

    /// The body that `head` frames.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        match (head.field("content-length"), head.field("transfer-encoding")) {
            (Some(length), _) => self.exactly(length.parse().expect("a length")).await,
            (None, Some(_)) => self.chunks().await,
            (None, None) => self.rest().await.expect("a clean end"),
        }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await.expect("a chunk");
            if chunk.is_empty() {
                return body;
            }
            body.extend(chunk);
        }
    }

    /// One chunk; empty at the end of the body, whose trailers are read. `None` when the connection ends.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line().await?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).expect("a chunk's size");
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Some(Vec::new());
        }
        let mut chunk = vec![0; size];
        soon("a chunk", self.stream.read_exact(&mut chunk)).await.ok()?;
        self.line().await.filter(String::is_empty).map(|_| chunk)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon("a line", self.stream.read_line(&mut line)).await;
        matches!(read, Ok(read) if read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon("bytes", self.stream.read_exact(&mut bytes)).await.expect("as many bytes");
        bytes
    }

    /// Everything to the end of the connection.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        soon("the end of the connection", self.stream.read_to_end(&mut bytes)).await.map(|_| bytes)
    }

    /// As [`rest`](Self::rest), however it ends; `None` when it has not by then.
    pub(crate) async fn rest_within(&mut self, time: Duration) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        timeout(time, self.stream.read_to_end(&mut bytes)).await.ok().map(|_| bytes)
    }

    /// Whether the other end has closed, with nothing more said.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_ok_and(|rest| rest.is_empty())
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish_writing(&mut self) {
        assert!(self.try_finish_writing().await, "the connection is not open");
    }

    /// As [`finish_writing`](Self::finish_writing); whether the connection is still open.
    pub(crate) async fn try_finish_writing(&mut self) -> bool {
        self.stream.shutdown().await.is_ok()
    }
}

/// A response head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Names in lower case, in the order they came.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

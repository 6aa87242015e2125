//! An upstream over TLS of which a test says each frame: HTTP/1.1 and HTTP/2 in the same words.

use std::{
    collections::HashMap,
    future::Future,
    net::{Shutdown, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::server::TlsStream;

use crate::support::{soon, tls::Authority};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    Length(usize),
    /// By chunks in HTTP/1.1, by END_STREAM in HTTP/2.
    Stream,
    /// By the end of the connection, in HTTP/1.1.
    Close,
}

/// What an upstream does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The head of a 200.
    Head(Framing),
    Data(&'static str),
    /// The end of the body, as it is framed.
    End,
    /// The end of the body by a trailer.
    Trailers,
    /// Bytes that belong nowhere.
    Raw(&'static [u8]),
    /// RST_STREAM.
    Reset(u32),
    /// GOAWAY that names the stream as one that was begun, or not.
    GoAway {
        begun: bool,
        code: u32,
    },
    /// Closes the connection, with close_notify.
    Close,
    /// Closes the connection without close_notify.
    Cut,
    /// Resets the connection.
    Abort,
    /// Says that nothing more will be sent, and goes on reading.
    HalfClose,
}

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
pub(crate) const HTTP_1_1_REQUIRED: u32 = 13;

/// A whole answer, whose body is `fine`.
pub(crate) const FINE: &[Step] = &[Step::Head(Framing::Length(4)), Step::Data("fine"), Step::End];

/// What an upstream is like, apart from what it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) protocols: &'static [&'static str],
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub(crate) max_streams: Option<u32>,
    /// How long to wait before each 64 KiB of a request body.
    pub(crate) reads_every: Option<Duration>,
    /// Whether it is silent about PING.
    pub(crate) is_deaf: bool,
    /// What it answers to a request whose body has begun to come, of which it reads no more.
    pub(crate) answers_early: Option<&'static [Step]>,
}

pub(crate) const HTTP1: Manner = Manner {
    protocols: &["http/1.1"],
    max_streams: None,
    reads_every: None,
    is_deaf: false,
    answers_early: None,
};
pub(crate) const HTTP2: Manner = Manner { protocols: &["h2"], ..HTTP1 };

/// A listener whose connections are counted.
pub(crate) struct Upstream {
    address: SocketAddr,
    counts: Counts,
    _accepting: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Counts {
    connections: Arc<AtomicUsize>,
    open: watch::Sender<usize>,
    requests: watch::Sender<usize>,
}

/// A request that has come whole.
pub(crate) struct Request {
    /// From zero, over all connections.
    pub(crate) number: usize,
    /// The connection it came on, from zero.
    pub(crate) connection: usize,
    pub(crate) body: Bytes,
    stream: Option<u32>,
    writer: mpsc::UnboundedSender<Command>,
}

enum Command {
    Write(Vec<u8>),
    Close,
    Cut,
    Abort,
    HalfClose,
}

impl Upstream {
    /// Answers each request by `script`, all at the same time over HTTP/2.
    pub(crate) async fn start<F, S>(authority: &Authority, manner: Manner, script: F) -> Self
    where
        F: Fn(Request) -> S + Clone + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        if manner.reads_every.is_some() {
            SockRef::from(&listener).set_recv_buffer_size(64 << 10).expect("a size");
        }
        let address = listener.local_addr().expect("an address");
        let (counts, acceptor) = (Counts::default(), authority.acceptor(manner.protocols));
        let mut accepting = JoinSet::new();
        let counted = counts.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a live socket");
                let number = counted.connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, counts, script) = (acceptor.clone(), counted.clone(), script.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    counts.open.send_modify(|open| *open += 1);
                    let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let socket = SockRef::from(stream.get_ref().0).try_clone().expect("a live socket");
                    let (reader, writer) = split(stream);
                    let (sender, commands) = mpsc::unbounded_channel();
                    let answered_ping = Arc::new(Notify::new());
                    let reader = Reader {
                        stream: reader,
                        number,
                        manner,
                        counts: counts.clone(),
                        sender,
                        answered_ping: Arc::clone(&answered_ping),
                    };
                    let answered_ping = is_two.then_some(answered_ping);
                    let closed = tokio::select! {
                        () = async { if is_two { reader.http2(script).await } else { reader.http1(script).await } } => None,
                        closed = write(writer, socket, commands, answered_ping) => closed,
                    };
                    counts.open.send_modify(|open| *open -= 1);
                    if let Some(socket) = closed {
                        discard(socket).await;
                    }
                });
            }
        });
        Self { address, counts, _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        *self.counts.open.borrow()
    }

    /// Waits until all connections have ended.
    pub(crate) async fn all_closed(&self) {
        soon("the connections to be closed", self.counts.open.subscribe().wait_for(|open| *open == 0))
            .await
            .expect("a living upstream");
    }

    /// How many requests have come whole.
    pub(crate) fn requests(&self) -> usize {
        *self.counts.requests.borrow()
    }

    /// Waits until so many requests have come whole.
    pub(crate) async fn has_had(&self, count: usize) {
        soon("the requests", self.counts.requests.subscribe().wait_for(|requests| *requests >= count))
            .await
            .expect("a living upstream");
    }
}

impl Request {
    pub(crate) fn is_http2(&self) -> bool {
        self.stream.is_some()
    }

    /// Does what is to be done, in order.
    pub(crate) fn play(&self, steps: &[Step]) {
        let mut framing = Framing::Stream;
        for step in steps {
            if let Step::Head(its) = step {
                framing = *its;
            }
            let command = match step {
                Step::Close => Command::Close,
                Step::Cut => Command::Cut,
                Step::Abort => Command::Abort,
                Step::HalfClose => Command::HalfClose,
                Step::Raw(bytes) => Command::Write(bytes.to_vec()),
                step => Command::Write(match self.stream {
                    Some(stream) => http2_bytes(*step, stream),
                    None => http1_bytes(*step, framing),
                }),
            };
            // The connection may have ended meanwhile.
            let _ = self.writer.send(command);
        }
    }
}

fn http1_bytes(step: Step, framing: Framing) -> Vec<u8> {
    match (step, framing) {
        (Step::Head(Framing::Length(length)), _) => {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes()
        }
        (Step::Head(Framing::Stream), _) => {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n".to_vec()
        }
        (Step::Head(Framing::Close), _) => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        (Step::Data(text), Framing::Stream) => format!("{:x}\r\n{text}\r\n", text.len()).into_bytes(),
        (Step::Data(text), _) => text.into(),
        (Step::End, Framing::Stream) => b"0\r\n\r\n".to_vec(),
        (Step::End, _) => Vec::new(),
        (Step::Trailers, _) => b"0\r\nx-sum: 1\r\n\r\n".to_vec(),
        (step, _) => panic!("{step:?} is not of HTTP/1.1"),
    }
}

fn http2_bytes(step: Step, stream: u32) -> Vec<u8> {
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    match step {
        Step::Head(framing) => frame(1, END_HEADERS, stream, &http2_head(framing)),
        Step::Data(text) => frame(0, 0, stream, text.as_bytes()),
        Step::End => frame(0, END_STREAM, stream, b""),
        Step::Trailers => frame(1, END_HEADERS | END_STREAM, stream, b"\0\x05x-sum\x011"),
        Step::Reset(code) => frame(3, 0, stream, &code.to_be_bytes()),
        Step::GoAway { begun, code } => {
            let last = if begun { stream } else { stream - 1 };
            frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
        }
        step => panic!("{step:?} is not of HTTP/2"),
    }
}

/// `:status: 200` from the static table, and the length as a literal.
fn http2_head(framing: Framing) -> Vec<u8> {
    let mut head = vec![0x88];
    if matches!(framing, Framing::Stream) {
        head.extend(b"\0\x07trailer\x05x-sum");
    }
    if let Framing::Length(length) = framing {
        let length = length.to_string();
        head.extend([0x0f, 0x0d, length.len() as u8]);
        head.extend(length.as_bytes());
    }
    head
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Does what is commanded; gives the socket of a connection that was closed in good order. Over HTTP/2, the answer to a
/// PING notifies `answered_ping`.
async fn write(
    mut stream: WriteHalf<TlsStream<TcpStream>>,
    socket: Socket,
    mut commands: mpsc::UnboundedReceiver<Command>,
    answered_ping: Option<Arc<Notify>>,
) -> Option<Socket> {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Write(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return None;
                }
            }
            Command::Close => {
                let _ = stream.shutdown().await;
                return Some(socket);
            }
            Command::HalfClose => drop(stream.shutdown().await),
            Command::Cut => {
                // The other end may have closed meanwhile.
                let _ = socket.shutdown(Shutdown::Write);
                return Some(socket);
            }
            Command::Abort => {
                // A proxy that first writes, such as the acknowledgement of SETTINGS, sees the reset and reads none of
                // what came before it.
                if let Some(answered_ping) = &answered_ping {
                    let ping = frame(6, 0, 0, b"all read");
                    if stream.write_all(&ping).await.is_ok() && stream.flush().await.is_ok() {
                        answered_ping.notified().await;
                    }
                }
                socket.set_linger(Some(Duration::ZERO)).expect("a live socket");
                return None;
            }
        }
    }
    std::future::pending().await
}

/// Reads what still comes, such as a WINDOW_UPDATE: the kernel resets a connection that is closed with bytes unread.
async fn discard(socket: Socket) {
    let mut stream = TcpStream::from_std(socket.into()).expect("a socket of this runtime");
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

struct Reader {
    stream: ReadHalf<TlsStream<TcpStream>>,
    number: usize,
    manner: Manner,
    counts: Counts,
    sender: mpsc::UnboundedSender<Command>,
    answered_ping: Arc<Notify>,
}

impl Reader {
    fn request(&self, stream: Option<u32>, body: Vec<u8>) -> Request {
        let mut number = 0;
        self.counts.requests.send_modify(|requests| number = std::mem::replace(requests, *requests + 1));
        Request { number, connection: self.number, body: body.into(), stream, writer: self.sender.clone() }
    }

    fn say(&self, bytes: Vec<u8>) {
        let _ = self.sender.send(Command::Write(bytes));
    }

    async fn pause(&self) {
        if let Some(pause) = self.manner.reads_every {
            tokio::time::sleep(pause).await;
        }
    }

    async fn http1<F, S>(mut self, script: F)
    where
        F: Fn(Request) -> S,
        S: Future<Output = ()>,
    {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = self.stream.read_u8().await else { return };
                head.push(byte);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            let mut body = vec![0; length];
            for part in body.chunks_mut(64 << 10) {
                self.pause().await;
                if self.stream.read_exact(part).await.is_err() {
                    return;
                }
                if let Some(steps) = self.manner.answers_early {
                    self.request(None, Vec::new()).play(steps);
                    return std::future::pending().await;
                }
            }
            script(self.request(None, body)).await;
        }
    }

    async fn http2<F, S>(mut self, script: F)
    where
        F: Fn(Request) -> S,
        S: Future<Output = ()> + Send + 'static,
    {
        let mut preface = [0; 24];
        if self.stream.read_exact(&mut preface).await.is_err() {
            return;
        }
        let limit = self.manner.max_streams.map(|limit| [&[0, 3][..], &limit.to_be_bytes()].concat());
        self.say(frame(4, 0, 0, &limit.unwrap_or_default()));
        let (mut streams, mut bodies) = (JoinSet::new(), HashMap::<u32, Vec<u8>>::new());
        let mut head = [0; 9];
        while self.stream.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if self.stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match kind {
                0 if let Some(steps) = self.manner.answers_early => {
                    // Nothing more is read of this stream: its window stays shut.
                    if bodies.insert(stream, Vec::new()).is_none() {
                        self.request(Some(stream), Vec::new()).play(steps);
                    }
                    self.say(frame(8, 0, 0, &(payload.len() as u32).to_be_bytes()));
                    continue;
                }
                0 if !payload.is_empty() => {
                    let body = bodies.entry(stream).or_default();
                    if (body.len() + payload.len()) >> 16 > body.len() >> 16 {
                        self.pause().await;
                    }
                    body.extend(&payload);
                    let more = (payload.len() as u32).to_be_bytes();
                    self.say([frame(8, 0, 0, &more), frame(8, 0, stream, &more)].concat());
                }
                4 if flags == 0 => self.say(frame(4, 1, 0, b"")),
                6 if flags == 1 => self.answered_ping.notify_one(),
                6 if flags == 0 && !self.manner.is_deaf => self.say(frame(6, 1, 0, &payload)),
                _ => {}
            }
            if matches!(kind, 0 | 1) && flags & 1 == 1 {
                let body = bodies.remove(&stream).unwrap_or_default();
                streams.spawn(script(self.request(Some(stream), body)));
            }
        }
    }
}

//! Lines go out as messages and messages come in as lines, until one side ends it.

use std::{io, iter, mem, pin::pin, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol::{
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::{
    commands::Failure,
    shutdown::{Signal, Signals},
    telemetry,
};

/// Bytes of a frame. API Gateway takes messages of 128 KiB, but no frame over 32 KiB.
const MAX_FRAME: usize = 32 * 1024;
/// How long the API may take to answer a Close frame.
const MAX_CLOSING: Duration = Duration::from_secs(5);
/// The same after a signal.
const MAX_INTERRUPTED: Duration = Duration::from_secs(1);

/// An open connection, and what is to be sent.
pub(super) struct Conversation<S> {
    sink: SplitSink<WebSocketStream<S>, Message>,
    stream: SplitStream<WebSocketStream<S>>,
    lines: mpsc::Receiver<io::Result<String>>,
    pauses: Pauses,
    began: Instant,
    last_message: Instant,
}

/// How long a conversation goes on without progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// Between messages, after the end of the input.
    pub(super) wait: Duration,
    /// While the API takes nothing of a message: `idle-timeout`.
    pub(super) write: Duration,
}

/// How a conversation ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The input or the output ended.
    ByUser {
        is_answered: bool,
    },
    /// The API closed the connection; `close` is its Close frame and the frame's code.
    ByApi {
        close: Option<Option<u16>>,
        reason: String,
        lasted: Duration,
        silence: Duration,
    },
    /// The input or a frame of the API cannot be understood.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    Interrupted(Signal),
}

/// Why the connection is to be closed, or was.
enum Stop {
    Input,
    BadInput(io::Error),
    Output,
    /// The API has stopped reading.
    Stuck,
    /// By the API, with or without a Close frame.
    Closed(Option<Option<CloseFrame>>),
    Failed(tungstenite::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Begins on a connection whose handshake is done.
    pub(super) async fn begin(
        connection: S,
        lines: mpsc::Receiver<io::Result<String>>,
        pauses: Pauses,
    ) -> Self {
        let (sink, stream) = WebSocketStream::from_raw_socket(connection, Role::Client, None).await.split();
        let now = Instant::now();
        Self { sink, stream, lines, pauses, began: now, last_message: now }
    }

    /// Holds the conversation to its end, or until a signal.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub(super) async fn hold(mut self, signals: &mut Signals) -> Result<Ending, Failure> {
        let signal = tokio::select! {
            ended = self.hold_to_end() => return ended,
            signal = signals.next() => signal,
        };
        self.close(CloseCode::Away, MAX_INTERRUPTED, false).await;
        Ok(Ending::Interrupted(signal))
    }

    async fn hold_to_end(&mut self) -> Result<Ending, Failure> {
        Ok(match self.talk().await? {
            Stop::Input => {
                Ending::ByUser { is_answered: self.close(CloseCode::Normal, MAX_CLOSING, true).await }
            }
            Stop::Output => {
                Ending::ByUser { is_answered: self.close(CloseCode::Normal, MAX_CLOSING, false).await }
            }
            Stop::BadInput(error) => {
                self.close(CloseCode::Normal, MAX_CLOSING, false).await;
                Ending::Broken(error.into())
            }
            Stop::Stuck => Ending::Broken("the API took none of a message in time (idle-timeout)".into()),
            Stop::Closed(close) => self.closed_by_api(close).await,
            Stop::Failed(error) => Ending::Broken(in_words(error).into()),
        })
    }

    /// Takes messages and sends lines until there is a reason to stop.
    async fn talk(&mut self) -> Result<Stop, Failure> {
        let Self { sink, stream, lines, pauses: Pauses { wait, write }, last_message, .. } = self;
        let mut sending = pin!(send_lines(sink, lines, *write));
        let mut is_sending = true;
        let mut quiet = pin!(sleep_until(Instant::now()));
        loop {
            tokio::select! {
                received = stream.next() => {
                    let text = match received {
                        Some(Ok(Message::Close(frame))) => return Ok(Stop::Closed(Some(frame))),
                        Some(Ok(message)) => line_of(&message),
                        Some(Err(error)) => return Ok(of_error(error)),
                        None => return Ok(Stop::Closed(None)),
                    };
                    let Some(text) = text else { continue };
                    if !print(text).await? {
                        return Ok(Stop::Output);
                    }
                    *last_message = Instant::now();
                    quiet.as_mut().reset(*last_message + *wait);
                }
                sent = sending.as_mut(), if is_sending => {
                    is_sending = false;
                    let patience = match sent {
                        Sent::All => *wait,
                        Sent::Unreadable(error) => return Ok(Stop::BadInput(error)),
                        Sent::Stuck => return Ok(Stop::Stuck),
                        // The API has closed the connection, and why comes in at the other side.
                        Sent::Refused => MAX_CLOSING,
                    };
                    quiet.as_mut().reset(Instant::now() + patience);
                }
                () = quiet.as_mut(), if !is_sending => return Ok(Stop::Input),
            }
        }
    }

    /// Waits for the end of a connection that the API has closed.
    async fn closed_by_api(&mut self, close: Option<Option<CloseFrame>>) -> Ending {
        let (lasted, silence) = (self.began.elapsed(), self.last_message.elapsed());
        // The library answers the Close frame meanwhile.
        let ending = async { while self.stream.next().await.is_some() {} };
        if timeout(MAX_CLOSING, ending).await.is_err() {
            tracing::debug!("the API has sent a Close frame and keeps the connection");
        }
        let (close, reason) = match close {
            Some(Some(CloseFrame { code, reason })) => (Some(Some(code.into())), reason.as_str().to_owned()),
            Some(None) => (Some(None), String::new()),
            None => (None, String::new()),
        };
        Ending::ByApi { close, reason, lasted, silence }
    }

    /// Closes the connection; whether the API answered in time. Until then its messages are printed or dropped.
    async fn close(&mut self, code: CloseCode, max_wait: Duration, prints: bool) -> bool {
        let frame = CloseFrame { code, reason: Utf8Bytes::default() };
        let closing = async {
            self.sink.send(Message::Close(Some(frame))).await.ok()?;
            while let Some(received) = self.stream.next().await {
                match received.ok()? {
                    Message::Close(_) => return Some(()),
                    message if prints => {
                        if let Some(line) = line_of(&message) {
                            print(line).await.ok()?;
                        }
                    }
                    _ => {}
                }
            }
            None
        };
        timeout(max_wait, closing).await.ok().flatten().is_some()
    }
}

/// How the sending of lines ended.
enum Sent {
    All,
    Unreadable(io::Error),
    Refused,
    Stuck,
}

async fn send_lines<S: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    lines: &mut mpsc::Receiver<io::Result<String>>,
    max_write: Duration,
) -> Sent {
    while let Some(line) = lines.recv().await {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Sent::Unreadable(error),
        };
        for frame in frames_of(line) {
            match timeout(max_write, sink.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Sent::Refused,
                Err(_) => return Sent::Stuck,
            }
        }
    }
    Sent::All
}

/// The frames of a text message.
fn frames_of(line: String) -> impl Iterator<Item = Message> {
    let (mut rest, mut kind) = (Some(Bytes::from(line)), Data::Text);
    iter::from_fn(move || {
        let mut payload = rest.take()?;
        if payload.len() > MAX_FRAME {
            rest = Some(payload.split_off(MAX_FRAME));
        }
        let opcode = OpCode::Data(mem::replace(&mut kind, Data::Continue));
        Some(Message::Frame(Frame::message(payload, opcode, rest.is_none())))
    })
}

/// How a message is printed. The library answers pings.
fn line_of(message: &Message) -> Option<String> {
    match message {
        Message::Text(text) => Some(format!("{text}\n")),
        Message::Binary(bytes) => Some(format!("binary: {}\n", STANDARD.encode(bytes))),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    }
}

fn of_error(error: tungstenite::Error) -> Stop {
    match error {
        tungstenite::Error::Io(_)
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Stop::Closed(None),
        error => Stop::Failed(error),
    }
}

/// What is wrong with what the API sent. The library's errors repeat their source.
fn in_words(error: tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Protocol(fault) => format!("the API broke the WebSocket protocol: {fault}"),
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("the API sent a message or frame of {size} bytes; ws takes at most {max_size}")
        }
        tungstenite::Error::Utf8(_) => "the API sent a text message that is not UTF-8".to_owned(),
        other => other.to_string(),
    }
}

/// Writes to stdout on a blocking thread, behind what was said on stderr; `false` when its reader has gone away.
async fn print(text: String) -> Result<bool, Failure> {
    let printed = spawn_blocking(move || {
        telemetry::flush();
        let mut stdout = io::stdout().lock();
        io::Write::write_all(&mut stdout, text.as_bytes()).and_then(|()| io::Write::flush(&mut stdout))
    });
    match printed.await.map_err(Failure::runtime)? {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

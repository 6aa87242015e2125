//! One connection from its 101 to its end.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    WebSocketLimits,
    connections::{Command, Registration},
    integration::{Integration, Reply},
};
use crate::clock::Clock;

/// Messages of one connection that the backend may work on at the same time.
const MAX_CONCURRENT: usize = 16;
/// How long a client may take to read what it is sent.
const MAX_WRITE: Duration = Duration::from_secs(30);
/// How long a client may take to answer a Close frame.
const MAX_CLOSING: Duration = Duration::from_secs(5);
/// The code of a connection that ended without a Close frame (RFC 6455 section 7.4.1).
pub(in crate::sandbox) const ABNORMAL: u16 = 1006;
/// The code of a Close frame that has none.
const NO_STATUS: u16 = 1005;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) struct Session {
    pub(super) registration: Registration,
    pub(super) limits: WebSocketLimits,
    pub(super) integration: Arc<Integration>,
    pub(super) clock: Clock,
    /// After how many messages the connection closes, with which code, if that is planned.
    pub(super) close_after: Option<(u32, u16)>,
}

/// How a connection ends.
enum Ending {
    /// The client has sent a Close frame.
    ByClient(Option<CloseFrame>),
    /// The API sends one.
    ByApi(CloseFrame),
    /// The transport ends without one.
    Lost,
}

/// What follows from one event of a connection.
enum Step {
    /// Nothing, as if it had not been.
    Ignore,
    /// Nothing is sent, and the connection was active.
    Active,
    Send(Message),
    End(Ending),
}

impl Session {
    pub(super) async fn run(mut self, upgrade: OnUpgrade) {
        let (code, reason) = match upgrade.await {
            Ok(upgraded) => {
                let config = WebSocketConfig::default()
                    .max_frame_size(Some(self.limits.max_frame))
                    .max_message_size(Some(self.limits.max_message));
                let mut socket =
                    Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
                let ending = self.converse(&mut socket).await;
                // From here on, @connections answers that the connection is gone.
                self.registration.commands.close();
                end(&mut socket, ending).await
            }
            Err(error) => {
                tracing::debug!(%error, "sandbox connection ended at its upgrade");
                (ABNORMAL, "Going away".into())
            }
        };
        drop(self.registration);
        self.integration.disconnect(code, &reason).await;
    }

    async fn converse(&mut self, socket: &mut Socket) -> Ending {
        let mut messages = 0;
        let mut integrations = JoinSet::new();
        let end_of_life = sleep_until(Instant::now() + self.limits.max_lifetime);
        let idle = sleep_until(Instant::now() + self.limits.idle_timeout);
        tokio::pin!(end_of_life, idle);
        loop {
            if let Some((after, code)) = self.close_after
                && messages >= after
                && integrations.is_empty()
            {
                return planned_end(code);
            }
            let step = tokio::select! {
                received = socket.next(), if integrations.len() < MAX_CONCURRENT => {
                    let step = self.received(received, &mut integrations);
                    messages += u32::from(matches!(step, Step::Send(_) | Step::Active));
                    step
                }
                command = self.registration.commands.recv() => of_command(command),
                Some(answer) = integrations.join_next() => {
                    answer.ok().flatten().map_or(Step::Active, |text| Step::Send(Message::text(text)))
                }
                () = &mut idle => Step::End(closing(CloseCode::Away, "Going away")),
                () = &mut end_of_life => Step::End(closing(CloseCode::Away, "Going away")),
            };
            match step {
                Step::Ignore => continue,
                Step::Active => {}
                Step::Send(message) => {
                    if !send(socket, message).await {
                        return Ending::Lost;
                    }
                }
                Step::End(ending) => return ending,
            }
            self.registration.activity.touch(self.clock.now());
            idle.as_mut().reset(Instant::now() + self.limits.idle_timeout);
        }
    }

    fn received(
        &self,
        received: Option<tungstenite::Result<Message>>,
        integrations: &mut JoinSet<Option<String>>,
    ) -> Step {
        match received {
            Some(Ok(Message::Text(text))) => self.route(text, integrations),
            Some(Ok(Message::Binary(_))) => Step::End(closing(CloseCode::Unsupported, "Unsupported Data")),
            Some(Ok(Message::Close(frame))) => Step::End(Ending::ByClient(frame)),
            // Pings are answered by the library. The gateway's idle timeout counts messages alone.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Step::Ignore,
            Some(Err(error)) => Step::End(of_error(&error)),
            None => Step::End(Ending::Lost),
        }
    }

    /// Gives a message to its route. The backend's answer comes out of `integrations`.
    fn route(&self, text: Utf8Bytes, integrations: &mut JoinSet<Option<String>>) -> Step {
        if self.integration.backend.is_none() {
            return match self.integration.own_reply(&text) {
                Reply::Text(text) => Step::Send(Message::text(text)),
                Reply::Close(frame) => Step::End(Ending::ByApi(frame)),
            };
        }
        let integration = self.integration.clone();
        integrations.spawn(async move { integration.message(&text).await });
        Step::Active
    }
}

fn of_command(command: Option<Command>) -> Step {
    match command {
        Some(Command::Send(message)) => Step::Send(message),
        Some(Command::Close(frame)) => Step::End(Ending::ByApi(frame)),
        None => Step::End(Ending::Lost),
    }
}

/// The end that a fault asks for; 1006 cannot be sent, so that it stands for an end without a Close frame.
fn planned_end(code: u16) -> Ending {
    match code {
        ABNORMAL => Ending::Lost,
        code => Ending::ByApi(CloseFrame { code: code.into(), reason: Utf8Bytes::default() }),
    }
}

fn closing(code: CloseCode, reason: &'static str) -> Ending {
    Ending::ByApi(CloseFrame { code, reason: Utf8Bytes::from_static(reason) })
}

fn of_error(error: &tungstenite::Error) -> Ending {
    match error {
        tungstenite::Error::Capacity(_) => closing(CloseCode::Size, "Message too long"),
        tungstenite::Error::Utf8(_) => closing(CloseCode::Invalid, "Invalid UTF-8"),
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            Ending::Lost
        }
        tungstenite::Error::Protocol(_) => closing(CloseCode::Protocol, "Protocol error"),
        _ => Ending::Lost,
    }
}

async fn send(socket: &mut Socket, message: Message) -> bool {
    matches!(timeout(MAX_WRITE, socket.send(message)).await, Ok(Ok(())))
}

/// Ends the connection; the code and the reason that it ended with.
async fn end(socket: &mut Socket, ending: Ending) -> (u16, String) {
    let ended = match &ending {
        Ending::ByClient(Some(frame)) | Ending::ByApi(frame) => {
            (frame.code.into(), frame.reason.as_str().to_owned())
        }
        Ending::ByClient(None) => (NO_STATUS, "Client-side close frame status not set".to_owned()),
        Ending::Lost => (ABNORMAL, "Going away".to_owned()),
    };
    let closing = async {
        match ending {
            Ending::ByApi(frame) => {
                socket.send(Message::Close(Some(frame))).await?;
                // What the client sends before its own Close frame is not answered any more.
                let mut is_answered = false;
                while let Some(message) = socket.next().await.transpose()? {
                    is_answered |= message.is_close();
                }
                if !is_answered {
                    linger(socket).await?;
                }
            }
            // The library answers with the client's own frame.
            Ending::ByClient(_) => socket.flush().await?,
            Ending::Lost => {}
        }
        Ok::<(), tungstenite::Error>(())
    };
    if !matches!(timeout(MAX_CLOSING, closing).await, Ok(Ok(()))) {
        tracing::debug!("sandbox WebSocket connection closed without the client's Close frame");
    }
    ended
}

/// Discards what still comes until the client closes: closing with input unread would reset the connection, and the
/// client would not get to read the Close frame.
async fn linger(socket: &mut Socket) -> Result<(), tungstenite::Error> {
    let stream = socket.get_mut();
    stream.shutdown().await?;
    let mut discarded = [0; 4096];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}

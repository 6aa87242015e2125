//! The open connections, by their ids: `@connections` and the end of the sandbox reach them here.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

/// Messages that wait for one connection to take them. More are refused, as the gateway refuses them for a client that
/// does not read.
const MAX_WAITING: usize = 16;
/// Bytes of an id before it is encoded.
const ID_BYTES: usize = 11;

/// The open connections.
pub(super) struct Connections {
    max: usize,
    open: Mutex<HashMap<String, Entry>>,
    changed: Notify,
}

struct Entry {
    commands: mpsc::Sender<Command>,
    activity: Arc<Activity>,
}

/// What a connection is asked to do.
pub(super) enum Command {
    Send(Message),
    Close(CloseFrame),
}

/// Who is at the other end, and since when.
pub(super) struct Activity {
    pub(super) source_ip: IpAddr,
    pub(super) user_agent: Option<String>,
    pub(super) connected_at: SystemTime,
    last_active_at: Mutex<SystemTime>,
}

/// One open connection; dropping it takes it off the list.
pub(super) struct Registration {
    pub(super) id: String,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) activity: Arc<Activity>,
    connections: Arc<Connections>,
}

/// Why a command does not reach a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    /// There is no such connection any more.
    Gone,
    /// The client does not read what it is sent.
    Busy,
}

impl Connections {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: Mutex::default(), changed: Notify::new() })
    }

    /// A place for one more connection, if there is one.
    pub(super) fn register(
        self: &Arc<Self>,
        source_ip: IpAddr,
        user_agent: Option<String>,
        now: SystemTime,
    ) -> Option<Registration> {
        let activity =
            Arc::new(Activity { source_ip, user_agent, connected_at: now, last_active_at: Mutex::new(now) });
        let (sender, commands) = mpsc::channel(MAX_WAITING);
        let mut open = self.lock();
        if open.len() >= self.max {
            return None;
        }
        let id = random_id();
        open.insert(id.clone(), Entry { commands: sender, activity: activity.clone() });
        Some(Registration { id, commands, activity, connections: self.clone() })
    }

    pub(super) fn command(&self, id: &str, command: Command) -> Result<(), Unreached> {
        let open = self.lock();
        let entry = open.get(id).ok_or(Unreached::Gone)?;
        entry.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unreached::Busy,
            mpsc::error::TrySendError::Closed(_) => Unreached::Gone,
        })
    }

    pub(super) fn activity(&self, id: &str) -> Result<Arc<Activity>, Unreached> {
        let open = self.lock();
        let entry = open.get(id).filter(|entry| !entry.commands.is_closed()).ok_or(Unreached::Gone)?;
        Ok(entry.activity.clone())
    }

    /// Closes all connections with `frame`, and waits up to `max_wait` for it.
    pub(super) async fn close_all(&self, frame: &CloseFrame, max_wait: Duration) {
        for entry in self.lock().values() {
            // A connection that cannot take this closes without a Close frame, together with its listener.
            drop(entry.commands.try_send(Command::Close(frame.clone())));
        }
        let emptied = async {
            loop {
                let changed = self.changed.notified();
                if self.lock().is_empty() {
                    return;
                }
                changed.await;
            }
        };
        if timeout(max_wait, emptied).await.is_err() {
            tracing::debug!("sandbox WebSocket connections did not close in time");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.id);
        self.connections.changed.notify_one();
    }
}

impl Activity {
    pub(super) fn touch(&self, now: SystemTime) {
        *self.last_active_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    pub(super) fn last_active_at(&self) -> SystemTime {
        *self.last_active_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id as the gateway makes them for connections, requests and messages: `L0SM9cOFvHcCIhw=`.
pub(super) fn random_id() -> String {
    URL_SAFE.encode(rand::random::<[u8; ID_BYTES]>())
}

/// Whether `text` could be an id.
pub(super) fn is_id(text: &str) -> bool {
    URL_SAFE.decode(text).is_ok_and(|bytes| bytes.len() == ID_BYTES)
}

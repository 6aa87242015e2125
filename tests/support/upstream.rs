//! An upstream that says exactly what a test tells it to, and remembers what it was asked.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use super::soon;

/// An answer that keeps its connection.
pub(crate) const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

/// A listener whose connections a test plays by hand.
pub(crate) struct Upstream {
    address: SocketAddr,
    memory: Memory,
    _accepting: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Memory {
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    closed: Arc<Notify>,
}

impl Upstream {
    /// Plays `script` on each connection; its number counts from zero. The connection closes with the script.
    pub(crate) async fn start<F, S>(script: F) -> Self
    where
        F: Fn(usize, Wire) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let memory = Memory::default();
        let mut accepting = JoinSet::new();
        let seen = memory.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a live socket");
                let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(script(number, Wire { stream, memory: seen.clone() }));
            }
        });
        Self { address, memory, _accepting: accepting }
    }

    /// Answers the first request of each connection with `bytes` and closes.
    pub(crate) async fn saying(bytes: &'static [u8]) -> Self {
        Self::start(move |_, mut wire| async move {
            if wire.request().await.is_some() {
                wire.write(bytes).await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, head and body, in the order they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.memory.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.memory.connections.load(Ordering::SeqCst)
    }

    /// Waits until a script has seen its client go away.
    pub(crate) async fn client_gone(&self) {
        soon("the client to go away", self.memory.closed.notified()).await;
    }

    /// Waits until a script has closed its connection by hand.
    pub(crate) async fn connection_closed(&self) {
        soon("the connection to close", self.memory.closed.notified()).await;
    }
}

/// One connection, from the upstream's side.
pub(crate) struct Wire {
    stream: TcpStream,
    memory: Memory,
}

impl Wire {
    /// The head of the next request, with nothing read of its body.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.stream.read_u8().await.ok()?);
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next request with a body of a declared length; `None` when the client has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut wanted = usize::MAX;
        while bytes.len() < wanted {
            let byte = self.stream.read_u8().await.ok()?;
            bytes.push(byte);
            if wanted == usize::MAX && bytes.ends_with(b"\r\n\r\n") {
                wanted = bytes.len() + declared_length(&bytes);
            }
        }
        let request = String::from_utf8_lossy(&bytes).into_owned();
        self.memory.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        Some(request)
    }

    /// Reads what has come so far, so that closing does not reset the connection.
    pub(crate) async fn client_hello(&mut self) {
        let mut bytes = [0; 16 << 10];
        let _ = self.stream.read(&mut bytes).await;
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A client that has gone away is for the test to notice.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// So many bytes, behind a head.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon("bytes of the client", self.stream.read_exact(&mut bytes)).await.expect("as many bytes");
        bytes
    }

    /// Everything to the end of the client's sending half; `None` when the connection breaks.
    pub(crate) async fn rest(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        soon("the end of the client", self.stream.read_to_end(&mut bytes)).await.ok().map(|_| bytes)
    }

    /// Sends everything back until the client closes its sending half.
    pub(crate) async fn echo(&mut self) {
        let mut bytes = [0; 16 << 10];
        while let Ok(read) = self.stream.read(&mut bytes).await
            && read > 0
        {
            self.write(&bytes[..read]).await;
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish_writing(&mut self) {
        // A client that has gone away is for the test to notice.
        let _ = self.stream.shutdown().await;
    }

    /// Closes the connection and tells the test.
    pub(crate) fn close(self) {
        drop(self.stream);
        self.memory.closed.notify_one();
    }

    /// Waits until the client goes away, and tells the test.
    pub(crate) async fn until_client_is_gone(&mut self) {
        let mut rest = [0; 1024];
        while matches!(self.stream.read(&mut rest).await, Ok(read) if read > 0) {}
        self.memory.closed.notify_one();
    }
}

fn declared_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.map_or(0, |length| length.trim().parse().expect("a length"))
}

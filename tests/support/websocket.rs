//! A WebSocket by hand: handshakes and frames as bytes.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use super::{
    Connection, Proxy,
    http::Head,
    upstream::{Upstream, Wire},
};

/// The key of every handshake, from RFC 6455 section 1.3, and what accepts it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A handshake with further header lines, each with its CRLF.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n{more}\r\n"
    )
}

/// An answer that agrees to a handshake, with further header lines.
pub(crate) fn switching(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {ACCEPT}\r\n{more}\r\n"
    )
}

/// An answer that agrees to the handshake in `request`, whatever its key is.
pub(crate) fn switching_for(request: &str) -> String {
    let lines = request.lines().filter_map(|line| line.split_once(':'));
    let mut keys = lines.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = keys.next().map_or("", |(_, key)| key.trim());
    let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    switching("").replace(ACCEPT, &accept)
}

/// A whole frame with a payload of at most 125 bytes.
pub(crate) fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode, masked | length];
    let key = mask.unwrap_or_default();
    frame.extend(mask.iter().flatten());
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A frame as it arrives: opcode and payload without its mask, and whether it had one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) is_masked: bool,
}

/// The Close frame that says 1001.
pub(crate) fn is_going_away(received: &Received) -> bool {
    received.opcode == 8 && received.payload.starts_with(&1001_u16.to_be_bytes())
}

/// How many bytes follow the first two of a short frame.
fn rest_of(head: &[u8]) -> usize {
    usize::from(head[1] & 0x7F) + if head[1] & 0x80 != 0 { 4 } else { 0 }
}

fn received(head: &[u8], rest: &[u8]) -> Received {
    let is_masked = head[1] & 0x80 != 0;
    let (key, payload) = if is_masked { rest.split_at(4) } else { (&[0; 4][..], rest) };
    let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Received { opcode: head[0] & 0x0F, payload, is_masked }
}

/// The next frame for a client.
pub(crate) async fn next_frame(client: &mut Connection) -> Received {
    let head = client.exactly(2).await;
    let rest = client.exactly(rest_of(&head)).await;
    received(&head, &rest)
}

/// The next frame for an upstream.
pub(crate) async fn next_frame_up(wire: &mut Wire) -> Received {
    let head = wire.exactly(2).await;
    let rest = wire.exactly(rest_of(&head)).await;
    received(&head, &rest)
}

/// A client that has sent a handshake, and the head of the answer.
pub(crate) async fn open(proxy: &Proxy, path: &str, more: &str) -> (Connection, Head) {
    let mut client = proxy.connect().await;
    client.write(handshake(path, more)).await;
    let head = client.head().await;
    (client, head)
}

/// An upstream that sends every frame back without its mask, Close frames included, and then closes.
pub(crate) async fn echo() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.write(switching("")).await;
            loop {
                let received = next_frame_up(&mut wire).await;
                wire.write(frame(received.opcode, &received.payload, None)).await;
                if received.opcode == 8 {
                    return;
                }
            }
        }
    })
    .await
}

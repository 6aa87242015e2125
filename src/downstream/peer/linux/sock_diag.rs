//! Asks the kernel for one socket by its two ends (sock_diag(7)), which takes as long with ten thousand sockets as with
//! one.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Lookup, SocketEntry, was_connected};

// From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const ENOENT: i32 = 2;

/// The interface `lo` of every network namespace (linux/include/net/flow.h).
const LOOPBACK_INTERFACE: u32 = 1;

// The sizes of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`, in bytes.
const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = 56;
const MESSAGE_LEN: usize = 72;

/// Whether the kernel has ever found a socket. A kernel without the diagnostic modules answers ENOENT to everything.
static HAS_ANSWERED: AtomicBool = AtomicBool::new(false);

/// Kept open, so that owners can be looked up even when the process may open no more files.
static SOCKET: Mutex<Option<Socket>> = Mutex::new(None);

/// Looks for the socket at `local` that is connected to `remote`.
pub(super) fn look_up(local: SocketAddr, remote: SocketAddr) -> Lookup {
    let mut answer = [0; HEADER_LEN + MESSAGE_LEN];
    match exchange(&request(local, remote), &mut answer) {
        Ok(length) => read(answer.get(..length).unwrap_or_default()),
        Err(_) => Lookup::Unknown,
    }
}

/// Sends a request and reads the answer, which the kernel queues before the send returns: nothing blocks.
fn exchange(request: &[u8], answer: &mut [u8]) -> io::Result<usize> {
    let mut shared = SOCKET.lock().unwrap_or_else(PoisonError::into_inner);
    let mut socket = match shared.take() {
        Some(socket) => socket,
        None => {
            let protocol = Protocol::from(NETLINK_SOCK_DIAG);
            let socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(protocol))?;
            socket.set_nonblocking(true)?;
            socket
        }
    };
    socket.send(request)?;
    let length = socket.read(answer)?;
    // A socket that failed is closed: a late answer in it would be taken for the answer to the next request.
    *shared = Some(socket);
    Ok(length)
}

fn request(local: SocketAddr, remote: SocketAddr) -> [u8; HEADER_LEN + REQUEST_LEN] {
    let (local_ip, remote_ip) = (local.ip().to_canonical(), remote.ip().to_canonical());
    let family = if local_ip.is_ipv4() && remote_ip.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut request = [0; HEADER_LEN + REQUEST_LEN];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        request[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&((HEADER_LEN + REQUEST_LEN) as u32).to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&NLM_F_REQUEST.to_ne_bytes());
    put(&[0; 8]);
    put(&[family, IPPROTO_TCP, 0, 0]);
    put(&u32::MAX.to_ne_bytes());
    put(&local.port().to_be_bytes());
    put(&remote.port().to_be_bytes());
    put(&octets(local_ip));
    put(&octets(remote_ip));
    put(&interface(remote, local).to_ne_bytes());
    // INET_DIAG_NOCOOKIE: the cookie of the socket is not known, and none is asked for.
    put(&[0xff; 8]);
    request
}

/// The interface to look on. The kernel finds an unbound socket on any interface, but one that is bound to an interface
/// only on that one. Between processes of this machine it is `lo`, except for link-local addresses, which name theirs.
fn interface(one: SocketAddr, other: SocketAddr) -> u32 {
    let scope = |address| match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let named = [scope(one), scope(other)].into_iter().find(|scope| *scope != 0);
    named.unwrap_or(LOOPBACK_INTERFACE)
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            octets
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn read(answer: &[u8]) -> Lookup {
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().expect("four bytes")))
    };
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match (kind, number(HEADER_LEN)) {
        (Some(SOCK_DIAG_BY_FAMILY), _) => {
            let (state, uid, inode) = (
                answer.get(HEADER_LEN + 1),
                number(HEADER_LEN + MESSAGE_LEN - 8),
                number(HEADER_LEN + MESSAGE_LEN - 4),
            );
            let (Some(&state), Some(uid), Some(inode)) = (state, uid, inode) else { return Lookup::Unknown };
            HAS_ANSWERED.store(true, Ordering::Relaxed);
            // When no connection has these ends, the kernel answers with a listener at the first of them.
            if was_connected(state) {
                Lookup::Socket(SocketEntry { uid, inode: inode.into() })
            } else {
                Lookup::NotFound
            }
        }
        (Some(NLMSG_ERROR), Some(error))
            if error.cast_signed() == -ENOENT && HAS_ANSWERED.load(Ordering::Relaxed) =>
        {
            Lookup::NotFound
        }
        _ => Lookup::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_not_understood_say_nothing() {
        let mut message = [0; HEADER_LEN + MESSAGE_LEN];
        assert_eq!(read(&message), Lookup::Unknown);
        message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        for length in 0..message.len() {
            assert_eq!(read(&message[..length]), Lookup::Unknown, "{length}");
        }
    }
}

//! One socket of the kernel's, asked for by its two ends (sock_diag(7)): as fast with ten thousand as with one.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Found, Row, was_connected};

/// Of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
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

/// Of an `nlmsghdr`, of an `inet_diag_req_v2` and of an `inet_diag_msg`, in bytes.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

/// Whether the kernel has ever told of a socket: one that lacks the means to says "no such socket" too.
static TELLS: AtomicBool = AtomicBool::new(false);

/// Kept open: the question whose a connection is must be answered when the process may open no more files, too.
static SOCKET: Mutex<Option<Socket>> = Mutex::new(None);

/// Looks for the socket at `local` that is connected to `remote`.
pub(super) fn look_up(local: SocketAddr, remote: SocketAddr) -> Found {
    if !cfg!(target_os = "linux") {
        return Found::Unknown;
    }
    let mut answer = [0; HEADER + MESSAGE];
    match ask(&request(local, remote), &mut answer) {
        Ok(length) => read(answer.get(..length).unwrap_or_default()),
        Err(_) => Found::Unknown,
    }
}

/// The kernel answers while the request is sent: there is nothing to wait for.
fn ask(request: &[u8], answer: &mut [u8]) -> io::Result<usize> {
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
    // Only one that has answered is kept: no answer to another question may be left in it.
    *shared = Some(socket);
    Ok(length)
}

fn request(local: SocketAddr, remote: SocketAddr) -> [u8; HEADER + REQUEST] {
    let (local_ip, remote_ip) = (local.ip().to_canonical(), remote.ip().to_canonical());
    let family = if local_ip.is_ipv4() && remote_ip.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut request = [0; HEADER + REQUEST];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        request[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&((HEADER + REQUEST) as u32).to_ne_bytes());
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
    // INET_DIAG_NOCOOKIE: whichever socket it is.
    put(&[0xff; 8]);
    request
}

/// The interface that a socket may be bound to. The kernel finds a bound one by its own interface only, and one that is not
/// bound by any; between processes of this machine it is `lo`, save for link-local addresses, which name theirs.
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

fn read(answer: &[u8]) -> Found {
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().expect("four bytes")))
    };
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match (kind, number(HEADER)) {
        (Some(SOCK_DIAG_BY_FAMILY), _) => {
            let (state, user, inode) =
                (answer.get(HEADER + 1), number(HEADER + MESSAGE - 8), number(HEADER + MESSAGE - 4));
            let (Some(&state), Some(user), Some(inode)) = (state, user, inode) else { return Found::Unknown };
            TELLS.store(true, Ordering::Relaxed);
            // Where no connection has these ends, the kernel gives a listener at the first of them.
            if was_connected(state) { Found::Row(Row { user, inode: inode.into() }) } else { Found::Nothing }
        }
        (Some(NLMSG_ERROR), Some(error))
            if error.cast_signed() == -ENOENT && TELLS.load(Ordering::Relaxed) =>
        {
            Found::Nothing
        }
        _ => Found::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_not_understood_say_nothing() {
        let mut message = [0; HEADER + MESSAGE];
        assert_eq!(read(&message), Found::Unknown);
        message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        for length in 0..message.len() {
            assert_eq!(read(&message[..length]), Found::Unknown, "{length}");
        }
    }
}

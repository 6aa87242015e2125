//! The client's end of a connection on this machine, as Linux tells of it.

mod diagnosis;
mod table;

use std::net::SocketAddr;

/// What the kernel tells of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    user: u32,
    /// 0 once no process holds the socket.
    inode: u64,
}

/// What a look for a socket has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Row(Row),
    /// There is no such socket on this machine.
    Nothing,
    /// The system does not tell.
    Unknown,
}

/// The id of the user whose socket is at the client's end.
///
/// `None` when that end is elsewhere, or the system does not tell.
#[must_use]
pub(crate) fn user_of(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    match look_up(peer, local) {
        Found::Row(row) => Some(row.user),
        Found::Nothing | Found::Unknown => None,
    }
}

/// Whether a process still holds the client's end.
///
/// After the end of its input a connection looks the same whether the client has closed one half or both;
/// the kernel tells these apart. `None` as for [`user_of`].
#[must_use]
pub(crate) fn is_held(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    match look_up(peer, local) {
        Found::Row(row) => Some(row.inode != 0),
        Found::Nothing => peer.ip().to_canonical().is_loopback().then_some(false),
        Found::Unknown => None,
    }
}

fn look_up(local: SocketAddr, remote: SocketAddr) -> Found {
    match diagnosis::look_up(local, remote) {
        Found::Unknown => table::look_up(local, remote),
        found => found,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    type LookUp = fn(SocketAddr, SocketAddr) -> Found;

    #[test]
    fn the_kernel_tells_whose_connection_it_is_either_way() {
        let ways: [(&str, LookUp); 2] = [("table", table::look_up), ("diagnosis", diagnosis::look_up)];
        for (way, look_up) in ways {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = TcpListener::bind(address) else { continue };
                let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
                let (accepted, peer) = listener.accept().expect("accepts");
                let local = accepted.local_addr().expect("connected");
                let Found::Row(row) = look_up(peer, local) else { panic!("{way}, {address}: not found") };
                assert_eq!(row.user, rustix::process::geteuid().as_raw(), "{way}, {address}");
                assert_ne!(row.inode, 0, "{way}, {address}");
                drop(client);
                assert!(matches!(look_up(peer, local), Found::Row(Row { inode: 0, .. })), "{way}, {address}");
                assert_eq!(look_up(peer, peer), Found::Nothing, "{way}, {address}");
            }
        }
    }

    #[test]
    fn an_ipv4_connection_of_an_ipv6_socket_is_found() {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return };
        let port = listener.local_addr().expect("bound").port();
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        let (accepted, peer) = listener.accept().expect("accepts");
        let local = accepted.local_addr().expect("connected");
        assert_eq!(user_of(local, peer), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(is_held(local, peer), Some(true));
    }

    #[test]
    fn a_listener_in_the_place_of_a_client_is_no_client() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let elsewhere = "127.0.0.1:9".parse().expect("an address");
        assert_eq!(is_held(elsewhere, address), Some(false));
    }
}

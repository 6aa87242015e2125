//! The client's own socket, where the client is on this machine and the kernel tells of it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
};

/// What the kernel's table of TCP sockets says about the socket at the client's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClientSocket {
    user: u32,
    /// Zero once no process holds the socket.
    inode: u64,
}

/// The user whose socket is at the client's end.
///
/// `None` where there is no such table, and for a client that is not on this machine.
pub(super) fn user_of(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    socket_of(local, peer).map(|socket| socket.user)
}

/// Whether a process still holds the socket at the client's end.
///
/// After the end of its input a connection looks the same whether the client has closed one half or both:
/// this tells them apart. `None` as for [`user_of`]. The table may change while it is read, so that one look
/// is not enough.
pub(crate) fn is_held(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    match socket_of(local, peer) {
        Some(socket) => Some(socket.inode != 0),
        // A client on loopback that is not in the table has no socket any more.
        None => (peer.ip().to_canonical().is_loopback() && File::open(TABLES[0]).is_ok()).then_some(false),
    }
}

const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

fn socket_of(local: SocketAddr, peer: SocketAddr) -> Option<ClientSocket> {
    // A socket of the IPv6 family may carry an IPv4 connection.
    TABLES.iter().find_map(|table| {
        let lines = BufReader::new(File::open(table).ok()?).lines();
        lines.map_while(Result::ok).find_map(|line| socket_in(&line, local, peer))
    })
}

/// The socket in a line of the table, when it is the one from `peer` to `local`.
fn socket_in(line: &str, local: SocketAddr, peer: SocketAddr) -> Option<ClientSocket> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let own = address(columns.next()?)?;
    let other = address(columns.next()?)?;
    if !same(own, peer) || !same(other, local) {
        return None;
    }
    let user = columns.nth(4)?.parse().ok()?;
    Some(ClientSocket { user, inode: columns.nth(1)?.parse().ok()? })
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// `0100007F:1FF5`: the address in words of the host's byte order, the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for word in words.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_os = "linux", target_endian = "little"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_kernels_table_are_understood() {
        let line =
            "   1: 0100007F:C350 0100007F:1FF5 01 00000000:00000000 00:00000000 00000000  1000        0 5 1";
        let (local, peer) =
            ("127.0.0.1:8181".parse().expect("address"), "127.0.0.1:50000".parse().expect("address"));
        assert_eq!(socket_in(line, local, peer), Some(ClientSocket { user: 1000, inode: 5 }));
        assert_eq!(socket_in(line, peer, local), None);
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";
        assert_eq!(socket_in(heading, local, peer), None);
        assert_eq!(
            address("00000000000000000000000001000000:1FF5"),
            Some("[::1]:8181".parse().expect("address"))
        );
    }

    #[test]
    fn the_kernel_tells_whose_connection_it_is() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let _client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (accepted, peer) = listener.accept().expect("accepts");
            let local = accepted.local_addr().expect("connected");
            assert_eq!(user_of(local, peer), Some(rustix::process::geteuid().as_raw()), "{address}");
        }
    }

    #[test]
    fn a_client_that_has_closed_both_halves_holds_no_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (accepted, peer) = listener.accept().expect("accepts");
        let local = accepted.local_addr().expect("connected");
        assert_eq!(is_held(local, peer), Some(true));
        client.shutdown(std::net::Shutdown::Write).expect("connected");
        assert_eq!(is_held(local, peer), Some(true));
        drop(client);
        assert_eq!(is_held(local, peer), Some(false));
    }
}

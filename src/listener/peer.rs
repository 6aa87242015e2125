//! Which user of this machine a loopback connection comes from, as far as the kernel tells.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
};

/// The user id of the socket at the client's end, from the kernel's table of TCP sockets.
///
/// `None` where there is no such table, and for a client that is not on this machine.
pub(super) fn user_of(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    // A socket of the IPv6 family may carry an IPv4 connection.
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().find_map(|table| {
        let lines = BufReader::new(File::open(table).ok()?).lines();
        lines.map_while(Result::ok).find_map(|line| user_in(&line, local, peer))
    })
}

/// The user id in a line of the table, when it is the line of the socket from `peer` to `local`.
fn user_in(line: &str, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let own = address(columns.next()?)?;
    let other = address(columns.next()?)?;
    let user = columns.nth(4)?;
    (same(own, peer) && same(other, local)).then(|| user.parse().ok()).flatten()
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
        assert_eq!(user_in(line, local, peer), Some(1000));
        assert_eq!(user_in(line, peer, local), None);
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";
        assert_eq!(user_in(heading, local, peer), None);
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
}

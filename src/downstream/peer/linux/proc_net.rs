//! Looks a socket up in the kernel's text table (proc_pid_net(5)), which exists everywhere, but is read as a whole each
//! time.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{Lookup, SocketEntry, was_connected};

/// Looks for the socket at `local` that is connected to `remote`.
pub(super) fn look_up(local: SocketAddr, remote: SocketAddr) -> Lookup {
    let tables = tables();
    match tables.iter().flatten().find_map(|table| find_row(table, local, remote)) {
        Some(socket) => Lookup::Socket(socket),
        None if tables[0].is_some() => Lookup::NotFound,
        None => Lookup::Unknown,
    }
}

/// Both tables, since a socket of the IPv6 family may carry an IPv4 connection.
fn tables() -> [Option<String>; 2] {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok())
}

fn find_row(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<SocketEntry> {
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ends = (address(fields.next()?)?, address(fields.next()?)?);
        if ends != (canonical(local), canonical(remote)) {
            return None;
        }
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        if !was_connected(state) {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(SocketEntry { uid, inode })
    })
}

fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: the address in groups of four bytes as they lie in memory, the port as a number.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    for (at, group) in bytes.chunks_exact_mut(4).enumerate().take(ip.len() / 8) {
        // The kernel prints each group as a number in its own byte order.
        let group_text = ip.get(at * 8..at * 8 + 8)?;
        group.copy_from_slice(&u32::from_str_radix(group_text, 16).ok()?.to_ne_bytes());
    }
    match ip.len() {
        8 => Some((Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(), port)),
        32 => Some((IpAddr::from(Ipv6Addr::from(bytes)).to_canonical(), port)),
        _ => None,
    }
}

#[cfg(all(test, target_os = "linux", target_endian = "little"))]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 0100007F:1F90 0100007F:C350 08 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 20 4 30 10 -1\n\
        \x20  1: 0100007F:C350 0100007F:1F90 05 00000000:00000000 03:00000F2B 00000000     0        0 0 3 0\n\
        \x20  2: 0100007F:C351 0100007F:1F90 05 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0 20 4 30 10 -1\n\
        \x20  3: 0100007F:C354 0100007F:1F90 02 00000000:00000000 00:00000000 00000000  1000        0 4244 1 0 20 4 30 10 -1\n";

    const TABLE_6: &str = "header\n\
        \x20  0: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:1F90 05 0:0 0:0 0 1000 0 77 1\n\
        \x20  1: 00000000000000000000000001000000:C353 00000000000000000000000001000000:1F90 05 0:0 0:0 0 1000 0 78 1\n";

    #[test]
    fn sockets_are_found_by_both_their_ends() {
        let server: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let row = |table, client: &str, server| find_row(table, client.parse().expect("an address"), server);
        assert_eq!(row(TABLE, "127.0.0.1:50000", server), Some(SocketEntry { uid: 0, inode: 0 }));
        assert_eq!(row(TABLE, "127.0.0.1:50001", server), Some(SocketEntry { uid: 1000, inode: 4243 }));
        assert_eq!(row(TABLE, "127.0.0.1:50002", server), None);
        assert_eq!(row(TABLE, "127.0.0.1:50004", server), None, "one that has not connected yet");
        assert_eq!(row(TABLE_6, "127.0.0.1:50002", server), Some(SocketEntry { uid: 1000, inode: 77 }));
        let six = "[::1]:8080".parse().expect("an address");
        assert_eq!(row(TABLE_6, "[::1]:50003", six), Some(SocketEntry { uid: 1000, inode: 78 }));
    }

    #[test]
    fn tables_that_are_not_understood_say_nothing() {
        let server: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        for table in ["", "\n\n", "a b c", "0: x y", "0: 0100007F:C350", "0: 0100007é:C350 z"] {
            assert_eq!(find_row(table, server, server), None);
        }
    }
}

//! Whether a process still holds the other end of a connection on this machine.
//!
//! After the end of its input a connection looks the same whether the client has closed one half or both.
//! For clients on this machine Linux tells more: its table of sockets has the client's own, with inode 0
//! once no process holds it (proc_pid_net(5)).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// `None` when the other end is elsewhere, or the system has no such table.
pub(super) fn is_held(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let known = tables.iter().flatten().find_map(|table| inode_of(table, peer, local));
    match known {
        Some(inode) => Some(inode != 0),
        // A socket that is gone from the table altogether.
        None => (peer.ip().to_canonical().is_loopback() && tables[0].is_ok()).then_some(false),
    }
}

/// The inode of the socket at `local` that is connected to `remote`.
fn inode_of(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ends = (address(fields.next()?)?, address(fields.next()?)?);
        if ends != (canonical(local), canonical(remote)) {
            return None;
        }
        fields.nth(6)?.parse().ok()
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
        \x20  2: 0100007F:C351 0100007F:1F90 05 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0 20 4 30 10 -1\n";

    const TABLE_6: &str = "header\n\
        \x20  0: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:1F90 05 0:0 0:0 0 1000 0 77 1\n\
        \x20  1: 00000000000000000000000001000000:C353 00000000000000000000000001000000:1F90 05 0:0 0:0 0 1000 0 78 1\n";

    #[test]
    fn sockets_are_found_by_both_their_ends() {
        let server: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let inode =
            |table, client: &str, server| inode_of(table, client.parse().expect("an address"), server);
        assert_eq!(inode(TABLE, "127.0.0.1:50000", server), Some(0));
        assert_eq!(inode(TABLE, "127.0.0.1:50001", server), Some(4243));
        assert_eq!(inode(TABLE, "127.0.0.1:50002", server), None);
        assert_eq!(inode(TABLE_6, "127.0.0.1:50002", server), Some(77));
        assert_eq!(inode(TABLE_6, "[::1]:50003", "[::1]:8080".parse().expect("an address")), Some(78));
    }

    #[test]
    fn tables_that_are_not_understood_say_nothing() {
        let server: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        for table in ["", "\n\n", "a b c", "0: x y", "0: 0100007F:C350", "0: 0100007é:C350 z"] {
            assert_eq!(inode_of(table, server, server), None);
        }
    }
}

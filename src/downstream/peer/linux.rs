//! Linux: the kernel says of each socket whose it is, by netlink or in a table.

mod proc_net;
mod sock_diag;

use std::net::SocketAddr;

use super::{Owner, is_on_this_machine};

/// Whether this system has a way to say whose a connection is; the kernel may still lack it.
pub(super) const IS_KNOWN: bool = true;

/// Asks the kernel who holds the end at `peer` of a connection that was accepted at `local`.
pub(super) fn owner(local: SocketAddr, peer: SocketAddr) -> Owner {
    match (look_up(peer, local), is_on_this_machine(local, peer)) {
        // The kernel forgets a closed socket soon, and a reset one at once.
        (Lookup::Socket(SocketEntry { inode: 0, .. }), _) | (Lookup::NotFound, true) => Owner::Gone,
        (Lookup::Socket(socket), _) => Owner::of_user(socket.uid),
        (Lookup::Unknown, true) => Owner::Unknown,
        (Lookup::NotFound | Lookup::Unknown, false) => Owner::Remote,
    }
}

/// The kernel's entry of a connected socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SocketEntry {
    uid: u32,
    /// 0 once no process holds the socket.
    inode: u64,
}

/// The result of looking for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    Socket(SocketEntry),
    /// There is no such socket on this machine.
    NotFound,
    /// The kernel does not say.
    Unknown,
}

/// Whether `state` is that of a socket which is, or was, connected to the other end.
///
/// Other sockets can have the same two addresses: a new client that binds the port of one that has gone is in SYN_SENT
/// until the accepted connection is closed, and must not be taken for its predecessor.
fn was_connected(state: u8) -> bool {
    const SYN_SENT: u8 = 2;
    const SYN_RECV: u8 = 3;
    const CLOSE: u8 = 7;
    const LISTEN: u8 = 10;
    const NEW_SYN_RECV: u8 = 12;
    !matches!(state, SYN_SENT | SYN_RECV | CLOSE | LISTEN | NEW_SYN_RECV)
}

/// Whether a process still holds the client's end.
pub(super) fn is_held(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    match look_up(peer, local) {
        Lookup::Socket(socket) => Some(socket.inode != 0),
        Lookup::NotFound => is_on_this_machine(local, peer).then_some(false),
        Lookup::Unknown => None,
    }
}

fn look_up(local: SocketAddr, remote: SocketAddr) -> Lookup {
    // A kernel without the diagnostic modules has the table only.
    match sock_diag::look_up(local, remote) {
        Lookup::Unknown => proc_net::look_up(local, remote),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::downstream::peer::kernel_tells_owners;

    type LookUp = fn(SocketAddr, SocketAddr) -> Lookup;

    #[test]
    fn netlink_and_the_table_both_find_the_owner() {
        let ways: [(&str, LookUp); 2] = [("proc_net", proc_net::look_up), ("sock_diag", sock_diag::look_up)];
        for (way, look_up) in ways {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = TcpListener::bind(address) else { continue };
                let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
                let (accepted, peer) = listener.accept().expect("accepts");
                let local = accepted.local_addr().expect("connected");
                let Lookup::Socket(socket) = look_up(peer, local) else {
                    panic!("{way}, {address}: not found")
                };
                assert_eq!(socket.uid, rustix::process::geteuid().as_raw(), "{way}, {address}");
                assert_ne!(socket.inode, 0, "{way}, {address}");
                drop(client);
                assert!(
                    matches!(look_up(peer, local), Lookup::Socket(SocketEntry { inode: 0, .. })),
                    "{way}, {address}"
                );
                assert_eq!(look_up(peer, peer), Lookup::NotFound, "{way}, {address}");
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
        assert_eq!(Owner::of(local, peer), Owner::Own);
        assert_eq!(is_held(local, peer), Some(true));
    }

    #[test]
    fn a_client_that_is_bound_to_an_interface_is_found() {
        use socket2::{Domain, Socket, Type};

        // From here on netlink is trusted, and the table is not read when netlink finds nothing.
        assert!(kernel_tells_owners().expect("a loopback connection"));
        for (domain, address) in [(Domain::IPV4, "127.0.0.1:0"), (Domain::IPV6, "[::1]:0")] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = listener.local_addr().expect("bound");
            let client = Socket::new(domain, Type::STREAM, None).expect("a socket");
            client.bind_device(Some(b"lo")).expect("the first to bind it");
            client.connect(&local.into()).expect("connects");
            let (_accepted, peer) = listener.accept().expect("accepts");
            assert_eq!(Owner::of(local, peer), Owner::Own, "{address}");
            assert_eq!(is_held(local, peer), Some(true), "{address}");
            drop(client);
            assert_eq!(Owner::of(local, peer), Owner::Gone, "{address}");
        }
    }

    #[test]
    fn a_client_that_closed_its_socket_in_any_way_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let local = listener.local_addr().expect("bound");
        for by_reset in [false, true] {
            let client = TcpStream::connect(local).expect("connects");
            let (_accepted, peer) = listener.accept().expect("accepts");
            assert_eq!(Owner::of(local, peer), Owner::Own);
            client.shutdown(std::net::Shutdown::Write).expect("half closed");
            assert_eq!(Owner::of(local, peer), Owner::Own, "a half-closed client still waits for its answer");
            if by_reset {
                let at_once = Some(std::time::Duration::ZERO);
                socket2::SockRef::from(&client).set_linger(at_once).expect("set");
            }
            drop(client);
            assert_eq!(Owner::of(local, peer), Owner::Gone, "by reset: {by_reset}");
        }
    }

    #[test]
    fn a_client_that_binds_another_source_address_is_on_this_machine() {
        let local: SocketAddr = "127.0.0.1:8181".parse().expect("an address");
        for (local, peer, owner) in [
            (local, "192.0.2.7:50000", Owner::Gone),
            ("192.0.2.7:8181".parse().expect("an address"), "192.0.2.7:50000", Owner::Gone),
            ("192.0.2.7:8181".parse().expect("an address"), "192.0.2.8:50000", Owner::Remote),
        ] {
            assert_eq!(Owner::of(local, peer.parse().expect("an address")), owner, "{local} {peer}");
        }
    }

    #[test]
    fn the_kernel_reports_owners_of_loopback_connections() {
        assert!(kernel_tells_owners().expect("a loopback connection"));
    }

    #[test]
    fn a_listener_at_the_clients_address_is_not_a_client() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let elsewhere = "127.0.0.1:9".parse().expect("an address");
        assert_eq!(is_held(elsewhere, address), Some(false));
    }
}

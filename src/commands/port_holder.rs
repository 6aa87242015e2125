//! Which program has the address that the proxy cannot listen on.

use std::{
    error::Error,
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use super::Failure;
use crate::{
    app::StartError,
    downstream::listener::{Listen, StdUnixStream},
};

/// The error in words for the user: for an address that is taken, who has it, and the flag that chooses another.
pub(super) fn explained(error: StartError, listen: &Listen, admin: Option<&Listen>) -> Failure {
    let source = error.source().and_then(Error::source).and_then(|source| source.downcast_ref::<io::Error>());
    if source.is_none_or(|source| source.kind() != io::ErrorKind::AddrInUse) {
        return error.into();
    }
    let listeners = [("--listen", Some(listen)), ("--admin-listen", admin)];
    let taken = listeners
        .into_iter()
        .find_map(|(flag, listen)| Some((flag, listen.filter(|listen| is_taken(listen))?)));
    let Some((flag, listen)) = taken else { return error.into() };
    let holder = port_of(listen).and_then(holder).unwrap_or_else(|| "another program".to_owned());
    let other = match listen {
        Listen::Unix(_) => "unix:/PATH",
        Listen::Localhost(_) | Listen::Address(_) => "localhost:PORT",
    };
    Failure::runtime(format!(
        "cannot listen on {listen}: {holder} listens there\n  tip: stop it, or write {flag} {other}"
    ))
}

/// Whether another program listens at `listen` now. The listeners of this process are closed already.
fn is_taken(listen: &Listen) -> bool {
    let is_taken = |address: SocketAddr| {
        TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    match listen {
        Listen::Localhost(port) => {
            is_taken((Ipv4Addr::LOCALHOST, *port).into()) || is_taken((Ipv6Addr::LOCALHOST, *port).into())
        }
        Listen::Address(address) => is_taken(*address),
        Listen::Unix(path) => StdUnixStream::connect(path).is_ok(),
    }
}

fn port_of(listen: &Listen) -> Option<u16> {
    match listen {
        Listen::Localhost(port) => Some(*port),
        Listen::Address(address) => Some(address.port()),
        Listen::Unix(_) => None,
    }
}

/// `node (pid 1234)`: the process that listens on `port`, if this user may look into it.
pub(super) fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inodes: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|row| inode_of_listener(row, port))
        .collect();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let holder = processes.into_iter().find(|process| {
        // Beside the processes, by number, there are links to this one.
        if process.file_name().to_str().is_none_or(|name| name.parse::<u32>().is_err()) {
            return false;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { return false };
        files
            .filter_map(Result::ok)
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
    })?;
    let name = fs::read_to_string(holder.path().join("comm")).ok()?;
    Some(format!("{} (pid {})", name.trim_end(), holder.file_name().display()))
}

/// The inode of the socket in this row of the table, if it listens on `port` (proc_pid_net(5)).
fn inode_of_listener(row: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = row.split_ascii_whitespace().collect();
    let (_, own_port) = fields.get(1)?.rsplit_once(':')?;
    let listens = fields.get(3) == Some(&LISTEN) && u16::from_str_radix(own_port, 16) == Ok(port);
    listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port_and_state() {
        let listening =
            " 0: 0100007F:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4242 1";
        let connected = listening.replace(" 0A ", " 01 ");
        assert_eq!(inode_of_listener(listening, 8181).as_deref(), Some("4242"));
        assert_eq!(inode_of_listener(listening, 8182), None);
        assert_eq!(inode_of_listener(&connected, 8181), None);
        assert_eq!(inode_of_listener("  sl  local_address rem_address", 8181), None);
    }

    #[test]
    fn the_holder_of_a_port_has_a_name_and_an_id() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let holder = holder(port).expect("this process");
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
        assert!(is_taken(&Listen::Address(([127, 0, 0, 1], port).into())));
    }
}

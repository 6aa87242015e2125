//! Connects to the first of several addresses that accepts (RFC 8305, Happy Eyeballs).

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{error::Error, fmt, io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, task::JoinSet, time::sleep};

#[cfg(unix)]
use unix::SHORTAGES;
#[cfg(windows)]
use windows::SHORTAGES;

/// How long an address is tried before the next one joins in (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried at most.
const MAX_ADDRESSES: usize = 16;

/// No address accepted the connection.
#[derive(Debug)]
pub(super) struct ConnectError(Vec<(SocketAddr, io::Error)>);

/// Connects to the first of `addresses` that accepts.
///
/// Each address gets a head start over the next one: 250 ms, or less if needed to start all within half of `timeout`.
/// When an address fails, the next one starts at once. A silent one continues beside the others.
pub(super) async fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, ConnectError> {
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    let head_start = ATTEMPT_DELAY.min(timeout / 2 / u32::try_from(addresses.len()).unwrap_or(1).max(1));
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move { (address, open(address).await) });
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => failures.push((address, error)),
                // The attempt was cancelled, by the shutdown of the runtime for example.
                Err(_) => {}
            },
            () = sleep(head_start), if waiting.len() > 0 => {}
            else => return Err(ConnectError(failures)),
        }
    }
}

/// Whether this machine lacks something for a connection or for a lookup thread. The upstream is not to blame then.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&code))
}

impl ConnectError {
    /// Whether this machine lacked what every single attempt needed. A host without IPv6 reports a missing address for
    /// `::1`, which does not count.
    pub(super) fn is_shortage(&self) -> bool {
        let Self(failures) = self;
        let lacks = |(address, error): &(SocketAddr, io::Error)| {
            is_shortage(error) && !(address.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable)
        };
        !failures.is_empty() && failures.iter().all(lacks)
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Otherwise the body waits until the upstream has acknowledged the head, by up to 40 ms on Linux.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl fmt::Display for ConnectError {
    /// Every address with its failure. The last failure is the source, and not repeated here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(((last, _), others)) = self.0.split_last() else {
            return f.write_str("there was no address to try");
        };
        for (address, error) in others {
            write!(f, "{address}: {error}, ")?;
        }
        write!(f, "{last}")
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.last().map(|(_, error)| error as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn failed(failures: &[(&str, Errno)]) -> ConnectError {
        let failure = |(address, errno): &(&str, Errno)| {
            (address.parse().expect("an address"), io::Error::from_raw_os_error(errno.raw_os_error()))
        };
        ConnectError(failures.iter().map(failure).collect())
    }

    #[test]
    fn a_local_resource_shortage_is_not_reported_as_a_refusing_upstream() {
        for (failures, shortage) in [
            (&[("192.0.2.1:443", Errno::MFILE)][..], true),
            (&[("192.0.2.1:443", Errno::ADDRNOTAVAIL), ("192.0.2.2:443", Errno::NOBUFS)], true),
            (&[("192.0.2.1:443", Errno::CONNREFUSED)], false),
            (&[("192.0.2.1:443", Errno::CONNREFUSED), ("192.0.2.2:443", Errno::MFILE)], false),
            (&[("[::1]:443", Errno::ADDRNOTAVAIL)], false),
            (&[], false),
        ] {
            assert_eq!(failed(failures).is_shortage(), shortage, "{failures:?}");
        }
    }
}

//! A TCP connection to the first of several addresses that takes one.

use std::{error::Error, fmt, io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, task::JoinSet, time::sleep};

/// How long an address is tried alone (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 16;

/// No address took the connection.
#[derive(Debug)]
pub(super) struct NoConnection(Vec<(SocketAddr, io::Error)>);

/// Connects to the first of `addresses` that answers.
///
/// Each gets a head start over the next one: 250 ms, or less, so that all are tried within half of `time`. One that
/// fails hands over at once; one that is silent stays in the race.
pub(super) async fn connect(addresses: &[SocketAddr], time: Duration) -> Result<TcpStream, NoConnection> {
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    let head_start = ATTEMPT_DELAY.min(time / 2 / u32::try_from(addresses.len()).unwrap_or(1).max(1));
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
                // An attempt that ends without a result, at shutdown for one, is out of the race.
                Err(_) => {}
            },
            () = sleep(head_start), if waiting.len() > 0 => {}
            else => return Err(NoConnection(failures)),
        }
    }
}

/// Whether the system lacks what another connection, or a thread for a lookup, needs: nothing is wrong with the other end.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;

    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN | Errno::ADDRNOTAVAIL)
    )
}

impl NoConnection {
    /// Whether no address has even been tried for want of something on this machine. A host without IPv6 has no address
    /// for a connection to `::1` either, which is no shortage.
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
    // A head and the body behind it must not wait for each other's acknowledgement.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl fmt::Display for NoConnection {
    /// Every address with its failure, but for the last one's, which is the source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(((last, _), others)) = self.0.split_last() else {
            return f.write_str("no address could be tried");
        };
        for (address, error) in others {
            write!(f, "{address}: {error}, ")?;
        }
        write!(f, "{last}")
    }
}

impl Error for NoConnection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.last().map(|(_, error)| error as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn failed(failures: &[(&str, Errno)]) -> NoConnection {
        let failure = |(address, errno): &(&str, Errno)| {
            (address.parse().expect("an address"), io::Error::from_raw_os_error(errno.raw_os_error()))
        };
        NoConnection(failures.iter().map(failure).collect())
    }

    #[test]
    fn a_shortage_of_ours_is_told_from_an_upstream_that_refuses() {
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

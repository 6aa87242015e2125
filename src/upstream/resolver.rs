//! Name lookup: one at a time for each name, each in a separate thread.

use std::{
    collections::HashMap,
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::watch;

use super::tcp::is_shortage;
use crate::forward_proxy::is_localhost;

/// Finds the addresses of names. Clones share the pending lookups.
///
/// `getaddrinfo` cannot be cancelled and may take minutes, so that it must not occupy a shared thread pool. Each name
/// has one thread while it is looked up, and every request for the name waits for that result. Only configured names
/// are looked up, which limits the number of threads. Results are not cached, so that a moved name is followed.
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

struct Shared {
    lookup: Box<Lookup>,
    lookups: Mutex<HashMap<String, PendingLookup>>,
}

type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The result of a pending lookup; `None` until it has ended.
type PendingLookup = watch::Receiver<Option<Result<Vec<IpAddr>, Arc<io::Error>>>>;

/// A name whose addresses could not be found.
#[derive(Debug)]
pub(crate) struct LookupError {
    name: String,
    source: Arc<io::Error>,
}

impl LookupError {
    /// Whether the lookup failed because this machine lacks something.
    pub(super) fn is_shortage(&self) -> bool {
        is_shortage(&self.source)
    }
}

impl Resolver {
    /// A resolver that calls `lookup`, which may block.
    pub fn new(lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { lookup: Box::new(lookup), lookups: Mutex::default() }))
    }

    /// The resolver of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }

    /// The addresses of `host`, at least one, in the order in which to try them. Addresses and `localhost` are not
    /// looked up.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let failed = |source| LookupError { name: host.to_owned(), source };
        let mut pending = self.join(host).map_err(|error| failed(Arc::new(error)))?;
        let outcome = pending.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        match outcome {
            Some(Ok(addresses)) if !addresses.is_empty() => Ok(interleaved(addresses)),
            Some(Ok(_)) => Err(failed(Arc::new(io::Error::other("the name has no address")))),
            Some(Err(error)) => Err(failed(error)),
            None => Err(failed(Arc::new(io::Error::other("the lookup ended without a result")))),
        }
    }

    /// The pending lookup of `name`, or a new one.
    fn join(&self, name: &str) -> io::Result<PendingLookup> {
        let mut lookups = self.0.lock();
        if let Some(pending) = lookups.get(name) {
            return Ok(pending.clone());
        }
        let (result, pending) = watch::channel(None);
        let guard = LookupGuard { shared: Arc::clone(&self.0), name: name.to_owned() };
        lookups.insert(name.to_owned(), pending.clone());
        // The guard takes this lock when it is dropped: in the thread, or here if the thread cannot be started.
        drop(lookups);
        thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            let outcome = (guard.shared.lookup)(&guard.name).map_err(Arc::new);
            // Before the result is sent, so that a request which comes after it starts a new lookup.
            drop(guard);
            result.send_replace(Some(outcome));
        })?;
        Ok(pending)
    }
}

/// The resolver of the operating system.
impl Default for Resolver {
    fn default() -> Self {
        Self::system()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, PendingLookup>> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a lookup from the pending ones when it ends, also by a panic.
struct LookupGuard {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for LookupGuard {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.name);
    }
}

/// Alternates the address families, beginning with the system's choice (RFC 8305 section 4): one family may be
/// unreachable.
fn interleaved(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(one.len() + other.len());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return mixed;
        }
        for address in pair.into_iter().flatten() {
            if !mixed.contains(&address) {
                mixed.push(address);
            }
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot look up {}", self.name)
    }
}

impl Error for LookupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use tokio::task::JoinSet;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn families_alternate_and_no_address_comes_twice() {
        for (found, tried) in [
            (&["::1", "::2", "10.0.0.1", "10.0.0.2"][..], &["::1", "10.0.0.1", "::2", "10.0.0.2"][..]),
            (&["10.0.0.1", "10.0.0.2", "::1"], &["10.0.0.1", "::1", "10.0.0.2"]),
            (&["10.0.0.1", "10.0.0.1"], &["10.0.0.1"]),
            (&[], &[]),
        ] {
            assert_eq!(interleaved(addresses(found)), addresses(tried));
        }
    }

    #[tokio::test]
    async fn localhost_and_addresses_are_not_looked_up() {
        let resolver = Resolver::new(|name| panic!("{name} was looked up"));
        for (host, expected) in [
            ("localhost", &["127.0.0.1", "::1"][..]),
            ("api.localhost", &["127.0.0.1", "::1"]),
            ("10.0.0.1", &["10.0.0.1"]),
            ("[2001:db8::1]", &["2001:db8::1"]),
        ] {
            assert_eq!(resolver.addresses(host).await.expect("no lookup"), addresses(expected), "{host}");
        }
    }

    #[tokio::test]
    async fn all_who_ask_for_a_name_at_once_share_one_lookup_and_the_next_one_asks_anew() {
        let (release, gate) = mpsc::channel::<()>();
        let (gate, asked) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let resolver = Resolver::new(move |_| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            gate.lock().expect("a lock").recv().expect("a sender");
            Ok(vec![Ipv4Addr::new(10, 0, 0, u8::try_from(number).expect("few")).into()])
        });
        let mut waiting = JoinSet::new();
        for _ in 0..20 {
            let resolver = resolver.clone();
            waiting.spawn(async move { resolver.addresses("api.example").await.expect("found") });
        }
        tokio::task::yield_now().await;
        release.send(()).expect("a lookup");
        for found in waiting.join_all().await {
            assert_eq!(found, addresses(&["10.0.0.0"]));
        }
        release.send(()).expect("a lookup");
        assert_eq!(resolver.addresses("api.example").await.expect("found"), addresses(&["10.0.0.1"]));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_lookup_that_fails_or_panics_leaves_nothing_behind() {
        let resolver = Resolver::new(|name| match name {
            "panics" => panic!("as it should"),
            "empty" => Ok(Vec::new()),
            _ => Err(io::Error::other("no such name")),
        });
        for _ in 0..2 {
            for (name, cause) in [
                ("panics", "the lookup ended without a result"),
                ("empty", "the name has no address"),
                ("missing", "no such name"),
            ] {
                let error = resolver.addresses(name).await.expect_err(name);
                assert_eq!(error.to_string(), format!("cannot look up {name}"));
                assert_eq!(error.source().expect("a cause").to_string(), cause);
            }
        }
        assert!(resolver.0.lock().is_empty());
    }
}

//! The live proxy of each worker, which a reload replaces without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{exchange::Proxy, request::route::BuildError, settings::Settings};

/// The proxies of all workers.
#[derive(Debug)]
pub struct WorkerProxies(Vec<ProxyHandle>);

/// The live proxy of one worker. Clones share it, and loading it never waits.
#[derive(Clone, Debug)]
pub struct ProxyHandle(Arc<ArcSwap<Proxy>>);

impl WorkerProxies {
    /// `proxy` for the first worker, and siblings of it for the others. There is one worker at least.
    #[must_use]
    pub fn new(proxy: Proxy, workers: usize) -> Self {
        let siblings: Vec<Proxy> = (1..workers).map(|_| proxy.sibling()).collect();
        let handle = |proxy| ProxyHandle(Arc::new(ArcSwap::from_pointee(proxy)));
        Self([proxy].into_iter().chain(siblings).map(handle).collect())
    }

    /// The workers' proxies.
    #[must_use]
    pub fn handles(&self) -> Vec<ProxyHandle> {
        self.0.clone()
    }

    /// Applies `settings` from the next request on. Requests under way keep the old ones, and connections to
    /// upstreams that are reached as before are kept.
    ///
    /// # Errors
    /// When no proxy can be made of them; the live one stays.
    pub fn replace(&self, settings: &Settings) -> Result<(), BuildError> {
        let Some((first, others)) = self.0.split_first() else { return Ok(()) };
        let proxy = first.current().renewed(settings)?;
        for handle in others {
            handle.0.store(Arc::new(proxy.successor(&handle.current())));
        }
        first.0.store(Arc::new(proxy));
        Ok(())
    }
}

impl ProxyHandle {
    /// The live proxy.
    #[must_use]
    pub fn current(&self) -> Arc<Proxy> {
        self.0.load_full()
    }
}

//! The proxy that the next request meets: one for each worker, all replaced when the settings change.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{exchange::Proxy, request::route::BuildError, settings::Settings};

/// The proxies of all workers.
#[derive(Debug)]
pub struct WorkerProxies(Vec<ProxyHandle>);

/// The proxy of one worker. Clones share it; it is taken without waiting for anybody.
#[derive(Clone, Debug)]
pub struct ProxyHandle(Arc<ArcSwap<Proxy>>);

impl WorkerProxies {
    /// `proxy` and its siblings for so many workers, one at least.
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

    /// Lets `settings` hold for every request from the next one on. Those under way end as they began, and connections to
    /// upstreams that are reached as before are kept.
    ///
    /// # Errors
    /// When there can be no such proxy; the one that is stays.
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
    /// The proxy of this moment.
    #[must_use]
    pub fn current(&self) -> Arc<Proxy> {
        self.0.load_full()
    }
}

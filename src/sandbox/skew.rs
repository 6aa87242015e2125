//! A clock that can be set wrong while the sandbox runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::TimeSource;

use crate::clock::Clock;

/// How far the sandbox's clock is from the one it was given; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Skew(Arc<AtomicI64>);

impl Skew {
    /// `base`, moved by the skew that is set when the clock is read.
    pub(super) fn applied_to(&self, base: Clock) -> Clock {
        Clock::from_source(Skewed { base, skew: self.clone() })
    }

    pub(super) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    pub(super) fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Skewed {
    base: Clock,
    skew: Skew,
}

impl TimeSource for Skewed {
    fn now(&self) -> SystemTime {
        let millis = self.skew.millis();
        let by = Duration::from_millis(millis.unsigned_abs());
        if millis >= 0 { self.base.now() + by } else { self.base.now() - by }
    }
}

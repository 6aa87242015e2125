//! The latest requests to the API, for tests and for the first screen.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::received::Received;

/// What the kept requests may take, bodies included: six of the largest that the API takes.
const MAX_RECORDED_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct Recording {
    max_requests: usize,
    requests: Mutex<VecDeque<Received>>,
}

impl Recording {
    pub(super) fn new(max_requests: usize) -> Self {
        Self { max_requests, requests: Mutex::default() }
    }

    /// Keeps a request, and drops the oldest ones that there is no room for.
    pub(super) fn add(&self, received: &Received) {
        if self.max_requests == 0 {
            return;
        }
        let mut requests = self.lock();
        requests.push_back(received.clone());
        let mut bytes: usize = requests.iter().map(size).sum();
        while requests.len() > self.max_requests || bytes > MAX_RECORDED_BYTES {
            let Some(oldest) = requests.pop_front() else { return };
            bytes -= size(&oldest);
        }
    }

    /// The kept requests, oldest first.
    pub(super) fn all(&self) -> Vec<Received> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(received: &Received) -> usize {
    let headers = received.headers.iter().map(|(name, value)| name.len() + value.len());
    received.target.len() + received.body.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sandbox::Verdict;

    fn upload(target: &str, length: usize) -> Received {
        Received {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Bytes::from(vec![0; length]),
            verdict: Verdict::Disturbed,
        }
    }

    fn targets(recording: &Recording) -> Vec<String> {
        recording.all().into_iter().map(|received| received.target).collect()
    }

    #[test]
    fn the_oldest_requests_give_way_by_number() {
        let recording = Recording::new(2);
        for target in ["/1", "/2", "/3"] {
            recording.add(&upload(target, 0));
        }
        assert_eq!(targets(&recording), ["/2", "/3"]);
    }

    #[test]
    fn the_oldest_requests_give_way_by_size() {
        let recording = Recording::new(1000);
        for target in ["/1", "/2", "/3", "/4"] {
            recording.add(&upload(target, MAX_RECORDED_BYTES / 3));
        }
        assert_eq!(targets(&recording), ["/3", "/4"]);
    }

    #[test]
    fn nothing_is_kept_where_no_request_may_be() {
        let recording = Recording::new(0);
        recording.add(&upload("/1", 0));
        assert_eq!(targets(&recording), [""; 0]);
    }
}

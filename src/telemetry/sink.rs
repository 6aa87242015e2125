//! Where log lines go: to a thread that writes them to stderr, so that no request waits for a slow reader.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::{Metadata, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::ACCESS;

/// How long the lines of requests are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(100);

/// From so many bytes on nothing is gathered any longer.
const ENOUGH: usize = 64 * 1024;

/// What may wait for a reader that has stopped, in bytes; further lines of requests are lost then, and counted.
const MOST: usize = 4 * 1024 * 1024;

/// Takes lines.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Shared>);

/// Ends with everything written.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// There is a line that nobody should have to wait for.
    urgent: bool,
    lost: u64,
    ended: bool,
}

impl Sink {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start() -> io::Result<(Self, Log)> {
        let sink = Self(Arc::default());
        let writer = sink.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_all())?;
        Ok((sink.clone(), Log { sink, thread: Some(thread) }))
    }

    fn write_all(&self) {
        let mut lines = Vec::new();
        while let Some(lost) = self.take(&mut lines) {
            // There is nowhere to say that stderr is gone.
            let _ = io::stderr().write_all(&lines);
            if lost > 0 {
                warn!(lines = lost, "lines of requests were lost: the log was not read");
            }
            lines.clear();
        }
    }

    /// Waits for lines, and takes them; how many were lost on the way. `None` after the last.
    fn take(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let mut waiting = self.lock();
        while waiting.lines.is_empty() {
            if waiting.ended {
                return None;
            }
            waiting = self.0.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers =
            |waiting: &mut Waiting| !waiting.urgent && !waiting.ended && waiting.lines.len() < ENOUGH;
        let gathered = self.0.changed.wait_timeout_while(waiting, GATHER, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        mem::swap(lines, &mut waiting.lines);
        Some(mem::take(&mut waiting.lost))
    }

    fn put(&self, line: &[u8], urgent: bool) {
        // What a format leaves out altogether.
        if line.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        if !urgent && waiting.lines.len() > MOST {
            waiting.lost += 1;
            return;
        }
        let before = waiting.lines.len();
        waiting.lines.extend_from_slice(line);
        waiting.urgent |= urgent;
        let enough = before < ENOUGH && waiting.lines.len() >= ENOUGH;
        if waiting.ended {
            let _ = io::stderr().write_all(&mem::take(&mut waiting.lines));
        } else if before == 0 || urgent || enough {
            self.0.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.sink.lock().ended = true;
        self.sink.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Nothing in it panics; what matters is that it has written.
            let _ = thread.join();
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { sink: self, urgent: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { sink: self, urgent: metadata.target() != ACCESS }
    }
}

/// Takes one line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    sink: &'a Sink,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line that is left out comes as nothing, which is not urgent.
        if !line.is_empty() {
            self.sink.put(line, self.urgent);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> Sink {
        Sink(Arc::default())
    }

    #[test]
    fn lines_of_requests_are_taken_together_and_others_at_once() {
        let sink = sink();
        sink.put(b"one\n", false);
        sink.put(b"two\n", false);
        sink.put(b"three\n", true);
        let mut lines = Vec::new();
        assert_eq!(sink.take(&mut lines), Some(0));
        assert_eq!(lines, b"one\ntwo\nthree\n");
    }

    #[test]
    fn lines_that_nobody_reads_are_lost_and_counted_but_urgent_ones_are_kept() {
        let sink = sink();
        let line = vec![b'x'; MOST + 1];
        sink.put(&line, false);
        sink.put(b"lost\n", false);
        sink.put(b"kept\n", true);
        let mut lines = Vec::new();
        assert_eq!(sink.take(&mut lines), Some(1));
        assert!(lines.ends_with(b"xkept\n"));
    }

    #[test]
    fn after_the_end_there_is_nothing_to_take() {
        let sink = sink();
        sink.put(b"last\n", false);
        sink.lock().ended = true;
        let mut lines = Vec::new();
        assert_eq!(sink.take(&mut lines), Some(0));
        assert_eq!(sink.take(&mut lines), None);
    }
}

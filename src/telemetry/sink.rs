//! What is written to stderr: log lines and messages wait in a queue for a thread that writes them.
//!
//! Stderr may be a pipe that nobody reads, a terminal stopped by Ctrl-S, or a file on a full disk. No request waits for
//! it, the queue is bounded, lines that are lost are counted, and the end of the process waits for a second at most.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tracing::{Metadata, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::{ACCESS, LOST};

/// How long the lines of requests are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(100);

/// From so many bytes on nothing is gathered any longer.
const ENOUGH: usize = 64 * 1024;

/// The bytes that may wait for a reader that has stopped, those of a write under way included.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// The part of it that the lines of requests may take: a flood of them leaves room for warnings.
const MAX_OF_REQUESTS: usize = MAX_WAITING / 4 * 3;

/// How long the end of the process waits for what is still to be written.
const LONGEST_END: Duration = Duration::from_secs(1);

/// How long the thread waits before it tries a stderr again that another process has made non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// Stderr is one for the whole process, and so is its queue.
static STDERR: OnceLock<Sink> = OnceLock::new();

/// Takes lines; without a thread, writes them at once.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Shared>);

/// Waits, when it is dropped, until everything is written, but for a second at most.
#[derive(Debug)]
#[must_use = "the process must not end before its last lines are written"]
pub struct Log(());

#[derive(Debug, Default)]
struct Shared {
    /// Whether lines of requests may wait to be written together: a person at a terminal sees each at once.
    gathers: bool,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Bytes that the thread has taken and not yet written.
    writing: usize,
    /// There is a line that nobody should have to wait for.
    urgent: bool,
    /// Lines for which there was no room.
    lost: u64,
    /// Somebody has waited in vain, and nothing has been written since.
    stalled: bool,
}

/// What a line is about, and so how much room there is for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Request,
    Anything,
    /// How many lines were lost; the thread itself writes it, once in a while.
    Loss,
}

/// Starts the thread that writes to stderr. Where the system gives none, everything is written as it comes.
pub fn open_log() -> Log {
    let gathers = !io::stderr().is_terminal();
    let sink = Sink(Arc::new(Shared { gathers, ..Shared::default() }));
    let writer = sink.clone();
    // No owner awaits the thread: it may hang in a write for as long as nobody reads, and ends with the process.
    if thread::Builder::new().name("log".to_owned()).spawn(move || writer.run()).is_ok() {
        // A second call finds the first queue, and its own thread has nothing to do.
        let _ = STDERR.set(sink);
    }
    Log(())
}

/// Writes a message to stderr, behind all log lines so far. It may be lost if nobody reads.
pub fn say(text: &str) {
    match STDERR.get() {
        Some(sink) => sink.put(text.as_bytes(), About::Anything),
        // Stderr may be closed: then nobody is left to tell.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until all lines so far are written, but for a second at most, and not again while they are stuck.
pub fn flush() {
    if let Some(sink) = STDERR.get() {
        sink.flush(LONGEST_END);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        flush();
    }
}

impl Sink {
    /// The queue of this process, if its thread runs.
    pub(super) fn stderr() -> Option<Self> {
        STDERR.get().cloned()
    }

    fn run(&self) {
        let mut output = Output { to: io::stderr(), is_torn: false };
        let (mut lines, mut failed) = (Vec::new(), None);
        loop {
            self.take(&mut lines);
            match output.write_lines(&lines) {
                Ok(()) => self.tell_losses(failed.take()),
                Err((lost, error)) => {
                    let before = failed.map_or(0, |(before, _)| before);
                    failed = Some((before + lost, error));
                }
            }
            lines.clear();
            // What a burst took is given back.
            lines.shrink_to(ENOUGH);
        }
    }

    /// Says in the log what is missing from it, now that it is written again.
    fn tell_losses(&self, failed: Option<(u64, io::Error)>) {
        let dropped = mem::take(&mut self.lock().lost);
        if dropped > 0 {
            warn!(target: LOST, lines = dropped, "log lines were dropped: stderr was not read fast enough");
        }
        if let Some((lines, error)) = failed {
            warn!(target: LOST, lines, %error, "log lines could not be written to stderr");
        }
    }

    /// Waits for lines, and takes them.
    fn take(&self, lines: &mut Vec<u8>) {
        let mut waiting = self.lock();
        (waiting.writing, waiting.stalled) = (0, false);
        while waiting.lines.is_empty() {
            self.0.idle.notify_all();
            waiting = self.0.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |waiting: &mut Waiting| !waiting.urgent && waiting.lines.len() < ENOUGH;
        let gathered = self.0.changed.wait_timeout_while(waiting, GATHER, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        mem::swap(lines, &mut waiting.lines);
        waiting.writing = lines.len();
    }

    fn put(&self, line: &[u8], about: About) {
        let mut waiting = self.lock();
        let before = waiting.lines.len();
        let limit = match about {
            About::Request => MAX_OF_REQUESTS,
            About::Anything => MAX_WAITING,
            About::Loss => usize::MAX,
        };
        if waiting.writing + before + line.len() > limit {
            waiting.lost += 1;
            return;
        }
        waiting.lines.extend_from_slice(line);
        let urgent = about != About::Request || !self.0.gathers;
        waiting.urgent |= urgent;
        let enough = before < ENOUGH && waiting.lines.len() >= ENOUGH;
        if before == 0 || urgent || enough {
            self.0.changed.notify_one();
        }
    }

    fn flush(&self, longest: Duration) {
        let mut waiting = self.lock();
        if waiting.stalled {
            return;
        }
        waiting.urgent = !waiting.lines.is_empty();
        self.0.changed.notify_one();
        let busy = |waiting: &mut Waiting| waiting.writing > 0 || !waiting.lines.is_empty();
        let waited = self.0.idle.wait_timeout_while(waiting, longest, busy);
        let (mut waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.stalled = timeout.timed_out();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { sink: self, about: About::Anything }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let about = match metadata.target() {
            ACCESS => About::Request,
            LOST => About::Loss,
            _ => About::Anything,
        };
        Line { sink: self, about }
    }
}

/// Takes one line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    sink: &'a Sink,
    about: About,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line that is left out comes as nothing.
        if !line.is_empty() {
            self.sink.put(line, self.about);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the thread writes.
struct Output<W> {
    to: W,
    /// What was written last ends within a line.
    is_torn: bool,
}

impl<W: Write> Output<W> {
    /// Writes lines; when it fails, how many were not written to their end, and why.
    fn write_lines(&mut self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let count = |lines: &[u8]| lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        // After a torn line, the next one starts on a line of its own, so that whoever parses loses only one.
        if self.is_torn {
            self.write(b"\n").map_err(|(_, error)| (count(lines), error))?;
            self.is_torn = false;
        }
        self.write(lines).map_err(|(written, error)| {
            self.is_torn = written > 0 && lines[written - 1] != b'\n';
            (count(&lines[written..]), error)
        })
    }

    /// Writes everything; when it fails, how much was written before.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.to.write(&bytes[written..]) {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn sink() -> Sink {
        Sink(Arc::new(Shared { gathers: true, ..Shared::default() }))
    }

    fn taken(sink: &Sink) -> String {
        let mut lines = Vec::new();
        sink.take(&mut lines);
        String::from_utf8(lines).expect("text")
    }

    #[test]
    fn lines_of_requests_are_taken_together_and_others_at_once() {
        let sink = sink();
        sink.put(b"one\n", About::Request);
        sink.put(b"two\n", About::Request);
        sink.put(b"three\n", About::Anything);
        assert_eq!(taken(&sink), "one\ntwo\nthree\n");
    }

    #[test]
    fn lines_that_nobody_reads_are_bounded_whatever_they_are_about() {
        let sink = sink();
        let line = [b'x'; 1023];
        let line = [&line[..], b"\n"].concat();
        for _ in 0..MAX_WAITING / line.len() * 2 {
            sink.put(&line, About::Request);
        }
        assert_eq!(sink.lock().lines.len(), MAX_OF_REQUESTS);
        let mut under_way = Vec::new();
        sink.take(&mut under_way);
        for _ in 0..MAX_WAITING / line.len() * 2 {
            sink.put(&line, About::Anything);
        }
        let waiting = sink.lock();
        assert_eq!(waiting.writing + waiting.lines.len(), MAX_WAITING, "what is under way counts");
        let lost = MAX_WAITING / line.len() * 4 - MAX_WAITING / line.len();
        assert_eq!(waiting.lost, lost as u64);
        drop(waiting);
        sink.put(b"lost\n", About::Loss);
        assert!(taken(&sink).ends_with("lost\n"), "the loss is told whatever waits");
    }

    #[test]
    fn whoever_waits_for_a_log_that_is_stuck_waits_once() {
        let sink = sink();
        sink.put(b"stuck\n", About::Anything);
        sink.flush(Duration::from_millis(1));
        sink.flush(Duration::MAX);
        assert_eq!(taken(&sink), "stuck\n");
    }

    #[test]
    fn a_flush_of_nothing_does_not_wait() {
        sink().flush(Duration::MAX);
    }

    /// Takes what it is told to take, and fails when it is told to.
    struct Unwilling {
        steps: VecDeque<Result<usize, ErrorKind>>,
        written: Vec<u8>,
    }

    impl Write for Unwilling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.steps.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(steps: impl Into<VecDeque<Result<usize, ErrorKind>>>) -> Output<Unwilling> {
        Output { to: Unwilling { steps: steps.into(), written: Vec::new() }, is_torn: false }
    }

    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_tears_one_at_most() {
        let full = || Err(ErrorKind::StorageFull);
        let mut output = output([Ok(5), full(), full(), Ok(1), Ok(2), full()]);
        let (lost, error) = output.write_lines(b"one\ntwo\nthree\n").expect_err("full");
        assert_eq!((lost, error.kind()), (2, ErrorKind::StorageFull));
        assert_eq!(output.write_lines(b"four\n").expect_err("still full").0, 1);
        assert_eq!(output.write_lines(b"five\nsix\n").expect_err("full again").0, 2);
        output.write_lines(b"seven\n").expect("room");
        assert_eq!(String::from_utf8_lossy(&output.to.written), "one\nt\nfi\nseven\n");
    }

    #[test]
    fn a_stderr_that_another_process_made_non_blocking_is_waited_for() {
        let again = || Err(ErrorKind::WouldBlock);
        let mut output = output([again(), Ok(2), again(), Err(ErrorKind::Interrupted)]);
        output.write_lines(b"whole\n").expect("written");
        assert_eq!(output.to.written, b"whole\n");
    }
}

//! The queue of stderr: log lines and messages wait in it for a thread that writes them.
//!
//! Stderr may be a pipe that nobody reads, a terminal stopped by Ctrl-S, or a file on a full disk. No request waits for
//! it, the queue is bounded, lost lines are counted, and the end of the process waits for a second at most.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Metadata, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::{ACCESS, LOST, folding::Folding, text};

/// How long the lines of requests are gathered before they are written together. A write for each line would cost a
/// system call for each request.
const MAX_GATHER_TIME: Duration = Duration::from_millis(100);

/// Gathered bytes that are written before their time is over.
const MAX_GATHERED: usize = 64 * 1024;

/// The bytes that may wait for a reader that has stopped, those of a write under way included.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// The part of them that the lines of requests may take: a flood of them leaves room for warnings.
const MAX_WAITING_OF_REQUESTS: usize = MAX_WAITING / 4 * 3;

/// How long the end of the process waits for what is still to be written.
const MAX_FLUSH: Duration = Duration::from_secs(1);

/// The pause before the thread tries a stderr again that another process has made non-blocking.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The process has one stderr, and so it has one queue.
static STDERR: OnceLock<Sink> = OnceLock::new();

/// Queues lines for the thread that writes them.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
    /// Whether lines of requests that repeat each other are written once, with their number.
    folds: bool,
}

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
    /// Lines of requests that wait for more of the same.
    folding: Folding,
    /// Bytes that the thread has taken and not yet written.
    writing: usize,
    /// One of the lines is to be written at once.
    urgent: bool,
    /// Lines for which there was no room.
    lost: u64,
    /// A flush has timed out, and nothing has been written since.
    stalled: bool,
}

/// What a line is about, which decides how much of the queue it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Request,
    Anything,
    /// How many lines were lost. The thread itself writes it, once for each time that the queue was full.
    Loss,
}

/// Starts the thread that writes to stderr. Where the system gives no thread, each line is written as it comes.
///
/// It has to be called before the process starts any other thread, since it learns the local time zone.
pub fn open_log() -> Log {
    text::learn_time_zone();
    let gathers = !io::stderr().is_terminal();
    let sink = Sink { shared: Arc::new(Shared { gathers, ..Shared::default() }), folds: false };
    let writer = sink.clone();
    // No owner awaits the thread: it may hang in a write for as long as nobody reads, and ends with the process.
    if thread::Builder::new().name("log".to_owned()).spawn(move || writer.run()).is_ok() {
        // A second call finds the first queue, and its own thread has nothing to do.
        let _ = STDERR.set(sink);
    }
    Log(())
}

/// Writes a message to stderr, behind all log lines so far. It is lost if the queue is full.
pub fn say(text: &str) {
    match STDERR.get() {
        Some(sink) => sink.put(text.as_bytes(), About::Anything),
        // A stderr that is closed has no reader who could learn of it.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until all lines so far are written, but for a second at most, and not again while they are stuck.
pub fn flush() {
    if let Some(sink) = STDERR.get() {
        sink.flush(MAX_FLUSH);
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

    /// The same queue for a person at a terminal.
    pub(super) fn folding(self) -> Self {
        Self { folds: true, ..self }
    }

    fn run(&self) {
        let mut output = Output { to: io::stderr(), is_torn: false };
        let (mut lines, mut failed) = (Vec::new(), None);
        loop {
            self.take(&mut lines);
            match output.write_lines(&lines) {
                Ok(()) => self.report_losses(failed.take()),
                Err((lost, error)) => {
                    let before = failed.map_or(0, |(before, _)| before);
                    failed = Some((before + lost, error));
                }
            }
            lines.clear();
            // A burst may have taken megabytes.
            lines.shrink_to(MAX_GATHERED);
        }
    }

    /// Logs how many lines are missing, now that lines are written again.
    fn report_losses(&self, failed: Option<(u64, io::Error)>) {
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
        loop {
            waiting.release_due(Instant::now());
            if !waiting.lines.is_empty() {
                break;
            }
            self.shared.idle.notify_all();
            waiting = match waiting.folding.due() {
                None => self.shared.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let pause = due.saturating_duration_since(Instant::now());
                    let waited = self.shared.changed.wait_timeout(waiting, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let gathers = |waiting: &mut Waiting| !waiting.urgent && waiting.lines.len() < MAX_GATHERED;
        let gathered = self.shared.changed.wait_timeout_while(waiting, MAX_GATHER_TIME, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        mem::swap(lines, &mut waiting.lines);
        waiting.writing = lines.len();
    }

    fn put(&self, line: &[u8], about: About) {
        let mut waiting = self.lock();
        if self.folds && about == About::Request && !waiting.folding.admit(line, Instant::now()) {
            // The thread learns how long to wait.
            self.shared.changed.notify_one();
            return;
        }
        let before = waiting.lines.len();
        let limit = match about {
            About::Request => MAX_WAITING_OF_REQUESTS,
            About::Anything => MAX_WAITING,
            About::Loss => usize::MAX,
        };
        if waiting.writing + before + line.len() > limit {
            waiting.lost += 1;
            return;
        }
        waiting.lines.extend_from_slice(line);
        let urgent = about != About::Request || !self.shared.gathers;
        waiting.urgent |= urgent;
        let is_full = before < MAX_GATHERED && waiting.lines.len() >= MAX_GATHERED;
        if before == 0 || urgent || is_full {
            self.shared.changed.notify_one();
        }
    }

    fn flush(&self, longest: Duration) {
        let mut waiting = self.lock();
        if waiting.stalled {
            return;
        }
        let Waiting { lines, folding, .. } = &mut *waiting;
        folding.release_all(lines);
        waiting.urgent = !waiting.lines.is_empty();
        self.shared.changed.notify_one();
        let busy = |waiting: &mut Waiting| waiting.writing > 0 || !waiting.lines.is_empty();
        let waited = self.shared.idle.wait_timeout_while(waiting, longest, busy);
        let (mut waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.stalled = timeout.timed_out();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Queues the lines of requests for which no more of the same are waited for.
    fn release_due(&mut self, now: Instant) {
        let before = self.lines.len();
        self.folding.release_due(now, &mut self.lines);
        self.urgent |= self.lines.len() > before;
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
        // A warning that repeats is left out and arrives as an empty line.
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
        // A newline behind a torn line: a program that parses the log then loses that line only.
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
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
        Sink { shared: Arc::new(Shared { gathers: true, ..Shared::default() }), folds: false }
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
    fn lines_that_are_not_read_are_bounded_whatever_they_are_about() {
        let sink = sink();
        let line = [b'x'; 1023];
        let line = [&line[..], b"\n"].concat();
        for _ in 0..MAX_WAITING / line.len() * 2 {
            sink.put(&line, About::Request);
        }
        assert_eq!(sink.lock().lines.len(), MAX_WAITING_OF_REQUESTS);
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
        assert!(taken(&sink).ends_with("lost\n"), "the loss is reported whatever waits");
    }

    #[test]
    fn a_log_that_is_stuck_is_waited_for_once() {
        let sink = sink();
        sink.put(b"stuck\n", About::Anything);
        sink.flush(Duration::from_millis(1));
        sink.flush(Duration::MAX);
        assert_eq!(taken(&sink), "stuck\n");
    }

    #[test]
    fn repeated_lines_of_requests_are_folded_and_a_flush_releases_them() {
        let sink = sink().folding();
        for _ in 0..3 {
            sink.put(b"12:00:00 GET /a 200 2 B 1 ms\n", About::Request);
        }
        assert_eq!(taken(&sink), "12:00:00 GET /a 200 2 B 1 ms\n");
        sink.flush(Duration::from_millis(1));
        assert_eq!(taken(&sink), "12:00:00 GET /a 200 2 B 1 ms ×2\n");
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

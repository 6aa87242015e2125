//! Shutdown of the process: requested by a signal or by an HTTP request, observed by every task.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    fmt,
    future::ready,
    io::{self, IsTerminal},
    process::exit,
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::runtime_thread;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::{ReloadRequests, Signals};

/// How long the process may take to end by itself after a second signal, so that it can write its log.
const SECOND_SIGNAL_GRACE: Duration = Duration::from_secs(1);

/// Requests the shutdown. Clones are the same trigger.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<State>);

/// Observes the shutdown. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<State>);

/// Whether the end has been asked for, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Requested,
    /// By a person at a terminal, who waits for it.
    RequestedInteractively,
}

/// Makes a trigger and its observer.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(State::Running);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Requests the shutdown. Further calls do nothing.
    pub fn request(&self) {
        self.enter(State::Requested);
    }

    /// Asks for the end on behalf of a person who waits for it: answers without a declared length are cut soon.
    pub fn request_interactively(&self) {
        self.enter(State::RequestedInteractively);
    }

    /// Asks for the end because of `signal`, interactively when it is a Ctrl-C.
    pub fn request_by(&self, signal: Signal) {
        if signal.is_from_terminal() {
            self.request_interactively();
        } else {
            self.request();
        }
    }

    fn enter(&self, requested: State) {
        self.0.send_if_modified(|state| {
            let is_first = *state == State::Running;
            if is_first {
                *state = requested;
            }
            is_first
        });
    }
}

impl Shutdown {
    /// Waits until the shutdown is requested. Dropping all triggers requests it too.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(|state| *state != State::Running).await;
    }

    /// Whether the shutdown has been requested, or all triggers have been dropped.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() != State::Running || self.0.has_changed().is_err()
    }

    /// Whether a person at a terminal has asked for the end.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        *self.0.borrow() == State::RequestedInteractively
    }
}

/// The signals that end the process, or the program that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT; on Windows Ctrl-C.
    Interrupt,
    /// SIGTERM; on Windows Ctrl-Break, or the end of the user's session or of Windows.
    Terminate,
    /// SIGHUP; on Windows the end of the console.
    Hangup,
}

impl Signal {
    /// 128 plus the number of the signal, as in shells; on Windows the same numbers.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }

    /// Whether a person has most likely pressed Ctrl-C: the signal is SIGINT, and what the process says is read at a
    /// terminal.
    #[must_use]
    pub fn is_from_terminal(self) -> bool {
        self == Self::Interrupt && io::stderr().is_terminal()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(system::name(*self))
    }
}

impl Signals {
    /// Handles SIGINT and SIGTERM, or what takes their place. The second signal ends the process within a second, even
    /// if something hangs, with the exit code of the first.
    ///
    /// # Errors
    /// When the system refuses a signal handler or a thread.
    pub fn listen() -> io::Result<Self> {
        Self::listen_and_exit_with(Signal::exit_code, ready(()))
    }

    /// The same, with the exit code that `exit_code` returns for the first signal, and not before `settled` has ended,
    /// which must have a time limit.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_and_exit_with(
        exit_code: impl Fn(Signal) -> u8 + Send + 'static,
        settled: impl Future + Send + 'static,
    ) -> io::Result<Self> {
        end_at_second_signal(exit_code, settled)?;
        Self::take_over()
    }
}

/// Ends the process at the second signal. It listens in a separate thread with its own runtime, since the main runtime
/// may be what hangs: on a file, or on a stdout that is not read.
fn end_at_second_signal(
    exit_code: impl Fn(Signal) -> u8 + Send + 'static,
    settled: impl Future + Send + 'static,
) -> io::Result<()> {
    // The thread is not joined: it ends with the process.
    runtime_thread::spawn("signals".to_owned(), 0, move || {
        let mut signals = Signals::take_over()?;
        Ok(async move {
            let first = signals.next().await;
            signals.next().await;
            sleep(SECOND_SIGNAL_GRACE).await;
            settled.await;
            exit(exit_code(first).into());
        })
    })?;
    Ok(())
}

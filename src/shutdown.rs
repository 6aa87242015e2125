//! The end of the process: asked for by a signal or by a request, heard by every task.

use std::{
    fmt,
    future::{pending, ready},
    io::{self, IsTerminal},
    process::exit,
    time::Duration,
};

use tokio::{
    signal::unix::{self, SignalKind},
    sync::watch,
    time::sleep,
};

use crate::{process, runtime_thread};

/// How long the process has after its second signal to end by itself: enough to write its log.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Asks for the end. Clones ask for the same.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<State>);

/// Hears of the end. Clones are cheap.
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

/// Makes the two ends.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(State::Running);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Asks for the end; further calls change nothing.
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
    /// Waits until the end is asked for; a trigger that is gone asks for it too.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(|state| *state != State::Running).await;
    }

    /// Whether the end has been asked for; a trigger that is gone asks for it too.
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
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
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
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Hangup => "SIGHUP",
        })
    }
}

/// The signals of this process from the moment of its creation on.
#[derive(Debug)]
pub struct Signals {
    interrupt: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM. The second of them ends the process within a second, whatever hangs in it, with
    /// the exit code of the first.
    ///
    /// # Errors
    /// When the system does not let it, or gives no thread.
    pub fn listen() -> io::Result<Self> {
        Self::listen_and_exit_with(Signal::exit_code, ready(()))
    }

    /// The same, with `exit_code` of the first signal, and not before `settled` is over: it must have a limit of its
    /// own.
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

    fn take_over() -> io::Result<Self> {
        Ok(Self {
            interrupt: Some(unix::signal(SignalKind::interrupt())?),
            terminate: Some(unix::signal(SignalKind::terminate())?),
            hangup: None,
        })
    }

    /// Takes over SIGINT, SIGTERM and SIGHUP for another program that this one runs, but none that this
    /// process was started to ignore: under `nohup`, the other program ignores SIGHUP as well.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen_beside_another() -> io::Result<Self> {
        let heard = |kind: SignalKind| match process::ignores(kind.as_raw_value()) {
            true => Ok(None),
            false => unix::signal(kind).map(Some),
        };
        Ok(Self {
            interrupt: heard(SignalKind::interrupt())?,
            terminate: heard(SignalKind::terminate())?,
            hangup: heard(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            () = received(&mut self.interrupt) => Signal::Interrupt,
            () = received(&mut self.terminate) => Signal::Terminate,
            () = received(&mut self.hangup) => Signal::Hangup,
        }
    }
}

/// Listens in a thread and a runtime of its own, since what hangs may be the runtime that ought to hear the signal: in
/// work on a file, or at a stdout that nobody reads.
fn end_at_second_signal(
    exit_code: impl Fn(Signal) -> u8 + Send + 'static,
    settled: impl Future + Send + 'static,
) -> io::Result<()> {
    // No owner awaits the thread: it ends with the process.
    runtime_thread::spawn("signals".to_owned(), 0, move || {
        let mut signals = Signals::take_over()?;
        Ok(async move {
            let first = signals.next().await;
            signals.next().await;
            sleep(LAST_MOMENT).await;
            settled.await;
            exit(exit_code(first).into());
        })
    })?;
    Ok(())
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}

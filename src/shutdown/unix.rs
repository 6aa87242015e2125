//! The signals of Unix.

use std::{fs::File, future::pending, io};

use tokio::signal::unix::{self, SignalKind};

use super::Signal;
use crate::process;

/// How people call a signal.
pub(super) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "SIGINT",
        Signal::Terminate => "SIGTERM",
        Signal::Hangup => "SIGHUP",
    }
}

/// Receives the signals of this process from its creation on.
#[derive(Debug)]
pub struct Signals {
    interrupt: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
}

impl Signals {
    pub(super) fn take_over() -> io::Result<Self> {
        Ok(Self {
            interrupt: Some(unix::signal(SignalKind::interrupt())?),
            terminate: Some(unix::signal(SignalKind::terminate())?),
            hangup: None,
        })
    }

    /// Handles SIGINT, SIGTERM and SIGHUP for another program that this one runs, except those that this process
    /// inherited as ignored: under `nohup`, the other program must ignore SIGHUP as well.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub fn listen_beside_another() -> io::Result<Self> {
        Ok(Self {
            interrupt: unless_ignored(SignalKind::interrupt())?,
            terminate: unless_ignored(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            () = received(&mut self.interrupt) => Signal::Interrupt,
            () = received(&mut self.terminate) => Signal::Terminate,
            () = received(&mut self.hangup) => Signal::Hangup,
        }
    }
}

/// Receives SIGHUP, which asks a process to read its configuration again, or says that its terminal is gone.
#[derive(Debug)]
pub struct ReloadRequests {
    hangup: Option<unix::Signal>,
    /// The process was started from a terminal, so that SIGHUP may mean the terminal is gone.
    has_terminal: bool,
}

impl ReloadRequests {
    /// Whether this system has such requests.
    pub const ARE_POSSIBLE: bool = true;

    /// Hears SIGHUP from this moment on, unless the process was started to ignore it.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { hangup: unless_ignored(SignalKind::hangup())?, has_terminal: has_terminal() })
    }

    /// Waits for the next request; `None` when the terminal is gone.
    pub async fn next(&mut self) -> Option<()> {
        received(&mut self.hangup).await;
        (!self.has_terminal || has_terminal()).then_some(())
    }
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn unless_ignored(kind: SignalKind) -> io::Result<Option<unix::Signal>> {
    match process::ignores(kind.as_raw_value()) {
        true => Ok(None),
        false => unix::signal(kind).map(Some),
    }
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}

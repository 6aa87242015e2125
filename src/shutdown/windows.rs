//! What the console of Windows sends in place of signals.

use std::{future::pending, io};

use tokio::signal::windows::{self, CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};

use super::Signal;

/// How people call a signal.
pub(super) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "Ctrl-C",
        Signal::Terminate => "Ctrl-Break",
        Signal::Hangup => "the console was closed",
    }
}

/// Receives what the console sends to this process from its creation on.
///
/// After the end of the console, Windows ends the process within five seconds, whatever it still does.
#[derive(Debug)]
pub struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Signals {
    pub(super) fn take_over() -> io::Result<Self> {
        Ok(Self {
            interrupt: windows::ctrl_c()?,
            terminate: windows::ctrl_break()?,
            close: windows::ctrl_close()?,
            logoff: windows::ctrl_logoff()?,
            shutdown: windows::ctrl_shutdown()?,
        })
    }

    /// The same for another program that this one runs, which the console tells as well.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen_beside_another() -> io::Result<Self> {
        Self::take_over()
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.close.recv() => Signal::Hangup,
            Some(()) = self.logoff.recv() => Signal::Terminate,
            Some(()) = self.shutdown.recv() => Signal::Terminate,
            else => pending().await,
        }
    }
}

/// Windows has nothing that asks a process to read its configuration again.
#[derive(Debug)]
pub struct ReloadRequests(());

impl ReloadRequests {
    /// Whether this system has such requests.
    pub const ARE_POSSIBLE: bool = false;

    /// Hears nothing.
    ///
    /// # Errors
    /// Never.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Waits for ever.
    pub async fn next(&mut self) -> Option<()> {
        pending().await
    }
}

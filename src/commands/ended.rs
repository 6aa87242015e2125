//! How the process ends.

use std::process::{self, ExitCode, Termination};

/// The exit code of the process.
#[derive(Debug)]
pub enum Ended {
    /// One of this program's.
    With(ExitCode),
    /// The one of the program that `exec` ran, which has 32 bits on Windows, where `ExitCode` has eight.
    LikeTheProgram(i32),
}

impl From<ExitCode> for Ended {
    fn from(code: ExitCode) -> Self {
        Self::With(code)
    }
}

/// `main` has returned by then, so that ending the process here skips nothing.
impl Termination for Ended {
    fn report(self) -> ExitCode {
        match self {
            Self::With(code) => code,
            Self::LikeTheProgram(code) => process::exit(code),
        }
    }
}

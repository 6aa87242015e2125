//! Asks the person at the terminal.
//!
//! Prompts go to stderr, since stdout is for data. Answers come from the terminal itself, so that stdin and stdout may be
//! redirected.

mod prompt;

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    time::SystemTime,
};

use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::{
    answers::{AnswerFuture, Answers, Question, Unanswered},
    unattended::Unattended,
};
use prompt::{Echo, Prompt};

/// The terminal of the process.
const TERMINAL: &str = if cfg!(windows) { "CONIN$" } else { "/dev/tty" };

/// Errors of opening it that say that there is none: ENXIO; on Windows ERROR_FILE_NOT_FOUND and ERROR_INVALID_HANDLE.
const NO_TERMINAL: &[i32] = if cfg!(windows) { &[2, 6] } else { &[6] };

/// The process has no terminal.
#[derive(Debug)]
struct NoTerminal;

/// Whether `error` says that the process has no terminal.
pub(crate) fn is_absence_of_terminal(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<NoTerminal>()).is_some()
}

fn open() -> io::Result<File> {
    File::open(TERMINAL).map_err(|error| match error.raw_os_error() {
        Some(code) if NO_TERMINAL.contains(&code) => io::Error::other(NoTerminal),
        _ => error,
    })
}

impl fmt::Display for NoTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no terminal to ask on")
    }
}

impl Error for NoTerminal {}

/// Asks the person at the terminal what [`Unattended`] cannot answer.
///
/// Each question occupies a blocking thread of the runtime until it is answered or interrupted.
pub struct Terminal {
    unattended: Unattended,
}

impl Terminal {
    /// Asks what `unattended` cannot answer.
    #[must_use]
    pub fn new(unattended: Unattended) -> Self {
        Self { unattended }
    }

    async fn reply(&mut self, question: Question<'_>, now: SystemTime) -> Result<SecretString, Unanswered> {
        if let Ok(answer) = self.unattended.answer(question, now).await {
            return Ok(answer);
        }
        let prompt = Prompt::for_question(&question);
        let asked = spawn_blocking(move || {
            // Fails without a terminal, before a prompt is written that no person would see.
            open()?;
            prompt.ask(&mut write, &mut read)
        })
        .await;
        match asked.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(answer) => Ok(SecretString::from(answer)),
            Err(error) => Err(question.unanswered().because(error)),
        }
    }
}

impl Answers for Terminal {
    fn answer<'a>(&'a mut self, question: Question<'a>, now: SystemTime) -> AnswerFuture<'a> {
        Box::pin(self.reply(question, now))
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

fn read(echo: Echo) -> io::Result<String> {
    match echo {
        Echo::Off => {
            let config = rpassword::ConfigBuilder::new().input_file_path(TERMINAL).output_discard().build();
            let answer = rpassword::read_password_with_config(config)?;
            write("\n")?;
            Ok(answer)
        }
        Echo::On => {
            let mut line = String::new();
            match BufReader::new(open()?).read_line(&mut line)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(line.trim().to_owned()),
            }
        }
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

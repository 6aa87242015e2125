//! Asks the person at the terminal.
//!
//! Prompts go to stderr, since stdout is for data. Answers come from `/dev/tty`, so that stdin and stdout may be
//! redirected.

mod prompt;

use std::{
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

const TERMINAL: &str = "/dev/tty";

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
            File::open(TERMINAL)?;
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
            match BufReader::new(File::open(TERMINAL)?).read_line(&mut line)? {
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

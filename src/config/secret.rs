//! Secrets: from a file, from standard input or from a variable, never from a flag or the configuration file.

use std::io::{self, ErrorKind};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    environment::MAX_FILE,
    reader::Reader,
    source::Given,
    table,
    value::{self, Parsed},
};
use crate::{
    file_system,
    regular_file::{BYTE_ORDER_MARK, RegularFile},
};

impl Reader<'_> {
    /// The secret of the file setting `name` or of the variable named after the secret itself.
    pub(super) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.secret_as(name, value::secret)
    }

    /// The same, checked and brought into one form by `parse`.
    pub(super) fn secret_as(
        &mut self,
        name: &str,
        parse: fn(&str) -> Parsed<String>,
    ) -> Option<SecretString> {
        let direct =
            table::find(name).and_then(table::Setting::secret).and_then(|secret| self.explicit(secret));
        let (text, given) = match (direct, self.explicit(name)) {
            (Some(direct), Some(file)) => {
                let why = format!("is set as well as {}; remove one of them", direct.origin);
                self.problem(&file.origin, why);
                return None;
            }
            (Some(direct), None) => {
                let line = one_line(&direct.text).map(str::to_owned);
                let line = line.map_err(|what| self.problem(&direct.origin, what)).ok()?;
                (Zeroizing::new(line), direct)
            }
            (None, Some(file)) => (self.secret_text(&file, &file.text)?, file),
            (None, None) => return None,
        };
        if value::surroundings(&text).is_some_and(|(what, _)| what.contains("quotes")) {
            self.warnings.push(format!("{}: the quotes around the secret are part of it", given.origin));
        }
        parse(&text).map_err(|message| self.problem(&given.origin, message)).ok().map(SecretString::from)
    }

    /// The text in `file`, which `given` names, without one newline at the end.
    pub(super) fn secret_text(&mut self, given: &Given, file: &str) -> Option<Zeroizing<String>> {
        let bytes = if file == "-" { self.stdin(given)? } else { self.secret_file(given, file)? };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            self.problem(&given.origin, "names a file that is not text in UTF-8");
            return None;
        };
        match one_line(text) {
            Ok(line) => Some(Zeroizing::new(line.to_owned())),
            Err(what) => {
                self.problem(&given.origin, format!("names a file that {what}"));
                None
            }
        }
    }

    fn secret_file(&mut self, given: &Given, file: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.parsed(&Given { text: file.to_owned(), origin: given.origin.clone() }, value::text)?;
        let path = self.environment.path(&given.origin, file);
        let shown = path.display();
        let opened = match RegularFile::open(&path) {
            Ok(opened) => opened,
            Err(error) => {
                let hint = match error.kind() {
                    ErrorKind::InvalidInput => "; write - instead to read the secret from standard input",
                    _ => "",
                };
                self.problem(&given.origin, format!("cannot read {shown}: {error}{hint}"));
                return None;
            }
        };
        // Where the system does not say who may read the file, reading it will say what is wrong.
        if file_system::is_readable_by_others(opened.file()).unwrap_or(false) {
            let how = file_system::HOW_TO_PROTECT;
            self.warnings.push(format!("{}: {shown} can be read by other users; {how}", given.origin));
        }
        let read = opened.read(MAX_FILE);
        self.read_or_problem(given, &format!("cannot read {shown}"), read)
    }

    fn stdin(&mut self, given: &Given) -> Option<Zeroizing<Vec<u8>>> {
        if let Some(first) = &self.stdin_taken {
            let why = format!("cannot read standard input, which {first} reads");
            self.problem(&given.origin, why);
            return None;
        }
        self.stdin_taken = Some(given.origin.clone());
        let read = self.environment.read_stdin();
        self.read_or_problem(given, "cannot read standard input", read.map(Zeroizing::new))
    }

    fn read_or_problem<T>(&mut self, given: &Given, what: &str, read: io::Result<T>) -> Option<T> {
        read.map_err(|error| self.problem(&given.origin, format!("{what}: {error}"))).ok()
    }
}

/// The secret in `text`, which may end in one newline, or what is wrong with the text.
///
/// A secret that was saved wrongly would be sent as a wrong password, and a few of those lock an account.
fn one_line(text: &str) -> Result<&str, &'static str> {
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        Err("is empty")
    } else if line.starts_with(BYTE_ORDER_MARK) {
        Err("begins with a byte order mark; save it as UTF-8 without one")
    } else if line.find(['\n', '\r']).is_some_and(|at| at + 1 == line.len()) && line.ends_with('\r') {
        Err("ends with a carriage return; save the file with LF as its line end")
    } else if line.contains(['\n', '\r']) {
        Err("has more than one line; a secret is one line, with at most one newline at its end")
    } else if line.contains(char::is_control) {
        Err("has a control character in it")
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_that_nothing_was_added_to() {
        for text in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(one_line(text), Ok("s3cret"));
        }
        for text in
            ["", "\n", "\u{feff}s3cret", "s3cret\n\n", "s3cret\r", "\ns3cret", "one\ntwo\n", "a\0b", "a\tb"]
        {
            assert!(one_line(text).is_err(), "{text:?}");
        }
    }
}

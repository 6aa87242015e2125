//! Secrets: from a file, from standard input or from a variable, never from a flag or the configuration file.

use std::{io, path::Path};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    environment::read_file,
    reader::Reader,
    source::Given,
    table,
    value::{self, Parsed},
};

impl Reader<'_> {
    /// The secret of the file setting `name` or of the variable named after the secret itself.
    pub(super) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.secret_as(name, |text| Ok(text.to_owned()))
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
                let why = format!("is set as well as {}; one of them must go", direct.origin);
                self.problem(&file.origin, why);
                return None;
            }
            (Some(direct), None) => (Zeroizing::new(direct.text.clone()), direct),
            (None, Some(file)) => (self.secret_text(&file, &file.text)?, file),
            (None, None) => return None,
        };
        self.parsed(&Given { text: text.to_string(), origin: given.origin }, parse).map(SecretString::from)
    }

    /// The text in `file`, which `given` names, without one newline at the end.
    pub(super) fn secret_text(&mut self, given: &Given, file: &str) -> Option<Zeroizing<String>> {
        let bytes = if file == "-" { self.stdin(given)? } else { self.secret_file(given, file)? };
        let Ok(text) = String::from_utf8(bytes) else {
            self.problem(&given.origin, "names a file that is not text in UTF-8");
            return None;
        };
        let text = Zeroizing::new(text);
        let line =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() {
            self.problem(&given.origin, "names a file that is empty");
            return None;
        }
        Some(Zeroizing::new(line.to_owned()))
    }

    fn secret_file(&mut self, given: &Given, file: &str) -> Option<Vec<u8>> {
        self.parsed(&Given { text: file.to_owned(), origin: given.origin.clone() }, value::text)?;
        let path = self.environment.path(&given.origin, file);
        if is_open_to_others(&path) {
            let shown = path.display();
            self.warnings.push(format!("{}: {shown} can be read by other users; chmod 600 it", given.origin));
        }
        let read = read_file(&path);
        self.read_or_problem(given, &format!("cannot read {}", path.display()), read)
    }

    fn stdin(&mut self, given: &Given) -> Option<Vec<u8>> {
        if let Some(first) = &self.stdin_taken {
            let why = format!("cannot read standard input, which {first} reads");
            self.problem(&given.origin, why);
            return None;
        }
        self.stdin_taken = Some(given.origin.clone());
        let read = self.environment.read_stdin();
        self.read_or_problem(given, "cannot read standard input", read)
    }

    fn read_or_problem(&mut self, given: &Given, what: &str, read: io::Result<Vec<u8>>) -> Option<Vec<u8>> {
        read.map_err(|error| self.problem(&given.origin, format!("{what}: {error}"))).ok()
    }
}

/// Pipes and terminals are nobody else's.
#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    path.metadata().is_ok_and(|metadata| {
        let own_user = rustix::process::geteuid().as_raw();
        metadata.is_file() && admits_others(metadata.mode(), metadata.uid(), own_user)
    })
}

/// A file of root's that another user is let read by its group was handed out to that user: so Kubernetes
/// gives secrets to a pod's `fsGroup`, with mode 0440.
#[cfg(unix)]
fn admits_others(mode: u32, owner: u32, own_user: u32) -> bool {
    let handed_out = owner == 0 && own_user != 0;
    mode & 0o004 != 0 || (mode & 0o040 != 0 && !handed_out)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_roots_may_be_read_by_its_group() {
        let (root, other) = (0, 65_532);
        for (mode, owner, own_user, open) in [
            (0o400, root, other, false),
            (0o440, root, other, false),
            (0o444, root, other, true),
            (0o440, root, root, true),
            (0o440, other, other, true),
            (0o600, other, other, false),
            (0o604, other, other, true),
        ] {
            assert_eq!(admits_others(mode, owner, own_user), open, "{mode:o} of {owner} for {own_user}");
        }
    }
}

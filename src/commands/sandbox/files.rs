//! `--write DIR`: the files by which an application and the other commands find the sandbox.

mod amplify;

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{
    commands::Failure,
    file_system::{self, Readers},
    regular_file::RegularFile,
    sandbox::Sandbox,
};

const AMPLIFY_OUTPUTS: &str = "amplify_outputs.json";
const AWS_EXPORTS: &str = "aws-exports.js";
const ENVIRONMENT: &str = ".env.local";
const CONFIGURATION: &str = "countersign.toml";
const PASSWORD: &str = ".countersign-sandbox-password";
const TOTP_SECRET: &str = ".countersign-sandbox-totp";

/// What only a file of the sandbox has in it; JSON has no comments, so that there it is a key.
const MARK: &str = "Written by countersign sandbox";
const MARK_IN_JSON: &str = "countersign_sandbox";
/// The files with a mark, each a file that people write as well.
const MARKED: [&str; 4] = [AMPLIFY_OUTPUTS, AWS_EXPORTS, ENVIRONMENT, CONFIGURATION];

/// A file with more has not been written here.
const MAX_FILE: u64 = 64 * 1024;

/// The folder that `--write` names.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Looks for files that the sandbox has not written, before anything starts; `force` takes them as well.
    pub(super) fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| failure(path, &error))?;
        let foreign: Vec<String> = MARKED
            .iter()
            .map(|name| path.join(name))
            .filter(|file| !force && is_foreign(file))
            .map(|file| file.display().to_string())
            .collect();
        if foreign.is_empty() {
            return Ok(Self { path: path.to_owned() });
        }
        Err(Failure::runtime(format!(
            "the sandbox has not written {}\n  tip: --force replaces files of others; --write DIR chooses another \
             folder",
            foreign.join(", ")
        )))
    }

    /// Writes the files; `proxy` is the URL of the proxy. Gives their names.
    pub(super) fn write(&self, sandbox: &Sandbox, proxy: &str) -> Result<Vec<&'static str>, Failure> {
        let totp = sandbox.authenticator_secret();
        let mut files = vec![
            (AMPLIFY_OUTPUTS, Readers::Everyone, amplify::outputs(sandbox)),
            (AWS_EXPORTS, Readers::Everyone, amplify::exports(sandbox)),
            (ENVIRONMENT, Readers::Everyone, environment(sandbox, proxy)),
            (PASSWORD, Readers::OnlyUser, format!("{}\n", sandbox.password().expose_secret())),
        ];
        files.extend(
            totp.map(|secret| (TOTP_SECRET, Readers::OnlyUser, format!("{}\n", secret.expose_secret()))),
        );
        // The last one names the others.
        files.push((CONFIGURATION, Readers::Everyone, configuration(sandbox)));
        for (name, readers, text) in &files {
            let path = self.path.join(name);
            replace(&path, *readers, text).map_err(|error| failure(&path, &error))?;
        }
        Ok(files.into_iter().map(|(name, _, _)| name).collect())
    }
}

/// Whether there is something at `path` that no sandbox has written.
fn is_foreign(path: &Path) -> bool {
    match RegularFile::open(path).and_then(|file| file.read(MAX_FILE)) {
        Err(error) => error.kind() != ErrorKind::NotFound,
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            !text.contains(MARK) && !text.contains(MARK_IN_JSON)
        }
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::runtime(format!("cannot write {}: {error}", path.display()))
}

/// Replaces a file as a whole: a dev server that watches it never reads half of it. The same text is written again too:
/// the dev server then reloads the page, which would go on with credentials that a new sandbox does not know.
fn replace(path: &Path, readers: Readers, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let mut file = file_system::create(new.as_ref(), readers)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, path));
    written.inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Variables that Vite, Next and Create React App hand to the page.
fn environment(sandbox: &Sandbox, proxy: &str) -> String {
    let values = [
        ("AWS_REGION", sandbox.region().to_owned()),
        ("USER_POOL_ID", sandbox.user_pool_id()),
        ("USER_POOL_CLIENT_ID", sandbox.client_id().to_owned()),
        ("USER_POOL_ENDPOINT", sandbox.user_pool_endpoint()),
        ("USER_POOL_ISSUER", sandbox.issuer()),
        ("IDENTITY_POOL_ID", sandbox.identity_pool_id()),
        ("IDENTITY_POOL_ENDPOINT", sandbox.identity_pool_endpoint()),
        ("API_URL", sandbox.api_url()),
        ("PROXY_URL", proxy.to_owned()),
    ];
    let mut text = format!(
        "# {MARK}.\n# Tokens name USER_POOL_ISSUER. Clients of OpenID Connect that look there for endpoints and keys \
         find\n# those of this sandbox when it runs with --issuer local.\n"
    );
    for prefix in ["VITE", "NEXT_PUBLIC", "REACT_APP"] {
        for (name, value) in &values {
            text.push_str(&format!("{prefix}_{name}={value}\n"));
        }
    }
    text
}

fn configuration(sandbox: &Sandbox) -> String {
    let mut settings = vec![
        ("upstream", sandbox.api_url()),
        ("region", sandbox.region().to_owned()),
        ("service", "execute-api".to_owned()),
        ("user-pool-id", sandbox.user_pool_id()),
        ("client-id", sandbox.client_id().to_owned()),
        ("identity-pool-id", sandbox.identity_pool_id()),
        ("username", sandbox.username().to_owned()),
        ("password-file", PASSWORD.to_owned()),
        ("user-pool-endpoint", sandbox.user_pool_endpoint()),
        ("identity-pool-endpoint", sandbox.identity_pool_endpoint()),
        ("sts-endpoint", sandbox.identity_pool_endpoint()),
    ];
    if sandbox.authenticator_secret().is_some() {
        settings.push(("totp-secret-file", TOTP_SECRET.to_owned()));
    }
    let mut text = format!("# {MARK}: login, whoami, call, ws and serve use it.\n");
    // A text of JSON is one of TOML.
    for (name, value) in settings {
        text.push_str(&format!("{name} = {}\n", Value::from(value)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn files_of_others_are_all_named_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(ENVIRONMENT), "SECRET=mine\n").expect("written");
        fs::write(folder.path().join(CONFIGURATION), format!("# {MARK}\n")).expect("written");
        symlink("nowhere", folder.path().join(AWS_EXPORTS)).expect("a link");
        fs::create_dir(folder.path().join(AMPLIFY_OUTPUTS)).expect("a folder");
        let Err(Failure::Runtime(error)) = Folder::open(folder.path(), false) else { panic!("refused") };
        let error = error.to_string();
        assert!(error.contains(ENVIRONMENT) && error.contains(AMPLIFY_OUTPUTS), "{error}");
        assert!(!error.contains(CONFIGURATION) && !error.contains(AWS_EXPORTS), "{error}");
        assert!(Folder::open(folder.path(), true).is_ok());
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "old").expect("written");
        replace(&path, Readers::OnlyUser, "new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("text"), "new");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        fs::create_dir(folder.path().join("taken")).expect("a folder");
        assert!(replace(&folder.path().join("taken"), Readers::Everyone, "new").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}

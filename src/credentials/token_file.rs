//! An ID token in a file that another program keeps fresh.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{
    identity_pool::LoginToken,
    provider::{FetchError, Identity},
    user_pool::Claims,
};
use crate::{
    clock::Clock,
    regular_file::{BYTE_ORDER_MARK, RegularFile},
};

/// The largest file that is read, in bytes. Tokens have a few kilobytes.
const MAX_FILE: u64 = 64 * 1024;

/// The file, which is read at each use, since nothing announces that it has changed.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    login_provider: Option<String>,
    clock: Clock,
    /// The version that was read last.
    last_read: Option<FileVersion>,
}

/// Distinguishes versions of the file by modification time and length.
type FileVersion = (Option<SystemTime>, u64);

impl TokenFile {
    pub(super) fn new(path: PathBuf, login_provider: Option<String>, clock: Clock) -> Self {
        Self { path, login_provider, clock, last_read: None }
    }

    /// Whether the file has changed since it was read last.
    pub(super) async fn changed(&self) -> bool {
        let path = self.path.clone();
        let found = spawn_blocking(move || fs::metadata(path).ok().map(|metadata| version(&metadata))).await;
        found.is_ok_and(|found| found != self.last_read)
    }

    /// The token, if it is valid now. Every failure is transient: the other program may be about to write a better one.
    pub(super) async fn token(&mut self) -> Result<(LoginToken, Identity), FetchError> {
        let path = self.path.clone();
        let (text, version) = spawn_blocking(move || read(&path))
            .await
            .map_err(FetchError::transient)?
            .map_err(FetchError::transient)?;
        self.last_read = Some(version);
        let token = SecretString::from(text.trim());
        match (Claims::of(token.expose_secret()), &self.login_provider) {
            (Ok(claims), provider) => {
                if claims.expiry <= self.clock.now() {
                    return Err(FetchError::transient("the ID token in the file has expired"));
                }
                let provider = provider.clone().unwrap_or_else(|| claims.login_provider().to_owned());
                let identity = Identity {
                    username: claims.username.clone(),
                    subject: Some(claims.subject),
                    identity_id: None,
                };
                Ok((LoginToken { provider, token }, identity))
            }
            // The tokens of some providers are opaque. Then only the setting can name the provider.
            (Err(_), Some(provider)) => {
                Ok((LoginToken { provider: provider.clone(), token }, Identity::default()))
            }
            (Err(error), None) => Err(FetchError::transient(error)),
        }
    }
}

fn read(path: &Path) -> io::Result<(Zeroizing<String>, FileVersion)> {
    let file = RegularFile::open(path)?;
    let version = version(file.metadata());
    let bytes = file.read(MAX_FILE)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))?;
    Ok((Zeroizing::new(text.trim_start_matches(BYTE_ORDER_MARK).to_owned()), version))
}

fn version(metadata: &Metadata) -> FileVersion {
    (metadata.modified().ok(), metadata.len())
}

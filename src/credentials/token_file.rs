//! An ID token in a file that something else keeps fresh.

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

/// A token of a login provider is a few kilobytes; more is another file.
const LARGEST: u64 = 64 * 1024;

/// The file, read at each use: whoever writes it need not tell.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    login_provider: Option<String>,
    clock: Clock,
    /// The file as it was when it was read last.
    read: Option<Stamp>,
}

/// What differs between two files at the same path: when it was written, and its length.
type Stamp = (Option<SystemTime>, u64);

impl TokenFile {
    pub(super) fn new(path: PathBuf, login_provider: Option<String>, clock: Clock) -> Self {
        Self { path, login_provider, clock, read: None }
    }

    /// Whether the file is another than the one that was read last.
    pub(super) async fn changed(&self) -> bool {
        let path = self.path.clone();
        let found = spawn_blocking(move || fs::metadata(path).ok().map(|metadata| stamp(&metadata))).await;
        found.is_ok_and(|found| found != self.read)
    }

    /// The token, when it is valid now. Anything wrong with it may be right the next time.
    pub(super) async fn token(&mut self) -> Result<(LoginToken, Identity), FetchError> {
        let path = self.path.clone();
        let (text, stamp) = spawn_blocking(move || read(&path))
            .await
            .map_err(FetchError::transient)?
            .map_err(FetchError::transient)?;
        self.read = Some(stamp);
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
            // Some providers' tokens are opaque; then only the setting can name the provider.
            (Err(_), Some(provider)) => {
                Ok((LoginToken { provider: provider.clone(), token }, Identity::default()))
            }
            (Err(error), None) => Err(FetchError::transient(error)),
        }
    }
}

fn read(path: &Path) -> io::Result<(Zeroizing<String>, Stamp)> {
    let file = RegularFile::open(path)?;
    let stamp = stamp(file.metadata());
    let bytes = file.read(LARGEST)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))?;
    Ok((Zeroizing::new(text.trim_start_matches(BYTE_ORDER_MARK).to_owned()), stamp))
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.modified().ok(), metadata.len())
}

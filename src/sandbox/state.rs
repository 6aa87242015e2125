//! The folder in which a sandbox keeps users and identities from one run to the next.
//!
//! The file is written before the answer goes out that tells of a change, and replaced as a whole, so that a process
//! that is killed loses nothing that a client has been promised. It holds passwords in the clear, as the sandbox does.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{credential_store::Issued, identity_pool::KnownIdentities, seed::Seed, user_pool};
use crate::{
    file_system::{self, Readers},
    regular_file::RegularFile,
};

const FILE: &str = "sandbox.json";
const NEW_FILE: &str = "sandbox.json.new";
const LOCK_FILE: &str = "lock";
const VERSION: u32 = 1;
/// Far more than the users that somebody signs up by hand or in a test.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// What a sandbox keeps.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    version: u32,
    seed: String,
    pub(super) user_pool: user_pool::Stored,
    pub(super) identities: KnownIdentities,
    pub(super) credentials: Vec<Issued>,
}

/// The folder, which no other sandbox uses until it is closed.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    /// Holds the lock between processes until it is dropped.
    _lock: File,
    /// What the file has in it.
    written: Vec<u8>,
}

impl Stored {
    pub(super) fn new(
        seed: &Seed,
        user_pool: user_pool::Stored,
        identities: KnownIdentities,
        credentials: Vec<Issued>,
    ) -> Self {
        Self { version: VERSION, seed: seed.as_str().to_owned(), user_pool, identities, credentials }
    }

    /// The seed that the stored ids follow from.
    pub(super) fn seed(&self) -> Seed {
        Seed::new(&self.seed)
    }
}

impl State {
    /// Opens the folder, or makes it, and reads what is stored there.
    ///
    /// # Errors
    ///
    /// When another sandbox uses the folder, or its file cannot be read. Each error names the path.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Option<Stored>)> {
        file_system::create_folder(folder).map_err(|error| at(folder, &error))?;
        let lock_file = folder.join(LOCK_FILE);
        let lock =
            RegularFile::open_or_create(&lock_file).map_err(|error| at(&lock_file, &error))?.into_file();
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => in_use(folder),
            TryLockError::Error(error) => at(&lock_file, &error),
        })?;
        let (written, stored) = read(&folder.join(FILE))?;
        let open = Mutex::new(Some(Open { _lock: lock, written }));
        Ok((Self { folder: folder.to_owned(), open }, stored))
    }

    /// Writes what `stored` gives, unless the file has it already or the folder is closed. One call at a time, so that
    /// the file never goes back.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; it is then as it was.
    pub(super) fn save(&self, stored: impl FnOnce() -> Stored) -> io::Result<()> {
        let mut open = self.lock();
        let Some(open) = open.as_mut() else { return Ok(()) };
        let bytes = serde_json::to_vec_pretty(&stored()).map_err(io::Error::other)?;
        if bytes != open.written {
            self.replace(&bytes)?;
            open.written = bytes;
        }
        Ok(())
    }

    /// Leaves the folder to others. A connection that ends later writes nothing any more.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let (new, path) = (self.folder.join(NEW_FILE), self.folder.join(FILE));
        // A file that an earlier process has left may be anything.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&new, &error)),
            Ok(()) | Err(_) => {}
        }
        let mut file = file_system::create(&new, Readers::OnlyUser).map_err(|error| at(&new, &error))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| at(&new, &error))?;
        fs::rename(&new, &path).map_err(|error| at(&path, &error))?;
        file_system::sync_folder(&self.folder).map_err(|error| at(&self.folder, &error))
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Option<Stored>)> {
    let file = match RegularFile::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), None)),
        other => other.map_err(|error| at(path, &error))?,
    };
    let bytes = file.read(MAX_FILE).map_err(|error| at(path, &error))?;
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| damaged(path, &error))?;
    if stored.version != VERSION {
        return Err(damaged(path, &format!("its version is {}, not {VERSION}", stored.version)));
    }
    Ok((bytes.to_vec(), Some(stored)))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn in_use(folder: &Path) -> io::Error {
    let text = format!("{}: another sandbox keeps its state there", folder.display());
    io::Error::new(ErrorKind::ResourceBusy, text)
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    let shown = path.display();
    let text = format!("{shown} cannot be read: {error}; restore it, or remove it to begin without users");
    io::Error::new(ErrorKind::InvalidData, text)
}

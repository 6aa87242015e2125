//! Private files that are replaced atomically, and the lock file beside them.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use super::{
    Error,
    wait::{CurrentWait, Holder, Wait},
};
use crate::{
    file_system::{Exposure, Readers, create, create_folder, exposure, is_at, sync_folder, time_of_change},
    regular_file::RegularFile,
};

/// How long to wait for the lock. A renewal holds it for at most two calls of ten seconds.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The largest file that is read, in bytes. Sessions have a few kilobytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Written before the content of a file is known, so that a full disk shows before the refresh token is used up.
/// Sessions have a few kilobytes.
const RESERVED: [u8; 16 * 1024] = [0; 16 * 1024];

/// Held until the last clone is dropped, or the process dies.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    /// `None` in a read-only folder, in which nothing can change.
    file: Option<Arc<File>>,
}

/// A temporary file that will replace the one at `path`. Dropping this leaves the one at `path` as it is.
#[derive(Debug)]
pub(super) struct Replacement {
    file: File,
    path: PathBuf,
}

/// Runs a file operation on a blocking thread, since it may wait for the disk. The process does not wait for that
/// thread when it ends.
pub(super) async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(operation).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Io(PathBuf::new(), io::Error::other(stopped))),
    }
}

/// Waits for the lock at `path` in `folder`, and creates both where they are missing.
pub(super) async fn lock(folder: &Path, path: &Path, waits: &CurrentWait) -> Result<Lock, Error> {
    let start = Instant::now();
    let _opening = waits.begin(Wait::Disk(path.to_owned()));
    let mut waiting = None;
    loop {
        let (folder, lock_path) = (folder.to_owned(), path.to_owned());
        if let Some(lock) = blocking(move || try_lock(&folder, &lock_path)).await? {
            return Ok(lock);
        }
        if waiting.is_none() {
            tracing::debug!("waiting for another process that uses the session");
            waiting = Some(waits.begin(Wait::Lock(path.to_owned())));
        }
        sleep(POLL_INTERVAL).await;
        if start.elapsed() >= MAX_LOCK_WAIT {
            return Err(busy(path).await);
        }
    }
}

/// The lock at `path`; `None` while another process holds it.
pub(super) async fn lock_now(folder: &Path, path: &Path, waits: &CurrentWait) -> Result<Option<Lock>, Error> {
    let _waiting = waits.begin(Wait::Disk(path.to_owned()));
    let (folder, path) = (folder.to_owned(), path.to_owned());
    blocking(move || try_lock(&folder, &path)).await
}

pub(super) async fn busy(path: &Path) -> Error {
    let path = path.to_owned();
    let found = blocking(move || {
        let holder = Holder::of(&path);
        Ok(Error::Busy(path, holder))
    });
    found.await.unwrap_or_else(|error| error)
}

impl Lock {
    /// Whether the lock still excludes other processes. It does not once the folder has been deleted, or has become
    /// writable, and another process has created a new lock file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.file.as_ref().is_some_and(|file| is_at(file, path))
    }
}

/// `None` while another process holds the lock.
fn try_lock(folder: &Path, path: &Path) -> Result<Option<Lock>, Error> {
    let io = |error| Error::Io(path.to_owned(), error);
    let Some(file) = open_lock(folder, path).map_err(io)? else { return Ok(Some(Lock { file: None })) };
    match file.try_lock() {
        // The folder was deleted meanwhile, so that other processes lock another file.
        Ok(()) if !is_at(&file, path) => Ok(None),
        Ok(()) => Ok(Some(Lock { file: Some(Arc::new(file)) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// `None` where there is no lock file and none can be created.
fn open_lock(folder: &Path, path: &Path) -> io::Result<Option<File>> {
    match create_folder(folder).and_then(|()| RegularFile::open_or_create(path)) {
        Err(error) if is_read_only(&error) => match RegularFile::open(path) {
            Ok(file) => Ok(Some(file.into_file())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        },
        made => made.map(|file| Some(file.into_file())),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// The content of the file; `None` when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let file = match RegularFile::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Io(path.to_owned(), error)),
    };
    refuse_unless_private(path, file.file())?;
    file.read(MAX_FILE).map(Some).map_err(|error| Error::Io(path.to_owned(), error))
}

/// The content of a temporary file that a process wrote and did not get to rename.
///
/// `None` when there is no such file, or one that this program has not written. A file that cannot be read now is an
/// error: it may hold the only good refresh token, and the next write would delete it.
pub(super) fn read_replacement(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let is_not_ours = |error: &io::Error| {
        use io::ErrorKind::{FileTooLarge, InvalidInput, PermissionDenied};
        matches!(error.kind(), FileTooLarge | InvalidInput | PermissionDenied)
    };
    match read(&temporary(path)) {
        Err(Error::Exposed(_) | Error::Foreign(_)) => Ok(None),
        Err(Error::Io(_, error)) if is_not_ours(&error) => Ok(None),
        read => read,
    }
}

/// Renames the file that [`read_replacement`] has read.
pub(super) fn finish_replacement(path: &Path) -> Result<(), Error> {
    let renamed = fs::rename(temporary(path), path).and_then(|()| sync_names(path));
    renamed.map_err(|error| Error::Io(path.to_owned(), error))
}

impl Replacement {
    /// Creates the file and reserves its space on the disk, so that a failure to write shows now.
    pub(super) fn prepare(path: &Path) -> Result<Self, Error> {
        let io = |error| Error::Io(path.to_owned(), error);
        let file = Self::create(path).map_err(io)?;
        let mut replacement = Self { file, path: path.to_owned() };
        if let Err(error) = replacement.reserve() {
            // The partial file would take space on a full disk.
            replacement.discard()?;
            return Err(io(error));
        }
        Ok(replacement)
    }

    fn reserve(&mut self) -> io::Result<()> {
        self.file.write_all(&RESERVED)?;
        self.file.sync_all()
    }

    fn create(path: &Path) -> io::Result<File> {
        let temporary = temporary(path);
        path.parent().map_or(Ok(()), create_folder)?;
        // Left behind by a crash. No process uses it, since this one holds the lock.
        remove_if_there(&temporary)?;
        create(&temporary, Readers::OnlyUser)
    }

    /// Writes, syncs and renames, in this order: a reader, or a process after a crash, finds either the old content or
    /// the new.
    pub(super) fn commit(self, content: &[u8]) -> Result<(), Error> {
        let Self { mut file, path } = self;
        let mut commit = || {
            file.rewind()?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()?;
            if !is_at(&file, &temporary(&path)) {
                // The folder has been replaced, and another process may have a file of this name in the new one.
                return Err(io::Error::new(io::ErrorKind::NotFound, "the new file has been deleted"));
            }
            fs::rename(temporary(&path), &path)?;
            sync_names(&path)
        };
        commit().map_err(|error| Error::Io(path.clone(), error))
    }

    /// Removes the temporary file.
    pub(super) fn discard(self) -> Result<(), Error> {
        remove_if_there(&temporary(&self.path)).map_err(|error| Error::Io(self.path, error))
    }
}

/// Writes a session again that could not be put in place. What the last attempt has written is the only copy on the
/// disk: it stays there, so that a process that ends in the middle of this loses nothing.
pub(super) fn write_again(path: &Path, content: &[u8]) -> Result<(), Error> {
    match read_replacement(path)? {
        Some(written) if *written == content => finish_replacement(path),
        _ => Replacement::prepare(path)?.commit(content),
    }
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let removed = remove_if_there(&temporary(path)).and_then(|()| remove_if_there(path));
    removed.map_err(|error| Error::Io(path.to_owned(), error))
}

/// When the content or the mode of the file was last changed; `None` when there is no file.
pub(super) fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok().and_then(|metadata| time_of_change(&metadata))
}

/// Puts the name of the file at `path` on the disk.
fn sync_names(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn refuse_unless_private(path: &Path, file: &File) -> Result<(), Error> {
    match exposure(file) {
        Ok(None) => Ok(()),
        Ok(Some(Exposure::Shared)) => Err(Error::Exposed(path.to_owned())),
        Ok(Some(Exposure::Foreign)) => Err(Error::Foreign(path.to_owned())),
        Err(error) => Err(Error::Io(path.to_owned(), error)),
    }
}

//! Files that nobody else may read, written whole or not at all, and the lock beside them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::Path,
    time::{Duration, SystemTime},
};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::Error;

/// A renewal holds the lock for two calls of ten seconds at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Far more than a session takes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Held until dropped, by this process or its death.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

pub(super) async fn lock(folder: &Path, path: &Path) -> Result<Lock, Error> {
    create_folder(folder).map_err(|error| Error::Io(folder.to_owned(), error))?;
    let io = |error| Error::Io(path.to_owned(), error);
    let file = private(OpenOptions::new().write(true).create(true)).open(path).map_err(io)?;
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Io(path.to_owned(), error)),
    };
    refuse_unless_private(path, &file)?;
    let mut content = Zeroizing::new(Vec::new());
    match file.take(LARGEST_FILE).read_to_end(&mut content) {
        Ok(_) => Ok(Some(content)),
        Err(error) => Err(Error::Io(path.to_owned(), error)),
    }
}

/// Whoever reads `path` meanwhile, or after a crash, finds the old content or the new.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    replace(path, &temporary, content).map_err(|error| Error::Io(path.to_owned(), error))
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io(path.to_owned(), error)),
        _ => Ok(()),
    }
}

fn replace(path: &Path, temporary: &Path, content: &[u8]) -> io::Result<()> {
    // Left behind by a crash; under the lock it is nobody's.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    sync_folder(path)
}

/// A change of mode counts: it may make a file private.
#[cfg(unix)]
pub(super) fn changed_at(metadata: &fs::Metadata) -> Option<SystemTime> {
    let seconds = Duration::from_secs(metadata.ctime().try_into().ok()?);
    let nanoseconds = Duration::from_nanos(metadata.ctime_nsec().try_into().ok()?);
    Some(SystemTime::UNIX_EPOCH + seconds + nanoseconds)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

#[cfg(unix)]
fn create_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(unix)]
fn refuse_unless_private(path: &Path, file: &File) -> Result<(), Error> {
    let metadata = file.metadata().map_err(|error| Error::Io(path.to_owned(), error))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::Exposed(path.to_owned()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::Foreign(path.to_owned()));
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn changed_at(metadata: &fs::Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn create_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The folder is in the user's profile, which others cannot read.
#[cfg(not(unix))]
fn refuse_unless_private(_: &Path, _: &File) -> Result<(), Error> {
    Ok(())
}

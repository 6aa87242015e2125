//! Files that must be files: a FIFO, a device or a folder in their place is an error, and opening one never waits.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;

/// Opens the file at `path` for reading.
///
/// # Errors
/// When it cannot be opened or is not a regular file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens the file at `path` as `options` say.
///
/// # Errors
/// When it cannot be opened or is not a regular file.
pub(super) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Without it, opening a FIFO waits for its other end.
    #[cfg(unix)]
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a folder, a FIFO or a device, not a file"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/null")] {
            for options in [OpenOptions::new().read(true), OpenOptions::new().read(true).write(true)] {
                assert!(open_with(options, path).is_err(), "{}", path.display());
            }
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "content").expect("written");
        assert_eq!(io::read_to_string(open(&file).expect("a file")).expect("text"), "content");
    }
}

//! Opening regular files on Unix.

use std::{fs::File, io, os::fd::AsFd, path::Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::{RegularFile, not_regular};

/// How a symbolic link as the last part of a path is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Opens the target of the link.
    Follow,
    /// Refuses the link like everything else that is not a regular file.
    Refuse,
}

impl RegularFile {
    /// Opens the file at `path` and follows symbolic links.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(CWD, path, Links::Follow)
    }

    /// Opens the file at `path`, which is relative to `folder` unless it is absolute.
    ///
    /// # Errors
    /// When it does not exist or cannot be opened; `InvalidInput` when it is a pipe, a socket, a device, a directory,
    /// or a symbolic link that must not be followed.
    pub(crate) fn open_at(folder: impl AsFd, path: &Path, links: Links) -> io::Result<Self> {
        let (at_flags, link_flag) = match links {
            Links::Follow => (AtFlags::empty(), OFlags::empty()),
            Links::Refuse => (AtFlags::SYMLINK_NOFOLLOW, OFlags::NOFOLLOW),
        };
        // The type is checked before opening: some devices act when they are opened (a tape rewinds, a watchdog
        // starts).
        let stat = rustix::fs::statat(&folder, path, at_flags)?;
        refuse_other_kinds(FileType::from_raw_mode(stat.st_mode))?;
        // The path may name another file by now. Without O_NONBLOCK, opening a pipe would wait for a writer; without
        // O_NOCTTY, a terminal could become the controlling one.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | link_flag;
        File::from(rustix::fs::openat(&folder, path, flags, Mode::empty())?).try_into()
    }

    /// Opens the file at `path` for reading and writing, or creates one that only this user can read.
    ///
    /// # Errors
    /// When it can be neither opened nor created; `InvalidInput` when it is not a regular file.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        File::from(rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?).try_into()
    }
}

/// Whether the open file is a regular one.
pub(super) fn refuse_unless_regular(file: &File) -> io::Result<()> {
    refuse_other_kinds(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
}

fn refuse_other_kinds(kind: FileType) -> io::Result<()> {
    let kind = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::Symlink => "a symbolic link",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    Err(not_regular(kind))
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use tempfile::tempdir;

    use super::*;

    fn read(path: &Path) -> Result<String, String> {
        let bytes =
            RegularFile::open(path).and_then(|file| file.read(8)).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn irregular_files_are_named_and_not_waited_for() {
        let folder = tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        symlink(path("pipe"), path("link")).expect("a link");
        for (path, kind) in [
            (path("pipe"), "a pipe"),
            (path("link"), "a pipe"),
            (path("socket"), "a socket"),
            (path("."), "a directory"),
            ("/dev/zero".into(), "a device"),
        ] {
            assert_eq!(read(&path), Err(format!("it is {kind}, not a regular file")), "{}", path.display());
        }
        assert!(read(&path("nothing")).expect_err("nothing").contains("No such file"));
    }

    #[test]
    fn a_link_is_followed_unless_it_is_refused() {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("link");
        std::fs::write(folder.path().join("file"), "text").expect("written");
        symlink("file", &path).expect("a link");
        assert_eq!(read(&path), Ok("text".to_owned()));
        let refused = RegularFile::open_at(CWD, &path, Links::Refuse).expect_err("a link");
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}

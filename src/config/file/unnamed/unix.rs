//! On Unix, modes and owners of the file and its folder say who may have written it.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags};

use super::Unusable;
use crate::regular_file::{Links, RegularFile};

/// Enough to look at a folder and to open what is in it. Without a right to list it, Linux opens it for that alone.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY;

/// Group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What lets others write a file or put it where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config::file) enum Doubt {
    /// It belongs to another user.
    Owner { owner: u32, own_user: u32 },
    /// Others may write to it.
    Mode(u32),
    /// It has another name elsewhere, and others may write to the folder: one of them may have made this name.
    HardLink,
    /// It is a symbolic link, and others may write to the folder.
    SymbolicLink,
}

/// Opens the file at `path` if only this user and root can have written it and put it there.
pub(in crate::config::file) fn open(path: &Path) -> Result<RegularFile, Unusable> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().map(Path::new).ok_or(Unusable::Absent)?;
    // Folder and file are opened once and then looked at, so that neither can be exchanged in between.
    let folder = rustix::fs::openat(CWD, folder, LOOK | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let folder = match folder.map_err(io::Error::from) {
        // A container often runs with the HOME of another user; its folder holds nothing for this one.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(Unusable::Absent),
        folder => File::from(folder?),
    };
    let own_user = rustix::process::geteuid().as_raw();
    let folder_is_shared = {
        let metadata = folder.metadata()?;
        !is_trusted(metadata.uid(), own_user) || metadata.mode() & WRITABLE_BY_OTHERS != 0
    };
    let file = open_in(&folder, name, folder_is_shared)?;
    let metadata = file.metadata();
    match doubt(metadata.uid(), metadata.mode(), metadata.nlink(), own_user, folder_is_shared) {
        Some(doubt) => Err(Unusable::Untrusted(doubt)),
        None => Ok(file),
    }
}

fn open_in(folder: impl AsFd, name: &Path, folder_is_shared: bool) -> Result<RegularFile, Unusable> {
    if !folder_is_shared {
        return Ok(RegularFile::open_at(folder, name, Links::Follow)?);
    }
    RegularFile::open_at(&folder, name, Links::Refuse).map_err(|error| {
        let is_link = || rustix::fs::readlinkat(&folder, name, Vec::new()).is_ok();
        if is_link() { Unusable::Untrusted(Doubt::SymbolicLink) } else { error.into() }
    })
}

fn doubt(owner: u32, mode: u32, links: u64, own_user: u32, folder_is_shared: bool) -> Option<Doubt> {
    if !is_trusted(owner, own_user) {
        Some(Doubt::Owner { owner, own_user })
    } else if mode & WRITABLE_BY_OTHERS != 0 {
        Some(Doubt::Mode(mode & 0o7777))
    } else if folder_is_shared && links > 1 {
        Some(Doubt::HardLink)
    } else {
        None
    }
}

fn is_trusted(owner: u32, own_user: u32) -> bool {
    owner == own_user || owner == 0
}

impl Doubt {
    /// What is wrong with the file at `path`, and what to type.
    pub(in crate::config::file) fn message(self, path: &Path) -> String {
        let path = if path.is_absolute() { path.to_owned() } else { PathBuf::from(".").join(path) };
        let path = path.display();
        let what = match self {
            Self::Owner { owner, own_user } => format!(
                "belongs to user {owner}, not to root or to user {own_user}, who runs this command. To use it anyway, \
                 name it:"
            ),
            Self::Mode(mode) => {
                format!("can be changed by other users (mode {mode:04o}). Run chmod go-w {path}, or name it:")
            }
            Self::HardLink => {
                "has a second name (a hard link), and is in a folder that other users can write to. To \
                               use it anyway, name it:"
                    .to_owned()
            }
            Self::SymbolicLink => {
                "is a symbolic link in a folder that other users can write to. To use it anyway, \
                                   name it:"
                    .to_owned()
            }
        };
        format!("{what} --config {path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_user_or_root_wrote_is_trusted() {
        let (own, other) = (1000, 1001);
        let of_other = Some(Doubt::Owner { owner: other, own_user: own });
        for (owner, mode, links, shared, expected) in [
            (own, 0o644, 1, false, None),
            (own, 0o600, 1, true, None),
            (0, 0o644, 1, true, None),
            (own, 0o644, 2, false, None),
            (own, 0o644, 2, true, Some(Doubt::HardLink)),
            (own, 0o664, 1, false, Some(Doubt::Mode(0o664))),
            (0, 0o646, 1, false, Some(Doubt::Mode(0o646))),
            (other, 0o600, 1, false, of_other),
            (other, 0o444, 1, false, of_other),
        ] {
            let found = doubt(owner, mode, links, own, shared);
            assert_eq!(found, expected, "{mode:o} of {owner}, {links} links, shared: {shared}");
        }
        assert_eq!(
            doubt(own, 0o644, 1, 0, false),
            Some(Doubt::Owner { owner: own, own_user: 0 }),
            "for root"
        );
    }
}

//! On Windows, the owner of the file says who has put it where it is. The access list is not asked: outside of the user's
//! profile, every user may change what is in most folders.

use std::path::Path;

use super::Unusable;
use crate::{file_system, regular_file::RegularFile};

/// What lets others put a file where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config::file) struct Doubt;

/// Opens the file at `path` if it belongs to this user, to the system or to administrators.
pub(in crate::config::file) fn open(path: &Path) -> Result<RegularFile, Unusable> {
    let file = RegularFile::open(path)?;
    if file_system::has_trusted_owner(file.file())? { Ok(file) } else { Err(Unusable::Untrusted(Doubt)) }
}

impl Doubt {
    /// What is wrong with the file at `path`, and what to type.
    pub(in crate::config::file) fn message(self, path: &Path) -> String {
        let path = path.display();
        format!(
            "belongs neither to the user who runs this command nor to administrators. To use it anyway, name it: \
             --config {path}"
        )
    }
}

//! Access lists, and folders that cannot be synced.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::windows::{fs::OpenOptionsExt, io::AsRawHandle},
    path::Path,
    time::SystemTime,
};

use windows_permissions::{
    LocalBox, SecurityDescriptor,
    constants::{SeObjectType, SecurityInformation},
    utilities::current_process_sid,
    wrappers::{
        ConvertSecurityDescriptorToStringSecurityDescriptor, GetSecurityInfo, SetNamedSecurityInfo,
        SetSecurityInfo,
    },
};

use super::{Exposure, Readers, access_list::AccessList};

/// What makes a file private, as the end of "can be read by other users".
pub(crate) const HOW_TO_PROTECT: &str = "take the others off its access list (icacls /inheritance:r)";

/// What makes a file private, without its name.
pub(crate) const PROTECTING_TOOL: &str = "icacls";

// From winnt.h.
const GENERIC_WRITE: u32 = 0x4000_0000;
const READ_CONTROL: u32 = 0x0002_0000;
const WRITE_DAC: u32 = 0x0004_0000;

/// What to type to make the file private.
pub(crate) fn protecting_command(path: &Path) -> String {
    format!("icacls \"{}\" /inheritance:r /grant:r \"%USERNAME%:F\"", path.display())
}

/// Creates a file for writing; fails if there is one.
pub(crate) fn create(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if readers == Readers::Everyone {
        return options.open(path);
    }
    let mut file = options.access_mode(GENERIC_WRITE | READ_CONTROL | WRITE_DAC).open(path)?;
    let protected = private_list("").and_then(|list| {
        let information = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
        SetSecurityInfo(&mut file, SeObjectType::SE_FILE_OBJECT, information, None, None, list.dacl(), None)
    });
    // Nothing has been written yet. An open file can be deleted, since std shares that right.
    protected.inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(file)
}

/// Creates a folder for this user alone, unless there is one, and those above it. What is made in it inherits this.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let list = private_list("OICI")?;
    let information = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    SetNamedSecurityInfo(folder, SeObjectType::SE_FILE_OBJECT, information, None, None, list.dacl(), None)
}

/// A list that admits this user and the system, protected from what the folder would add.
fn private_list(inheritance: &str) -> io::Result<LocalBox<SecurityDescriptor>> {
    let user = current_process_sid()?;
    format!("D:P(A;{inheritance};FA;;;{})(A;{inheritance};FA;;;SY)", &*user).parse()
}

/// Whether the file is private.
pub(crate) fn exposure(file: &File) -> io::Result<Option<Exposure>> {
    let (list, user) = (access_list(file)?, user()?);
    let list = AccessList::new(&list);
    Ok(if list.is_readable_by_others(&user) || list.is_writable_by_others(&user) {
        Some(Exposure::Shared)
    } else {
        (!list.belongs_to(&user)).then_some(Exposure::Foreign)
    })
}

/// Whether other users may read a file with a secret.
pub(crate) fn is_readable_by_others(file: &File) -> io::Result<bool> {
    Ok(AccessList::new(&access_list(file)?).is_readable_by_others(&user()?))
}

/// Whether the file belongs to this user, to the system or to administrators.
pub(crate) fn has_trusted_owner(file: &File) -> io::Result<bool> {
    Ok(AccessList::new(&access_list(file)?).belongs_to(&user()?))
}

/// Owner and access list in SDDL.
fn access_list(file: &impl AsRawHandle) -> io::Result<String> {
    let information = SecurityInformation::Owner | SecurityInformation::Dacl;
    text(&*GetSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, information)?)
}

/// This user as SDDL writes it, which has short names for some.
fn user() -> io::Result<String> {
    let descriptor: LocalBox<SecurityDescriptor> = format!("O:{}", &*current_process_sid()?).parse()?;
    Ok(text(&descriptor)?.trim_start_matches("O:").to_owned())
}

fn text(descriptor: &SecurityDescriptor) -> io::Result<String> {
    let information = SecurityInformation::Owner | SecurityInformation::Dacl;
    let text = ConvertSecurityDescriptorToStringSecurityDescriptor(descriptor, information)?;
    Ok(text.to_string_lossy().into_owned())
}

/// Whether `path` still names the open `file`.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let open = file.try_clone().and_then(same_file::Handle::from_file);
    matches!((open, same_file::Handle::from_path(path)), (Ok(open), Ok(named)) if open == named)
}

/// Nothing to do: a folder cannot be opened for syncing, and NTFS keeps its names in a journal.
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The time of the last change of the data. A change of the access list leaves no time behind.
pub(crate) fn time_of_change(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

//! Reads files that a user names: regular files only, with a size limit, and without blocking on a pipe.
//!
//! Data that may come from a pipe (`call -d @FILE`, `explain --compare FILE`) is not read by this module.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    fs::{File, Metadata},
    io::{self, ErrorKind, Read},
};

use bytesize::ByteSize;
use zeroize::Zeroizing;

#[cfg(unix)]
use unix as system;
#[cfg(unix)]
pub(crate) use unix::Links;
#[cfg(windows)]
use windows as system;

/// Editors and shells of Windows write this in front of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    metadata: Metadata,
}

impl RegularFile {
    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The open file.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// The metadata of the open file, whatever its path names now.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Reads the file to its end.
    ///
    /// # Errors
    /// When it cannot be read; `FileTooLarge` when it has more than `limit` bytes.
    pub(crate) fn read(self, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        read_up_to(self.file, self.metadata.len(), limit)
    }
}

impl TryFrom<File> for RegularFile {
    type Error = io::Error;

    fn try_from(file: File) -> io::Result<Self> {
        system::refuse_unless_regular(&file)?;
        let metadata = file.metadata()?;
        Ok(Self { file, metadata })
    }
}

/// Reads `reader` to its end.
///
/// # Errors
/// When it cannot be read; `FileTooLarge` when it has more than `limit` bytes.
pub(crate) fn read_up_to(reader: impl Read, expected: u64, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Allocated once: a buffer that grows leaves copies of a secret in freed memory.
    let capacity = usize::try_from(expected.min(limit)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {}", ByteSize(limit))));
    }
    Ok(bytes)
}

fn not_regular(kind: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("it is {kind}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::tempdir;

    use super::*;

    fn read(path: &Path) -> Result<String, String> {
        let bytes =
            RegularFile::open(path).and_then(|file| file.read(8)).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_further() {
        let folder = tempdir().expect("a folder");
        for (content, expected) in
            [("", Ok("")), ("12345678", Ok("12345678")), ("123456789", Err("it has more than 8 B"))]
        {
            let path = folder.path().join("file");
            std::fs::write(&path, content).expect("written");
            assert_eq!(read(&path), expected.map(str::to_owned).map_err(str::to_owned));
        }
    }
}

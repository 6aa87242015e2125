//! Reads PEM files of trusted roots.

use std::{error::Error, io, path::Path};

use rustls::RootCertStore;
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};

use crate::regular_file::{BYTE_ORDER_MARK, RegularFile};

/// The largest file, in bytes. The roots of a system take a quarter of a megabyte.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The contents of a file: at least one certificate, all of them usable.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) pem: Vec<u8>,
    pub(crate) store: RootCertStore,
}

impl Roots {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is not a regular file; `InvalidData` when one of its certificates cannot be used or it
    /// has none.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let read = RegularFile::open(path)?.read(MAX_FILE)?;
        // The parser would skip a first certificate behind a byte order mark without an error.
        let pem = read.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(&read).to_vec();
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&pem)) {
            let of_number = |what| unusable(format!("certificate {number} in it {what}"));
            let certificate = certificate.map_err(|error| of_number(wrong_pem(&error)))?;
            // rustls says only that the certificate is malformed.
            store.add(certificate).map_err(|_| of_number("is not an X.509 certificate"))?;
        }
        if store.is_empty() {
            return Err(unusable("no PEM certificate in it"));
        }
        Ok(Self { pem, store })
    }
}

fn wrong_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "has no END line",
        pem::Error::IllegalSectionStart { .. } => "has a BEGIN line that is not complete",
        pem::Error::Base64Decode(_) => "is not in base64",
        _ => "is not in PEM",
    }
}

fn unusable(why: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Roots::read(file.path()).map(|roots| roots.store.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_certificate_counts() {
        let one = rcgen::generate_simple_self_signed([]).expect("a certificate").cert.pem();
        let other = rcgen::generate_simple_self_signed([]).expect("a certificate").cert.pem();
        assert_eq!(read(&format!("{one}# a comment\n{other}")), Ok(2));
        assert_eq!(read(&format!("{BYTE_ORDER_MARK}{one}{other}")), Ok(2));
    }

    #[test]
    fn a_file_is_used_as_a_whole_or_not_at_all() {
        let good = rcgen::generate_simple_self_signed([]).expect("a certificate").cert.pem();
        for (text, why) in [
            ("", "no PEM certificate in it"),
            ("nonsense", "no PEM certificate in it"),
            (
                "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
                "1 in it is not an X.509 certificate",
            ),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "1 in it is not in base64"),
            ("-----BEGIN CERTIFICATE-----\naGVsbG8=\n", "1 in it has no END line"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{error}");
            if !text.is_empty() && text != "nonsense" {
                read(&format!("{good}{text}")).expect_err("one of two is unusable");
            }
        }
    }
}

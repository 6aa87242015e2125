//! Why TLS failed, in words for users, for the upstream and for AWS.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription, CertificateError, PeerIncompatible};
use rustls_pki_types::UnixTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How many names of a certificate are listed.
const MAX_NAMES: usize = 5;

/// The longest DNS name.
const MAX_NAME_LENGTH: usize = 253;

/// AlgorithmIdentifiers of signatures over SHA-1, without their tag and length: sha1WithRSAEncryption (RFC 8017
/// appendix C) and ecdsa-with-SHA1 (RFC 5758 section 3.2).
const SHA_1: [&[u8]; 2] = [
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
];

/// Why a TLS handshake failed, or the alert that the peer sent after it.
#[derive(Debug)]
pub enum TlsFault {
    /// The certificate cannot be trusted.
    Certificate(CertificateFault),
    /// The peer requires a client certificate.
    ClientCertificate,
    /// The peer has no TLS version in common with the proxy.
    Version,
    /// The peer has no parameters in common with the proxy, or ended the handshake without saying why.
    Handshake,
    /// The peer does not know the requested host name.
    UnknownName,
    /// The peer sent another alert.
    Alert(u8),
    /// The response is not TLS.
    NotTls,
    /// The connection ended during the handshake.
    Closed,
    /// The connection broke during the handshake.
    Broken(io::Error),
    /// The peer broke the protocol in another way.
    Violation,
}

/// Why a certificate cannot be trusted.
#[derive(Debug)]
pub enum CertificateFault {
    /// It has expired.
    Expired {
        /// When it expired.
        not_after: UnixTime,
        /// What the clock of this machine says.
        now: UnixTime,
    },
    /// It is not valid yet.
    NotYetValid {
        /// When it becomes valid.
        not_before: UnixTime,
        /// What the clock of this machine says.
        now: UnixTime,
    },
    /// It is for other names.
    OtherName {
        /// The requested name.
        expected: String,
        /// Its names, without characters that a terminal would interpret.
        presented: Vec<String>,
    },
    /// No trusted authority has signed it.
    UnknownAuthority,
    /// It is the certificate of an authority, which a server must not present as its own.
    Authority,
    /// It names a trusted authority, but that authority's key has not signed it.
    Forged,
    /// It is signed over SHA-1.
    Sha1,
    /// It is signed in another way that is not supported.
    Signature,
    /// It is not for servers.
    Purpose,
    /// It is not valid otherwise.
    Invalid,
}

impl TlsFault {
    /// The cause of a failed handshake; `asked` is whether the peer requested a client certificate.
    pub(crate) fn of_handshake(error: io::Error, asked: bool) -> Self {
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref()).map(Self::of);
        match fault {
            // A server that wants a client certificate and gets none may send any alert, or none.
            Some(Self::Handshake | Self::Alert(_)) | None if asked => Self::ClientCertificate,
            Some(fault) => fault,
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Broken(error),
        }
    }

    /// The meaning of an alert in place of a response. `asked` is whether the peer requested a client certificate in
    /// the handshake, and `is_first` whether the connection has given no response before. `None` when the alert says
    /// only that the connection has ended.
    ///
    /// In TLS 1.3 a server checks the client's certificate after the client has finished the handshake. In TLS 1.2 it
    /// may request one later by renegotiation, which is not supported here and which the server ends with
    /// handshake_failure.
    pub(crate) fn after_handshake(alert: AlertDescription, asked: bool, is_first: bool) -> Option<Self> {
        let about_certificate = matches!(
            alert,
            AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
        );
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
                Some(Self::ClientCertificate)
            }
            // A server that wants a client certificate and gets none may send any alert.
            _ if asked && (is_first || about_certificate) => Some(Self::ClientCertificate),
            _ if is_first || about_certificate => Some(Self::Alert(alert.into())),
            // A connection that has been used may end for an unrelated reason.
            _ => None,
        }
    }

    /// The TLS failure behind `error`, if there is one.
    pub(crate) fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        Self::find(error).map(Self::of)
    }

    /// The rustls error among the causes.
    fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
        let mut level = Some(error);
        while let Some(error) = level {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // `source` of an I/O error skips the error that it wraps.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            level = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source());
        }
        None
    }

    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(CertificateFault::of(error)),
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => Self::ClientCertificate,
                AlertDescription::ProtocolVersion => Self::Version,
                AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                    Self::Handshake
                }
                AlertDescription::UnrecognisedName => Self::UnknownName,
                alert => Self::Alert(u8::from(*alert)),
            },
            rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::Version,
            rustls::Error::PeerIncompatible(_) => Self::Handshake,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Violation,
        }
    }

    /// What is wrong, as a clause about `peer`, such as "the upstream".
    pub(crate) fn about<'a>(&'a self, peer: &'a str) -> impl fmt::Display + 'a {
        About { fault: self, peer }
    }

    /// What a user can do about it, in a sentence; `setting` is the setting that names files of trusted roots.
    pub(crate) fn advice(&self, setting: &str) -> Option<String> {
        let Self::Certificate(fault) = self else { return self.advice_about_protocol().map(str::to_owned) };
        Some(match fault {
            CertificateFault::UnknownAuthority => {
                format!("If a private authority signed it, name the authority's PEM file with {setting}.")
            }
            CertificateFault::Forged => {
                format!("If the authority has got another key, name its new PEM file with {setting}.")
            }
            CertificateFault::Authority => format!(
                "Make the server a certificate without the CA flag (openssl req -x509 -addext \
                 basicConstraints=critical,CA:FALSE) and name that with {setting}."
            ),
            CertificateFault::OtherName { .. } => "Use a name of the certificate in the URL.".to_owned(),
            CertificateFault::Expired { .. } | CertificateFault::NotYetValid { .. } => {
                "Check that this machine's clock is right.".to_owned()
            }
            CertificateFault::Sha1 => {
                "The server needs a certificate that is signed over SHA-256.".to_owned()
            }
            CertificateFault::Signature | CertificateFault::Purpose | CertificateFault::Invalid => {
                return None;
            }
        })
    }

    fn advice_about_protocol(&self) -> Option<&'static str> {
        match self {
            Self::ClientCertificate => Some("The proxy has none to offer; mutual TLS is not supported."),
            Self::NotTls => Some("Check that the port is one for https."),
            _ => None,
        }
    }
}

impl CertificateFault {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { not_after: *not_after, now: *time }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { not_before: *not_before, now: *time }
            }
            CertificateError::NotValidForNameContext { expected, presented } => Self::OtherName {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().filter_map(|name| clean(name)).collect(),
            },
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. }
                if SHA_1.iter().any(|algorithm| signature_algorithm_id.starts_with(algorithm)) =>
            {
                Self::Sha1
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Signature,
            CertificateError::BadSignature => Self::Forged,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::Other(other)
                if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
            {
                Self::Authority
            }
            _ => Self::Invalid,
        }
    }
}

/// The name in rustls's `DnsName("a.example")` or `IpAddress(10.0.0.1)`. The peer chooses it and it goes to a terminal,
/// so that only printable names are taken.
fn clean(presented: &str) -> Option<String> {
    let (_, name) = presented.strip_suffix(')')?.split_once('(')?;
    let name = name.trim_matches('"');
    let legal =
        !name.is_empty() && name.len() <= MAX_NAME_LENGTH && name.bytes().all(|b| b.is_ascii_graphic());
    legal.then(|| name.to_owned())
}

/// RFC 3339, to the second, in UTC.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok());
    date.unwrap_or_else(|| format!("second {seconds} of the Unix epoch"))
}

/// The name that RFC 8446 section 6 and the RFCs before it give an alert that ends a connection.
fn alert_name(number: u8) -> Option<&'static str> {
    Some(match number {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        109 => "missing_extension",
        110 => "unsupported_extension",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

struct About<'a> {
    fault: &'a TlsFault,
    peer: &'a str,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        match self.fault {
            TlsFault::Certificate(fault) => write!(f, "the certificate of {peer} {fault}"),
            TlsFault::ClientCertificate => write!(f, "{peer} demands a client certificate"),
            TlsFault::Version => write!(f, "{peer} speaks neither TLS 1.2 nor TLS 1.3"),
            TlsFault::Handshake => write!(
                f,
                "{peer} ended the TLS handshake: it shares no cipher suite with the proxy, or wants something else \
                 that it does not name"
            ),
            TlsFault::UnknownName => {
                write!(f, "{peer} has no certificate for the host name that it was asked for")
            }
            TlsFault::Alert(number) => {
                write!(f, "{peer} refused the TLS connection with alert {number}")?;
                alert_name(*number).map_or(Ok(()), |name| write!(f, " ({name})"))
            }
            TlsFault::NotTls => write!(f, "{peer} did not answer with TLS"),
            TlsFault::Closed => write!(f, "{peer} closed the connection during the TLS handshake"),
            TlsFault::Broken(_) => write!(f, "the connection to {peer} broke during the TLS handshake"),
            TlsFault::Violation => write!(f, "{peer} broke the TLS protocol"),
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { not_after, now } => {
                write!(f, "expired at {}; this machine's clock says {}", date(*not_after), date(*now))
            }
            Self::NotYetValid { not_before, now } => {
                write!(f, "is valid from {} on; this machine's clock says {}", date(*not_before), date(*now))
            }
            Self::OtherName { expected, presented } if presented.is_empty() => {
                write!(f, "has no host name in it and is not for {expected}")
            }
            Self::OtherName { expected, presented } => {
                let listed = &presented[..presented.len().min(MAX_NAMES)];
                write!(f, "is for {}", listed.join(", "))?;
                if presented.len() > listed.len() {
                    write!(f, " and {} more", presented.len() - listed.len())?;
                }
                write!(f, ", not for {expected}")
            }
            Self::UnknownAuthority => f.write_str("is signed by an authority that is not trusted"),
            Self::Authority => f.write_str(
                "is a certificate authority's (it has the CA flag), which a server must not use as its own",
            ),
            Self::Sha1 => f.write_str("is signed over SHA-1, which is not secure any more"),
            Self::Forged => {
                f.write_str("names an authority that is trusted, but is not signed with that authority's key")
            }
            Self::Signature => f.write_str("has a signature of a kind that is not supported"),
            Self::Purpose => f.write_str("is not for servers"),
            Self::Invalid => f.write_str("is not valid"),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about("the other end").fmt(f)
    }
}

impl Error for TlsFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_after_the_handshake_is_about_the_client_certificate_that_was_asked_for() {
        let certificate = "the upstream demands a client certificate";
        for (alert, asked, is_first, expected) in [
            (116, true, true, Some(certificate)),
            (116, false, false, Some(certificate)),
            (40, false, false, Some(certificate)),
            (42, true, false, Some(certificate)),
            (48, true, true, Some(certificate)),
            (48, true, false, Some(certificate)),
            (45, true, false, Some(certificate)),
            (49, true, true, Some(certificate)),
            (80, true, true, Some(certificate)),
            (80, true, false, None),
            (80, false, true, Some("the upstream refused the TLS connection with alert 80 (internal_error)")),
            (80, false, false, None),
            (49, false, true, Some("the upstream refused the TLS connection with alert 49 (access_denied)")),
            (48, false, false, Some("the upstream refused the TLS connection with alert 48 (unknown_ca)")),
            (201, false, true, Some("the upstream refused the TLS connection with alert 201")),
        ] {
            let fault = TlsFault::after_handshake(AlertDescription::from(alert), asked, is_first);
            let said = fault.map(|fault| fault.about("the upstream").to_string());
            assert_eq!(said.as_deref(), expected, "alert {alert}, asked: {asked}, first: {is_first}");
        }
    }
}

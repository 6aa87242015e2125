//! What the process stands in: variables, current folder, standard input. Tests bring their own.

mod user_folder;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use zeroize::Zeroizing;

use super::{
    problem::{Problem, nearest},
    source::{Given, Layer, Origin},
    table::{self, Kind, SETTINGS, Setting},
};
use crate::{
    regular_file::{BYTE_ORDER_MARK, RegularFile, read_up_to},
    telemetry,
};

pub(super) use user_folder::UserFolder;

use user_folder::System;

/// Bytes of a configuration or a secret; a larger file is a mistake.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// Bytes of a generated file: the introspection of a large schema takes megabytes.
pub(super) const MAX_GENERATED_FILE: u64 = 16 * 1024 * 1024;

/// Where variables, relative paths and standard input come from.
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    folder: PathBuf,
    stdin: Box<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>,
    stderr_is_terminal: bool,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn process() -> Self {
        // On Windows, names that differ only in case are the same variable.
        let name = |name: String| if cfg!(windows) { name.to_ascii_uppercase() } else { name };
        let variables = std::env::vars_os()
            .filter_map(|(text, value)| text.into_string().ok().map(|text| (name(text), value)))
            .collect();
        Self {
            variables,
            folder: PathBuf::new(),
            stdin: Box::new(read_once()),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// An environment of these variables, in which relative paths start from `folder`.
    pub fn new<N: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
        folder: impl Into<PathBuf>,
    ) -> Self {
        Self {
            variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            folder: folder.into(),
            stdin: Box::new(|| Ok(Vec::new())),
            stderr_is_terminal: false,
        }
    }

    /// The same with `bytes` on standard input.
    #[must_use]
    pub fn with_stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.stdin = Box::new(move || Ok(bytes.clone()));
        self
    }

    /// A variable that is set, not empty, and text.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.to_str().filter(|value| !value.is_empty())
    }

    /// The path that a variable names; it need not be text.
    pub(super) fn path_variable(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(name).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// The folder of this user for files of this kind.
    pub(super) fn user_folder(&self, kind: UserFolder) -> Option<PathBuf> {
        kind.find(System::THIS, |name| self.path_variable(name).filter(|path| path.is_absolute()))
    }

    /// The names of the sockets that a service manager has passed; empty when none was.
    #[must_use]
    pub fn socket_names(&self) -> &str {
        self.variable("LISTEN_FDNAMES").unwrap_or_default()
    }

    /// The time of the sources that packages are built from, in seconds since 1970, where a build sets it.
    #[must_use]
    pub fn source_date(&self) -> Option<&str> {
        self.variable("SOURCE_DATE_EPOCH")
    }

    pub(crate) fn colour(&self) -> bool {
        self.stderr_is_terminal && self.variable("NO_COLOR").is_none() && telemetry::enable_colours()
    }

    /// `path` as this process can open it.
    pub(super) fn path(&self, origin: &Origin, path: &str) -> PathBuf {
        self.folder.join(origin.folder()).join(path)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn read_stdin(&self) -> io::Result<Vec<u8>> {
        (self.stdin)()
    }

    /// The settings among the variables, secrets included, with what is wrong about the others.
    pub(super) fn layer(&self) -> (Layer, Vec<Problem>, Vec<String>) {
        let (mut layer, mut problems, mut warnings) = (Layer::new(), Vec::new(), Vec::new());
        for (name, value) in self.variables.iter().filter(|(name, value)| is_ours(name) && !value.is_empty())
        {
            let Some((key, kind)) = setting_of(name) else {
                warnings.extend(unknown_variable(name, value.to_str().unwrap_or("")));
                continue;
            };
            let Some(value) = value.to_str() else {
                problems.push(Problem::new(name, "is not text in UTF-8"));
                continue;
            };
            let origin = Origin::Variable(name.clone());
            let given = |text: &str| Given { text: text.to_owned(), origin: origin.clone() };
            let values: Vec<Given> = match kind {
                Kind::List => {
                    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(given).collect()
                }
                _ => vec![given(value)],
            };
            layer.insert(key, values);
        }
        (layer, problems, warnings)
    }
}

/// Standard input, which is empty the second time: a configuration that is read again needs it again.
fn read_once() -> impl Fn() -> io::Result<Vec<u8>> + Send + Sync {
    let read = OnceLock::<Zeroizing<Vec<u8>>>::new();
    move || {
        if let Some(bytes) = read.get() {
            return Ok(bytes.to_vec());
        }
        let bytes = read_up_to(io::stdin().lock(), MAX_FILE, MAX_FILE)?;
        Ok(read.get_or_init(|| bytes).to_vec())
    }
}

/// Reads a file of text, without the byte order mark that it may begin with.
///
/// # Errors
/// When it cannot be read, has more than `limit` bytes, or is not text in UTF-8.
pub(super) fn read_text(file: RegularFile, limit: u64) -> io::Result<String> {
    let bytes = file.read(limit)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).to_owned())
}

/// `COUNTERSIGN_CONFIG` names the file, and `exec` sets `COUNTERSIGN_URL`: these are no settings.
fn is_ours(name: &str) -> bool {
    name.starts_with("COUNTERSIGN_") && !matches!(name, "COUNTERSIGN_CONFIG" | "COUNTERSIGN_URL")
}

/// The layer's key for a variable: a setting's name, or a secret's own name.
fn setting_of(variable: &str) -> Option<(&'static str, Kind)> {
    SETTINGS.iter().find_map(|setting| {
        let direct = |secret: &&'static str| table::variable_of(secret) == variable;
        if setting.variable() == variable {
            Some((setting.name, setting.kind))
        } else {
            setting.secret().filter(direct).map(|secret| (secret, Kind::Text))
        }
    })
}

/// A warning and not an error, since Kubernetes gives every container variables that are named after services.
fn unknown_variable(name: &str, value: &str) -> Option<String> {
    if is_of_kubernetes(name, value) {
        return None;
    }
    let valid: Vec<String> =
        SETTINGS.iter().map(Setting::variable).chain(table::secret_variables()).collect();
    Some(match nearest(name, valid.iter().map(String::as_str)) {
        Some(near) => format!("{name} is not a setting and is ignored; did you mean {near}?"),
        None => format!("{name} is not a setting and is ignored"),
    })
}

/// Whether Kubernetes injects this variable for a service named `countersign` or `countersign-…`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let of_service = |end: &str| name.ends_with(end);
    let of_protocol = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        ["", "_PROTO", "_PORT", "_ADDR"].iter().any(|end| name.ends_with(&format!("{protocol}{end}")))
    });
    of_service("_SERVICE_HOST")
        || of_service("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.contains("_PORT_") && of_protocol)
        || (of_service("_PORT")
            && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme)))
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

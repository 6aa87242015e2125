//! Values as they are given, and where: on the command line, in a variable, in the file.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::table::Setting;

/// Where a value was given; prints as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `--NAME`.
    Flag(&'static str),
    /// A variable.
    Variable(String),
    /// A key of the file.
    File {
        /// The file.
        file: Arc<Path>,
        /// The line, from 1.
        line: usize,
        /// The key as it stands there.
        key: String,
    },
    /// A value in Amplify's file.
    Amplify {
        /// The file.
        file: Arc<Path>,
        /// The way to the value: `auth.user_pool_id`.
        key: String,
    },
    /// Nowhere: the table's default.
    Default,
}

/// A value that nothing has interpreted yet.
///
/// It may hold an API key (`set-header`), so that Debug shows only where it was given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What one source says: a list has any number of values, every other setting one.
pub(super) type Layer = BTreeMap<&'static str, Vec<Given>>;

/// The settings that were given as flags, as typed.
#[derive(Clone, Default)]
pub struct Arguments {
    pub(super) config_file: Option<PathBuf>,
    pub(super) flags: Layer,
}

impl Arguments {
    /// The file of `--config`.
    #[must_use]
    pub fn with_config_file(mut self, file: Option<PathBuf>) -> Self {
        self.config_file = file;
        self
    }

    /// The values of one flag.
    #[must_use]
    pub fn with_flag(mut self, setting: &'static Setting, values: impl IntoIterator<Item = String>) -> Self {
        let origin = Origin::Flag(setting.name);
        let given = values.into_iter().map(|text| Given { text, origin: origin.clone() }).collect();
        self.flags.insert(setting.name, given);
        self
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arguments")
            .field("config_file", &self.config_file)
            .field("flags", &self.flags.keys())
            .finish()
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { file, line, key } => write!(f, "{}:{line}: {key}", file.display()),
            Self::Amplify { file, key } => write!(f, "{}: {key}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    /// The origin without the key, for a listing that has the key already.
    pub(super) fn source(&self) -> String {
        match self {
            Self::File { file, line, .. } => format!("{}:{line}", file.display()),
            other => other.to_string(),
        }
    }

    /// How `value` is written here. A value with an `@` may be a URL with a password, and is not repeated.
    pub(super) fn assignment(&self, value: &str) -> String {
        let value = if value.contains('@') { "the value alone" } else { value };
        match self {
            Self::Flag(name) => format!("--{name} {value}"),
            Self::Variable(name) => format!("{name}={value}"),
            Self::File { key, .. } => format!("{key} = \"{value}\""),
            Self::Amplify { .. } | Self::Default => value.to_owned(),
        }
    }

    /// The folder that relative paths start from: the file's own folder for what the file says, so that
    /// `~/.config/countersign/config.toml` can name its neighbours.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::File { file, .. } => file.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        }
    }
}

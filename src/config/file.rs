//! The configuration file: finding it, and its keys with their lines.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    environment::{Environment, read_file},
    problem::Problem,
    source::{Layer, Origin},
};

mod parser;

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) layer: Layer,
    pub(super) routes: Vec<RawRoute>,
    /// Settings that are there with a value of a wrong type.
    pub(super) mistyped: Vec<&'static str>,
    /// Whether the file could not be read to its end, so that what is missing may stand in it.
    pub(super) broken: bool,
}

/// One `[[route]]`.
#[derive(Debug)]
pub(super) struct RawRoute {
    pub(super) keys: Layer,
    pub(super) origin: Origin,
}

/// Reads the file that `explicit` or `COUNTERSIGN_CONFIG` names, else one of the two usual ones, if there is one.
pub(super) fn read(
    explicit: Option<&Path>,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> (File, Option<PathBuf>) {
    let from_variable =
        || environment.variable("COUNTERSIGN_CONFIG").map(|path| ("COUNTERSIGN_CONFIG", path.into()));
    let named = explicit.map(|path| ("--config", path.to_owned())).or_else(from_variable);
    let (origin, path, required) = match named {
        Some((origin, path)) => (origin.to_owned(), path, true),
        None => {
            match usual_files(environment).into_iter().find(|path| is_there(&environment.folder().join(path)))
            {
                Some(path) => (path.display().to_string(), path, false),
                None => return (File::default(), None),
            }
        }
    };
    match read_file(&environment.folder().join(&path)).and_then(into_text) {
        Ok(text) => (parser::parse(&path, &text, problems), Some(path)),
        Err(error) => {
            let what = if required {
                format!("cannot read {}: {error}", path.display())
            } else {
                format!("cannot be read: {error}")
            };
            problems.push(Problem::new(origin, what));
            (File { broken: true, ..File::default() }, Some(path))
        }
    }
}

fn usual_files(environment: &Environment) -> Vec<PathBuf> {
    let of_user = environment.base_folder("XDG_CONFIG_HOME", ".config");
    std::iter::once(PathBuf::from("countersign.toml"))
        .chain(of_user.map(|folder| folder.join("countersign/config.toml")))
        .collect()
}

/// A file that is there and cannot be opened must not be passed over in silence.
fn is_there(path: &Path) -> bool {
    !matches!(path.metadata(), Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

fn into_text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

//! The configuration file: finding it, and its keys with their lines.

mod parser;
mod unnamed;

use std::path::{Path, PathBuf};

use super::{
    environment::{Environment, MAX_FILE, UserFolder, read_text},
    problem::Problem,
    source::{Layer, Origin},
};
use crate::regular_file::RegularFile;
use unnamed::Unusable;

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
    let from_variable = || Some(("COUNTERSIGN_CONFIG", environment.path_variable("COUNTERSIGN_CONFIG")?));
    let named = explicit.map(|path| ("--config", path.to_owned())).or_else(from_variable);
    let (path, text) = match named {
        Some((origin, path)) => {
            let opened = RegularFile::open(&environment.folder().join(&path));
            let text = opened.and_then(|file| read_text(file, MAX_FILE));
            let shown = path.display();
            let text = text.map_err(|error| Problem::new(origin, format!("cannot read {shown}: {error}")));
            (path, text)
        }
        None => match usual_files(environment).find_map(|path| unnamed(path, environment)) {
            Some(found) => found,
            None => return (File::default(), None),
        },
    };
    match text {
        Ok(text) => (parser::parse(&path, &text, problems), Some(path)),
        Err(problem) => {
            problems.push(problem);
            (File { broken: true, ..File::default() }, Some(path))
        }
    }
}

/// The text of the file at `path`, or why it is not used; `None` when there is no file.
fn unnamed(path: PathBuf, environment: &Environment) -> Option<(PathBuf, Result<String, Problem>)> {
    let text = match unnamed::open(&environment.folder().join(&path)) {
        Ok(file) => read_text(file, MAX_FILE).map_err(|error| format!("cannot be read: {error}")),
        Err(Unusable::Absent) => return None,
        Err(Unusable::Io(error)) => Err(format!("cannot be read: {error}")),
        Err(Unusable::Untrusted(doubt)) => Err(doubt.message(&path)),
    };
    let text = text.map_err(|message| Problem::new(path.display(), message));
    Some((path, text))
}

/// Where the file is looked for when nothing names it.
fn usual_files(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    let of_user = environment.user_folder(UserFolder::Configuration);
    std::iter::once(PathBuf::from("countersign.toml"))
        .chain(of_user.map(|folder| folder.join("countersign/config.toml")))
}

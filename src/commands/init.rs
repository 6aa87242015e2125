//! `countersign init`: writes `countersign.toml` from the outputs of deployment tools, flags and answers.

mod file;
mod questions;
mod report;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use tokio::task::spawn_blocking;

use super::{Failure, print};
use crate::{
    config::{
        Arguments,
        outputs::{self, Candidate, Found, SETTINGS},
    },
    telemetry,
};
use file::FILE;

/// A setting that is to be written.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    name: &'static str,
    value: String,
    /// The file and key, or the flag, that it comes from; nothing for an answer of a person.
    origin: Option<String>,
}

/// A setting for which there is no value yet, or more than one.
#[derive(Debug)]
struct Open<'a> {
    name: &'static str,
    candidates: Vec<&'a Candidate>,
}

pub(super) async fn run(from: Vec<PathBuf>, force: bool, flags: Arguments) -> Result<ExitCode, Failure> {
    // Reading files and waiting for a person both block.
    spawn_blocking(move || init(&from, force, &flags)).await.map_err(Failure::runtime)?
}

fn init(from: &[PathBuf], force: bool, flags: &Arguments) -> Result<ExitCode, Failure> {
    let given = outputs::given(flags)?;
    // Before any question, so that no answer is lost when the file cannot be written.
    if !force && Path::new(FILE).symlink_metadata().is_ok() {
        return Err(Failure::runtime(format!("{FILE} exists; --force replaces it")));
    }
    let found = find(from)?;
    telemetry::say(&report::found(&found));
    telemetry::say(&report::stack_outputs(&found, &given));
    let chosen = choose(&found, &given, from.is_empty())?;
    file::write(&chosen, force).map_err(|error| Failure::runtime(format!("cannot write {FILE}: {error}")))?;
    telemetry::say(&report::notes(&chosen));
    print(report::next_steps(&chosen).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn find(from: &[PathBuf]) -> Result<Found, Failure> {
    if from.is_empty() {
        return Ok(Found::search(&std::env::current_dir()?));
    }
    let mut found = Found::default();
    for path in from {
        let read = found.read(path);
        read.map_err(|reason| Failure::runtime(format!("cannot use {}: {reason}", path.display())))?;
    }
    Ok(found)
}

/// One value for each setting: a flag's, else the only one that was found, else a person's answer.
fn choose(found: &Found, given: &BTreeMap<&str, String>, searched: bool) -> Result<Vec<Chosen>, Failure> {
    let asks = questions::has_terminal();
    let (mut chosen, mut unanswered) = (Vec::<Chosen>::new(), Vec::new());
    for name in SETTINGS {
        if let Some(value) = given.get(name) {
            chosen.push(Chosen { name, value: value.clone(), origin: Some(format!("--{name}")) });
            continue;
        }
        let candidates: Vec<_> = found.of(name).collect();
        let is_needed = match name {
            // The host of a custom domain does not tell it.
            "region" => upstream(&chosen).is_some_and(outputs::needs_region),
            "domain" => !candidates.is_empty(),
            _ => true,
        };
        match candidates.as_slice() {
            _ if !is_needed => {}
            [only] => chosen.push(Chosen::from(*only)),
            _ if asks => chosen.push(questions::ask(&Open { name, candidates })?),
            _ => unanswered.push(Open { name, candidates }),
        }
    }
    if unanswered.is_empty() {
        return Ok(chosen);
    }
    Err(Failure::Usage(report::unanswered(&unanswered, found, searched)))
}

fn upstream(chosen: &[Chosen]) -> Option<&str> {
    value_of(chosen, "upstream")
}

fn value_of<'a>(chosen: &'a [Chosen], name: &str) -> Option<&'a str> {
    chosen.iter().find(|chosen| chosen.name == name).map(|chosen| chosen.value.as_str())
}

impl From<&Candidate> for Chosen {
    fn from(candidate: &Candidate) -> Self {
        let origin = format!("{}: {}", candidate.file.display(), candidate.key);
        Self { name: candidate.setting, value: candidate.value.clone(), origin: Some(origin) }
    }
}

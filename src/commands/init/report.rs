//! What `init` says: what it found, what is missing, and what comes next.

use std::collections::{BTreeMap, BTreeSet};

use super::{Chosen, FILE, Open, upstream, value_of};
use crate::config::outputs::{self, Candidate, Found, SETTINGS};

/// What every configuration has to have.
const REQUIRED: [&str; 4] = ["upstream", "user-pool-id", "client-id", "identity-pool-id"];

/// A terminal as wide as most are.
const WIDTH: usize = 100;

/// Where values begin, behind the longest name of a setting.
const VALUE_COLUMN: usize = 20;

/// The longest usual value is an identity pool's id. A longer one pushes its key to the next line.
const VALUE_WIDTH: usize = 46;

/// More values than these do not help anybody to choose.
const MAX_LISTED: usize = 9;

/// What was found, file by file, and what was skipped.
pub(super) fn found(found: &Found) -> String {
    let mut text = String::new();
    for of_file in found.candidates.chunk_by(|one, next| one.file == next.file) {
        text += &format!("Found in {}:\n", of_file[0].file.display());
        for setting in SETTINGS {
            for candidate in of_file.iter().filter(|candidate| candidate.setting == setting) {
                text += &row(setting, &candidate.value, &candidate.key);
            }
        }
    }
    for (path, reason) in &found.skipped {
        text += &format!("Skipped {}: {}\n", path.display(), printable(reason));
    }
    text
}

fn row(name: &str, value: &str, key: &str) -> String {
    let key = printable(key);
    let line = format!("  {name:width$}{value:VALUE_WIDTH$}  {key}", width = VALUE_COLUMN - 2);
    if line.chars().count() <= WIDTH {
        return line + "\n";
    }
    format!("  {name:width$}{value}\n{:VALUE_COLUMN$}{key}\n", "", width = VALUE_COLUMN - 2)
}

/// One value and where it was found.
pub(super) fn candidate(candidate: &Candidate) -> String {
    format!("{}  {}: {}", candidate.value, candidate.file.display(), printable(&candidate.key))
}

/// Which settings have no value, or more than one, where nobody can be asked.
pub(super) fn unanswered(open: &[Open<'_>], found: &Found, searched: bool) -> String {
    let mut text = format!("{FILE} was not written, since there is no terminal to ask on");
    for Open { name, candidates } in open {
        if candidates.is_empty() {
            text += &format!("\n  {name} was not found: set --{name}");
            continue;
        }
        text += &format!("\n  {name} has {} values: set --{name} to one of them", candidates.len());
        for one in candidates.iter().take(MAX_LISTED) {
            text += &format!("\n    {}", candidate(one));
        }
        if candidates.len() > MAX_LISTED {
            text += &format!("\n    and {} more", candidates.len() - MAX_LISTED);
        }
    }
    if searched && found.candidates.is_empty() {
        text += "\nNo outputs of CDK, SST, Amplify or SAM were found here: name a file with --from";
    }
    text
}

/// Where the outputs of a stack are that SAM deploys, if something is missing that they may have.
pub(super) fn stack_outputs(found: &Found, given: &BTreeMap<&str, String>) -> String {
    let is_missing = |name: &&str| !given.contains_key(name) && found.of(name).next().is_none();
    match found.stacks.first() {
        Some(stack) if REQUIRED.iter().any(is_missing) => format!(
            "The outputs of the stack {stack} may have what is missing. To use them:\n  \
             aws cloudformation describe-stacks --stack-name {stack} > stack.json\n  \
             countersign init --from stack.json\n",
            stack = printable(stack)
        ),
        _ => String::new(),
    }
}

/// What may be wrong although each value is valid.
pub(super) fn notes(chosen: &[Chosen]) -> String {
    let mut text = String::new();
    let Some(upstream) = upstream(chosen) else { return text };
    let inferred = outputs::inferred(upstream);
    let has_stage = upstream.splitn(4, '/').nth(3).is_some();
    if inferred.as_ref().is_some_and(|inferred| inferred.service == "execute-api") && !has_stage {
        text += &format!(
            "Note: {upstream} has no stage. Unless the API has a $default stage, add yours in {FILE}, \
             as in {upstream}/prod\n"
        );
    }
    let of_upstream = inferred.map(|inferred| inferred.region);
    let of_upstream = of_upstream.as_deref().or_else(|| value_of(chosen, "region"));
    let of_user_pool = value_of(chosen, "user-pool-id").and_then(|id| Some(id.split_once('_')?.0));
    let of_identity_pool = value_of(chosen, "identity-pool-id").and_then(|id| Some(id.split_once(':')?.0));
    let regions: BTreeSet<_> = [of_upstream, of_user_pool, of_identity_pool].into_iter().flatten().collect();
    if regions.len() > 1 {
        let shown = |region: Option<&str>| region.unwrap_or("an unknown region").to_owned();
        text += &format!(
            "Note: the API is in {}, the user pool in {}, the identity pool in {}. Check that they belong together.\n",
            shown(of_upstream),
            shown(of_user_pool),
            shown(of_identity_pool)
        );
    }
    text
}

/// What was done, and what to type next.
pub(super) fn next_steps(chosen: &[Chosen]) -> String {
    let browser = match value_of(chosen, "domain") {
        Some(_) => " (or: countersign login --browser)",
        None => "",
    };
    format!(
        "\nWrote {FILE}. Next:\n\n  \
         countersign login    sign in as a user of the pool{browser}\n  \
         countersign serve    run the proxy\n"
    )
}

/// Without what a terminal would take for a command.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

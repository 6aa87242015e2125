//! What other tools have written about a deployment: CDK, SST, Amplify, CloudFormation and SAM.
//!
//! `init` looks here for ids and URLs. Each comes with the file and the key that it stands under, since a person has
//! to judge whether it is the right one.

mod javascript;
mod sam;
mod shape;
mod tree;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use http::Uri;
use serde_json::Value;

use super::{
    Arguments, amplify,
    environment::{MAX_GENERATED_FILE, read_text},
    problem::{ConfigError, Problem},
    source::Origin,
    url,
    value::{self, Parsed},
};
use crate::{
    endpoint::{self, HostScope, Inferred},
    regular_file::RegularFile,
};

/// The settings that are looked for, in the order in which `init` writes them.
pub const SETTINGS: [&str; 6] =
    ["upstream", "region", "user-pool-id", "client-id", "identity-pool-id", "domain"];

/// Where tools put their outputs, from the folder of the project. Amplify Gen 1 writes into `src`.
const USUAL_FILES: [&str; 8] = [
    "amplify_outputs.json",
    "amplifyconfiguration.json",
    "src/amplifyconfiguration.json",
    "aws-exports.js",
    "src/aws-exports.js",
    "cdk-outputs.json",
    ".sst/outputs.json",
    "samconfig.toml",
];

/// Keys that a file of Amplify Gen 2 has, and keys of which a file of Gen 1 has one.
const AMPLIFY_GEN_2: [&str; 2] = ["version", "auth"];
const AMPLIFY_GEN_1: [&str; 3] =
    ["aws_user_pools_id", "aws_cognito_identity_pool_id", "aws_cloud_logic_custom"];

/// More values for one setting than anybody would choose from.
const MAX_CANDIDATES: usize = 100;

/// What was found, and what could not be read.
#[derive(Debug, Default)]
pub struct Found {
    /// Values for settings, in the order in which they were found; each value once.
    pub candidates: Vec<Candidate>,
    /// Files that exist and could not be read, and values that are not valid, each with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// Stacks that SAM deploys, which have their outputs in CloudFormation.
    pub stacks: Vec<String>,
}

/// A value that may be the right one for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The setting.
    pub setting: &'static str,
    /// The value, as the configuration has it.
    pub value: String,
    /// The file that it was found in.
    pub file: PathBuf,
    /// The way to it inside the file: `AuthStack.UserPoolId`.
    pub key: String,
}

impl Found {
    /// The values for one setting.
    pub fn of(&self, setting: &str) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(move |candidate| candidate.setting == setting)
    }

    /// Reads the file at `path`, of whichever tool it is.
    ///
    /// # Errors
    /// When it is not a regular file that can be read and understood.
    pub fn read(&mut self, path: &Path) -> Result<(), String> {
        let file = RegularFile::open(path).map_err(|error| error.to_string())?;
        let text = read_text(file, MAX_GENERATED_FILE).map_err(|error| error.to_string())?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => {
                let (tree, stacks) = sam::read(&text)?;
                self.add_strings(path, &tree);
                self.stacks.extend(stacks);
            }
            Some("js" | "mjs" | "cjs" | "ts") => self.add_tree(path, &javascript::object(&text)?),
            _ => {
                let tree = serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}"))?;
                self.add_tree(path, &tree);
            }
        }
        Ok(())
    }

    /// Reads the usual files in `folder` and in those above it, up to the root of the Git repository. Outside of a
    /// repository only `folder` is searched: what stands above it belongs to something else.
    #[must_use]
    pub fn search(folder: &Path) -> Self {
        let mut found = Self::default();
        let levels = folder.ancestors().position(|folder| folder.join(".git").exists()).unwrap_or(0);
        for level in 0..=levels {
            for name in USUAL_FILES {
                let path = "../".repeat(level) + name;
                match std::fs::metadata(folder.join(&path)) {
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                    Ok(_) | Err(_) => found.read_below(folder, path.as_ref()),
                }
            }
        }
        found
    }

    fn read_below(&mut self, folder: &Path, path: &Path) {
        let mut file = Self::default();
        match file.read(&folder.join(path)) {
            Err(reason) => self.skipped.push((path.to_owned(), reason)),
            Ok(()) => {
                for candidate in file.candidates {
                    self.add(Candidate { file: path.to_owned(), ..candidate });
                }
                self.skipped.extend(file.skipped.into_iter().map(|(_, reason)| (path.to_owned(), reason)));
                self.stacks.extend(file.stacks);
            }
        }
    }

    fn add_tree(&mut self, path: &Path, tree: &Value) {
        let has = |key: &&str| tree.get(key).is_some();
        let is_of_amplify = AMPLIFY_GEN_2.iter().all(has) || AMPLIFY_GEN_1.iter().any(has);
        // A version that is not known yet may still have ids of the usual forms.
        let known =
            is_of_amplify.then(|| amplify::parse(&Origin::Default, path, tree, &mut Vec::new())).flatten();
        let Some(outputs) = known else { return self.add_strings(path, tree) };
        for (setting, given) in outputs.into_given() {
            let Origin::Amplify { key, .. } = given.origin else { continue };
            match parse(setting, &given.text) {
                Ok(value) => self.add(Candidate { setting, value, file: path.to_owned(), key }),
                Err(message) => self.skipped.push((path.to_owned(), format!("{key}: {message}"))),
            }
        }
    }

    fn add_strings(&mut self, path: &Path, tree: &Value) {
        tree::strings(tree, &mut |key, text| {
            if let Some((setting, value)) = shape::setting(key, text) {
                self.add(Candidate { setting, value, file: path.to_owned(), key: key.to_owned() });
            }
        });
    }

    fn add(&mut self, candidate: Candidate) {
        let is_full = self.of(candidate.setting).count() == MAX_CANDIDATES;
        let mut of_setting = self.candidates.iter_mut().filter(|known| known.setting == candidate.setting);
        match of_setting.find(|known| known.value == candidate.value) {
            // CDK repeats what another stack imports, under a name of its own that tells less.
            Some(known) if known.file == candidate.file && candidate.key.len() < known.key.len() => {
                *known = candidate;
            }
            Some(_) => {}
            None if is_full => {}
            None => self.candidates.push(candidate),
        }
    }
}

/// The settings among the flags, as the configuration has them.
///
/// # Errors
/// When one of them is not valid.
pub fn given(arguments: &Arguments) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
    for (&name, given) in &arguments.flags {
        for given in given {
            match parse(name, &given.text) {
                Ok(value) => drop(values.insert(name, value)),
                Err(message) => problems.push(Problem::new(&given.origin, message)),
            }
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(ConfigError::new(problems)) }
}

/// The value of one of [`SETTINGS`] in its usual form.
///
/// # Errors
/// When it is not valid, with what is wrong about it.
pub fn parse(setting: &str, text: &str) -> Parsed<String> {
    match setting {
        "upstream" => url::endpoint_url(text),
        "region" => value::region(text),
        "user-pool-id" => value::user_pool_id(text).map(|_| text.to_owned()),
        "client-id" => value::client_id(text),
        "identity-pool-id" => value::identity_pool_id(text).map(|_| text.to_owned()),
        "domain" => url::login_domain(text),
        _ => value::text(text),
    }
}

/// Whether the host of `upstream` does not tell the regions to sign for.
#[must_use]
pub fn needs_region(upstream: &str) -> bool {
    let of_host = upstream.parse::<Uri>().ok().and_then(|uri| uri.host().map(endpoint::infer));
    !matches!(of_host, Some(HostScope::Known(_) | HostScope::SigV4aOnly { .. }))
}

/// The service and the region that the host of `upstream` tells.
#[must_use]
pub fn inferred(upstream: &str) -> Option<Inferred> {
    endpoint::infer(upstream.parse::<Uri>().ok()?.host()?).known()
}

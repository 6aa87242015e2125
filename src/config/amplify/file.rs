//! The file: its two forms, and where each has what.
//!
//! Known are `amplify_outputs.json`, version 1 (its schema is part of `@aws-amplify/client-config`), and
//! `amplifyconfiguration.json` of Amplify Gen 1.

use std::{path::Path, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    config::{
        environment::{Environment, MAX_GENERATED_FILE, read_text},
        problem::Problem,
        source::{Given, Layer, Origin},
    },
    regular_file::RegularFile,
};

/// Settings, and where each generation's file has them.
pub(super) type Keys = &'static [(&'static str, &'static str)];

const GEN_2: Keys = &[
    ("user-pool-id", "auth.user_pool_id"),
    ("client-id", "auth.user_pool_client_id"),
    ("identity-pool-id", "auth.identity_pool_id"),
    ("domain", "auth.oauth.domain"),
    ("upstream", "custom.API.NAME.endpoint"),
];

const GEN_1: Keys = &[
    ("user-pool-id", "aws_user_pools_id"),
    ("client-id", "aws_user_pools_web_client_id"),
    ("identity-pool-id", "aws_cognito_identity_pool_id"),
    ("domain", "oauth.domain"),
    ("upstream", "aws_cloud_logic_custom[0].endpoint"),
];

/// Whether guests have an identity, in a Gen 2 file.
const GUESTS: &str = "auth.unauthenticated_identities_enabled";

const REPAIR: &str = "generate the file again with `ampx generate outputs`";

/// What the file says; empty when there is none.
#[derive(Debug, Default)]
pub(in crate::config) struct Outputs {
    pub(in crate::config) layer: Layer,
    /// Settings that are there with a value of a wrong type: a mistake unless a higher layer has them.
    pub(super) mistyped: Vec<(&'static str, Problem)>,
    /// Whether the file could not be read, so that what is missing may stand in it.
    pub(in crate::config) broken: bool,
    pub(super) apis: Vec<Api>,
    pub(super) keys: Keys,
    /// Where the file says that guests have no identity.
    pub(super) refuses_guests: Option<Origin>,
    pub(super) file: Option<Arc<Path>>,
}

/// A REST or HTTP API.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) name: String,
    pub(super) endpoint: Given,
    pub(super) region: Option<Given>,
}

/// Reads the file that `given` names.
pub(super) fn read(given: &Given, environment: &Environment, problems: &mut Vec<Problem>) -> Outputs {
    let path = environment.path(&given.origin, &given.text);
    let broken = || Outputs { broken: true, ..Outputs::default() };
    let text = match RegularFile::open(&path).and_then(|file| read_text(file, MAX_GENERATED_FILE)) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("cannot read {}: {error}", path.display());
            problems.push(Problem::new(&given.origin, what));
            return broken();
        }
    };
    let file = match serde_json::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            let what = format!("{} is not JSON: {error}; {}", path.display(), advice(&path));
            problems.push(Problem::new(&given.origin, what));
            return broken();
        }
    };
    parse(&given.origin, &path, &file, problems).unwrap_or_else(broken)
}

/// What to do about a file that is not what it should be.
fn advice(path: &Path) -> &'static str {
    let is_script = path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("js" | "ts")));
    if is_script {
        "name amplifyconfiguration.json, which Amplify writes beside aws-exports.js"
    } else {
        REPAIR
    }
}

/// What `file` says; `None` when it is something else.
pub(in crate::config) fn parse(
    given: &Origin,
    path: &Path,
    file: &Value,
    problems: &mut Vec<Problem>,
) -> Option<Outputs> {
    let keys = match file.get("version") {
        Some(Value::String(version)) if version == "1" || version.starts_with("1.") => GEN_2,
        Some(version) => {
            let shown: String = version.to_string().chars().take(20).collect();
            let place = format!("{}: version", path.display());
            let what = format!("is {shown}, and 1 to 1.4 are known: name another file, or set the ids");
            problems.push(Problem::new(place, what));
            return None;
        }
        None if GEN_1.iter().any(|(_, key)| file.get(key).is_some()) => GEN_1,
        None => {
            let what = format!(
                "{} is not Amplify's: it has neither version nor aws_user_pools_id; name amplify_outputs.json \
                 or amplifyconfiguration.json",
                path.display()
            );
            problems.push(Problem::new(given, what));
            return None;
        }
    };
    let mut parser = Parser { file: path.into(), outputs: Outputs { keys, ..Outputs::default() } };
    for &(name, key) in keys.iter().filter(|(name, _)| *name != "upstream") {
        let pointer = format!("/{}", key.replace('.', "/"));
        let value = parser.text(key.to_owned(), file.pointer(&pointer), name);
        parser.outputs.layer.extend(value.map(|given| (name, vec![given])));
    }
    parser.apis(file);
    if file.pointer(&format!("/{}", GUESTS.replace('.', "/"))) == Some(&Value::Bool(false)) {
        parser.outputs.refuses_guests = Some(parser.origin(GUESTS.to_owned()));
    }
    parser.outputs.file = Some(parser.file);
    Some(parser.outputs)
}

struct Parser {
    file: Arc<Path>,
    outputs: Outputs,
}

impl Parser {
    fn origin(&self, key: String) -> Origin {
        Origin::Amplify { file: Arc::clone(&self.file), key }
    }

    /// The text at `key`, which stands for the setting `name`; empty text and null are none.
    fn text(&mut self, key: String, value: Option<&Value>, name: &'static str) -> Option<Given> {
        let origin = self.origin(key);
        match value? {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(Given { text: text.clone(), origin }),
            other => {
                let what = format!("expected text, found {}; {REPAIR}, or set {name}", found(other));
                self.outputs.mistyped.push((name, Problem::new(origin, what)));
                None
            }
        }
    }

    fn apis(&mut self, file: &Value) {
        if let Some(apis) = file.pointer("/custom/API").and_then(Value::as_object) {
            for (name, api) in apis {
                self.api(name.clone(), &format!("custom.API{}", step(name)), api.as_object());
            }
        }
        let listed = file.get("aws_cloud_logic_custom").and_then(Value::as_array);
        for (index, api) in listed.into_iter().flatten().enumerate() {
            let name = api.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            self.api(name, &format!("aws_cloud_logic_custom[{index}]"), api.as_object());
        }
    }

    /// What is custom may have any form: only what looks like an API is one.
    fn api(&mut self, name: String, key: &str, api: Option<&Map<String, Value>>) {
        let Some(api) = api else { return };
        let endpoint = self.text(format!("{key}.endpoint"), api.get("endpoint"), "upstream");
        let region = self.text(format!("{key}.region"), api.get("region"), "region");
        self.outputs.apis.extend(endpoint.map(|endpoint| Api { name, endpoint, region }));
    }
}

/// A step of the way to a value, as JavaScript writes it.
pub(in crate::config) fn step(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain && !name.is_empty() { format!(".{name}") } else { format!("[{name:?}]") }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

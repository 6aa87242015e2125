//! Variables are those of settings, and each deployment is a valid configuration.

use std::{collections::BTreeSet, fs};

use countersign::config::{Arguments, Config, Environment, table::SETTINGS};
use serde_json::Value;
use tempfile::TempDir;

use super::{files, json, text, words};

#[test]
fn every_variable_is_that_of_a_setting() {
    let known: BTreeSet<String> = SETTINGS
        .iter()
        .flat_map(|setting| [Some(setting.name), setting.secret()])
        .flatten()
        .map(|name| format!("COUNTERSIGN_{}", name.replace('-', "_").to_uppercase()))
        // Of these, the first names the file of settings, and the second is what `exec` gives a program.
        .chain(["COUNTERSIGN_CONFIG", "COUNTERSIGN_URL"].map(str::to_owned))
        .collect();
    let belongs = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    for (path, text) in files() {
        for (variable, _) in words(&text, "COUNTERSIGN_", belongs) {
            assert!(known.contains(variable), "{path}: {variable}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn every_deployment_is_a_valid_configuration_without_warnings() {
    for (path, variables) in [
        ("deploy/compose.yaml", from_compose(&text("deploy/compose.yaml"))),
        ("deploy/compose.token.yaml", from_compose(&text("deploy/compose.token.yaml"))),
        ("deploy/kubernetes.yaml", from_kubernetes(&text("deploy/kubernetes.yaml"))),
        ("deploy/ecs-task-definition.json", from_ecs(&json("deploy/ecs-task-definition.json"))),
    ] {
        assert!(variables.len() >= 6, "{path}: {variables:?}");
        let folder = TempDir::new().expect("a folder");
        let variables = variables.into_iter().map(|(name, value)| (name, in_folder(value, &folder)));
        let environment = Environment::new(variables, folder.path());
        let config = Config::for_serve(&Arguments::default(), &environment);
        let config = config.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(config.warnings, Vec::<String>::new(), "{path}");
    }
}

/// `NAME: value`
fn from_compose(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("COUNTERSIGN_"));
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// `- name: NAME`, and on the next line `value: value`
fn from_kubernetes(text: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let pair = |pair: &[&str]| {
        let name = pair[0].strip_prefix("- name: ").filter(|name| name.starts_with("COUNTERSIGN_"))?;
        Some((name.to_owned(), pair[1].strip_prefix("value: ")?.trim_matches('"').to_owned()))
    };
    lines.windows(2).filter_map(pair).collect()
}

fn from_ecs(task: &Value) -> Vec<(String, String)> {
    let sidecar = &task["containerDefinitions"][0];
    let word = |value: &Value| value.as_str().expect("text").to_owned();
    let entries = |name: &str| sidecar[name].as_array().expect("a list").clone();
    let plain = entries("environment");
    let secret = entries("secrets");
    plain
        .iter()
        .map(|entry| (word(&entry["name"]), word(&entry["value"])))
        .chain(secret.iter().map(|entry| (word(&entry["name"]), "a-secret-that-is-long-enough".to_owned())))
        .collect()
}

/// A mounted secret becomes a file of this machine.
fn in_folder(value: String, folder: &TempDir) -> String {
    use std::os::unix::fs::PermissionsExt;

    let Some(name) = value.strip_prefix("/run/secrets/") else { return value };
    let path = folder.path().join(name.replace('/', "-"));
    fs::write(&path, "a-secret-that-is-long-enough").expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the mode");
    path.into_os_string().into_string().expect("text")
}

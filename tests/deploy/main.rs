//! What the files for operators name exists: settings, flags, metrics and their labels.
#![cfg(feature = "sandbox")]

mod commands;
mod metrics;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file that is about running the program, with its content.
fn files() -> Vec<(String, String)> {
    ["deploy", "docs"]
        .into_iter()
        .flat_map(files_in)
        .chain(["Dockerfile".to_owned(), "README.md".to_owned()])
        .map(|path| (path.clone(), text(&path)))
        .collect()
}

/// The paths of the files in a folder, without those of its own folders.
fn files_in(folder: &str) -> Vec<String> {
    let listed = fs::read_dir(at(folder)).expect("a folder");
    let names = listed.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    names.map(|name| format!("{folder}/{name}")).filter(|path| at(path).is_file()).collect()
}

/// The words in `text` that begin with `prefix` and go on with bytes that `belongs` takes, each with what follows it.
fn words<'a>(text: &'a str, prefix: &str, belongs: fn(u8) -> bool) -> Vec<(&'a str, &'a str)> {
    let word = |(start, _)| {
        let rest: &str = &text[start..];
        rest.split_at(rest.bytes().position(|byte| !belongs(byte)).unwrap_or(rest.len()))
    };
    text.match_indices(prefix).map(word).collect()
}

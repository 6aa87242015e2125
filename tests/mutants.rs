//! The lists of mutants fit the code as it is: a mutant whose text has moved away would judge nothing.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    tests: Vec<String>,
    mutant: Vec<Mutant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    file: String,
    #[serde(default)]
    after: String,
    find: String,
    replace: String,
    tests: Option<Vec<String>>,
    equivalent: Option<String>,
    #[serde(default)]
    build: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each list beside the name of its file.
fn lists() -> Vec<(String, List)> {
    let files = fs::read_dir(root().join("tests/mutants")).expect("a folder of lists");
    let files = files.map(|file| file.expect("a readable folder").path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a readable list");
            let list = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.display().to_string(), list)
        })
        .collect()
}

/// What is wrong, one line for each mutant about which `judge` has something to say.
fn complaints(judge: impl Fn(&List, &Mutant) -> Option<String>) -> Vec<String> {
    let lists = lists();
    assert!(!lists.is_empty(), "there are lists");
    let mutants = lists.iter().flat_map(|(file, list)| list.mutant.iter().map(move |one| (file, list, one)));
    mutants
        .filter_map(|(file, list, one)| Some(format!("{file}: {}: {}", one.name, judge(list, one)?)))
        .collect()
}

#[test]
fn the_text_that_a_mutant_replaces_stands_exactly_once_in_its_file() {
    let wrong = complaints(|_, mutant| {
        let Ok(source) = fs::read_to_string(root().join(&mutant.file)) else {
            return Some(format!("there is no {}", mutant.file));
        };
        let place = format!("{}{}", mutant.after, mutant.find);
        let found = source.matches(&place).count();
        (found != 1).then(|| format!("{} has {place:?} {found} times", mutant.file))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mutant_changes_something_in_the_library() {
    let wrong = complaints(|_, mutant| {
        let inside = mutant.file.starts_with("src/") && mutant.file != "src/main.rs";
        (!inside || mutant.find == mutant.replace).then(|| "it changes nothing in the library".to_owned())
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mutants_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for (file, list) in lists() {
        for mutant in list.mutant {
            assert!(names.insert(mutant.name.clone()), "{file}: the name {} is taken", mutant.name);
        }
    }
}

#[test]
fn every_mutant_is_judged_by_tests_that_exist_or_has_a_reason_not_to_be() {
    let wrong = complaints(|list, mutant| {
        if let Some(reason) = &mutant.equivalent {
            return reason.trim().is_empty().then(|| "it is equivalent for no reason".to_owned());
        }
        let tests = mutant.tests.as_ref().unwrap_or(&list.tests);
        if tests.is_empty() {
            return Some("no test judges it".to_owned());
        }
        let missing = tests.iter().find(|test| !exists(test.split(':').next().unwrap_or_default()));
        missing.map(|test| format!("there is no test {test}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn few_mutants_need_a_build_of_their_own() {
    let builds = lists().iter().flat_map(|(_, list)| &list.mutant).filter(|mutant| mutant.build).count();
    assert!(builds <= 10, "{builds} mutants need minutes each");
}

/// Whether this is the name of a test binary.
fn exists(name: &str) -> bool {
    let tests = root().join("tests");
    name == "lib" || tests.join(format!("{name}.rs")).is_file() || tests.join(name).join("main.rs").is_file()
}

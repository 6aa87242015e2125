//! What the documents say about settings, commands, files and each other is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use countersign::{
    cli::{self, reference},
    config::table::{SETTINGS, document},
};

/// The parts of documents that the code makes: the file, the line before the part, and its text.
fn made_parts() -> [(&'static str, &'static str, String); 3] {
    const BY_REFERENCE: &str = "<!-- begin: `just settings` makes this table from src/cli/reference -->\n";
    [
        (
            "docs/settings.md",
            "<!-- begin: `just settings` makes these tables from src/config/table -->\n",
            document(),
        ),
        ("docs/settings.md", BY_REFERENCE, reference::variables_document()),
        ("docs/commands.md", BY_REFERENCE, reference::exit_codes_document()),
    ]
}

const END: &str = "<!-- end -->";

/// What the README may have at most, so that the first five minutes stay five.
const MAX_README_CHARACTERS: usize = 14_000;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The section of `text` under `heading`, up to the next heading of the same level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let level = heading.split(' ').next().unwrap_or_default();
    section.split(&format!("\n{level} ")).next().unwrap_or_default()
}

/// Every document for people, with its path.
fn documents() -> Vec<(String, String)> {
    let listed =
        fs::read_dir(at("docs")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let names = listed.map(|name| format!("docs/{}", name.into_string().expect("text")));
    names
        .filter(|path| path.ends_with(".md"))
        .chain(
            ["README.md", "ARCHITECTURE.md", "SECURITY.md", "deploy/README.md", "bench/README.md"]
                .map(str::to_owned),
        )
        .map(|path| (path.clone(), text(&path)))
        .collect()
}

/// The rows of the tables of settings, by name: the cells that follow.
fn rows(document: &str) -> BTreeMap<&str, Vec<&str>> {
    section(document, "## All settings")
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.strip_prefix("| `")?.trim_end_matches('|').split('|').collect();
            let (name, rest) = cells.split_first()?;
            Some((name.trim().trim_matches('`'), rest.iter().map(|cell| cell.trim()).collect()))
        })
        .collect()
}

#[test]
fn the_settings_document_has_every_setting_and_no_other() {
    let document = text("docs/settings.md");
    let documented: Vec<_> = rows(&document).into_keys().collect();
    let mut known: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    known.sort_unstable();
    assert_eq!(documented, known);
}

#[test]
fn the_settings_document_has_the_default_of_every_setting() {
    let document = text("docs/settings.md");
    let rows = rows(&document);
    for setting in SETTINGS {
        let Some(default) = setting.default else { continue };
        assert_eq!(rows[setting.name][0], format!("`{default}`"), "{}", setting.name);
    }
}

/// `present` with the part behind `begin` made anew.
fn regenerated(present: &str, begin: &str, part: &str) -> String {
    let (before, rest) = present.split_once(begin).expect("the line that begins the part");
    let (_, after) = rest.split_once(END).expect("the line that ends the part");
    format!("{before}{begin}\n{part}\n{END}{after}")
}

#[test]
fn the_tables_in_the_documents_are_made_from_those_in_the_code() {
    for (path, begin, part) in made_parts() {
        let present = text(path);
        assert!(
            present == regenerated(&present, begin, &part),
            "{path} differs from the code: run `just settings`"
        );
    }
}

#[test]
#[ignore = "it writes to docs: `just settings`"]
fn write_the_tables_in_the_documents() {
    for (path, begin, part) in made_parts() {
        fs::write(at(path), regenerated(&text(path), begin, &part)).expect("the document");
    }
}

#[test]
fn the_files_of_the_manual_pages_stand_in_the_documents() {
    let documents = ["docs/systems.md", "docs/settings.md"].map(text).concat();
    for path in reference::paths() {
        let name = path.trim_start_matches("./");
        assert!(documents.contains(name), "{path}");
    }
}

#[test]
fn the_quick_start_has_one_command_for_the_sandbox_and_one_for_the_tests() {
    let readme = text("README.md");
    let section = section(&readme, "## Quick start");
    let commands: Vec<_> = section.lines().filter(|line| line.starts_with("cargo ")).collect();
    assert_eq!(commands, ["cargo run -- sandbox", "cargo test"]);
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let length = text("README.md").chars().count();
    assert!(length <= MAX_README_CHARACTERS, "{length}");
}

#[test]
fn the_documents_link_to_files_and_headings_that_exist() {
    let mut broken = Vec::new();
    for (path, document) in documents() {
        for (index, _) in document.match_indices("](") {
            let target = document[index + 2..].split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, heading) =
                target.split_once('#').map_or((target, None), |(file, name)| (file, Some(name)));
            let linked =
                if file.is_empty() { at(&path) } else { at(&path).parent().expect("a folder").join(file) };
            let has_heading = || {
                heading.is_none_or(|name| {
                    anchors(&fs::read_to_string(&linked).unwrap_or_default()).contains(name)
                })
            };
            if !linked.exists() || !has_heading() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The names by which GitHub links to headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in document.lines() {
        fenced ^= line.starts_with("```");
        if fenced || !line.starts_with('#') {
            continue;
        }
        let name = line.trim_start_matches('#').trim().to_lowercase();
        let kept = name.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        anchors.insert(kept.collect::<String>().replace(' ', "-"));
    }
    anchors
}

#[test]
fn the_command_lines_in_the_documents_are_understood() {
    let mut seen = 0;
    for (path, document) in documents() {
        let document = document.replace("\\\n", "");
        let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        for line in blocks.flat_map(str::lines).filter(|line| line.starts_with("countersign ")) {
            seen += 1;
            let command = line.split([';', '|', '&', '#', '>']).next().unwrap_or_default();
            if let Err(error) = cli::parse(shell_words(command)) {
                panic!("{path}: {line}: {error}");
            }
        }
    }
    assert!(seen > 15, "{seen}");
}

/// The words of a shell's line, which may quote them.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("never empty").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_architecture_names_modules_that_exist() {
    let architecture = text("ARCHITECTURE.md");
    let map = section(&architecture, "## Code map");
    let walks =
        ["## The walk of one request", "## The walk of one refresh"].map(|name| section(&architecture, name));
    let rows = map.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let named: Vec<_> = rows.flat_map(|cell| cell.split("`, `").map(|name| name.trim_matches('`'))).collect();
    let missing: Vec<_> = named
        .into_iter()
        .chain(walks.iter().flat_map(|walk| paths(walk)))
        .filter(|name| !at(&format!("src/{name}.rs")).is_file())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_walk_of_a_request_visits_no_file_twice() {
    let architecture = text("ARCHITECTURE.md");
    let mut visited = BTreeSet::new();
    for path in paths(section(&architecture, "## The walk of one request")) {
        assert!(visited.insert(path), "{path}");
    }
    assert!(visited.len() > 20, "{visited:?}");
}

/// The paths of modules in `text`.
fn paths(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|code| code.contains('/') && !code.starts_with('/')).collect()
}

//! What the README says about settings is what the table of settings says.

use std::collections::BTreeMap;

use countersign::config::table::SETTINGS;

const README: &str = include_str!("../README.md");

/// The rows of the settings table, by name: the cells that follow.
fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let (_, section) = README.split_once("\n## Settings\n").expect("the README has a section on settings");
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.strip_prefix("| `")?.trim_end_matches('|').split('|').collect();
            let (name, rest) = cells.split_first()?;
            Some((name.trim().trim_matches('`'), rest.iter().map(|cell| cell.trim()).collect()))
        })
        .collect()
}

#[test]
fn the_readme_has_every_setting_and_no_other() {
    let documented: Vec<_> = rows().into_keys().collect();
    let mut known: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    known.sort_unstable();
    assert_eq!(documented, known);
}

#[test]
fn the_readme_has_the_default_of_every_setting() {
    let rows = rows();
    for setting in SETTINGS {
        let Some(default) = setting.default else { continue };
        assert_eq!(rows[setting.name][0], format!("`{default}`"), "{}", setting.name);
    }
}

#[test]
fn the_quick_start_has_one_command_for_the_sandbox_and_one_for_the_tests() {
    let (_, section) = README.split_once("\n## Quick start\n").expect("the README has a quick start");
    let section = section.split("\n## ").next().unwrap_or_default();
    let commands: Vec<_> = section.lines().filter(|line| line.starts_with("cargo ")).collect();
    assert_eq!(commands, ["cargo run -- sandbox", "cargo test"]);
}

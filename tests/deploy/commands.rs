//! Command lines are understood, and flags exist.

use std::collections::BTreeSet;

use countersign::cli;

use super::{json, text};

/// The words of a shell's line, which has single quotes only.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, piece) in line.split('\'').enumerate() {
        let mut parts = piece.split(' ');
        if index % 2 == 1 {
            words.last_mut().expect("never empty").push_str(piece);
            continue;
        }
        words.last_mut().expect("never empty").push_str(parts.next().unwrap_or_default());
        words.extend(parts.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_command_lines_for_newcomers_from_other_tools_are_understood() {
    let text = text("docs/migrate.md").replace("\\\n", "");
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<_> = blocks.flat_map(str::lines).filter(|line| line.starts_with("countersign ")).collect();
    assert!(lines.len() >= 4, "{lines:#?}");
    for line in lines {
        if let Err(error) = cli::parse(split(line)) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn every_flag_that_another_tools_option_becomes_exists() {
    let tree = cli::tree();
    let flags = |command: &clap::Command| -> Vec<String> {
        let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
        arguments
            .flat_map(|argument| {
                let long = argument.get_long().map(|long| format!("--{long}"));
                [long, argument.get_short().map(|short| format!("-{short}"))]
            })
            .flatten()
            .collect()
    };
    let mut known: BTreeSet<String> = tree.get_subcommands().flat_map(flags).collect();
    known.extend(["--help".to_owned(), "--version".to_owned()]);
    let text = text("docs/migrate.md");
    let rows = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(2));
    let named = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    let flags: Vec<_> = named
        .flat_map(|code| code.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| word.starts_with('-'))
        .collect();
    assert!(flags.len() > 30, "{flags:?}");
    for flag in flags {
        assert!(known.contains(&flag), "{flag}");
    }
}

#[test]
fn the_image_and_its_deployments_ask_for_health_by_the_same_command() {
    let dockerfile = text("Dockerfile");
    let instruction = |name: &str| -> Vec<String> {
        let line = dockerfile.lines().rfind(|line| line.starts_with(name)).expect(name);
        serde_json::from_str(&line[line.find('[').expect("a list")..]).expect("a list of words")
    };
    let (check, entry) = (instruction("HEALTHCHECK"), instruction("ENTRYPOINT"));
    for line in [&check, &entry] {
        assert_eq!(line[0], "/countersign");
        assert!(cli::parse(line).is_ok(), "{line:?}");
    }
    let ecs = &json("deploy/ecs-task-definition.json")["containerDefinitions"][0]["healthCheck"]["command"];
    assert_eq!(ecs, &serde_json::json!(["CMD", check[0], check[1]]));
    let kubernetes = format!("command: [\"{}\"]", check.join("\", \""));
    assert_eq!(text("deploy/kubernetes.yaml").matches(&kubernetes).count(), 2, "{kubernetes}");
}

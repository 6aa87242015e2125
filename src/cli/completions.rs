//! The completion scripts: the commands and flags of [`tree`], with the values that a shell can offer.
//!
//! `clap_complete` makes them. What it leaves out of the script for a shell is in a file of that shell's language.

use clap::{
    Arg, Command, Id, ValueHint,
    builder::{PossibleValue, PossibleValuesParser, Resettable},
};
use clap_complete::Shell;

use super::tree;
use crate::config::table;

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// The completion script for `shell`.
pub(crate) fn script(shell: Shell) -> String {
    let mut tree = offered(&tree());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree, "countersign", &mut script);
    let script = String::from_utf8(script).expect("names and help are text");
    match shell {
        Shell::Bash => in_bash(&script, &tree),
        Shell::Zsh => in_zsh(&script),
        Shell::Fish => in_fish(&script, &tree),
        _ => script,
    }
}

/// A copy of `command` without hidden flags, which `clap_complete` would offer, and with values for the others.
fn offered(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned().map(with_values);
    let copy = Command::new(command.get_name().to_owned())
        .args(arguments)
        .subcommands(command.get_subcommands().map(offered));
    let copy = command.get_version().into_iter().fold(copy, |copy, version| copy.version(version.to_owned()));
    command.get_about().into_iter().fold(copy, |copy, about| copy.about(about.clone()))
}

/// Parsing leaves the values to the configuration, which says more about a wrong one than clap; only scripts list them.
fn with_values(arg: Arg) -> Arg {
    let arg = escaped_value_name(without_rules(arg));
    let choices = match arg.get_id().as_str() {
        "method" => METHODS,
        name => table::find(name).map(table::Setting::choices).unwrap_or_default(),
    };
    if !choices.is_empty() {
        arg.value_parser(PossibleValuesParser::new(choices))
    } else if takes_text(&arg) {
        // Without a hint, shells offer the files of the folder.
        arg.value_hint(ValueHint::Other)
    } else {
        arg
    }
}

/// Rules name other arguments, which may be hidden ones, and only parsing needs them.
fn without_rules(arg: Arg) -> Arg {
    let none = || Resettable::<Id>::Reset;
    arg.conflicts_with(none()).requires(none()).required_unless_present(none())
}

fn takes_text(arg: &Arg) -> bool {
    // `--data @FILE` is no path to a shell either.
    arg.get_action().takes_values()
        && arg.get_value_hint() == ValueHint::Unknown
        && arg.get_possible_values().is_empty()
}

/// zsh ends a value's name at a colon and would run the rest as a command.
fn escaped_value_name(arg: Arg) -> Arg {
    let Some([name]) = arg.get_value_names() else { return arg };
    let escaped = name.replace(':', "\\:");
    arg.value_name(escaped)
}

/// The first positional argument of each command that has one.
fn first_positionals(tree: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    tree.get_subcommands()
        .filter_map(|command| command.get_positionals().next().map(|first| (command.get_name(), first)))
}

fn takes_folder(arg: &Arg) -> bool {
    arg.get_value_hint() == ValueHint::DirPath
}

/// Puts a function around the generated one.
fn in_bash(script: &str, tree: &Command) -> String {
    let folders: Vec<_> =
        first_positionals(tree).filter(|(_, arg)| takes_folder(arg)).map(|(name, _)| name).collect();
    let line = include_str!("completions/line.bash").replace("@FOLDERS@", &folders.join(" | "));
    let (functions, registration) =
        script.split_once("\nif [[ \"${BASH_VERSINFO[0]}\" -eq 4").expect("it ends in the registration");
    let registration = registration.replace("-F _countersign ", "-F _countersign_line ");
    format!("{functions}{line}if [[ \"${{BASH_VERSINFO[0]}}\" -eq 4{registration}")
}

/// Lets the program of `exec` be completed behind `--` alone.
fn in_zsh(script: &str) -> String {
    let (functions, start) = script.split_once("if [ \"$funcstack[1]\"").expect("it ends in the start");
    let functions = functions.replace(":_cmdambivalent'", ":_countersign_program'");
    format!("{functions}{}if [ \"$funcstack[1]\"{start}", include_str!("completions/program.zsh"))
}

/// Adds positional arguments, the program of `exec` and the topics of `help`.
fn in_fish(script: &str, tree: &Command) -> String {
    let positionals = first_positionals(tree).filter_map(|(command, first)| {
        let values = first.get_possible_values();
        let words: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
        let words = words.join(" ");
        let (condition, offered) = if takes_folder(first) {
            (String::new(), "(__fish_complete_directories)")
        } else if words.is_empty() {
            return None;
        } else {
            (format!("; and not __fish_seen_subcommand_from {words}"), words.as_str())
        };
        let condition = format!("__fish_countersign_using_subcommand {command}{condition}");
        Some(format!("complete -c countersign -n \"{condition}\" -f -a \"{offered}\"\n"))
    });
    // The generated lines offer no topic once a command is typed, and take `help` itself for one.
    let script = script.replace(" help\" -f -a", "\" -f -a");
    format!("{script}{}{}", include_str!("completions/program.fish"), positionals.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn no_script_offers_hidden_flags() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            assert!(script.contains("user-pool-id"), "{shell}");
            for hidden in ["path-template", "additional-params", "access-token-header"] {
                assert!(!script.contains(hidden), "{shell}: {hidden}");
            }
        }
    }

    #[test]
    fn the_scripts_use_the_functions_that_are_added_to_them() {
        let bash = script(Shell::Bash);
        assert_eq!(
            bash.matches("complete -F ").count(),
            bash.matches("complete -F _countersign_line ").count()
        );
        assert!(bash.contains("\n        man)\n"), "the commands that take folders: {bash}");
        assert!(script(Shell::Zsh).contains(":_countersign_program'"));
        assert!(!script(Shell::Zsh).contains(":_cmdambivalent'"));
        assert!(!script(Shell::Fish).contains(" help\" -f -a"));
    }
}

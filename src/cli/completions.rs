//! The completion scripts: the commands and flags of [`tree`], with the values that a shell can offer.

use clap::{
    Arg, Command, ValueHint,
    builder::{PossibleValue, PossibleValuesParser},
};
use clap_complete::Shell;

use super::tree;
use crate::config::table;

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// The completion script for `shell`.
pub(crate) fn script(shell: Shell) -> Vec<u8> {
    let mut tree = tree().mut_subcommands(|command| command.mut_args(with_values));
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree, "countersign", &mut script);
    if shell == Shell::Fish {
        script.extend(fish_positionals(&tree).into_bytes());
    }
    script
}

/// Parsing leaves the values to the configuration, which says more about a wrong one than clap; only scripts list them.
fn with_values(arg: Arg) -> Arg {
    let arg = escaped_value_name(arg);
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

/// `clap_complete` leaves the values of positional arguments out of the script for fish.
fn fish_positionals(tree: &Command) -> String {
    let lines = tree.get_subcommands().filter_map(|command| {
        let first = command.get_positionals().next()?;
        let values = first.get_possible_values();
        let words: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
        let condition = format!("__fish_countersign_using_subcommand {}", command.get_name());
        (!words.is_empty())
            .then(|| format!("complete -c countersign -n \"{condition}\" -f -a \"{}\"\n", words.join(" ")))
    });
    lines.collect()
}

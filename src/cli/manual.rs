//! The manual pages, from the same texts as help and the documents.

mod page;

use clap::{Arg, Command};

use self::page::{Page, bold, italic, roman};
use super::{descriptions, examples, reference, tree};
use crate::config::table;

/// The pages with the names of their files: one for the program, and one for each command. `date` stands in the footer.
pub(crate) fn pages(date: &str) -> Vec<(String, String)> {
    let mut tree = tree().disable_help_subcommand(true);
    tree.build();
    let names: Vec<_> = std::iter::once(&tree).chain(tree.get_subcommands()).map(page_name).collect();
    let file_name = |command: &Command| format!("{}.1", page_name(command));
    let program = (file_name(&tree), page_of_program(&tree, date));
    let commands = tree.get_subcommands().map(|command| {
        let others: Vec<_> = names.iter().filter(|name| **name != page_name(command)).cloned().collect();
        (file_name(command), page_of_command(command, date, &others))
    });
    std::iter::once(program).chain(commands).collect()
}

/// `countersign-serve`.
fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page_of_program(command: &Command, date: &str) -> String {
    let mut page = begin(command, date);
    page.section("COMMANDS");
    for command in command.get_subcommands() {
        page.entry([bold(page_name(command)), roman("(1)")], &about(command));
    }
    options(&mut page, command);
    page.section("ENVIRONMENT");
    page.text(descriptions::notes(command.get_name()).unwrap_or_default());
    exit_status(&mut page, command);
    let pages: Vec<_> = command.get_subcommands().map(page_name).collect();
    see_also(&mut page, &pages);
    page.render()
}

fn page_of_command(command: &Command, date: &str, others: &[String]) -> String {
    let mut page = begin(command, date);
    if let Some(notes) = descriptions::notes(command.get_name()) {
        page.paragraph(notes);
    }
    options(&mut page, command);
    exit_status(&mut page, command);
    environment(&mut page, command);
    let mut files = reference::files(command).peekable();
    if files.peek().is_some() {
        page.section("FILES");
    }
    files.for_each(|file| page.entry([italic(file.path)], file.meaning));
    page.section("EXAMPLES");
    for (line, about) in examples::of(command.get_name()).unwrap_or_default() {
        page.entry([bold(*line)], about);
    }
    see_also(&mut page, others);
    page.render()
}

/// The sections that begin every page.
fn begin(command: &Command, date: &str) -> Page {
    let name = page_name(command);
    let mut page = Page::new(&name, date);
    page.section("NAME");
    page.text(&format!("{name} - {}", about(command)));
    page.section("SYNOPSIS");
    page.usage(&command.clone().render_usage().to_string());
    page.section("DESCRIPTION");
    page.text(descriptions::of(command.get_name()).unwrap_or_default());
    page
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Positional arguments and flags without a heading, then those of each heading in a section of its own.
fn options(page: &mut Page, command: &Command) {
    page.section("OPTIONS");
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let (positional, flags): (Vec<_>, Vec<_>) =
        shown().filter(|arg| arg.get_help_heading().is_none()).partition(|arg| arg.is_positional());
    positional.into_iter().chain(flags).for_each(|arg| option(page, arg));
    let mut heading = None;
    for arg in shown().filter(|arg| arg.get_help_heading().is_some()) {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            page.subsection(heading.unwrap_or_default());
        }
        option(page, arg);
    }
}

fn option(page: &mut Page, arg: &Arg) {
    let mut term = Vec::new();
    if let Some(short) = arg.get_short() {
        term.extend([bold(format!("-{short}")), roman(", ")]);
    }
    if let Some(long) = arg.get_long() {
        term.push(bold(format!("--{long}")));
    }
    let range = arg.get_num_args().expect("the tree is built");
    if range.takes_values() {
        let name = arg.get_value_names().map_or_else(|| arg.get_id().as_str(), |names| names[0].as_str());
        match (arg.is_positional(), range.min_values()) {
            (true, _) => term.push(italic(name)),
            (false, 0) => term.extend([roman("[="), italic(name), roman("]")]),
            (false, _) => term.extend([roman(" "), italic(name)]),
        }
    }
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    page.entry(term, help.lines().next().unwrap_or_default());
    help.lines().skip(1).for_each(|line| page.line_of_entry(line));
    for (label, values) in [("default", default_values(arg)), ("possible values", possible_values(arg))] {
        if !values.is_empty() {
            page.line_of_entry(&format!("[{label}: {}]", values.join(", ")));
        }
    }
}

fn default_values(arg: &Arg) -> Vec<String> {
    if !arg.get_action().takes_values() {
        return Vec::new();
    }
    arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
}

fn possible_values(arg: &Arg) -> Vec<String> {
    if !arg.get_action().takes_values() {
        return Vec::new();
    }
    arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

fn exit_status(page: &mut Page, command: &Command) {
    page.section("EXIT STATUS");
    for row in reference::exit_codes(command) {
        page.entry([bold(row.code)], row.meaning);
    }
}

/// The variables that hold secrets, which are no flags, and those that are no settings; a flag's own stands beside it.
fn environment(page: &mut Page, command: &Command) {
    let settings = || command.get_arguments().filter_map(|arg| table::find(arg.get_id().as_str()));
    let mut others = reference::variables(command).peekable();
    if settings().next().is_none() && others.peek().is_none() {
        return;
    }
    page.section("ENVIRONMENT");
    page.text("Each setting has a variable, which stands beside its flag above.");
    for (setting, secret) in settings().filter_map(|setting| Some((setting, setting.secret_variable()?))) {
        page.entry(
            [bold(secret)],
            &format!("The secret itself, instead of the file of `--{}`", setting.name),
        );
    }
    for row in others {
        page.entry_of_names(row.names, row.meaning);
    }
}

fn see_also(page: &mut Page, names: &[String]) {
    page.section("SEE ALSO");
    page.references(names);
}

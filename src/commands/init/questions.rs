//! What `init` asks a person.

use std::io::{self, BufRead, IsTerminal};

use super::{Chosen, Open, report};
use crate::{
    commands::Failure,
    config::{outputs, table},
    telemetry,
};

/// Whether a person can be asked.
pub(super) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until there is a valid answer.
pub(super) fn ask(open: &Open<'_>) -> Result<Chosen, Failure> {
    let mut lines = io::stdin().lock().lines();
    let question = question(open);
    loop {
        telemetry::say(&question);
        let line = lines.next().ok_or_else(|| Failure::runtime("no answer, nothing was written"))??;
        match answer(open, line.trim()) {
            Ok(Some(chosen)) => return Ok(chosen),
            Ok(None) => {}
            Err(message) => telemetry::say(&format!("{}\n", report::printable(&message))),
        }
    }
}

fn question(open: &Open<'_>) -> String {
    let Open { name, candidates } = open;
    if candidates.is_empty() {
        let help = table::find(name).map_or(*name, |setting| setting.help);
        return format!("\n{help}\n{name}: ");
    }
    let mut text = format!("\nWhich {name}?\n");
    for (index, candidate) in candidates.iter().enumerate() {
        text += &format!("{:>3}  {}\n", index + 1, report::candidate(candidate));
    }
    text + "Number or value: "
}

/// The setting that the answer makes; nothing for an empty line.
fn answer(open: &Open<'_>, line: &str) -> Result<Option<Chosen>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some(candidate) = number.and_then(|index| open.candidates.get(index)) {
        return Ok(Some(Chosen::from(*candidate)));
    }
    let value = outputs::parse(open.name, line)?;
    Ok(Some(Chosen { name: open.name, value, origin: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::outputs::Candidate;

    fn candidate(value: &str, key: &str) -> Candidate {
        Candidate {
            setting: "user-pool-id",
            value: value.to_owned(),
            file: "cdk-outputs.json".into(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn a_value_is_asked_for_in_the_words_of_help() {
        let open = Open { name: "client-id", candidates: Vec::new() };
        assert_eq!(question(&open), "\nApp client of the user pool\nclient-id: ");
        assert_eq!(answer(&open, ""), Ok(None));
        let chosen = Chosen { name: "client-id", value: "1".to_owned(), origin: None };
        assert_eq!(answer(&open, "1"), Ok(Some(chosen)));
        assert!(answer(&open, "a b").expect_err("invalid").contains("\"a b\""));
    }

    #[test]
    fn one_of_several_is_chosen_by_number_or_typed() {
        let (one, two) = (candidate("eu-west-1_A", "Auth.Pool"), candidate("eu-west-1_B", "Admin.Pool"));
        let open = Open { name: "user-pool-id", candidates: vec![&one, &two] };
        assert_eq!(
            question(&open),
            "\nWhich user-pool-id?\n  1  eu-west-1_A  cdk-outputs.json: Auth.Pool\n  \
             2  eu-west-1_B  cdk-outputs.json: Admin.Pool\nNumber or value: "
        );
        assert_eq!(answer(&open, "2"), Ok(Some(Chosen::from(&two))));
        let typed = answer(&open, "eu-west-1_C").expect("valid").expect("an answer");
        assert_eq!((typed.value.as_str(), typed.origin), ("eu-west-1_C", None));
        for line in ["0", "3", "x"] {
            assert!(answer(&open, line).is_err(), "{line}");
        }
    }
}

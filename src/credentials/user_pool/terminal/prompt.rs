//! The prompt for a question, and which answers it accepts.

use std::{collections::BTreeMap, io};

use qrcode::{QrCode, render::unicode::Dense1x2};
use secrecy::ExposeSecret;

use crate::credentials::user_pool::answers::{Choice, Factor, Question};

/// Whether an answer may be seen while it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    On,
    Off,
}

/// The prompt for a question.
pub(super) struct Prompt {
    text: String,
    input: Input,
}

enum Input {
    Line,
    /// Spaces are removed: apps show codes in groups, and people type them so.
    Code,
    Hidden,
    /// Typed twice, since a typing error is invisible.
    HiddenTwice,
    OneOf(Vec<String>),
}

/// Shows a piece of text.
type Write<'a> = &'a mut dyn FnMut(&str) -> io::Result<()>;

/// Reads a line.
type Read<'a> = &'a mut dyn FnMut(Echo) -> io::Result<String>;

impl Prompt {
    pub(super) fn for_question(question: &Question<'_>) -> Self {
        let (text, input) = match question {
            Question::Username => ("User name: ".to_owned(), Input::Line),
            Question::Password => ("Password: ".to_owned(), Input::Hidden),
            Question::Code { factor, destination, rejected } => {
                (code_text(*factor, *destination, *rejected), Input::Code)
            }
            Question::NewPassword { rejected } => (new_password_text(*rejected), Input::HiddenTwice),
            Question::Attribute(name) => {
                (format!("The user pool requires {}: ", printable(name)), Input::Line)
            }
            Question::Choice { between, options } => {
                (choice_text(*between, options), Input::OneOf(options.to_vec()))
            }
            Question::AuthenticatorSetup { secret, url, rejected } => {
                (setup_text(secret.expose_secret(), url.expose_secret(), *rejected), Input::Code)
            }
            Question::Custom(parameters) => (custom_text(parameters), Input::Line),
        };
        Self { text, input }
    }

    /// Asks until there is an answer that can be sent.
    pub(super) fn ask(&self, write: Write<'_>, read: Read<'_>) -> io::Result<String> {
        loop {
            write(&self.text)?;
            match &self.input {
                Input::Line | Input::Code => {
                    let mut answer = read(Echo::On)?;
                    if matches!(self.input, Input::Code) {
                        answer.retain(|letter| !letter.is_whitespace());
                    }
                    if !answer.is_empty() {
                        return Ok(answer);
                    }
                }
                Input::Hidden => return read(Echo::Off),
                Input::HiddenTwice => {
                    let first = read(Echo::Off)?;
                    write("Once more: ")?;
                    if read(Echo::Off)? == first {
                        return Ok(first);
                    }
                    write("These differ.\n")?;
                }
                Input::OneOf(options) => {
                    if let Some(option) = chosen(options, &read(Echo::On)?) {
                        return Ok(option);
                    }
                }
            }
        }
    }
}

fn code_text(factor: Factor, destination: Option<&str>, rejected: bool) -> String {
    let excuse = if rejected { "That code is wrong. " } else { "" };
    let source = match factor {
        Factor::Sms => "from the text message",
        Factor::Email => "from the e-mail",
        Factor::Authenticator => "of your authenticator app",
    };
    match destination {
        Some(destination) => format!("{excuse}Code {source} to {}: ", printable(destination)),
        None => format!("{excuse}Code {source}: "),
    }
}

fn new_password_text(rejected: Option<&str>) -> String {
    match rejected {
        None => "The password must be replaced.\nNew password: ".to_owned(),
        Some(reason) => format!("{}\nNew password: ", printable(reason)),
    }
}

fn choice_text(between: Choice, options: &[String]) -> String {
    let mut text = match between {
        Choice::FirstFactor => "Sign in by:\n",
        Choice::SecondFactor => "Second factor:\n",
    }
    .to_owned();
    for (index, option) in options.iter().enumerate() {
        text += &format!("  {} {}\n", index + 1, description(option));
    }
    text.push_str("Number: ");
    text
}

fn description(option: &str) -> String {
    match option {
        "PASSWORD" | "PASSWORD_SRP" => "password".to_owned(),
        "EMAIL_OTP" | "EMAIL_MFA" => "code by e-mail".to_owned(),
        "SMS_OTP" | "SMS_MFA" => "code by text message".to_owned(),
        "SOFTWARE_TOKEN_MFA" => "code of an authenticator app".to_owned(),
        other => printable(other),
    }
}

fn chosen(options: &[String], answer: &str) -> Option<String> {
    let by_number = answer.parse::<usize>().ok().and_then(|number| options.get(number.checked_sub(1)?));
    by_number.or_else(|| options.iter().find(|option| option.eq_ignore_ascii_case(answer))).cloned()
}

fn setup_text(secret: &str, url: &str, rejected: bool) -> String {
    if rejected {
        return "That code is wrong. Code of the authenticator app: ".to_owned();
    }
    let mut text = "The user pool requires an authenticator app. Let yours scan this".to_owned();
    match QrCode::new(url) {
        // Inverted, since most terminals have a dark background.
        Ok(code) => {
            let image =
                code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
            text += &format!(":\n\n{image}\n\nor enter the key {}\n", printable(secret));
        }
        Err(_) => {
            text += &format!(" key: {}\n", printable(secret));
        }
    }
    text.push_str("Code of the authenticator app: ");
    text
}

fn custom_text(parameters: &BTreeMap<String, String>) -> String {
    let mut text = "The user pool has a question of its own.\n".to_owned();
    for (name, value) in parameters {
        if !matches!(name.as_str(), "USERNAME" | "USER_ID_FOR_SRP") {
            text += &format!("  {}: {}\n", printable(name), printable(value));
        }
    }
    text.push_str("Answer: ");
    text
}

/// Text of the pool without control characters, which a terminal would interpret.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    /// Asks with prepared lines; gives the answer, all that was shown, and whether lines were hidden.
    fn ask(question: &Question<'_>, lines: &[&str]) -> (io::Result<String>, String, Vec<Echo>) {
        let (mut shown, mut echoes, mut lines) = (String::new(), Vec::new(), lines.iter());
        let answer = Prompt::for_question(question).ask(
            &mut |text| {
                shown.push_str(text);
                Ok(())
            },
            &mut |echo| {
                echoes.push(echo);
                lines.next().map(|line| (*line).to_owned()).ok_or(io::ErrorKind::UnexpectedEof.into())
            },
        );
        (answer, shown, echoes)
    }

    #[test]
    fn passwords_are_typed_unseen() {
        let (answer, shown, echoes) = ask(&Question::Password, &["hunter2"]);
        assert_eq!((answer.expect("typed").as_str(), shown.as_str()), ("hunter2", "Password: "));
        assert_eq!(echoes, [Echo::Off]);
    }

    #[test]
    fn new_passwords_are_typed_twice_until_they_agree() {
        let question = Question::NewPassword { rejected: Some("Password too short") };
        let (answer, shown, echoes) = ask(&question, &["one", "two", "three", "three"]);
        assert_eq!(answer.expect("typed"), "three");
        assert!(shown.starts_with("Password too short\nNew password: Once more: These differ."));
        assert_eq!(echoes, [Echo::Off; 4]);
    }

    #[test]
    fn codes_say_where_they_come_from() {
        let question = |factor, destination, rejected| Question::Code { factor, destination, rejected };
        for (question, text) in [
            (question(Factor::Sms, Some("+***99"), false), "Code from the text message to +***99: "),
            (question(Factor::Email, None, true), "That code is wrong. Code from the e-mail: "),
            (question(Factor::Authenticator, None, false), "Code of your authenticator app: "),
        ] {
            let (answer, shown, _) = ask(&question, &["123 456"]);
            assert_eq!((answer.expect("typed").as_str(), shown.as_str()), ("123456", text));
        }
    }

    #[test]
    fn choices_are_made_by_number_or_name() {
        let options = ["SMS_MFA".to_owned(), "SOFTWARE_TOKEN_MFA".to_owned()];
        let question = Question::Choice { between: Choice::SecondFactor, options: &options };
        for lines in [&["2"][..], &["software_token_mfa"], &["0", "3", "", "2"]] {
            let (answer, shown, _) = ask(&question, lines);
            assert_eq!(answer.expect("chosen"), "SOFTWARE_TOKEN_MFA");
            assert!(shown.contains("  1 code by text message\n  2 code of an authenticator app\n"));
        }
    }

    #[test]
    fn an_authenticator_is_set_up_by_picture_or_key() {
        let secret = SecretString::from("GEZDGNBVGY3TQOJQ");
        let url = SecretString::from("otpauth://totp/Cognito:me?secret=GEZDGNBVGY3TQOJQ&issuer=Cognito");
        let question = |rejected| Question::AuthenticatorSetup { secret: &secret, url: &url, rejected };
        let (_, shown, _) = ask(&question(false), &["123456"]);
        assert!(shown.contains('█') && shown.contains('▀') && shown.contains("key GEZDGNBVGY3TQOJQ"));
        let (_, shown, _) = ask(&question(true), &["123456"]);
        assert!(shown.starts_with("That code is wrong.") && !shown.contains('█'));
    }

    #[test]
    fn words_of_the_pool_cannot_command_the_terminal() {
        let parameters = BTreeMap::from([
            ("riddle".to_owned(), "\x1b]0;gotcha\x07what?\r\n".to_owned()),
            ("USERNAME".to_owned(), "internal".to_owned()),
        ]);
        let (_, shown, _) = ask(&Question::Custom(&parameters), &["42"]);
        assert_eq!(shown, "The user pool has a question of its own.\n  riddle: ]0;gotchawhat?\nAnswer: ");
    }

    #[test]
    fn a_closed_terminal_ends_the_question() {
        let (answer, _, _) = ask(&Question::Attribute("email"), &[""]);
        assert_eq!(answer.expect_err("nothing more").kind(), io::ErrorKind::UnexpectedEof);
    }
}

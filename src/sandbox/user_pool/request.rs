//! Reads the body of an operation: what is required must be there, as Cognito's service model says.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::sandbox::{answer::AwsError, json_protocol::parse};

const MAX_USERNAME: usize = 128;

/// The request, if it has the members that the operation requires.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], required: &[&str]) -> Result<T, AwsError> {
    let members: Map<String, Value> = parse(body)?;
    let violations: Vec<String> =
        required.iter().filter_map(|name| violation(name, members.get(*name))).collect();
    if !violations.is_empty() {
        let (count, plural) = (violations.len(), if violations.len() == 1 { "" } else { "s" });
        return Err(AwsError::invalid_parameter(format!(
            "{count} validation error{plural} detected: {}",
            violations.join("; ")
        )));
    }
    T::deserialize(Value::Object(members))
        .map_err(|error| AwsError::new("SerializationException", error.to_string()))
}

fn violation(name: &str, value: Option<&Value>) -> Option<String> {
    let (shown, constraint) = match value {
        None | Some(Value::Null) => (" null".to_owned(), "Member must not be null"),
        // Cognito repeats a wrong value, unless it is a secret.
        Some(Value::String(text)) if name.ends_with("Password") => {
            (String::new(), broken_constraint(name, text)?)
        }
        Some(Value::String(text)) => (format!(" '{text}'"), broken_constraint(name, text)?),
        Some(_) => return None,
    };
    Some(format!("Value{shown} at '{}' failed to satisfy constraint: {constraint}", lower_camel(name)))
}

fn broken_constraint(name: &str, text: &str) -> Option<&'static str> {
    let has_space = text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    match name {
        _ if text.is_empty() => Some("Member must have length greater than or equal to 1"),
        "Username" if text.chars().count() > MAX_USERNAME => {
            Some("Member must have length less than or equal to 128")
        }
        "Username" if has_space => {
            Some("Member must satisfy regular expression pattern: [\\p{L}\\p{M}\\p{S}\\p{N}\\p{P}]+")
        }
        "ConfirmationCode" | "Code" if has_space => {
            Some("Member must satisfy regular expression pattern: [\\S]+")
        }
        _ => None,
    }
}

fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_missing_member_is_named_at_once() {
        let body = json!({ "Username": "", "Password": null, "Other": 1 }).to_string();
        let read: Result<Value, _> = read(body.as_bytes(), &["ClientId", "Username", "Password"]);
        assert_eq!(
            read.expect_err("three violations").message,
            "3 validation errors detected: \
             Value null at 'clientId' failed to satisfy constraint: Member must not be null; \
             Value '' at 'username' failed to satisfy constraint: \
             Member must have length greater than or equal to 1; \
             Value null at 'password' failed to satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn names_and_codes_have_no_spaces_and_passwords_are_not_repeated() {
        let pattern = "Member must satisfy regular expression pattern";
        for (name, value, violation) in [
            ("Username", "a b", format!("Value 'a b' at 'username' failed to satisfy constraint: {pattern}")),
            ("Code", "1 2", format!("Value '1 2' at 'code' failed to satisfy constraint: {pattern}")),
            ("Password", "", "Value at 'password' failed to satisfy constraint: Member must have".to_owned()),
        ] {
            let body = json!({ name: value }).to_string();
            let message = read::<Value>(body.as_bytes(), &[name]).expect_err("one violation").message;
            assert!(message.contains(&violation), "{message}");
        }
        let long = json!({ "Username": "x".repeat(129) }).to_string();
        assert!(read::<Value>(long.as_bytes(), &["Username"]).is_err());
        let whole = json!({ "Username": "\u{e9}\u{4e2d}+1@x", "Password": "with space" }).to_string();
        assert!(read::<Value>(whole.as_bytes(), &["Username", "Password"]).is_ok());
    }

    #[test]
    fn a_member_of_another_type_is_no_request() {
        #[derive(Debug, serde::Deserialize)]
        struct Named {
            #[serde(rename = "Name")]
            _name: String,
        }
        let error = read::<Named>(br#"{"Name":1}"#, &["Name"]).expect_err("a number is no name");
        assert_eq!(error.code, "SerializationException");
        assert_eq!(read::<Named>(b"[]", &[]).expect_err("no object").code, "SerializationException");
    }
}

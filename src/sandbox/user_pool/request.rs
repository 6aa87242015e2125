//! Reads the body of an operation: what is required must be there, as Cognito's service model says.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::sandbox::{answer::AwsError, json_protocol::parse};

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
        None | Some(Value::Null) => ("null", "Member must not be null"),
        Some(Value::String(text)) if text.is_empty() => {
            ("''", "Member must have length greater than or equal to 1")
        }
        Some(_) => return None,
    };
    Some(format!("Value {shown} at '{}' failed to satisfy constraint: {constraint}", lower_camel(name)))
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

//! The attributes that requests carry: which exist, who may write them, and what their values look like.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sandbox::{
    answer::AwsError,
    people::Medium,
    pool_rules::{AttributeKind, CustomAttribute, PoolRules},
};

const MAX_VALUE: usize = 2048;
const CUSTOM: &str = "custom:";
const STANDARD: [&str; 20] = [
    "address",
    "birthdate",
    "email",
    "email_verified",
    "family_name",
    "gender",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "phone_number",
    "phone_number_verified",
    "picture",
    "preferred_username",
    "profile",
    "sub",
    "updated_at",
    "website",
    "zoneinfo",
];

/// An entry of UserAttributes.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attribute {
    name: String,
    value: Option<String>,
}

impl Attribute {
    pub(super) fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: Some(value.to_owned()) }
    }
}

/// Who writes attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// The app client, on behalf of the user.
    Client,
    Administrator,
}

/// The attributes that users of the pool may have.
pub(super) struct Schema {
    required: Vec<String>,
    custom: Option<Vec<CustomAttribute>>,
}

impl Schema {
    pub(super) fn new(rules: &PoolRules) -> Self {
        Self { required: rules.required_attributes.clone(), custom: rules.custom_attributes.clone() }
    }

    /// The attributes of a new user, of which none that is required may be missing. An administrator may leave them to
    /// the user's first sign-in.
    pub(super) fn of_new_user(
        &self,
        given: &[Attribute],
        writer: Writer,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let mut problems = Vec::new();
        let unknown = given.iter().map(|attribute| &attribute.name).filter(|name| !self.has(name));
        problems.extend(unknown.map(|name| format!("{name}: Attribute does not exist in the schema.\n")));
        let values = values(given);
        if writer == Writer::Client {
            let missing = self.missing(&values);
            problems.extend(missing.map(|name| format!("{name}: The attribute is required\n")));
        }
        if !problems.is_empty() {
            let message = format!("Attributes did not conform to the schema: {}", problems.concat());
            return Err(AwsError::invalid_parameter(message));
        }
        self.check_values(&values, writer)?;
        Ok(values)
    }

    /// The attributes that a request changes.
    pub(super) fn of_change(
        &self,
        given: &[Attribute],
        writer: Writer,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let values = self.checked(given, writer)?;
        let mut custom = self.custom.iter().flatten();
        if let Some(fixed) = custom.find(|custom| !custom.mutable && values.contains_key(&custom.name)) {
            let message = format!("user.{}: Attribute cannot be updated.\n", fixed.name);
            return Err(AwsError::invalid_parameter(message));
        }
        Ok(values)
    }

    fn checked(&self, given: &[Attribute], writer: Writer) -> Result<BTreeMap<String, String>, AwsError> {
        self.require_known(given.iter().map(|attribute| attribute.name.as_str()))?;
        let values = values(given);
        self.check_values(&values, writer)?;
        Ok(values)
    }

    /// The attributes of an answer to NEW_PASSWORD_REQUIRED. Clients send back the unchanged ones that they were given,
    /// `email_verified` among them, which are left out.
    pub(super) fn of_answer<'a>(
        &self,
        given: impl Iterator<Item = (&'a str, &'a String)>,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let given = given.filter(|(name, _)| !name.ends_with("_verified"));
        let given: Vec<Attribute> = given.map(|(name, value)| Attribute::new(name, value)).collect();
        self.checked(&given, Writer::Client)
    }

    /// Refuses to delete what does not exist, and what every user must have.
    pub(super) fn check_deletion(&self, names: &[String]) -> Result<(), AwsError> {
        self.require_known(names.iter().map(String::as_str))?;
        let is_fixed = |name: &String| {
            self.custom.iter().flatten().any(|custom| custom.name == *name && !custom.mutable)
        };
        let mut kept =
            names.iter().filter(|name| self.required.contains(name) || *name == "sub" || is_fixed(name));
        let kept = kept.next();
        kept.map_or(Ok(()), |name| {
            Err(AwsError::invalid_parameter(format!("user.{name}: Attribute cannot be deleted.\n")))
        })
    }

    /// The required attributes without a value.
    pub(super) fn missing<'a>(
        &'a self,
        values: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a String> {
        self.required.iter().filter(|name| values.get(*name).is_none_or(String::is_empty))
    }

    fn require_known<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Result<(), AwsError> {
        names.find(|name| !self.has(name)).map_or(Ok(()), |name| {
            let message = format!("user.{name}: Attribute does not exist in the schema.\n");
            Err(AwsError::invalid_parameter(message))
        })
    }

    fn check_values(&self, values: &BTreeMap<String, String>, writer: Writer) -> Result<(), AwsError> {
        for (name, value) in values {
            let unwritable = match name.as_str() {
                "sub" => {
                    return Err(AwsError::invalid_parameter("Cannot modify the non-mutable attribute sub"));
                }
                "email_verified" | "phone_number_verified" => writer == Writer::Client,
                _ => false,
            };
            if unwritable {
                let message = "A client attempted to write unauthorized attribute";
                return Err(AwsError::not_authorized(message));
            }
            if value.chars().count() > MAX_VALUE {
                let message = format!("user.{name}: String must be no longer than {MAX_VALUE} characters\n");
                return Err(AwsError::invalid_parameter(message));
            }
            check_format(name, value)?;
            self.check_kind(name, value)?;
        }
        Ok(())
    }

    fn check_kind(&self, name: &str, value: &str) -> Result<(), AwsError> {
        let custom = self.custom.iter().flatten().find(|custom| custom.name == name);
        let problem = match custom.map(|custom| custom.kind) {
            _ if value.is_empty() => return Ok(()),
            Some(AttributeKind::Number) if value.parse::<i64>().is_err() => "number",
            Some(AttributeKind::Boolean) if !matches!(value, "true" | "false") => "boolean",
            Some(AttributeKind::DateTime) if !is_date_time(value) => "datetime",
            _ => return Ok(()),
        };
        Err(AwsError::invalid_parameter(format!("user.{name}: Invalid {problem} value\n")))
    }

    fn has(&self, name: &str) -> bool {
        match (&self.custom, name.strip_prefix(CUSTOM)) {
            (_, None) => STANDARD.contains(&name),
            (None, Some(rest)) => !rest.is_empty(),
            (Some(listed), Some(_)) => listed.iter().any(|known| known.name == name),
        }
    }
}

/// The last value of each name counts.
pub(super) fn values(given: &[Attribute]) -> BTreeMap<String, String> {
    given.iter().map(|Attribute { name, value }| (name.clone(), value.clone().unwrap_or_default())).collect()
}

fn check_format(name: &str, value: &str) -> Result<(), AwsError> {
    let problem = match name {
        _ if value.is_empty() => return Ok(()),
        "email" if !is_email(value) => "Invalid email address format.",
        "phone_number" if !is_phone_number(value) => "Invalid phone number format.",
        "birthdate" if value.len() != 10 => {
            "Attributes did not conform to the schema: birthdate: Invalid birthdate\n"
        }
        "email_verified" | "phone_number_verified" if !matches!(value, "true" | "false") => {
            return Err(AwsError::invalid_parameter(format!("user.{name}: Invalid boolean value\n")));
        }
        _ => return Ok(()),
    };
    Err(AwsError::invalid_parameter(problem))
}

pub(super) fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| {
        let labels_are_filled = domain.split('.').all(|label| !label.is_empty());
        !name.is_empty() && !domain.contains('@') && labels_are_filled && !text.contains(char::is_whitespace)
    })
}

/// A date, with the time after a `T`.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = date.split('-').collect();
    parts.len() == 3 && parts.into_iter().all(are_digits) && time.starts_with(|c: char| c.is_ascii_digit())
}

/// E.164, which has at most 15 digits.
pub(super) fn is_phone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where codes may go to, as requests name it.
pub(super) fn address_attribute(name: &str) -> Result<Medium, AwsError> {
    Medium::of_attribute(name)
        .ok_or_else(|| AwsError::invalid_parameter(format!("Invalid attribute name: {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_form() {
        for (text, valid) in [
            ("ann@example.com", true),
            ("ann+tag@localhost", true),
            ("ann", false),
            ("@example.com", false),
            ("ann@", false),
            ("ann@a..b", false),
            ("ann@a@b", false),
            ("an n@example.com", false),
        ] {
            assert_eq!(is_email(text), valid, "{text}");
        }
        for (text, valid) in [("+441234567890", true), ("441234567890", false), ("+", false), ("+12x", false)]
        {
            assert_eq!(is_phone_number(text), valid, "{text}");
        }
    }
}

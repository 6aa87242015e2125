//! The rules of the sandbox's user pool: names, passwords, attributes, codes.

use std::time::Duration;

use crate::config::{
    problem::nearest,
    reader::Reader,
    value::{self, Parsed},
};

/// What Cognito allows as the least length of passwords.
const PASSWORD_LENGTHS: std::ops::RangeInclusive<usize> = 6..=99;
const MAX_CUSTOM_NAME: usize = 20;
/// The attributes that a pool can require.
const STANDARD_ATTRIBUTES: [&str; 17] = [
    "address",
    "birthdate",
    "email",
    "family_name",
    "gender",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "phone_number",
    "picture",
    "preferred_username",
    "profile",
    "updated_at",
    "website",
    "zoneinfo",
];

/// The rules of the user pool.
#[derive(Clone, Debug)]
pub struct SandboxPool {
    /// What users sign in with.
    pub usernames: SandboxUsernames,
    /// The least number of characters of a password.
    pub password_min_length: usize,
    /// The kinds of characters that a password must have.
    pub password_classes: PasswordClasses,
    /// The standard attributes that a sign-up must fill in.
    pub required_attributes: Vec<String>,
    /// The custom attributes; empty for any.
    pub custom_attributes: Vec<SandboxAttribute>,
    /// How long codes last; `None` for as long as Cognito's.
    pub code_lifetime: Option<Duration>,
    /// The wrong codes and passwords that are allowed.
    pub max_attempts: usize,
    /// Whether errors leave open if a user exists.
    pub hide_unknown_users: bool,
}

/// What users sign in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxUsernames {
    /// A user name.
    Chosen,
    /// A user name, or a verified address of the user.
    Aliases,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// An e-mail address or a phone number.
    EmailOrPhone,
}

/// The kinds of characters that a password must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordClasses {
    /// An upper-case letter.
    pub uppercase: bool,
    /// A lower-case letter.
    pub lowercase: bool,
    /// A digit.
    pub digit: bool,
    /// A character that is neither letter nor digit.
    pub symbol: bool,
}

/// A custom attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxAttribute {
    /// The name, with `custom:` in front.
    pub name: String,
    /// What its values are.
    pub kind: SandboxAttributeKind,
    /// Whether it may be changed after the user was created.
    pub mutable: bool,
}

/// What the values of a custom attribute are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxAttributeKind {
    /// Any text.
    String,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A date with time.
    DateTime,
}

impl Reader<'_> {
    pub(super) fn sandbox_pool(&mut self) -> Option<SandboxPool> {
        let usernames = self.value("usernames", usernames);
        let password_min_length = self.value("password-min-length", password_length);
        let password_classes = self.value("password-requires", password_classes);
        let required_attributes = self.values("required-attribute", required_attribute);
        let custom_attributes = self.custom_attributes();
        let code_lifetime = self.value("code-lifetime", value::duration);
        let max_attempts = self.value("max-attempts", value::count);
        let hide_unknown_users = self.value("unknown-users", unknown_users);
        Some(SandboxPool {
            usernames: usernames?,
            password_min_length: password_min_length?,
            password_classes: password_classes?,
            required_attributes,
            custom_attributes,
            code_lifetime,
            max_attempts: max_attempts?,
            hide_unknown_users: hide_unknown_users?,
        })
    }
}

impl Reader<'_> {
    fn custom_attributes(&mut self) -> Vec<SandboxAttribute> {
        let mut attributes: Vec<SandboxAttribute> = Vec::new();
        for given in self.given("custom-attribute").to_vec() {
            let Some(attribute) = self.parsed(&given, custom_attribute) else { continue };
            match attributes.iter().find(|known| known.name == attribute.name) {
                Some(known) if *known != attribute => {
                    let why = format!("declares {} twice, each time otherwise; keep one", attribute.name);
                    self.problem(&given.origin, why);
                }
                Some(_) => {}
                None => attributes.push(attribute),
            }
        }
        attributes
    }
}

fn usernames(text: &str) -> Parsed<SandboxUsernames> {
    Ok(match text {
        "chosen" => SandboxUsernames::Chosen,
        "aliases" => SandboxUsernames::Aliases,
        "email" => SandboxUsernames::Email,
        "phone" => SandboxUsernames::Phone,
        "email-or-phone" => SandboxUsernames::EmailOrPhone,
        _ => return Err(format!("{text:?} is not chosen, aliases, email, phone or email-or-phone")),
    })
}

fn password_length(text: &str) -> Parsed<usize> {
    text.parse().ok().filter(|length| PASSWORD_LENGTHS.contains(length)).ok_or_else(|| {
        format!("{text:?} is not a length from {} to {}", PASSWORD_LENGTHS.start(), PASSWORD_LENGTHS.end())
    })
}

/// `uppercase,lowercase,digit,symbol`, some of them, or `none`.
fn password_classes(text: &str) -> Parsed<PasswordClasses> {
    let mut classes = PasswordClasses::default();
    if text == "none" {
        return Ok(classes);
    }
    for class in text.split(',').map(str::trim) {
        match class {
            "uppercase" => classes.uppercase = true,
            "lowercase" => classes.lowercase = true,
            "digit" => classes.digit = true,
            "symbol" => classes.symbol = true,
            _ => {
                return Err(format!(
                    "{class:?} is not uppercase, lowercase, digit or symbol; write some of them with commas \
                     between, or none"
                ));
            }
        }
    }
    Ok(classes)
}

fn required_attribute(text: &str) -> Parsed<String> {
    if STANDARD_ATTRIBUTES.contains(&text) {
        return Ok(text.to_owned());
    }
    if text.starts_with("custom:") {
        return Err(format!("{text:?} is a custom attribute, and a pool can require standard ones only"));
    }
    let near = nearest(text, STANDARD_ATTRIBUTES);
    let meant = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Err(format!("{text:?} is not a standard attribute such as given_name{meant}"))
}

/// `NAME`, `NAME:TYPE` or `NAME:TYPE:immutable`.
fn custom_attribute(text: &str) -> Parsed<SandboxAttribute> {
    let mut parts = text.strip_prefix("custom:").unwrap_or(text).split(':');
    let name = parts.next().unwrap_or_default();
    let is_name = (1..=MAX_CUSTOM_NAME).contains(&name.chars().count())
        && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if !is_name {
        return Err(format!(
            "{text:?} is not NAME[:TYPE[:immutable]] with a name of 1 to {MAX_CUSTOM_NAME} characters"
        ));
    }
    let kind = match parts.next() {
        None | Some("string") => SandboxAttributeKind::String,
        Some("number") => SandboxAttributeKind::Number,
        Some("boolean") => SandboxAttributeKind::Boolean,
        Some("datetime") => SandboxAttributeKind::DateTime,
        Some(other) => return Err(format!("{other:?} is not string, number, boolean or datetime")),
    };
    let mutable = match (parts.next(), parts.next()) {
        (None, _) => true,
        (Some("immutable"), None) => false,
        (Some(other), _) => return Err(format!("ends with {other:?}; write :immutable or nothing there")),
    };
    Ok(SandboxAttribute { name: format!("custom:{name}"), kind, mutable })
}

fn unknown_users(text: &str) -> Parsed<bool> {
    match text {
        "hidden" => Ok(true),
        "named" => Ok(false),
        _ => Err(format!("{text:?} is neither hidden nor named")),
    }
}

//! The rules of the user pool: sign-up, names, attributes, passwords, groups, and the issuer of its tokens.

use std::time::Duration;

use super::people::Medium;

const MAX_PASSWORD: usize = 256;
/// The symbols that Cognito counts; a space counts only between other characters.
const SYMBOLS: &str = "^$*.[]{}()?-\"!@#%&/\\,><':;|_~`+= ";

/// The rules of the user pool.
#[derive(Clone, Debug)]
pub struct PoolRules {
    /// Whether users may sign up; if not, only AdminCreateUser makes users.
    pub self_sign_up: bool,
    /// Which names users have and sign in with.
    pub usernames: Usernames,
    /// Where sign-ups are confirmed and which addresses are verified: the first of these that the user has.
    pub verified_by: Vec<Medium>,
    /// The attributes that a sign-up must fill in, `name` for example.
    pub required_attributes: Vec<String>,
    /// The custom attributes; `None` allows any, as text.
    pub custom_attributes: Option<Vec<CustomAttribute>>,
    /// What a password must have.
    pub passwords: PasswordPolicy,
    /// Whether errors leave open if a user exists, as `PreventUserExistenceErrors` has it when it is enabled.
    pub hide_unknown_users: bool,
    /// How long codes last that confirm something; `None` for a day, and an hour for a forgotten password.
    pub code_lifetime: Option<Duration>,
    /// Wrong passwords before each further one locks the user out for longer, and wrong codes within an hour.
    pub max_attempts: usize,
    /// The groups, besides those that users of the settings are in.
    pub groups: Vec<Group>,
    /// The issuer that tokens name.
    pub issuer: Issuer,
}

/// Which names users have and sign in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usernames {
    /// A user name, which may look like an e-mail address.
    Chosen,
    /// A user name, and each verified e-mail address or phone number as an alias of it.
    ChosenWithAliases,
    /// The e-mail address; the internal user name is the `sub`.
    Email,
    /// The phone number; the internal user name is the `sub`.
    Phone,
    /// The e-mail address or the phone number; the internal user name is the `sub`.
    EmailOrPhone,
}

/// A custom attribute of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomAttribute {
    /// The name, with `custom:` in front.
    pub name: String,
    /// What its values are.
    pub kind: AttributeKind,
    /// Whether it may be changed after the user was created.
    pub mutable: bool,
}

/// What the values of a custom attribute are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// Any text.
    String,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A date with time, as ISO 8601 has it.
    DateTime,
}

/// What a password must have.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// The least number of characters.
    pub min_length: usize,
    /// An upper-case letter.
    pub uppercase: bool,
    /// A lower-case letter.
    pub lowercase: bool,
    /// A digit.
    pub digit: bool,
    /// A character that is neither letter nor digit.
    pub symbol: bool,
}

/// A group of users.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name, as `cognito:groups` has it.
    pub name: String,
    /// The ARN of the role that `cognito:roles` lists.
    pub role: Option<String>,
    /// The role of the group with the lowest number is the preferred one.
    pub precedence: Option<u32>,
}

/// The issuer that tokens name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Cognito's own address.
    Aws,
    /// The sandbox's user pool, so that verifiers find its keys by the issuer.
    Local,
}

impl Default for PoolRules {
    fn default() -> Self {
        Self {
            self_sign_up: true,
            usernames: Usernames::Chosen,
            verified_by: vec![Medium::Email, Medium::Sms],
            required_attributes: Vec::new(),
            custom_attributes: None,
            code_lifetime: None,
            max_attempts: 5,
            passwords: PasswordPolicy::default(),
            hide_unknown_users: true,
            groups: Vec::new(),
            issuer: Issuer::Aws,
        }
    }
}

impl Usernames {
    /// The addresses that are user names; none where users choose a name.
    pub(super) fn addresses(self) -> &'static [Medium] {
        match self {
            Self::Chosen | Self::ChosenWithAliases => &[],
            Self::Email => &[Medium::Email],
            Self::Phone => &[Medium::Sms],
            Self::EmailOrPhone => &[Medium::Email, Medium::Sms],
        }
    }
}

impl CustomAttribute {
    /// An attribute whose values may be any text, and may change.
    #[must_use]
    pub fn text(name: &str) -> Self {
        Self { name: name.to_owned(), kind: AttributeKind::String, mutable: true }
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: 8, uppercase: true, lowercase: true, digit: true, symbol: true }
    }
}

impl PasswordPolicy {
    /// The first rule that `password` breaks, in Cognito's words.
    pub(super) fn violation(&self, password: &str) -> Option<&'static str> {
        let has = |wanted: fn(char) -> bool| password.chars().any(wanted);
        let length = password.chars().count();
        let inner = password.trim_matches(' ');
        [
            (length >= self.min_length, "Password not long enough"),
            (length <= MAX_PASSWORD, "Password too long"),
            (password == inner, "Password must not begin or end with a space"),
            (!self.uppercase || has(|c| c.is_ascii_uppercase()), "Password must have uppercase characters"),
            (!self.lowercase || has(|c| c.is_ascii_lowercase()), "Password must have lowercase characters"),
            (!self.digit || has(|c| c.is_ascii_digit()), "Password must have numeric characters"),
            (!self.symbol || has(|c| SYMBOLS.contains(c)), "Password must have symbol characters"),
        ]
        .into_iter()
        .find_map(|(kept, violation)| (!kept).then_some(violation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_broken_rule_is_named() {
        let policy = PasswordPolicy::default();
        for (password, violation) in [
            ("Short-1", Some("Password not long enough")),
            ("lower-case-1", Some("Password must have uppercase characters")),
            ("UPPER-CASE-1", Some("Password must have lowercase characters")),
            ("No-digits-here", Some("Password must have numeric characters")),
            ("NoSymbols1", Some("Password must have symbol characters")),
            (" Spaces-1", Some("Password must not begin or end with a space")),
            ("With space 1", None),
            ("Good-password-1", None),
        ] {
            assert_eq!(policy.violation(password), violation, "{password}");
        }
        let lenient = PasswordPolicy { min_length: 6, symbol: false, ..policy };
        assert_eq!(lenient.violation("Simple1"), None);
    }
}

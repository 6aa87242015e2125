//! The users and app clients that the sandbox's settings describe.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::config::{
    problem::nearest,
    reader::Reader,
    source::Given,
    value::{self, Parsed},
};

/// The user of a sandbox for which no other is set.
const DEFAULT_USER: &str = "demo";
const DEFAULT_PASSWORD: &str = "Sandbox-password-1";

/// A user of the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxUser {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// The groups.
    pub groups: Vec<String>,
    /// The attributes, `email` for example.
    pub attributes: BTreeMap<String, String>,
}

/// An app client of the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxClient {
    /// The client id.
    pub id: String,
    /// The client secret, if it has one.
    pub secret: Option<SecretString>,
}

/// The second factor of the sandbox's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondFactor {
    /// Codes of an authenticator.
    Totp,
    /// Codes by text message.
    Sms,
    /// Codes by e-mail.
    Email,
}

impl SandboxUser {
    /// The user whom the sandbox has without a setting.
    #[must_use]
    pub fn demonstration() -> Self {
        Self::new(DEFAULT_USER, DEFAULT_PASSWORD)
    }

    fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.into(),
            groups: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }
}

impl Reader<'_> {
    /// The users with their groups and attributes; the demonstration user where none is set.
    pub(super) fn sandbox_users(&mut self) -> Vec<SandboxUser> {
        let mut users: Vec<SandboxUser> = Vec::new();
        for given in self.given("user").to_vec() {
            let Some(user) = self.parsed(&given, user) else { continue };
            if users.iter().any(|known| known.username.eq_ignore_ascii_case(&user.username)) {
                self.problem(&given.origin, format!("names the user {} twice", user.username));
            } else {
                users.push(user);
            }
        }
        if users.is_empty() {
            users.push(SandboxUser::demonstration());
        }
        for given in self.given("group").to_vec() {
            let Some((username, group)) = self.parsed(&given, membership) else { continue };
            if let Some(user) = self.named(&mut users, &given, &username) {
                user.groups.push(group);
            }
        }
        for given in self.given("attribute").to_vec() {
            let Some((username, name, value)) = self.parsed(&given, attribute) else { continue };
            if let Some(user) = self.named(&mut users, &given, &username) {
                user.attributes.insert(name, value);
            }
        }
        users
    }

    fn named<'u>(
        &mut self,
        users: &'u mut [SandboxUser],
        given: &Given,
        username: &str,
    ) -> Option<&'u mut SandboxUser> {
        if let Some(at) = users.iter().position(|user| user.username == username) {
            return users.get_mut(at);
        }
        let near = nearest(username, users.iter().map(|user| user.username.as_str()));
        let meant = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        self.problem(&given.origin, format!("names {username}, who is no user of the sandbox{meant}"));
        None
    }
}

/// `NAME` or `NAME:PASSWORD`. The text is not quoted, since it may have a password in it.
fn user(text: &str) -> Parsed<SandboxUser> {
    let (username, password) = text.split_once(':').unwrap_or((text, DEFAULT_PASSWORD));
    let is_name = (1..=128).contains(&username.len())
        && !username.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_name {
        return Err(
            "is not NAME or NAME:PASSWORD, with a name of 1 to 128 characters without blanks".to_owned()
        );
    }
    if !(6..=256).contains(&password.chars().count()) {
        return Err(format!("gives {username} a password that does not have 6 to 256 characters"));
    }
    Ok(SandboxUser::new(username, password))
}

/// `NAME:GROUP`.
fn membership(text: &str) -> Parsed<(String, String)> {
    match text.split_once(':') {
        Some((username, group)) if !username.is_empty() && !group.is_empty() => {
            Ok((username.to_owned(), value::text(group)?))
        }
        _ => Err(format!("{text:?} is not NAME:GROUP")),
    }
}

/// `NAME:KEY=VALUE`.
fn attribute(text: &str) -> Parsed<(String, String, String)> {
    let parts = text.split_once(':').and_then(|(username, rest)| Some((username, rest.split_once('=')?)));
    let Some((username, (name, value))) =
        parts.filter(|(username, (name, _))| !username.is_empty() && !name.is_empty())
    else {
        return Err(format!("{text:?} is not NAME:KEY=VALUE, such as ann:email=ann@example.com"));
    };
    if name == "sub" {
        return Err("sets sub, which follows from the seed and the user name".to_owned());
    }
    Ok((username.to_owned(), name.to_owned(), value::text(value)?))
}

/// `ID` or `ID:SECRET`. The secret is not quoted.
pub(super) fn client(text: &str) -> Parsed<SandboxClient> {
    let (id, secret) = text.split_once(':').map_or((text, None), |(id, secret)| (id, Some(secret)));
    if secret
        .is_some_and(|secret| secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        return Err(format!("gives {id:?} a secret that is not of letters and digits"));
    }
    Ok(SandboxClient { id: value::client_id(id)?, secret: secret.map(SecretString::from) })
}

pub(super) fn second_factor(text: &str) -> Parsed<SecondFactor> {
    match text {
        "totp" => Ok(SecondFactor::Totp),
        "sms" => Ok(SecondFactor::Sms),
        "email" => Ok(SecondFactor::Email),
        _ => Err(format!("{text:?} is not totp, sms or email")),
    }
}

//! The table of settings, from which flags, variables, file keys, help, the example file and `docs/settings.md` derive.

mod document;
mod rows;

pub use document::document;
pub use rows::SETTINGS;

/// One setting, as a user knows it.
#[derive(Debug)]
pub struct Setting {
    /// The name, which is the file key and, behind `--`, the flag.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// The default, as a user would write it.
    pub default: Option<&'static str>,
    /// What stands for the value in help; for a setting without default also the form of an example.
    pub value_name: &'static str,
    /// One line for help.
    pub help: &'static str,
    /// The heading under which help lists it.
    pub group: Group,
    /// The commands that have it as a flag.
    pub uses: &'static [Use],
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of some form.
    Text,
    /// Texts; a flag is repeated, a variable separates by commas, the file has an array.
    List,
    /// A whole number.
    Number,
    /// A number of bytes with or without a unit.
    Size,
    /// `true` or `false`.
    Switch,
    /// The file that a secret is in; the secret itself may come from a variable.
    SecretFile,
}

/// Headings of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Where clients connect and who may.
    Clients,
    /// Where requests go and how they are signed.
    Upstream,
    /// Who signs.
    Credentials,
    /// How much is taken on and how long is waited.
    Limits,
    /// Logging and the end of the process.
    Process,
    /// What only the sandbox has.
    Sandbox,
}

/// What a command does with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `serve` and `check`.
    Serve,
    /// `exec`.
    Exec,
    /// `sandbox`.
    Sandbox,
    /// `login`, `logout` and `whoami`.
    Session,
    /// `credentials`.
    Credentials,
    /// `call` and `explain`.
    Call,
    /// `healthcheck`, `inspect` and `wait`.
    Healthcheck,
}

impl Group {
    /// The heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Clients => "Clients",
            Self::Upstream => "Upstream",
            Self::Credentials => "Credentials",
            Self::Limits => "Limits",
            Self::Process => "Process",
            Self::Sandbox => "Sandbox",
        }
    }
}

impl Setting {
    /// The variable, `COUNTERSIGN_USER_POOL_ID`.
    #[must_use]
    pub fn variable(&self) -> String {
        variable_of(self.name)
    }

    /// The default of a command: what runs beside another program does not take its port, nor its terminal.
    #[must_use]
    pub fn default_of(&self, command: Use) -> Option<&'static str> {
        match (command, self.name) {
            (Use::Exec, "listen") => Some("localhost:0"),
            (Use::Exec, "admin-listen") => Some("off"),
            (Use::Exec | Use::Credentials, "log-level") => Some("warn"),
            (Use::Sandbox, "inspect") => Some("bodies"),
            _ => self.default,
        }
    }

    /// The values that a shell offers for the flag; empty if it takes any text.
    #[must_use]
    pub fn choices(&self) -> &'static [&'static str] {
        match (self.name, self.kind) {
            (_, Kind::Switch) => &["true", "false"],
            ("inspect", _) => &["off", "heads", "bodies"],
            ("payload", _) => &["hashed", "unsigned"],
            ("websocket-signing", _) => &["headers", "query"],
            ("credentials", _) => &["cognito", "guest", "aws"],
            ("auth-flow", _) => &["srp", "password", "custom", "user-auth"],
            ("log-format", _) => &["auto", "text", "json"],
            ("signup", _) => &["open", "closed"],
            ("usernames", _) => &["chosen", "aliases", "email", "phone", "email-or-phone"],
            ("unknown-users", _) => &["hidden", "named"],
            ("issuer", _) => &["aws", "local"],
            ("pre-token-generation-version", _) => &["V1_0", "V2_0"],
            ("log-level", _) => &["off", "error", "warn", "info", "debug", "trace"],
            _ => &[],
        }
    }

    /// For a file with a secret, the variable that takes the secret itself: `COUNTERSIGN_PASSWORD`.
    #[must_use]
    pub fn secret_variable(&self) -> Option<String> {
        self.secret().map(variable_of)
    }

    /// For a file with a secret, the name of the secret itself: `password`.
    #[must_use]
    pub fn secret(&self) -> Option<&'static str> {
        self.name.strip_suffix("-file").filter(|_| self.kind == Kind::SecretFile)
    }
}

/// The variable of the setting `name`.
pub(super) fn variable_of(name: &str) -> String {
    format!("COUNTERSIGN_{}", name.replace('-', "_").to_ascii_uppercase())
}

/// The setting `name`, if there is one.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The variables that secrets may stand in.
pub fn secret_variables() -> impl Iterator<Item = String> {
    SETTINGS.iter().filter_map(Setting::secret_variable)
}

/// Keys of a `[[route]]` table; `path` and `strip-prefix` stand nowhere else.
pub(super) const ROUTE_KEYS: &[(&str, Kind)] = &[
    ("path", Kind::Text),
    ("upstream", Kind::Text),
    ("region", Kind::Text),
    ("region-set", Kind::Text),
    ("service", Kind::Text),
    ("payload", Kind::Text),
    ("websocket-signing", Kind::Text),
    ("sign-host", Kind::Text),
    ("strip-prefix", Kind::Text),
    ("set-header", Kind::List),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_in_kebab_case() {
        let names: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }

    #[test]
    fn help_is_one_line_without_full_stop() {
        for setting in SETTINGS {
            assert!(!setting.help.contains('\n') && !setting.help.ends_with('.'), "{}", setting.name);
            assert!(setting.help.len() < 90, "{}", setting.name);
        }
    }

    #[test]
    fn the_variable_derives_from_the_name() {
        let setting = find("user-pool-id").expect("in the table");
        assert_eq!(setting.variable(), "COUNTERSIGN_USER_POOL_ID");
        assert_eq!(find("password-file").and_then(Setting::secret), Some("password"));
        assert_eq!(find("id-token-file").and_then(Setting::secret), None);
    }

    #[test]
    fn each_secret_has_its_variable() {
        let variables: BTreeSet<_> = secret_variables().collect();
        let expected = ["ADMIN_TOKEN", "BEARER_TOKEN", "CLIENT_SECRET", "PASSWORD", "TOTP_SECRET"];
        assert_eq!(variables, expected.map(|name| format!("COUNTERSIGN_{name}")).into());
    }
}

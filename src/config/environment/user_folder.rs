//! Where programs keep files of a user, by the habits of each system.

use std::path::PathBuf;

/// A kind of files that programs keep for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum UserFolder {
    /// What the user has written.
    Configuration,
    /// What a program has written, and this machine alone needs.
    State,
}

/// Systems with habits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    MacOs,
    Windows,
    /// Linux, and others that keep to the base directory specification of XDG.
    Xdg,
}

impl System {
    pub(super) const THIS: Self = if cfg!(target_os = "macos") {
        Self::MacOs
    } else if cfg!(windows) {
        Self::Windows
    } else {
        Self::Xdg
    };
}

impl UserFolder {
    /// The folder, from the variables that `absolute` gives where they name an absolute path: the specification of XDG
    /// has relative ones ignored. On every system the variables of XDG come first.
    pub(super) fn find(self, system: System, absolute: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
        let (xdg, below_home, on_windows) = match self {
            Self::Configuration => ("XDG_CONFIG_HOME", ".config", "APPDATA"),
            Self::State => ("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA"),
        };
        absolute(xdg).or_else(|| match system {
            System::Xdg => absolute("HOME").map(|home| home.join(below_home)),
            System::MacOs => absolute("HOME").map(|home| home.join("Library/Application Support")),
            System::Windows => absolute(on_windows),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_folders_and_all_of_them_those_of_xdg() {
        let all = |name: &str| match name {
            "HOME" => Some("/home/u".into()),
            "APPDATA" => Some("/roaming".into()),
            "LOCALAPPDATA" => Some("/local".into()),
            _ => None,
        };
        let with_xdg = |name: &str| if name.starts_with("XDG_") { Some("/xdg".into()) } else { all(name) };
        for (system, kind, folder) in [
            (System::Xdg, UserFolder::Configuration, "/home/u/.config"),
            (System::Xdg, UserFolder::State, "/home/u/.local/state"),
            (System::MacOs, UserFolder::Configuration, "/home/u/Library/Application Support"),
            (System::MacOs, UserFolder::State, "/home/u/Library/Application Support"),
            (System::Windows, UserFolder::Configuration, "/roaming"),
            (System::Windows, UserFolder::State, "/local"),
        ] {
            assert_eq!(kind.find(system, all), Some(folder.into()), "{system:?} {kind:?}");
            assert_eq!(kind.find(system, with_xdg), Some("/xdg".into()), "{system:?} {kind:?}");
            assert_eq!(kind.find(system, |_| None), None, "{system:?} {kind:?}");
        }
    }
}

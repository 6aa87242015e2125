//! The file that `init` writes.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use super::{Chosen, report::printable};
use crate::file_system::{self, Readers};

/// The name under which every command finds it.
pub(super) const FILE: &str = "countersign.toml";

/// The new file until it is complete and takes the place of an existing one.
const TEMPORARY: &str = ".countersign.toml.new";

/// Writes the settings to a new file; with `replace`, in place of the one that is there.
pub(super) fn write(chosen: &[Chosen], replace: bool) -> io::Result<()> {
    if !replace {
        return create(FILE.as_ref(), chosen);
    }
    // Left by a run that was interrupted.
    let _ = fs::remove_file(TEMPORARY);
    create(TEMPORARY.as_ref(), chosen)?;
    // A rename replaces a symbolic link instead of writing through it.
    fs::rename(TEMPORARY, FILE).inspect_err(|_| drop(fs::remove_file(TEMPORARY)))
}

/// It has no secrets, so that others may read it; a file that others may write would not be used.
fn create(path: &Path, chosen: &[Chosen]) -> io::Result<()> {
    let mut file = file_system::create(path, Readers::Everyone)?;
    file.write_all(text(chosen).as_bytes())
}

fn text(chosen: &[Chosen]) -> String {
    let mut text =
        "# Written by `countersign init`. `countersign serve --help` lists all settings.\n".to_owned();
    for Chosen { name, value, origin } in chosen {
        if let Some(origin) = origin {
            text += &format!("\n# {}", printable(origin));
        }
        // Each value has been parsed: none has a quote, a backslash or a control character in it.
        text += &format!("\n{name} = \"{value}\"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let chosen = |name, value: &str, origin: Option<&str>| Chosen {
            name,
            value: value.to_owned(),
            origin: origin.map(str::to_owned),
        };
        let chosen = [
            chosen("upstream", "https://a.example", Some("cdk-outputs.json: a\n[route]\u{1b}b")),
            chosen("region", "eu-west-1", None),
        ];
        assert_eq!(
            text(&chosen),
            "# Written by `countersign init`. `countersign serve --help` lists all settings.\n\n\
             # cdk-outputs.json: a[route]b\nupstream = \"https://a.example\"\n\nregion = \"eu-west-1\"\n"
        );
    }
}

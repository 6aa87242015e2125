//! Reads the cases of `http_desync_guardian` from its package.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

/// How dangerous a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Compliant,
    Acceptable,
    Ambiguous,
    Severe,
}

/// One request of the corpus.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) tier: Tier,
    method: String,
    uri: String,
    version: String,
    fields: Vec<(String, String)>,
}

impl Case {
    /// The head on the wire, with a Host where the case has none.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.uri, self.version);
        if self.values("host").is_empty() {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        // An escape of the corpus stands for a byte.
        let mut bytes = Vec::new();
        for character in head.chars() {
            match u8::try_from(u32::from(character)) {
                Ok(byte) => bytes.push(byte),
                Err(_) => bytes.extend(character.to_string().bytes()),
            }
        }
        bytes
    }

    /// A body as the head announces it.
    pub(crate) fn body(&self) -> String {
        match self.values("content-length").first() {
            Some(length) => "x".repeat(length.trim().parse().expect("a length")),
            None if self.values("transfer-encoding").is_empty() => String::new(),
            None => "3\r\nabc\r\n0\r\n\r\n".to_owned(),
        }
    }

    /// A body of GET or HEAD with one plain length ends in one place, whoever reads it. Searches of
    /// OpenSearch come so, and HTTP allows it: it is delivered.
    pub(crate) fn is_search(&self) -> bool {
        let lengths = self.values("content-length");
        let plain = |length: &String| length.trim().bytes().all(|byte| byte.is_ascii_digit());
        matches!(self.method.as_str(), "GET" | "HEAD")
            && self.values("transfer-encoding").is_empty()
            && matches!(&lengths[..], [length] if plain(length))
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// What a compliant request is answered. RFC 9112 lets a server refuse codings that it does not know
    /// (section 6.1); fragments and no target at all are no targets by its section 3.2. Raw UTF-8 is none either, but has
    /// one meaning only: it goes up percent-encoded.
    pub(crate) fn answer_by_contract(&self) -> u16 {
        let plain = |coding: &String| coding.trim().eq_ignore_ascii_case("chunked");
        if !self.values("transfer-encoding").iter().all(plain) {
            501
        } else if self.uri.is_empty() || self.uri.contains('#') {
            400
        } else {
            200
        }
    }

    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let fields = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.clone()).collect()
    }

    /// The origins of the pages that the request says it comes from.
    pub(crate) fn origins(&self) -> Vec<String> {
        let pages = ["origin", "referer"].into_iter().flat_map(|name| self.values(name));
        pages.map(|page| page.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")).collect()
    }
}

/// All cases.
pub(crate) fn load() -> Vec<Case> {
    let folder = package_folder().join("tests");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the package's tests")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let cases: Vec<Case> =
        files.iter().flat_map(|file| parse(&std::fs::read_to_string(file).expect("text"))).collect();
    assert_eq!(cases.len(), 159, "{folder:?}");
    cases
}

fn package_folder() -> PathBuf {
    let version = Command::new("rustc").arg("-vV").output().expect("rustc").stdout;
    let version = String::from_utf8(version).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "http_desync_guardian");
    let manifest = package.expect("the dependency")["manifest_path"].as_str().expect("a path");
    PathBuf::from(manifest).parent().expect("a folder").to_owned()
}

/// Reads the part of YAML that the corpus uses: one key and one value per line.
fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut expected = false;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let Some((key, value)) = content.split_once(':').filter(|_| !content.starts_with('#')) else {
            continue;
        };
        let value = scalar(value.trim());
        if indent == 0 && key == "- name" {
            expected = false;
            let (method, uri, version) = Default::default();
            cases.push(Case { name: value, tier: Tier::Compliant, method, uri, version, fields: Vec::new() });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        match (indent, key) {
            (2, "uri") => case.uri = value,
            (2, "method") => case.method = value,
            (2, "version") => case.version = value,
            (2, "expected") => expected = true,
            (_, "- name") => case.fields.push((value, String::new())),
            (_, "value") => case.fields.last_mut().expect("a field begins with its name").1 = value,
            (_, "tier") if expected => case.tier = tier(&value),
            _ => {}
        }
    }
    cases
}

fn tier(name: &str) -> Tier {
    match name {
        "Compliant" => Tier::Compliant,
        "Acceptable" => Tier::Acceptable,
        "Ambiguous" => Tier::Ambiguous,
        "Severe" => Tier::Severe,
        _ => panic!("no tier: {name}"),
    }
}

/// A plain, single-quoted or double-quoted scalar.
fn scalar(text: &str) -> String {
    if let Some(quoted) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return quoted.replace("''", "'");
    }
    let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut characters = quoted.chars();
    let mut value = String::new();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        value.push(match characters.next().expect("an escape") {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'x' => {
                let digits: String = characters.by_ref().take(2).collect();
                char::from(u8::from_str_radix(&digits, 16).expect("two digits"))
            }
            other => other,
        });
    }
    value
}

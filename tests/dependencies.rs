//! Which module of the crate may import which. Each may import those above it only, so that there is no circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules, and what each may import.
const ALLOWED: &[(&str, &[&str])] = &[
    // What needs nothing else.
    ("clock", &[]),
    ("cooperative_yield", &[]),
    ("endpoint", &[]),
    ("file_system", &[]),
    ("forward_proxy", &[]),
    ("regular_file", &[]),
    ("request_target", &[]),
    ("rfc3339", &[]),
    ("tls", &["regular_file"]),
    // The wire towards the API: it knows nothing of signing, credentials or policy.
    ("upstream", &["cooperative_yield", "forward_proxy", "tls"]),
    ("aws_http", &["clock", "forward_proxy", "tls", "upstream"]),
    // It writes what others tell it, and looks into nothing.
    ("telemetry", &["aws_http", "clock"]),
    ("process", &["telemetry"]),
    ("runtime_thread", &["process"]),
    ("shutdown", &["process", "runtime_thread"]),
    // The wire towards clients: it knows nothing of signing, credentials or policy.
    ("downstream", &["forward_proxy", "request_target", "runtime_thread", "shutdown", "telemetry"]),
    ("signing", &["request_target"]),
    ("credentials", &["aws_http", "clock", "downstream", "file_system", "regular_file", "shutdown"]),
    // It is told what happens, and knows nothing of how.
    ("inspector", &["clock", "rfc3339"]),
    (
        "proxy",
        &[
            "clock",
            "cooperative_yield",
            "credentials",
            "downstream",
            "endpoint",
            "forward_proxy",
            "inspector",
            "request_target",
            "signing",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    (
        "admin",
        &["clock", "credentials", "downstream", "inspector", "proxy", "rfc3339", "shutdown", "telemetry"],
    ),
    ("service_manager", &["credentials"]),
    ("sandbox", &["aws_http", "clock", "endpoint", "file_system", "regular_file", "rfc3339"]),
    // It depends on the settings of the components, never the reverse.
    (
        "config",
        &[
            "aws_http",
            "credentials",
            "downstream",
            "endpoint",
            "file_system",
            "forward_proxy",
            "inspector",
            "proxy",
            "regular_file",
            "request_target",
            "signing",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "aws_http",
            "clock",
            "credentials",
            "downstream",
            "inspector",
            "process",
            "proxy",
            "shutdown",
            "telemetry",
        ],
    ),
    ("cli", &["config"]),
    (
        "commands",
        &[
            "app",
            "aws_http",
            "cli",
            "clock",
            "config",
            "credentials",
            "downstream",
            "file_system",
            "inspector",
            "process",
            "proxy",
            "regular_file",
            "rfc3339",
            "sandbox",
            "service_manager",
            "shutdown",
            "signing",
            "telemetry",
        ],
    ),
];

/// The roots of the crate, which may import anything.
const ROOTS: [&str; 2] = ["lib", "main"];

#[test]
fn modules_import_only_what_stands_above_them() {
    let mut above = BTreeSet::new();
    for (module, imports) in ALLOWED {
        for import in *imports {
            assert!(above.contains(import), "{module} may import {import}, which does not stand above it");
        }
        above.insert(*module);
    }
}

#[test]
fn imports_keep_to_the_directions() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in sources(&root) {
        let path = file.strip_prefix(&root).expect("below src");
        let first = path.iter().next().and_then(|name| name.to_str()).expect("a name");
        let module = first.trim_end_matches(".rs").to_owned();
        if ROOTS.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            panic!("src/{} belongs to no module of the table in {}", path.display(), file!());
        };
        let text = fs::read_to_string(&file).expect("a source file");
        // Tests may build what they need out of anything.
        let is_test = path.iter().any(|part| part == "tests.rs" || part == "tests" || part == "script.rs");
        let code = if is_test { "" } else { text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default() };
        for (line, import) in imports(code) {
            if import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("src/{}:{line}: {module} may not import {import}", path.display()));
            }
        }
        seen.insert(module);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let listed: BTreeSet<String> = ALLOWED.iter().map(|(module, _)| (*module).to_owned()).collect();
    assert_eq!(seen, listed, "the table lists modules that are not there");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The modules of the crate that `code` names after `crate::`, in braces or without, with the number of the line.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = &code[..at];
        let line = before.matches('\n').count() + 1;
        let begins_a_path =
            !before.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == ':');
        let is_visibility = before.ends_with("pub(in ");
        let in_comment = before.rsplit('\n').next().unwrap_or_default().trim_start().starts_with("//");
        if !begins_a_path || is_visibility || in_comment {
            continue;
        }
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            Some(list) => found.extend(first_names(list).map(|name| (line, name))),
            None => found.extend(name(path).map(|name| (line, name))),
        }
    }
    found
}

/// The first name of each item of a list in braces, which may have braces inside.
fn first_names(list: &str) -> impl Iterator<Item = String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for letter in list.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ if depth == 0 => items.last_mut().expect("one item at least").push(letter),
            _ => {}
        }
    }
    items.into_iter().filter_map(|item| name(item.trim()))
}

fn name(path: &str) -> Option<String> {
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

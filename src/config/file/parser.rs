//! The keys of the configuration file, with their lines.

use std::{path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{File, RawRoute};
use crate::config::{
    problem::{Problem, nearest},
    source::{Given, Layer, Origin},
    table::{self, Kind, ROUTE_KEYS, SETTINGS, Setting},
};

/// Reads the keys of `text`; what is wrong goes to `problems`.
pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> File {
    let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut parser = Parser { path: path.into(), line_ends, problems };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return parser.file(table.get_ref());
    }
    for error in errors {
        // The error's own Display quotes the line, which may have a secret in it.
        let line = parser.line(error.span().map_or(0, |span| span.start));
        let place = format!("{}:{line}", path.display());
        parser.problems.push(Problem::new(place, format!("is not TOML: {}", error.message())));
    }
    File { broken: true, ..File::default() }
}

type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

struct Parser<'a> {
    path: Arc<Path>,
    /// The offsets of line feeds. Each value has a line, so that counting from the start for each takes quadratic time.
    line_ends: Vec<usize>,
    problems: &'a mut Vec<Problem>,
}

impl Parser<'_> {
    fn file(&mut self, table: &DeTable<'_>) -> File {
        let mut file = File::default();
        for (key, value) in in_order(table) {
            if key.get_ref() == "route" {
                file.routes = self.routes(key, value);
            } else if let Some(setting) = table::find(key.get_ref()) {
                match self.given(key, value, setting.kind) {
                    Some(given) => drop(file.layer.insert(setting.name, given)),
                    None => file.mistyped.push(setting.name),
                }
            } else {
                self.unknown(key, false);
            }
        }
        file
    }

    fn routes(&mut self, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Vec<RawRoute> {
        let tables = value.get_ref().as_array().map(|array| array.iter().collect::<Vec<_>>());
        let Some(tables) = tables.filter(|items| items.iter().all(|item| item.get_ref().is_table())) else {
            self.problem(key, "is a list of tables: write [[route]]");
            return Vec::new();
        };
        let tables = tables.into_iter().filter_map(|item| Some((item, item.get_ref().as_table()?)));
        tables
            .map(|(item, table)| {
                let line = self.line(item.span().start);
                let origin = Origin::File { file: Arc::clone(&self.path), line, key: "[[route]]".to_owned() };
                RawRoute { keys: self.route(table), origin }
            })
            .collect()
    }

    fn route(&mut self, table: &DeTable<'_>) -> Layer {
        let mut layer = Layer::new();
        for (key, value) in in_order(table) {
            match ROUTE_KEYS.iter().find(|(name, _)| name == key.get_ref()) {
                Some((name, kind)) => {
                    let given = self.given(key, value, *kind);
                    layer.extend(given.map(|given| (*name, given)));
                }
                None => self.unknown(key, true),
            }
        }
        layer
    }

    fn given(&mut self, key: &Key<'_>, value: &Spanned<DeValue<'_>>, kind: Kind) -> Option<Vec<Given>> {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) if kind == Kind::List => items.iter().collect(),
            _ => vec![value],
        };
        let count = items.len();
        let given: Vec<Given> = items.into_iter().filter_map(|item| self.item(key, item, kind)).collect();
        (given.len() == count).then_some(given)
    }

    fn item(&mut self, key: &Key<'_>, value: &Spanned<DeValue<'_>>, kind: Kind) -> Option<Given> {
        match text_of(value.get_ref(), kind) {
            Ok(text) => {
                let line = self.line(value.span().start);
                let origin =
                    Origin::File { file: Arc::clone(&self.path), line, key: key.get_ref().to_string() };
                Some(Given { text, origin })
            }
            Err(expected) => {
                let name = key.get_ref();
                let meant =
                    meant(value.get_ref(), name, kind).map(|meant| format!("; write {name} = {meant}"));
                let meant = meant.unwrap_or_default();
                self.problem(key, &format!("expected {expected}, found {}{meant}", found(value.get_ref())));
                None
            }
        }
    }

    fn unknown(&mut self, key: &Key<'_>, in_route: bool) {
        let name = key.get_ref().as_ref();
        let message = if let Some((setting, secret)) = secret_named(name) {
            let variable = table::variable_of(secret);
            format!("secrets do not belong in the file: use {} or the variable {variable}", setting.name)
        } else if in_route && table::find(name).is_some() {
            "is not a key of [[route]] and belongs above the first one".to_owned()
        } else if in_route {
            let near = nearest(name, ROUTE_KEYS.iter().map(|(key, _)| *key));
            with_nearest("is not a key of [[route]]", near)
        } else if ROUTE_KEYS.iter().any(|(key, _)| *key == name) {
            "belongs in a [[route]]".to_owned()
        } else {
            let near = nearest(name, SETTINGS.iter().map(|setting| setting.name).chain(["route"]));
            with_nearest("is not a setting", near)
        };
        self.problem(key, &message);
    }

    fn problem(&mut self, key: &Key<'_>, message: &str) {
        let line = self.line(key.span().start);
        let place = format!("{}:{line}: {}", self.path.display(), key.get_ref().escape_debug());
        self.problems.push(Problem::new(place, message));
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.line_ends.partition_point(|end| *end < offset)
    }
}

/// The keys of a table in the order of the file.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a Key<'i>, &'a Spanned<DeValue<'i>>)> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    keys
}

/// The setting for a secret that is named `password`, `client_secret` and so on, and the secret's name.
fn secret_named(name: &str) -> Option<(&'static Setting, &'static str)> {
    let name = name.replace('_', "-");
    let secrets = SETTINGS.iter().filter_map(|setting| Some((setting, setting.secret()?)));
    secrets.into_iter().find(|(_, secret)| *secret == name)
}

fn with_nearest(message: &str, near: Option<&str>) -> String {
    near.map_or_else(|| message.to_owned(), |near| format!("{message}; did you mean {near}?"))
}

/// The value as a flag would have it, or what was expected instead.
fn text_of(value: &DeValue<'_>, kind: Kind) -> Result<String, &'static str> {
    match (kind, value) {
        (Kind::Text | Kind::SecretFile | Kind::List | Kind::Size, DeValue::String(text)) => {
            Ok(text.to_string())
        }
        (Kind::Number | Kind::Size, DeValue::Integer(number)) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map(|number| number.to_string()).map_err(|_| "a smaller number")
        }
        (Kind::Switch, DeValue::Boolean(switch)) => Ok(switch.to_string()),
        (Kind::Text | Kind::SecretFile, _) => Err("text in quotes"),
        (Kind::List, _) => Err("a list of texts in quotes"),
        (Kind::Number, _) => Err("a whole number"),
        (Kind::Size, _) => Err("a size such as \"10MiB\" or a whole number of bytes"),
        (Kind::Switch, _) => Err("true or false"),
    }
}

/// What was meant by a value of a wrong type, as the file has it.
fn meant(value: &DeValue<'_>, key: &str, kind: Kind) -> Option<String> {
    match (kind, value) {
        (Kind::Text, DeValue::Integer(number)) if key.ends_with("listen") => {
            Some(format!("\"localhost:{}\"", number.as_str()))
        }
        (Kind::Text, DeValue::Integer(number)) if key.ends_with("timeout") => {
            Some(format!("\"{}s\"", number.as_str()))
        }
        (Kind::Number, DeValue::String(text)) if text.parse::<u32>().is_ok() => Some(text.to_string()),
        (Kind::Switch, DeValue::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" => Some("true".to_owned()),
            "false" | "off" | "no" => Some("false".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

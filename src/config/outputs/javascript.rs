//! The object that a JavaScript file assigns or exports, such as Amplify's `aws-exports.js`.
//!
//! Only literals are read: comments, either kind of quotes, names without quotes and commas at the end are all fine. A
//! value that JavaScript would have to compute (`process.env.POOL`) counts as null.

use serde_json::{Map, Number, Value};

/// Deeper nesting is no configuration, and would use up the stack.
const MAX_DEPTH: usize = 64;

/// Reads the first object that follows `=`, `default`, `return` or an opening parenthesis.
///
/// # Errors
/// When there is none, or when it does not end.
pub(super) fn object(text: &str) -> Result<Value, String> {
    let mut source = Source { rest: text };
    let mut may_begin = false;
    while let Some(first) = source.peek() {
        match first {
            '{' if may_begin => {
                return source.value(0).map_err(|message| located(&message, text, source.rest));
            }
            '"' | '\'' | '`' => {
                source.string().map_err(|message| located(&message, text, source.rest))?;
                may_begin = false;
            }
            letter if is_of_name(letter) => may_begin = matches!(source.name(), "default" | "return"),
            other => {
                source.skip(other);
                may_begin = matches!(other, '=' | '(');
            }
        }
    }
    Err("it assigns or exports no object".to_owned())
}

fn located(message: &str, text: &str, rest: &str) -> String {
    let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
    format!("{message} in line {line}")
}

struct Source<'a> {
    rest: &'a str,
}

impl<'a> Source<'a> {
    /// The next character that is neither white space nor part of a comment.
    fn peek(&mut self) -> Option<char> {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("//") {
                self.rest = comment.find('\n').map_or("", |end| &comment[end..]);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
            } else {
                return self.rest.chars().next();
            }
        }
    }

    fn skip(&mut self, character: char) {
        self.rest = &self.rest[character.len_utf8()..];
    }

    /// Skips `wanted` if it comes next.
    fn accept(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.skip(wanted);
        }
        is_next
    }

    fn name(&mut self) -> &'a str {
        let end = self.rest.find(|letter| !is_of_name(letter)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
        let before = self.rest;
        let literal = match self.peek() {
            Some('{') => self.members(depth)?,
            Some('[') => self.elements(depth)?,
            Some('"' | '\'' | '`') => Value::String(self.string()?),
            Some(letter) if is_of_name(letter) || letter == '-' => self.word(),
            _ => Value::Null,
        };
        // What follows a literal and is no separator makes an expression of it: 'a' + b.
        if depth == 0 || matches!(self.peek(), Some(',' | '}' | ']')) {
            return Ok(literal);
        }
        self.rest = before;
        self.expression().map(|()| Value::Null)
    }

    fn members(&mut self, depth: usize) -> Result<Value, String> {
        self.skip('{');
        let mut members = Map::new();
        while !self.accept('}') {
            let name = match self.peek() {
                Some('"' | '\'') => self.string()?,
                Some(letter) if is_of_name(letter) => self.name().to_owned(),
                // A spread or a computed name.
                Some(_) => String::new(),
                None => return Err("the object does not end".to_owned()),
            };
            if self.accept(':') {
                let value = self.value(depth + 1)?;
                members.insert(name, value);
            } else {
                self.expression()?;
            }
            if !self.accept(',') && self.peek() != Some('}') {
                return Err("expected a comma".to_owned());
            }
        }
        Ok(Value::Object(members))
    }

    fn elements(&mut self, depth: usize) -> Result<Value, String> {
        self.skip('[');
        let mut elements = Vec::new();
        while !self.accept(']') {
            elements.push(self.value(depth + 1)?);
            if !self.accept(',') && self.peek() != Some(']') {
                return Err("expected a comma".to_owned());
            }
        }
        Ok(Value::Array(elements))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let quote = characters.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                end if Some(end) == quote => {
                    self.rest = &self.rest[at + end.len_utf8()..];
                    return Ok(text);
                }
                // No id and no URL needs the other escapes.
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        Err("a string does not end".to_owned())
    }

    fn word(&mut self) -> Value {
        let end =
            self.rest.find(|c: char| !is_of_name(c) && !matches!(c, '-' | '.')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            word => word.parse::<Number>().map_or(Value::Null, Value::Number),
        }
    }

    /// Skips to the separator that ends an expression.
    fn expression(&mut self) -> Result<(), String> {
        let mut open = 0_usize;
        while let Some(next) = self.peek() {
            match next {
                ',' | '}' | ']' if open == 0 => return Ok(()),
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open = open.saturating_sub(1),
                '"' | '\'' | '`' => {
                    self.string()?;
                    continue;
                }
                _ => {}
            }
            self.skip(next);
        }
        Err("the object does not end".to_owned())
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_is_found_behind_comments_imports_and_types() {
        for text in [
            "/* eslint-disable */\n// = { no: 1 }\nconst awsmobile = {\"a\": \"b\",};\n\nexport default awsmobile;",
            "import { x } from './y'\nexport default { a: 'b' }",
            "module.exports = {a: `b`}",
            "const config: Config<{}> = { 'a': 'b', /* } */ }",
            "Amplify.configure({ a: \"b\" })",
        ] {
            assert_eq!(object(text), Ok(json!({ "a": "b" })), "{text}");
        }
    }

    #[test]
    fn literals_are_read_and_expressions_are_null() {
        let text = "export default {
            list: ['x', {y: -1.5}, true, [],],
            env: process.env.POOL || 'none',
            sum: 'a' + f({ b: ['}'] }),
            ...rest,
            [computed]: 1,
            method() { return 1 },
            escaped: 'it\\'s',
            last: false
        } as const;";
        let expected = json!({
            "list": ["x", { "y": -1.5 }, true, []],
            "env": null,
            "sum": null,
            "escaped": "it's",
            "last": false,
        });
        assert_eq!(object(text), Ok(expected));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_line() {
        for (text, message) in [
            ("", "it assigns or exports no object"),
            ("export default awsmobile;", "it assigns or exports no object"),
            ("const a = {\n  b: 1,\n", "the object does not end in line 3"),
            ("const a = {\n  b: 'c\n}", "a string does not end in line 2"),
        ] {
            assert_eq!(object(text), Err(message.to_owned()), "{text}");
        }
        let deep = format!("a = {}", "{a:".repeat(100_000));
        assert!(object(&deep).expect_err("too deep").contains("levels deep"));
    }
}

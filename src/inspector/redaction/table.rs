//! Tables of separated values: the cells below a header that names a secret.

use std::ops::Range;

use memchr::memchr;

use super::names::{MAX_NAME, normal};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// How many words the name of a column may have: more are a sentence.
const MAX_WORDS: usize = 3;

/// The cells of `text` below names that are secret, in order; none if it is no table.
pub(super) fn secret_cells(text: &str, is_secret: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let Some(end) = memchr(b'\n', bytes) else { return Vec::new() };
    let count = |delimiter: &u8| memchr::memchr_iter(*delimiter, &bytes[..end]).count();
    let delimiter = DELIMITERS.into_iter().max_by_key(count).unwrap_or(b',');
    let names: Vec<_> = Rows { bytes: &bytes[..=end], delimiter, at: 0 }.next().unwrap_or_default();
    let secret: Vec<bool> = names
        .iter()
        .map(|cell| is_name(&text[cell.clone()]) && is_secret(&normal(&bytes[cell.clone()])))
        .collect();
    if !secret.contains(&true) {
        return Vec::new();
    }
    let rows = Rows { bytes, delimiter, at: end + 1 };
    let is_table = rows.clone().next().is_some_and(|first| first.len() == names.len());
    if !is_table || names.len() == 1 && text[..end].trim().contains(' ') {
        return Vec::new();
    }
    let cells = rows.flat_map(|row| row.into_iter().zip(&secret).filter(|(_, secret)| **secret));
    cells.map(|(cell, _)| cell).filter(|cell| !cell.is_empty()).collect()
}

fn is_name(cell: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "-_. \u{feff}".contains(letter);
    cell.len() <= MAX_NAME && cell.chars().all(is_part) && cell.split_whitespace().count() <= MAX_WORDS
}

/// The cells of each row, without their quotes (RFC 4180).
#[derive(Clone)]
struct Rows<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    at: usize,
}

impl Iterator for Rows<'_> {
    type Item = Vec<Range<usize>>;

    fn next(&mut self) -> Option<Vec<Range<usize>>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let mut cells = Vec::new();
        loop {
            cells.push(self.cell());
            let ending = self.bytes.get(self.at).copied();
            self.at += 1;
            if ending != Some(self.delimiter) {
                return Some(cells);
            }
        }
    }
}

impl Rows<'_> {
    /// The cell that begins at `at`; afterwards that is where it ends.
    fn cell(&mut self) -> Range<usize> {
        let ends = |byte: &u8| *byte == self.delimiter || *byte == b'\n';
        let rest = &self.bytes[self.at..];
        let blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
        if rest.get(blanks) != Some(&b'"') {
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            let start = self.at + blanks.min(length);
            self.at += length;
            let cell = &self.bytes[start..self.at];
            return start..start + cell.trim_ascii_end().len();
        }
        let start = self.at + blanks + 1;
        let mut end = start;
        // A quote within quotes is written twice.
        while let Some(quote) = memchr(b'"', &self.bytes[end..]).map(|quote| end + quote) {
            if self.bytes.get(quote + 1) != Some(&b'"') {
                let behind = &self.bytes[quote..];
                self.at = quote + behind.iter().position(ends).unwrap_or(behind.len());
                return start..quote;
            }
            end = quote + 2;
        }
        self.at = self.bytes.len();
        start..self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<&str> {
        let is_secret = |name: &str| name.ends_with("password") || name == "apikey";
        secret_cells(text, is_secret).into_iter().map(|cell| &text[cell]).collect()
    }

    #[test]
    fn cells_below_a_secret_name_are_found_in_every_row() {
        for (text, expected) in [
            ("user,password\nada,one\ngrace,two\n", &["one", "two"][..]),
            ("\u{feff}user;API key;n\r\nada;one;1\r\ngrace;two;2", &["one", "two"]),
            ("user\tPassword\nada\tone", &["one"]),
            ("\"user\",\"password\"\n\"a,b\nc\",\"on\"\"e,1\"\nd,two\n", &["on\"\"e,1", "two"]),
            ("password\none\ntwo\n", &["one", "two"]),
            ("a,password\nb,\"it is cut", &["it is cut"]),
            ("a,password\nb,\nc\nd,two,3", &["two"]),
        ] {
            assert_eq!(cells(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_is_no_table_has_no_cells() {
        for text in [
            "",
            "user,password",
            "user,password\nis what a form has",
            "the password\nstands below",
            "He typed his name, and then he was asked for a password\nof eight letters, which he did not know",
        ] {
            assert_eq!(cells(text), [""; 0], "{text:?}");
        }
    }
}

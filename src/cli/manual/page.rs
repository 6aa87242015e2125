//! A manual page in roff, with lines of its source that are short and end in no space, as `mandoc -T lint` asks.

pub(super) use roff::{Inline, bold, italic, roman};

use roff::Roff;

/// Longest line of the source.
const MAX_LINE: usize = 80;

#[derive(Debug)]
pub(super) struct Page(Roff);

impl Page {
    /// A page with its header and footer.
    pub(super) fn new(name: &str, date: &str) -> Self {
        let mut roff = Roff::new();
        let version = concat!("countersign ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [&name.to_uppercase(), "1", date, version, "Countersign Manual"]);
        // Names of commands and variables, which people copy, are not broken.
        roff.control("nh", []).control("ad", ["l"]);
        Self(roff)
    }

    pub(super) fn render(&self) -> String {
        self.0.render()
    }

    pub(super) fn section(&mut self, heading: &str) {
        self.0.control("SH", [heading]);
    }

    pub(super) fn subsection(&mut self, heading: &str) {
        self.0.control("SS", [heading]);
    }

    /// What clap says of the usage: `Usage: countersign exec [OPTIONS] -- <PROGRAM>...`.
    pub(super) fn usage(&mut self, usage: &str) {
        let usage = usage.trim_start_matches("Usage: ").replace(['<', '>'], "");
        let kind = |letter: char| (letter.is_ascii_uppercase(), matches!(letter, '[' | ']' | '.' | ' '));
        let letters: Vec<_> = usage.chars().collect();
        let parts = letters.chunk_by(|one, other| kind(*one) == kind(*other)).map(|letters| {
            let text: String = letters.iter().collect();
            match kind(letters[0]) {
                (true, _) => italic(text),
                (_, true) => roman(text),
                _ => bold(text),
            }
        });
        self.0.text(parts.collect::<Vec<_>>());
    }

    /// Text in which names stand between backticks.
    pub(super) fn text(&mut self, text: &str) {
        for line in lines(text) {
            self.0.text(line);
        }
    }

    /// Text after an empty line.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.0.control("PP", []);
        self.text(text);
    }

    /// A term with what it means below.
    pub(super) fn entry(&mut self, term: impl Into<Vec<Inline>>, text: &str) {
        self.0.control("TP", []);
        self.0.text(term);
        self.text(text);
    }

    /// Several terms with one meaning.
    pub(super) fn entry_of_names(&mut self, names: &[&str], text: &str) {
        for (index, name) in names.iter().enumerate() {
            self.0.control(if index == 0 { "TP" } else { "TQ" }, []);
            self.0.text([bold(*name)]);
        }
        self.text(text);
    }

    /// Another line of an entry.
    pub(super) fn line_of_entry(&mut self, text: &str) {
        self.0.control("br", []);
        self.text(text);
    }

    /// Names of pages with commas between them.
    pub(super) fn references(&mut self, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            let end = if index + 1 < names.len() { "(1)," } else { "(1)" };
            self.0.text([bold(name), roman(end)]);
        }
    }
}

/// The words of `text` in lines; what stands between backticks is bold.
fn lines(text: &str) -> Vec<Vec<Inline>> {
    let mut lines = vec![Vec::new()];
    let mut width = 0;
    let mut is_bold = false;
    for word in text.split_whitespace() {
        let parts = word.split('`').enumerate().map(|(index, part)| {
            is_bold ^= index > 0;
            if is_bold { bold(part) } else { roman(part) }
        });
        let parts: Vec<_> = parts.filter(is_not_empty).collect();
        let word_width: usize = parts.iter().map(source_width).sum();
        if width > 0 && width + 1 + word_width > MAX_LINE {
            lines.push(Vec::new());
            width = 0;
        }
        let line = lines.last_mut().expect("never empty");
        if width > 0 {
            line.push(roman(" "));
            width += 1;
        }
        line.extend(parts);
        width += word_width;
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn is_not_empty(part: &Inline) -> bool {
    !matches!(part, Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) if text.is_empty())
}

/// How many bytes `part` takes in the source: hyphens, backslashes and apostrophes are escaped.
fn source_width(part: &Inline) -> usize {
    let (text, font) = match part {
        Inline::Roman(text) => (text, 0),
        Inline::Bold(text) | Inline::Italic(text) => (text, r"\fB\fR".len()),
        Inline::LineBreak => return 0,
    };
    let width = |letter: char| match letter {
        '-' | '\\' => 2,
        '\'' => r"\*(Aq".len(),
        _ => letter.len_utf8(),
    };
    font + text.chars().map(width).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(write: impl FnOnce(&mut Page)) -> Vec<String> {
        let mut page = Page(Roff::new());
        write(&mut page);
        page.render().lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn names_between_backticks_are_bold_also_where_they_have_spaces() {
        let lines = source(|page| page.text("set `max body`, or not"));
        assert_eq!(lines, [r"set \fBmax\fR \fBbody\fR, or not"]);
    }

    #[test]
    fn no_line_is_longer_than_a_linter_allows() {
        let text = "user's --flag-with-hyphens `and-a-name` ".repeat(20);
        let lines = source(|page| page.text(&text));
        assert!(lines.len() > 5, "{lines:?}");
        for line in lines {
            assert!(line.len() <= MAX_LINE && line.trim() == line, "{line:?}");
        }
    }

    #[test]
    fn usage_has_its_placeholders_in_italics() {
        assert_eq!(
            source(|page| page.usage("Usage: countersign exec [OPTIONS] -- <PROGRAM>...")),
            [r"\fBcountersign\fR \fBexec\fR [\fIOPTIONS\fR] \fB\-\-\fR \fIPROGRAM\fR..."]
        );
    }
}

//! Text within the columns of a terminal, of which a letter takes none, one or two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// No line is wider than this.
pub(super) const COLUMNS: usize = 100;

/// One line without what moves the cursor, changes colours or reverses the direction of text: clients choose paths, and
/// the upstream chooses its words.
pub(super) fn printable(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\n' | '\t' => ' ',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.chars().map(shown).collect()
}

/// `text` within so many columns, cut in the middle: a path's first and last segments tell most.
pub(super) fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let front = prefix(text, kept / 2);
    let end = text.len() - suffix(text, kept - text[..front].width());
    format!("{}…{}", &text[..front], &text[end..])
}

/// The length of the longest beginning of `text` that takes no more than so many columns, in bytes.
fn prefix(text: &str, columns: usize) -> usize {
    fitting(text.chars(), columns)
}

/// The same of its end.
fn suffix(text: &str, columns: usize) -> usize {
    fitting(text.chars().rev(), columns)
}

fn fitting(letters: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut left = columns;
    let fits = |letter: &char| match left.checked_sub(width(*letter)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    letters.take_while(fits).map(char::len_utf8).sum()
}

fn width(letter: char) -> usize {
    letter.width().unwrap_or_default()
}

/// `text` broken between words into lines of [`COLUMNS`] at most. The first line starts in column `first`, the others
/// behind `indent` blanks. A word that is longer than a line is broken where the line ends.
pub(super) fn fold_words(text: &str, first: usize, indent: usize) -> String {
    let mut folded = String::new();
    let mut column = first;
    for (number, line) in text.trim_end().lines().enumerate() {
        if number > 0 {
            break_line(&mut folded, &mut column, indent);
        }
        let mut is_at_start = true;
        for word in line.split_whitespace() {
            let gap = usize::from(!is_at_start);
            if column + gap + word.width() > COLUMNS && !is_at_start {
                break_line(&mut folded, &mut column, indent);
            } else if gap > 0 {
                folded.push(' ');
                column += 1;
            }
            for letter in word.chars() {
                if column + width(letter) > COLUMNS {
                    break_line(&mut folded, &mut column, indent);
                }
                folded.push(letter);
                column += width(letter);
            }
            is_at_start = false;
        }
    }
    folded
}

fn break_line(folded: &mut String, column: &mut usize, indent: usize) {
    folded.push('\n');
    folded.extend(std::iter::repeat_n(' ', indent));
    *column = indent;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_in_the_middle() {
        assert_eq!(shorten("/short", 6), "/short");
        assert_eq!(shorten("/orders/2026/items", 9), "/ord…tems");
        assert_eq!(shorten("/äöü/äöü", 5), "/ä…öü");
        assert_eq!(shorten("/注文/一覧", 10), "/注文/一覧");
        assert_eq!(shorten("/注文/一覧", 9), "/注…/一覧");
        assert_eq!(shorten("/注文/一覧", 8), "/注…一覧");
    }

    #[test]
    fn words_go_to_the_next_line_and_longer_ones_are_broken() {
        let text = format!("{} {} end", "a".repeat(60), "b".repeat(150));
        let folded = fold_words(&text, 9, 9);
        let lines: Vec<&str> = folded.lines().collect();
        assert_eq!(lines[0], "a".repeat(60));
        assert_eq!(lines[1], format!("{}{}", " ".repeat(9), "b".repeat(91)));
        assert_eq!(lines[2], format!("{}{} end", " ".repeat(9), "b".repeat(59)));
        assert_eq!(fold_words("one\ntwo", 9, 2), "one\n  two");
        let folded = fold_words(&"注".repeat(100), 9, 9);
        assert_eq!(folded.lines().map(str::width).collect::<Vec<_>>(), [90, 99, 29]);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(printable("a\u{1b}[31m\tb\u{202e}c\nd"), "a\u{fffd}[31m b\u{fffd}c d");
    }
}

//! Text within the columns of a terminal.

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
    let length = text.chars().count();
    if length <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let front = kept / 2;
    let start = text.chars().take(front);
    let end = text.chars().skip(length - (kept - front));
    start.chain(['…']).chain(end).collect()
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
            let width = word.chars().count();
            if column + gap + width > COLUMNS && !is_at_start {
                break_line(&mut folded, &mut column, indent);
            } else if gap > 0 {
                folded.push(' ');
                column += 1;
            }
            for letter in word.chars() {
                if column == COLUMNS {
                    break_line(&mut folded, &mut column, indent);
                }
                folded.push(letter);
                column += 1;
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
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(printable("a\u{1b}[31m\tb\u{202e}c\nd"), "a\u{fffd}[31m b\u{fffd}c d");
    }
}

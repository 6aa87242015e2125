//! Lines of requests that repeat each other at a terminal: the first is written at once, those that follow within a
//! second are held back, and then the last of them is written with their number.

use std::time::Duration;

use tokio::time::Instant;

/// How long a line speaks for those that are the same.
const WINDOW: Duration = Duration::from_secs(1);

/// Different lines that are remembered. What comes beyond them is written as it comes.
const MAX_REMEMBERED: usize = 32;

/// The words of a line that make it the same as another, behind the time: method, path, status, and the code or the
/// size.
const KEY_WORDS: std::ops::Range<usize> = 1..5;

/// The lines of the last second.
#[derive(Debug, Default)]
pub(super) struct Folding(Vec<Remembered>);

#[derive(Debug)]
struct Remembered {
    key: Vec<u8>,
    written: Instant,
    held: Option<Held>,
}

/// The last of the lines that are held back, and how many they are.
#[derive(Debug)]
struct Held {
    line: Vec<u8>,
    count: u64,
}

impl Folding {
    /// Whether a line is to be written now; else it is held back.
    pub(super) fn admit(&mut self, line: &[u8], now: Instant) -> bool {
        self.0.retain(|known| known.held.is_some() || now < known.written + WINDOW);
        let key = key(line);
        match self.0.iter_mut().find(|known| known.key == key) {
            Some(known) => {
                let count = known.held.as_ref().map_or(0, |held| held.count) + 1;
                known.held = Some(Held { line: line.to_vec(), count });
                false
            }
            None => {
                if self.0.len() < MAX_REMEMBERED {
                    self.0.push(Remembered { key, written: now, held: None });
                }
                true
            }
        }
    }

    /// When the next line that is held back has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.iter().filter(|known| known.held.is_some()).map(|known| known.written + WINDOW).min()
    }

    /// Appends the lines that have been held back for long enough.
    pub(super) fn release_due(&mut self, now: Instant, lines: &mut Vec<u8>) {
        for known in self.0.iter_mut().filter(|known| now >= known.written + WINDOW) {
            known.release(now, lines);
        }
    }

    /// Appends all lines that are held back.
    pub(super) fn release_all(&mut self, lines: &mut Vec<u8>) {
        for known in &mut self.0 {
            known.release(known.written, lines);
        }
    }
}

impl Remembered {
    fn release(&mut self, now: Instant, lines: &mut Vec<u8>) {
        let Some(Held { line, count }) = self.held.take() else { return };
        self.written = now;
        lines.extend_from_slice(line.trim_ascii_end());
        if count > 1 {
            lines.extend_from_slice(format!(" ×{count}").as_bytes());
        }
        lines.push(b'\n');
    }
}

fn key(line: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = line.splitn(KEY_WORDS.end + 1, |&byte| byte == b' ').collect();
    words.get(KEY_WORDS).unwrap_or_default().join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(folding: &mut Folding, now: Instant) -> String {
        let mut lines = Vec::new();
        folding.release_due(now, &mut lines);
        String::from_utf8(lines).expect("text")
    }

    #[test]
    fn the_first_line_is_written_and_the_last_of_its_repeats_with_their_number() {
        let (mut folding, start) = (Folding::default(), Instant::now());
        assert!(folding.admit(b"12:00:00 GET /a 200 2 B 1 ms\n", start));
        for took in 2..5 {
            assert!(!folding.admit(format!("12:00:00 GET /a 200 2 B {took} ms\n").as_bytes(), start));
        }
        assert!(folding.admit(b"12:00:00 GET /a 404 2 B 1 ms\n", start), "another status");
        assert_eq!(folding.due(), Some(start + WINDOW));
        assert_eq!(released(&mut folding, start), "");
        assert_eq!(released(&mut folding, start + WINDOW), "12:00:00 GET /a 200 2 B 4 ms ×3\n");
        assert_eq!(folding.due(), None);
        assert!(
            !folding.admit(b"12:00:01 GET /a 200 2 B 1 ms\n", start + WINDOW),
            "it speaks for another second"
        );
        assert_eq!(released(&mut folding, start + 2 * WINDOW), "12:00:01 GET /a 200 2 B 1 ms\n");
        assert!(folding.admit(b"12:00:04 GET /a 200 2 B 1 ms\n", start + 4 * WINDOW));
    }

    #[test]
    fn what_is_held_back_is_not_lost_at_the_end() {
        let (mut folding, start) = (Folding::default(), Instant::now());
        for _ in 0..3 {
            folding.admit(b"12:00:00 GET /a 200 2 B 1 ms\n", start);
        }
        let mut lines = Vec::new();
        folding.release_all(&mut lines);
        assert_eq!(lines, "12:00:00 GET /a 200 2 B 1 ms ×2\n".as_bytes());
        folding.release_all(&mut lines);
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn different_lines_beyond_those_that_are_remembered_are_written() {
        let (mut folding, now) = (Folding::default(), Instant::now());
        for number in 0..MAX_REMEMBERED * 2 {
            assert!(folding.admit(format!("12:00:00 GET /{number} 200 2 B 1 ms\n").as_bytes(), now));
        }
        assert_eq!(folding.0.len(), MAX_REMEMBERED);
    }
}

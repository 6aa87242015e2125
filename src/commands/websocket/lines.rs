//! The lines of standard input, which become messages.

use std::{
    io::{self, BufRead, Read},
    thread,
};

use tokio::sync::mpsc;

/// Bytes of a line. The longest message of API Gateway has 128 KiB; other APIs take more.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// Reads standard input on a thread of its own. The process ends without it: at a terminal, nothing ends the reading of
/// a line but the person.
///
/// # Errors
/// When the system refuses a thread.
pub(super) fn of_stdin() -> io::Result<mpsc::Receiver<io::Result<String>>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next(&mut input).transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// The next line without its end; the last one may have none.
fn next(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    input.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() as u64 > MAX_LINE {
        let text = format!("a line of the input is longer than {MAX_LINE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    String::from_utf8(line).map(Some).map_err(|_| {
        let text = "a line of the input is not UTF-8, as a text message must be";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<Result<String, io::ErrorKind>> {
        std::iter::from_fn(|| next(&mut input).transpose())
            .map(|line| line.map_err(|error| error.kind()))
            .collect()
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        for (input, lines) in
            [(&b""[..], &[][..]), (b"a\nb\r\n\n c \nd", &["a", "b", "", " c ", "d"]), (b"\r\r\n", &["\r"])]
        {
            let lines: Vec<_> = lines.iter().map(|line| Ok((*line).to_owned())).collect();
            assert_eq!(all(input), lines, "{input:?}");
        }
    }

    #[test]
    fn what_is_no_text_and_what_is_endless_is_an_error() {
        assert_eq!(all(b"\xFF\n"), [Err(io::ErrorKind::InvalidData)]);
        let mut endless = io::repeat(b'x').take(MAX_LINE * 4);
        assert_eq!(
            next(&mut io::BufReader::new(&mut endless)).map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidData)
        );
    }
}

//! Exchanges of refresh tokens, which the end of the process waits for.
//!
//! Between the moment in which a refresh token is sent and the moment in which its successor is on the disk, the only
//! good token is in this process. Commands end in many ways: by a signal, by an error, at a deadline. So the exchange
//! is a task of its own, which no end of a command cancels, and [`settled`] is the last thing that every command does.

use std::{error, fmt, sync::LazyLock, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// An exchange is two calls of ten seconds at most.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(20);

/// A disk that takes longer may never answer.
const LONGEST_WRITE: Duration = Duration::from_secs(5);

/// Global because it is about the process: whoever ends it must know, whatever else it has been told.
static UNDER_WAY: LazyLock<watch::Sender<UnderWay>> = LazyLock::new(watch::Sender::default);

#[derive(Clone, Copy, Debug, Default)]
struct UnderWay {
    exchanges: u32,
    writes: u32,
}

impl UnderWay {
    fn is_nothing(&self) -> bool {
        self.exchanges == 0 && self.writes == 0
    }
}

/// A refresh token that is being replaced, from its exchange until its successor is stored.
#[derive(Debug)]
pub(super) struct Rotation {
    is_exchanged: bool,
}

impl Rotation {
    /// Must be called before the token is sent.
    pub(super) fn begin() -> Self {
        UNDER_WAY.send_modify(|under_way| under_way.exchanges += 1);
        Self { is_exchanged: false }
    }

    /// The successor is here, and on the disk once `self` is dropped.
    pub(super) fn exchanged(mut self) -> Self {
        UNDER_WAY.send_modify(|under_way| {
            under_way.exchanges -= 1;
            under_way.writes += 1;
        });
        self.is_exchanged = true;
        self
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        UNDER_WAY.send_modify(|under_way| match self.is_exchanged {
            true => under_way.writes -= 1,
            false => under_way.exchanges -= 1,
        });
    }
}

/// Runs `work` to its end, also when nobody waits for it any more.
pub(in crate::credentials) fn run_to_end<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "its owner is the process, which awaits it in `settled`")]
    tokio::spawn(work)
}

/// Waits until no refresh token is being replaced: 20 s at most for the user pool, and 5 s for the disk.
///
/// # Errors
/// When one still is.
pub async fn settled() -> Result<(), NotStored> {
    until_nothing(UNDER_WAY.subscribe()).await
}

async fn until_nothing(mut under_way: watch::Receiver<UnderWay>) -> Result<(), NotStored> {
    if under_way.borrow().is_nothing() {
        return Ok(());
    }
    tracing::info!("finishing the renewal of the session before the end");
    let deadline = Instant::now() + LONGEST_EXCHANGE;
    // The sender is there as long as the process, so that only the deadline can end these waits early.
    let _ = timeout_at(deadline, under_way.wait_for(|under_way| under_way.exchanges == 0)).await;
    let deadline = Instant::now() + LONGEST_WRITE;
    match timeout_at(deadline, under_way.wait_for(UnderWay::is_nothing)).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(NotStored),
    }
}

/// The process ends with a refresh token that is not on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored;

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the user pool has issued a new refresh token, which could not be stored; if the next command is refused, \
             run `countersign login`",
        )
    }
}

impl error::Error for NotStored {}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_longer_for_the_user_pool_than_for_the_disk() {
        let seconds = Duration::from_secs;
        for (exchange, write, expected) in [
            (0, 0, (Ok(()), 0)),
            (19, 0, (Ok(()), 19)),
            (19, 4, (Ok(()), 23)),
            (0, 4, (Ok(()), 4)),
            (0, 6, (Err(NotStored), 5)),
            (19, 6, (Err(NotStored), 24)),
            (60, 0, (Err(NotStored), 25)),
        ] {
            let (sender, under_way) = watch::channel(UnderWay::default());
            let begin = |exchanges, writes| sender.send_replace(UnderWay { exchanges, writes });
            begin(u32::from(exchange > 0), u32::from(exchange == 0 && write > 0));
            let began = Instant::now();
            let working = async {
                sleep(seconds(exchange)).await;
                begin(0, u32::from(write > 0));
                sleep(seconds(write)).await;
                begin(0, 0);
                std::future::pending::<()>().await;
            };
            let ended = tokio::select! {
                ended = until_nothing(under_way) => ended,
                () = working => unreachable!("it does not end"),
            };
            assert_eq!((ended, began.elapsed().as_secs()), expected, "{exchange} {write}");
        }
    }
}

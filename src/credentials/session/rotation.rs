//! Exchanges of refresh tokens, which the process waits for before it ends.
//!
//! From the moment a refresh token is sent until its successor is on the disk, the only good token is in this process.
//! A command may end at any time, by a signal, an error or a deadline. So the exchange runs as a separate task, which
//! no end of a command cancels, and [`settled`] is the last thing that every command does.

use std::{error, fmt, sync::LazyLock, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// An exchange makes at most two calls of ten seconds.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// A disk that needs longer may never respond.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Global, since it is about the process as a whole: every way to end it must wait for this.
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

/// The replacement of a refresh token, from the exchange until the new one is stored.
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

    /// Notes that the new token has arrived. Drop the result once it is on the disk.
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

/// Runs `work` to its end, even if the caller stops waiting.
pub(in crate::credentials) fn run_to_end<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "its owner is the process, which awaits it in `settled`")]
    tokio::spawn(work)
}

/// Waits until no refresh token is being replaced: at most 20 s for the user pool and 5 s for the disk.
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
    tracing::info!("finishing the renewal of the session before exiting");
    let deadline = Instant::now() + EXCHANGE_TIMEOUT;
    // The sender outlives this wait, so that only the deadline can end it early.
    let _ = timeout_at(deadline, under_way.wait_for(|under_way| under_way.exchanges == 0)).await;
    let deadline = Instant::now() + WRITE_TIMEOUT;
    match timeout_at(deadline, under_way.wait_for(UnderWay::is_nothing)).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(NotStored),
    }
}

/// The process ends although the newest refresh token is not on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored;

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the user pool has issued a new refresh token that could not be stored; if the next command is refused, \
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

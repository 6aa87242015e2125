//! Who serves the accepted connections: the runtime that accepts them, or threads with runtimes of their own.
//!
//! A connection stays with one worker, and so does everything that its requests set in motion: no task moves
//! between threads, and no lock is waited for.

use std::{future::Future, io, sync::Arc, thread};

use smallvec::SmallVec;
use tokio::{
    runtime,
    sync::{
        mpsc::{self, error::SendError},
        oneshot,
    },
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, error, warn};

use super::{ConnectionEnd, HttpService, Settings, acceptor::Arrival, note_end, serve_one, socket::Socket};
use crate::{listener::Endpoints, shutdown::Shutdown};

/// Threads of a worker in which names are looked up, at the same time.
const LOOKUPS: usize = 4;

/// What makes the service of each connection, once for each worker.
#[derive(Debug)]
pub enum Crew<M> {
    /// One worker, in the runtime that accepts.
    Here(M),
    /// A thread for each.
    Threads(Vec<M>),
}

/// Reaches the workers; they end when all clones are gone and their connections with them.
#[derive(Clone)]
pub(super) struct Hands(Vec<Hand>);

#[derive(Clone)]
struct Hand {
    post: mpsc::UnboundedSender<(Arrival, Load)>,
    load: Load,
}

/// Clones are counted: there is one for each connection of a worker.
type Load = Arc<()>;

/// What has been started and is to be awaited.
#[derive(Default)]
pub(super) struct Work {
    tasks: JoinSet<()>,
    threads: Vec<(oneshot::Receiver<()>, thread::JoinHandle<()>)>,
}

impl<M, S> Crew<M>
where
    M: Fn(Endpoints, ConnectionEnd) -> S + Send + 'static,
    S: HttpService,
{
    /// Starts the workers.
    ///
    /// # Errors
    /// When the system gives no thread or no means to wait for sockets.
    pub(super) fn start(self, settings: &Arc<Settings>, shutdown: &Shutdown) -> io::Result<(Hands, Work)> {
        let (mut hands, mut work) = (Vec::new(), Work::default());
        let mut worker = |make| {
            let (post, arrivals) = mpsc::unbounded_channel();
            hands.push(Hand { post, load: Load::default() });
            Worker { arrivals, make, settings: Arc::clone(settings), shutdown: shutdown.clone() }
        };
        match self {
            Self::Here(make) => drop(work.tasks.spawn(worker(make).run())),
            Self::Threads(makers) => {
                for (number, make) in makers.into_iter().enumerate() {
                    work.threads.push(start_thread(number, worker(make))?);
                }
            }
        }
        Ok((Hands(hands), work))
    }
}

fn start_thread<M, S>(
    number: usize,
    worker: Worker<M>,
) -> io::Result<(oneshot::Receiver<()>, thread::JoinHandle<()>)>
where
    M: Fn(Endpoints, ConnectionEnd) -> S + Send + 'static,
    S: HttpService,
{
    let runtime =
        runtime::Builder::new_current_thread().enable_all().max_blocking_threads(LOOKUPS).build()?;
    let (ended, end) = oneshot::channel();
    let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        runtime.block_on(worker.run());
        // A name that is still being looked up must not delay the end.
        runtime.shutdown_background();
        // Nobody listens when the process is about to end.
        let _ = ended.send(());
    })?;
    Ok((end, thread))
}

impl Hands {
    /// Gives a connection to the worker with the fewest.
    ///
    /// A worker ends after the last hand only, or in a panic of its own, which leaves it with no connections: it must
    /// not be given every new one for that.
    pub(super) fn give(&self, arrival: Arrival) {
        let mut hands: SmallVec<[&Hand; 8]> = self.0.iter().filter(|hand| !hand.post.is_closed()).collect();
        hands.sort_by_key(|hand| Arc::strong_count(&hand.load));
        let mut arrival = arrival;
        for hand in hands {
            match hand.post.send((arrival, Arc::clone(&hand.load))) {
                Ok(()) => return,
                Err(SendError((unsent, _))) => arrival = unsent,
            }
        }
        error!("no worker is left to serve a connection");
    }
}

impl Work {
    /// Waits for all workers.
    pub(super) async fn ended(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            note_end(ended);
        }
        for (end, thread) in self.threads {
            // A thread that ends without a word has panicked; joining it tells.
            let _ = end.await;
            if thread.join().is_err() {
                error!("a worker ended in a panic");
            }
        }
    }
}

struct Worker<M> {
    arrivals: mpsc::UnboundedReceiver<(Arrival, Load)>,
    make: M,
    settings: Arc<Settings>,
    shutdown: Shutdown,
}

impl<M, S> Worker<M>
where
    M: Fn(Endpoints, ConnectionEnd) -> S + Send + 'static,
    S: HttpService,
{
    async fn run(mut self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = connections.join_next() => note_end(ended),
                arrival = self.arrivals.recv() => match arrival {
                    Some((arrival, load)) => drop(connections.spawn(self.serve(arrival, load))),
                    None => break,
                },
            }
        }
        let drained = timeout(self.settings.drain, async {
            while let Some(ended) = connections.join_next().await {
                note_end(ended);
            }
        });
        if drained.await.is_err() {
            warn!(connections = connections.len(), "connections are cut: drain-timeout is over");
        }
    }

    fn serve(&self, arrival: Arrival, load: Load) -> impl Future<Output = ()> + Send + use<M, S> {
        let Arrival { accepted, place } = arrival;
        let service = (self.make)(accepted.endpoints(), ConnectionEnd::of(place.turn()));
        let (settings, shutdown) = (Arc::clone(&self.settings), self.shutdown.clone());
        async move {
            match Socket::try_from(accepted) {
                Ok(socket) => serve_one(socket, service, &place, &settings, shutdown).await,
                Err(error) => debug!(%error, "a connection could not be taken up"),
            }
            drop((place, load));
        }
    }
}

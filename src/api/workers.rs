//! Threads for connections, as many as there are cores, each with a runtime of its own.
//!
//! A request for a segment is read, answered and forgotten on one core: its connection's buffers stay
//! in that core's cache, and no task is stolen or woken across. Uploads stay on the shared runtime,
//! which wakes up once for the frames of many cameras; over TLS they are here as well, since a
//! connection cannot move once its handshake has begun.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads. They end when this is dropped, whatever they are doing.
pub(super) struct Workers {
    /// Bounded by what bounds connections.
    queues: Vec<UnboundedSender<Job>>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no more threads or file descriptors.
    pub(super) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let queues = (0..count).map(|_| start_one()).collect::<io::Result<_>>()?;
        Ok(Self { queues, next: AtomicUsize::new(0) })
    }

    /// Runs `job` on the next thread, in turn. What it needs of a runtime (sockets, timers) must be
    /// made inside of it.
    ///
    /// # Errors
    /// The thread ended, or the job panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, outcome) = oneshot::channel();
        let job = Box::pin(async move {
            // Nobody waits for it when the server stops.
            let _ = done.send(job.await);
        });
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        self.queues[next].send(job).map_err(|_| io::Error::other("the worker ended"))?;
        outcome.await.map_err(|_| io::Error::other("the connection's task panicked"))
    }
}

fn start_one() -> io::Result<UnboundedSender<Job>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (queue, jobs) = unbounded_channel();
    thread::Builder::new().name("connections".into()).spawn(move || runtime.block_on(run(jobs)))?;
    Ok(queue)
}

async fn run(mut jobs: UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        tokio::spawn(job);
    }
}

//! The threads on which contracts run.
//!
//! Contract code may compute or block for as long as it likes, so it never runs on the threads that serve
//! connections. Each poll of a transaction is a job for a pool that grows while all its threads are held, up to a
//! limit: a contract that blocks holds one thread, and one that waits for the peer holds none.

use std::future::Future;
use std::io;

use async_task::Task;
use tokio::runtime::{Builder, Handle, Runtime};

#[derive(Debug)]
pub(crate) struct Workers {
    runtime: Option<Runtime>,
}

impl Workers {
    /// A pool of at most `threads` threads, which are started as they are needed.
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(threads)
            .thread_name("selvedge-contract")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a future on the pool. Dropping the returned task cancels it at its next poll.
    pub(crate) fn spawn<F>(&self, future: F) -> Option<Task<()>>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle: Handle = self.runtime.as_ref()?.handle().clone();
        let schedule = move |runnable: async_task::Runnable| {
            drop(handle.spawn_blocking(move || runnable.run()));
        };
        let (runnable, task) = async_task::spawn(future, schedule);
        runnable.schedule();
        Some(task)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A contract that blocks for ever must not hold up the end of the server.
            runtime.shutdown_background();
        }
    }
}

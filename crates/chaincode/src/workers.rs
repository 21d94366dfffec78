//! The threads on which contracts run.
//!
//! Contract code may compute or block for as long as it likes, so it never runs on the threads that serve
//! connections. Each poll of a transaction is a job for a pool that grows while all its threads are held, up to a
//! limit: a contract that blocks holds one thread, and one that waits for the peer holds none.
//!
//! Most jobs take microseconds, less than it takes to wake a thread. So one thread at a time is called to the queue of
//! jobs, looks whether more come before it leaves, and calls the next one when it takes a job while more are there.

mod queue;

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use async_task::{Runnable, Task};
use tokio::runtime::{Builder, Handle, Runtime};

use queue::{Next, Queue, Visit};

/// After so many jobs a thread goes back to the pool, so that what contracts themselves give it to do has its turn.
const JOBS_OF_A_VISIT: usize = 256;

#[derive(Debug)]
pub(crate) struct Workers {
    runtime: Option<Runtime>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    // Each running transaction has one job here at most, and their number is bounded.
    queue: Mutex<Queue<Runnable>>,
    threads: Handle,
}

impl Workers {
    /// A pool of at most `threads` threads, which are started as they are needed.
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        Self::build(Builder::new_multi_thread().max_blocking_threads(threads))
    }

    fn build(builder: &mut Builder) -> io::Result<Self> {
        let runtime = builder.worker_threads(1).thread_name("selvedge-contract").enable_all().build()?;
        let pool = Pool { queue: Mutex::default(), threads: runtime.handle().clone() };
        Ok(Self { runtime: Some(runtime), pool: Arc::new(pool) })
    }

    /// Runs a future on the pool. Dropping the returned task cancels it at its next poll.
    pub(crate) fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let pool = Arc::clone(&self.pool);
        let (job, task) = async_task::spawn(future, move |job| pool.push(job));
        job.schedule();
        task
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let jobs = self.pool.queue().close();
        // Outside the lock, since that cancels contracts, which may be woken by it.
        drop(jobs);
        if let Some(runtime) = self.runtime.take() {
            // A contract that blocks for ever must not hold up the end of the server.
            runtime.shutdown_background();
        }
    }
}

impl Pool {
    fn push(self: &Arc<Self>, job: Runnable) {
        let pushed = self.queue().push(job);
        match pushed {
            Ok(true) => self.call(),
            Ok(false) => {}
            // That cancels it.
            Err(job) => drop(job),
        }
    }

    /// Has a thread come to the queue: as soon as there is one, if all are held.
    fn call(self: &Arc<Self>) {
        let pool = Arc::clone(self);
        let called = AssertUnwindSafe(|| drop(self.threads.spawn_blocking(move || pool.visit())));
        // The runtime panics when the system gives it no thread at all, as in a container at its limit.
        if catch_unwind(called).is_err() {
            tracing::error!("the system gives no thread for contracts; transactions wait for the next one");
            self.queue().call_failed();
        }
    }

    fn visit(self: &Arc<Self>) {
        let mut visit = Visit::called();
        let mut done = 0;
        while done < JOBS_OF_A_VISIT {
            let next = self.queue().next(&mut visit);
            match next {
                Next::Job { job, more } => {
                    if more {
                        self.call();
                    }
                    job.run();
                    done += 1;
                }
                Next::Look => thread::yield_now(),
                Next::Leave => return,
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Runnable>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    /// A net against hanging.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A pool whose threads end as soon as they have nothing to do.
    fn fleeting(threads: usize) -> Workers {
        let mut builder = Builder::new_multi_thread();
        Workers::build(builder.max_blocking_threads(threads).thread_keep_alive(Duration::ZERO)).unwrap()
    }

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        timeout(PATIENCE, future).await.expect("a job was left")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_job_is_done_however_threads_come_and_go() {
        for threads in [1, 2, 5] {
            let workers = fleeting(threads);
            for round in 0..1000_usize {
                let tasks: Vec<_> = (0..round % 4 + 1)
                    .map(|number| {
                        workers.spawn(async move {
                            for _ in 0..(round + number) % 3 {
                                yield_now().await;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    in_time(task).await;
                }
            }
        }
    }

    #[tokio::test]
    async fn contracts_that_block_hold_up_no_other() {
        const BLOCKED: usize = 40;
        let workers = Workers::new(BLOCKED + 1).unwrap();
        let (begun, mut blocked) = tokio::sync::mpsc::channel(BLOCKED);
        let (ends, tasks): (Vec<_>, Vec<_>) = (0..BLOCKED)
            .map(|_| {
                let (end, ended) = mpsc::sync_channel::<()>(1);
                let begun = begun.clone();
                let task = workers.spawn(async move {
                    begun.send(()).await.unwrap();
                    ended.recv().unwrap();
                });
                (end, task)
            })
            .unzip();
        for _ in 0..BLOCKED {
            in_time(blocked.recv()).await.unwrap();
        }
        in_time(workers.spawn(async {
            for _ in 0..10 {
                yield_now().await;
            }
        }))
        .await;
        ends.iter().for_each(|end| end.send(()).unwrap());
        for task in tasks {
            in_time(task).await;
        }
    }

    #[tokio::test]
    async fn beyond_the_limit_jobs_wait_for_the_first_thread_that_is_free() {
        let workers = Workers::new(2).unwrap();
        let (end, ended) = mpsc::sync_channel::<()>(0);
        let ended = Arc::new(Mutex::new(ended));
        let block = || {
            let ended = Arc::clone(&ended);
            workers.spawn(async move { ended.lock().unwrap().recv().unwrap() })
        };
        let blocked = [block(), block()];
        let (done, mut others) = tokio::sync::mpsc::channel(10);
        let waiting: Vec<_> = (0..10)
            .map(|number| {
                let done = done.clone();
                workers.spawn(async move { done.send(number).await.unwrap() })
            })
            .collect();
        // Each of the blocked contracts takes this only when it is on a thread; the others cannot run before.
        end.send(()).unwrap();
        for number in 0..10 {
            assert_eq!(in_time(others.recv()).await, Some(number), "in their order");
        }
        end.send(()).unwrap();
        for task in blocked.into_iter().chain(waiting) {
            in_time(task).await;
        }
    }

    #[tokio::test]
    async fn a_panic_costs_no_thread() {
        let workers = Workers::new(1).unwrap();
        for _ in 0..3 {
            let ended = in_time(workers.spawn(async { panic!("a job at its wits' end") }).fallible()).await;
            assert_eq!(ended, None);
        }
        in_time(workers.spawn(async {})).await;
    }

    #[tokio::test]
    async fn the_end_cancels_what_runs_waits_and_comes_later() {
        let workers = Workers::new(1).unwrap();
        let pool = Arc::clone(&workers.pool);
        let (end, ended) = mpsc::sync_channel::<()>(0);
        let (begun, mut is_blocked) = tokio::sync::mpsc::channel(1);
        let blocked = workers.spawn(async move {
            begun.send(()).await.unwrap();
            ended.recv().unwrap();
            std::future::pending::<()>().await;
        });
        in_time(is_blocked.recv()).await.unwrap();
        let waits = workers.spawn(async {});
        drop(workers);
        assert_eq!(in_time(waits.fallible()).await, None);
        let (late, task) = async_task::spawn(async {}, move |job| pool.push(job));
        late.schedule();
        assert_eq!(in_time(task.fallible()).await, None);
        end.send(()).unwrap();
        in_time(blocked.cancel()).await;
    }
}

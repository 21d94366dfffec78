//! The rules of the queue, without threads and locks, so that a test can go through every order in which things happen.

use std::collections::VecDeque;

/// How often a thread that finds no job lets others run before it leaves.
const LOOKS: u8 = 2;

/// Jobs that wait for a thread.
///
/// While there are any, a thread is on its way to them, or will be as soon as the pool has one that is not held. It is
/// never one that runs a job: nobody knows when it comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queue<J> {
    jobs: VecDeque<J>,
    /// Whether a thread is on its way. There is no more than one.
    is_called: bool,
    is_closed: bool,
}

/// A thread at the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Visit {
    /// Whether it is this one that is on its way.
    is_called: bool,
    looks: u8,
}

/// What a thread is to do.
#[derive(Debug)]
pub(super) enum Next<J> {
    /// Run the job, after it has called another thread if there are `more`.
    Job { job: J, more: bool },
    /// Let others run, and ask again.
    Look,
    /// Go.
    Leave,
}

impl Visit {
    /// The visit of a thread that was called.
    pub(super) fn called() -> Self {
        Self { is_called: true, looks: 0 }
    }
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), is_called: false, is_closed: false }
    }
}

impl<J> Queue<J> {
    /// Takes a job in, and says whether a thread must be called for it.
    ///
    /// # Errors
    /// Gives the job back when the queue is closed.
    pub(super) fn push(&mut self, job: J) -> Result<bool, J> {
        if self.is_closed {
            return Err(job);
        }
        self.jobs.push_back(job);
        Ok(self.call())
    }

    /// Asked by a thread that runs no job.
    pub(super) fn next(&mut self, visit: &mut Visit) -> Next<J> {
        if let Some(job) = self.jobs.pop_front() {
            self.is_called &= !visit.is_called;
            *visit = Visit { is_called: false, looks: 0 };
            return Next::Job { job, more: !self.jobs.is_empty() && self.call() };
        }
        // One that looks is enough.
        if !visit.is_called && self.is_called {
            return Next::Leave;
        }
        self.is_called = visit.looks < LOOKS;
        *visit = Visit { is_called: self.is_called, looks: visit.looks + 1 };
        if self.is_called { Next::Look } else { Next::Leave }
    }

    /// Nobody comes although a thread was called: the next job calls again.
    pub(super) fn call_failed(&mut self) {
        self.is_called = false;
    }

    /// Gives out the jobs that wait, and takes no further ones.
    pub(super) fn close(&mut self) -> VecDeque<J> {
        self.is_closed = true;
        std::mem::take(&mut self.jobs)
    }

    fn call(&mut self) -> bool {
        !std::mem::replace(&mut self.is_called, true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_call_that_fails_is_made_again_with_the_next_job() {
        let mut queue = Queue::default();
        assert_eq!(queue.push('a'), Ok(true));
        queue.call_failed();
        assert_eq!((queue.push('b'), queue.push('c')), (Ok(true), Ok(false)));
        let mut visit = Visit::called();
        for (expected, more) in [('a', true), ('b', false), ('c', false)] {
            match queue.next(&mut visit) {
                Next::Job { job, more: calls } => assert_eq!((job, calls), (expected, more)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Everything that the next events depend on.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        queue: Queue<Job>,
        /// Jobs that are yet to come.
        coming: Vec<Job>,
        /// Calls that the pool has not answered, as all its threads are held or simply not yet.
        calls: usize,
        threads: Vec<Thread>,
        done: usize,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    enum Job {
        /// Ends.
        Short,
        /// Ends, and schedules another before.
        Again,
        /// Holds its thread for ever.
        Blocks,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    enum Thread {
        /// In the pool, perhaps not even started.
        Free,
        /// About to ask the queue; how many jobs it has run.
        Asks(Visit, usize),
        Runs(Visit, usize, Job),
    }

    /// After so many jobs a thread goes back to the pool, here as in the pool itself.
    const JOBS_OF_A_VISIT: usize = 2;

    impl World {
        fn push(&mut self, job: Job) {
            self.calls += usize::from(self.queue.push(job).expect("it is open"));
        }

        /// Every world that one event leads to.
        fn next(&self) -> Vec<Self> {
            let mut worlds = Vec::new();
            let mut with = |change: &dyn Fn(&mut Self)| {
                let mut world = self.clone();
                change(&mut world);
                // Which thread it is does not matter.
                world.threads.sort();
                worlds.push(world);
            };
            if !self.coming.is_empty() {
                with(&|world| {
                    let job = world.coming.remove(0);
                    world.push(job);
                });
            }
            for (number, thread) in self.threads.iter().enumerate() {
                match *thread {
                    Thread::Free if self.calls > 0 => with(&|world| {
                        world.calls -= 1;
                        world.threads[number] = Thread::Asks(Visit::called(), 0);
                    }),
                    Thread::Free | Thread::Runs(_, _, Job::Blocks) => {}
                    Thread::Asks(visit, done) => with(&|world| world.ask(number, visit, done)),
                    Thread::Runs(visit, done, job) => with(&|world| {
                        if job == Job::Again {
                            world.push(Job::Short);
                        }
                        world.done += 1;
                        let goes = done + 1 == JOBS_OF_A_VISIT;
                        world.threads[number] =
                            if goes { Thread::Free } else { Thread::Asks(visit, done + 1) };
                    }),
                }
            }
            worlds
        }

        fn ask(&mut self, number: usize, mut visit: Visit, done: usize) {
            self.threads[number] = match self.queue.next(&mut visit) {
                Next::Job { job, more } => {
                    self.calls += usize::from(more);
                    Thread::Runs(visit, done, job)
                }
                Next::Look => Thread::Asks(visit, done),
                Next::Leave => Thread::Free,
            };
        }

        /// Nobody is called in vain, and nobody is missing.
        fn check(&self) {
            let called = |thread: &&Thread| matches!(thread, Thread::Asks(visit, _) if visit.is_called);
            let on_their_way = self.calls + self.threads.iter().filter(called).count();
            assert_eq!(on_their_way, usize::from(self.queue.is_called), "{self:?}");
            assert!(self.queue.jobs.is_empty() || on_their_way == 1, "a job is left: {self:?}");
        }
    }

    /// Goes through every order of events, from these jobs and this many threads.
    fn check(jobs: &[Job], threads: usize) {
        let first = World {
            queue: Queue::default(),
            coming: jobs.to_vec(),
            calls: 0,
            threads: vec![Thread::Free; threads],
            done: 0,
        };
        let (mut seen, mut left) = (HashSet::from([first.clone()]), vec![first]);
        let mut ends = 0;
        while let Some(world) = left.pop() {
            world.check();
            let next = world.next();
            if next.is_empty() {
                ends += 1;
                let count = |kind| jobs.iter().filter(|job| **job == kind).count();
                let blocked = count(Job::Blocks);
                if blocked < threads {
                    assert_eq!(world.done, count(Job::Short) + 2 * count(Job::Again), "{world:?}");
                }
                let held = |thread: &&Thread| matches!(thread, Thread::Runs(_, _, Job::Blocks));
                assert_eq!(world.threads.iter().filter(held).count(), blocked.min(threads), "{world:?}");
            }
            left.extend(next.into_iter().filter(|world| seen.insert(world.clone())));
        }
        assert!(ends > 0, "some order comes to an end");
    }

    #[test]
    fn no_job_is_left_in_whatever_order_things_happen() {
        use Job::{Again, Blocks, Short};
        for threads in 1..=3 {
            for kinds in 0..81 {
                let kind = |place: u32| [Short, Again, Blocks][kinds / 3_usize.pow(place) % 3];
                check(&[kind(0), kind(1), kind(2), kind(3)], threads);
            }
        }
    }
}

//! The engine: it begins calls, either whenever one is answered or at a fixed rate, and takes down how long each took.
//!
//! Every worker makes one call after the other; there are as many workers as calls may be in flight. At a fixed rate
//! the moment at which a call should begin is a function of its number alone, and its latency counts from that moment.
//! A server that stalls is then charged with what its stall kept waiting, too: nothing is omitted because the client
//! itself was held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use selvedge_client::ClientError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::outcome::Outcome;

/// How much is begun, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) in_flight: u16,
    /// Between two beginnings, at a fixed rate.
    pub(crate) interval: Option<Duration>,
    /// After this nothing begins.
    pub(crate) duration: Duration,
    /// No more than this are begun.
    pub(crate) count: u64,
}

impl Pace {
    /// The same, with the number of calls that have their moment within the duration, if each has one.
    fn planned(self) -> Self {
        let Some(interval) = self.interval else { return self };
        let planned = (self.duration.as_secs_f64() / interval.as_secs_f64()).ceil() as u64;
        Self { count: self.count.min(planned), ..self }
    }
}

/// Makes calls until the pace is at its end or `stop` is asked for, and waits for the answers to those that it made.
/// `call` gets the worker's number; it gives `None` when there is nothing left to call.
pub(crate) async fn drive<F, R>(pace: Pace, stop: &CancellationToken, call: F) -> Outcome
where
    F: Fn(u16) -> Option<R> + Clone + Send + 'static,
    R: Future<Output = Result<(), ClientError>> + Send + 'static,
{
    let pace = pace.planned();
    let schedule = Arc::new(Schedule {
        pace,
        began: Instant::now(),
        next: AtomicU64::new(0),
        due: Semaphore::new(0),
        stop: stop.child_token(),
    });
    let pacer = pace.interval.map(|interval| {
        let schedule = Arc::clone(&schedule);
        std::thread::spawn(move || schedule.keep_pace(interval))
    });
    let mut workers = JoinSet::new();
    for worker in 0..pace.in_flight {
        workers.spawn(work(Arc::clone(&schedule), worker, call.clone()));
    }
    let mut outcome = Outcome::default();
    while let Some(worker) = workers.join_next().await {
        match worker {
            Ok(done) => outcome.add(&done),
            Err(error) => outcome.failed("the load program", &error.to_string()),
        }
    }
    outcome.elapsed = schedule.began.elapsed();
    if let Some(pacer) = pacer {
        schedule.count_missed(&mut outcome);
        // It looks for that in between its naps.
        schedule.stop.cancel();
        let _ = tokio::task::spawn_blocking(move || pacer.join()).await;
    }
    outcome.interrupted = stop.is_cancelled();
    outcome
}

async fn work<F, R>(schedule: Arc<Schedule>, worker: u16, call: F) -> Outcome
where
    F: Fn(u16) -> Option<R>,
    R: Future<Output = Result<(), ClientError>>,
{
    let mut outcome = Outcome::default();
    while let Some(intended) = schedule.next().await {
        let Some(answer) = call(worker) else {
            outcome.ran_out = true;
            break;
        };
        match answer.await {
            Ok(()) => outcome.answered(intended.elapsed()),
            Err(error) => outcome.refused(&error),
        }
    }
    outcome
}

/// What all workers of a run share.
struct Schedule {
    pace: Pace,
    began: Instant,
    next: AtomicU64,
    /// At a fixed rate, a permit for each call whose moment has come.
    due: Semaphore,
    /// Asked for from outside, or since nobody is left to begin a call.
    stop: CancellationToken,
}

impl Schedule {
    /// The moment at which the next call should begin, once it has come; none at the end.
    async fn next(&self) -> Option<Instant> {
        if self.pace.interval.is_some() {
            self.due.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let intended = self.intended(number).unwrap_or(now);
        let is_over = number >= self.pace.count
            || self.stop.is_cancelled()
            || now.duration_since(self.began) >= self.pace.duration;
        if is_over {
            self.next.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(intended)
    }

    fn intended(&self, number: u64) -> Option<Instant> {
        Some(self.began + self.pace.interval?.mul_f64(number as f64))
    }

    /// Lets calls begin at their moments. A thread of its own, since the runtime's timers are a millisecond coarse.
    fn keep_pace(&self, interval: Duration) {
        const NAP: Duration = Duration::from_millis(50);
        for number in 0..self.pace.count {
            let moment = self.began + interval.mul_f64(number as f64);
            while let left @ 1.. = moment.saturating_duration_since(Instant::now()).as_nanos() {
                if self.stop.is_cancelled() {
                    break;
                }
                std::thread::sleep(NAP.min(Duration::from_nanos(left as u64)));
            }
            if self.stop.is_cancelled() {
                break;
            }
            self.due.add_permits(1);
        }
        // Whoever still waits for a permit sees that it is over: no number is left, or the end was asked for.
        self.due.add_permits(usize::from(self.pace.in_flight));
    }

    /// Calls whose moment came and that had no worker before the end did not simply not happen.
    fn count_missed(&self, outcome: &mut Outcome) {
        let missed = self.pace.count.saturating_sub(self.next.load(Ordering::Relaxed));
        if missed > 0 && !outcome.ran_out && !self.stop.is_cancelled() {
            outcome.missed(missed, self.pace.in_flight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const STALL: Duration = Duration::from_millis(50);

    /// A server that stalls at its first call and answers all others at once, called every millisecond by one worker.
    async fn drive_stalled(duration: Duration) -> Outcome {
        let pace = Pace { in_flight: 1, interval: Some(Duration::from_millis(1)), duration, count: 20 };
        let has_stalled = Arc::new(AtomicBool::new(false));
        let call = move |_| {
            let stalls = !has_stalled.swap(true, Ordering::Relaxed);
            Some(async move {
                if stalls {
                    tokio::time::sleep(STALL).await;
                }
                Ok(())
            })
        };
        drive(pace, &CancellationToken::new(), call).await
    }

    #[tokio::test]
    async fn a_stall_counts_for_every_call_that_it_kept_waiting() {
        let outcome = drive_stalled(Duration::from_secs(3600)).await;
        assert_eq!((outcome.answers(), outcome.failures()), (20, 0));
        // The last one should have begun after 19 ms, and could not before the stall was over.
        assert!(outcome.quantile(0.0) >= 30.0, "{} ms", outcome.quantile(0.0));
    }

    #[tokio::test]
    async fn calls_that_never_begin_are_failures() {
        let outcome = drive_stalled(Duration::from_millis(20)).await;
        assert_eq!(outcome.answers() + outcome.failures(), 20);
        assert!(outcome.errors["not begun"].count >= 19, "{:?}", outcome.errors);
    }

    #[tokio::test]
    async fn a_fixed_rate_begins_as_many_as_the_duration_has_room_for_and_ends() {
        let interval = Some(Duration::from_millis(10));
        let pace = Pace { in_flight: 8, interval, duration: Duration::from_millis(45), count: u64::MAX };
        let stop = CancellationToken::new();
        let ended = drive(pace, &stop, |_| Some(async { Ok(()) }));
        let outcome = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
        assert_eq!(outcome.answers() + outcome.failures(), 5, "{:?}", outcome.errors);
    }

    #[tokio::test]
    async fn a_fixed_rate_ends_when_nothing_is_left_to_call() {
        let (interval, duration) = (Some(Duration::from_millis(1)), Duration::from_secs(24 * 3600));
        let pace = Pace { in_flight: 2, interval, duration, count: u64::MAX };
        let stop = CancellationToken::new();
        let ended = drive(pace, &stop, |_| None::<std::future::Ready<_>>);
        let outcome = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
        assert!(outcome.ran_out && !outcome.interrupted);
        assert_eq!((outcome.answers(), outcome.failures()), (0, 0), "{:?}", outcome.errors);
    }

    #[tokio::test]
    async fn a_run_ends_when_it_is_told_to() {
        let pace =
            Pace { in_flight: 3, interval: None, duration: Duration::from_secs(3600), count: u64::MAX };
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let call = move |_| {
            stopping.cancel();
            Some(async { Ok(()) })
        };
        let outcome = drive(pace, &stop, call).await;
        assert!(outcome.interrupted);
        assert!((1..=3).contains(&outcome.answers()), "{}", outcome.answers());
    }
}

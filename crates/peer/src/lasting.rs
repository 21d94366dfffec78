//! Streams of answers that last until the client goes away or the peer stops.
//!
//! A server that is told to stop waits for its calls to end, and the library beneath leaves the connections of those
//! that do not to themselves. So streams that follow a channel end on a token of their own.

use std::future::ready;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::endorser::too_many;

/// Where the answers of one stream go. One waits for the connection at most; whoever makes one reserves its place
/// before, so that a slow client holds no more than that.
pub(crate) type Answers<T> = mpsc::Sender<Result<T, Status>>;

/// The answers of one stream.
pub(crate) type AnswerStream<T> = BoxStream<'static, Result<T, Status>>;

/// The streams of one service.
#[derive(Clone, Debug)]
pub(crate) struct Lasting {
    service: &'static str,
    places: Arc<Semaphore>,
    limit: usize,
    stop: CancellationToken,
}

/// A place for one stream.
pub(crate) struct Place(OwnedSemaphorePermit);

impl Lasting {
    /// At most `limit` streams of a service, which end when `stop` is cancelled.
    pub(crate) fn new(service: &'static str, limit: usize, stop: CancellationToken) -> Self {
        Self { service, places: Arc::new(Semaphore::new(limit)), limit, stop }
    }

    /// A place for one more stream, or Fabric's refusal.
    pub(crate) fn place(&self) -> Result<Place, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Place).map_err(|_| too_many(self.service, self.limit))
    }

    /// A stream of what `work` answers. The work is dropped when the client goes away, and when the service stops,
    /// whether or not the client reads; then the stream ends as not available.
    pub(crate) fn start<T, W>(&self, place: Place, work: impl FnOnce(Answers<T>) -> W) -> AnswerStream<T>
    where
        T: Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let (answers, stream) = mpsc::channel(1);
        let (client, stop) = (answers.clone(), self.stop.clone());
        let work = work(answers);
        tokio::spawn(async move {
            let Place(_permit) = place;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = client.closed() => {}
                () = work => {}
            }
        });
        let stop = self.stop.clone();
        let farewell = stream::once(async move { stop.is_cancelled() }).filter_map(|stopped| {
            ready(stopped.then(|| Err(Status::unavailable("the peer is shutting down"))))
        });
        ReceiverStream::new(stream).chain(farewell).boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio_util::sync::CancellationToken;
    use tonic::Code;

    use super::Lasting;

    fn endless(lasting: &Lasting) -> super::AnswerStream<u64> {
        let place = lasting.place().unwrap();
        lasting.start(place, |answers| async move {
            for number in 0.. {
                let Ok(place) = answers.reserve().await else { return };
                place.send(Ok(number));
            }
        })
    }

    #[tokio::test]
    async fn streams_end_with_the_service_even_unread() {
        let stop = CancellationToken::new();
        let lasting = Lasting::new("/a.B", 2, stop.clone());
        let (mut read, mut unread) = (endless(&lasting), endless(&lasting));
        assert_eq!(read.next().await.unwrap().unwrap(), 0);
        stop.cancel();
        // Both places come back although one client has read nothing yet.
        let _places = lasting.places.acquire_many(2).await.unwrap();
        for stream in [&mut read, &mut unread] {
            let answers: Vec<_> = stream.by_ref().take(10).collect().await;
            let (last, before) = answers.split_last().unwrap();
            assert_eq!(last.as_ref().unwrap_err().code(), Code::Unavailable);
            assert!(before.len() <= 1, "one answer waits at most: {before:?}");
        }
    }

    #[tokio::test]
    async fn a_place_comes_back_when_the_client_goes() {
        let lasting = Lasting::new("/a.B", 1, CancellationToken::new());
        let stream = endless(&lasting);
        let refusal = lasting.place().map(|_| ()).unwrap_err();
        assert_eq!(refusal.message(), "too many requests for /a.B, exceeding concurrency limit (1)");
        drop(stream);
        drop(lasting.places.acquire().await.unwrap());
        assert!(lasting.place().is_ok());
    }

    #[tokio::test]
    async fn work_that_is_done_ends_its_stream() {
        let lasting = Lasting::new("/a.B", 1, CancellationToken::new());
        let place = lasting.place().unwrap();
        let stream = lasting.start(place, |answers| async move {
            answers.send(Ok(7)).await.unwrap();
        });
        let answers: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert_eq!(answers, [7]);
    }
}

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// How long what nobody waits for may go on.
const LONGEST: Duration = Duration::from_secs(60);

/// A future that, once begun, is finished even when it is dropped: a client that goes away must not leave half of a
/// write behind. The rest runs as a task of the runtime, if there is one.
pub(crate) struct Finish<T: Send + 'static> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    begun: bool,
    left: Left,
}

/// Whether nobody waits for the result any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<AtomicBool>);

impl Left {
    pub(crate) fn is_left(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<T: Send + 'static> Finish<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::telling(Left::default(), future)
    }

    /// The same for a future that begins nothing new once it was dropped.
    pub(crate) fn telling(left: Left, future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Some(Box::pin(future)), begun: false, left }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.begun = true;
        let Some(future) = self.future.as_mut() else { return Poll::Pending };
        let poll = future.as_mut().poll(context);
        if poll.is_ready() {
            self.future = None;
        }
        poll
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take()
            && self.begun
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.left.0.store(true, Ordering::Release);
            drop(runtime.spawn(async { drop(tokio::time::timeout(LONGEST, future).await) }));
        }
    }
}

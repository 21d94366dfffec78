//! One stage for all tests of a file, which run at the same time.

use std::collections::HashSet;
use std::panic;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};

use tokio::runtime::{Builder, Runtime};

/// What tests share.
pub(crate) trait Shared: Send + Sync + Sized + 'static {
    async fn start() -> Self;
    async fn stop(self);
}

/// A stage that the first test starts and the last one stops. Its tasks run on a runtime of its own, since that of a
/// test ends with the test.
pub(crate) struct Sharing<S> {
    runtime: Runtime,
    users: tokio::sync::Mutex<(usize, Option<Arc<S>>)>,
}

impl<S: Shared> Sharing<S> {
    pub(crate) const fn new() -> LazyLock<Self> {
        LazyLock::new(|| Self {
            runtime: Builder::new_multi_thread().enable_all().build().unwrap(),
            users: tokio::sync::Mutex::default(),
        })
    }

    /// Runs a test. It fails too if anything but a test panicked in the meantime.
    pub(crate) fn run(&self, test: impl AsyncFnOnce(&S)) {
        let panics = Panics::watch();
        let user = User(self, self.runtime.block_on(self.enter()));
        self.runtime.block_on(async { test(&user.1).await });
        drop(user);
        assert_eq!(panics.seen(), Vec::<String>::new(), "nothing panics");
    }

    async fn enter(&self) -> Arc<S> {
        let mut users = self.users.lock().await;
        users.0 += 1;
        match &users.1 {
            Some(stage) => Arc::clone(stage),
            None => Arc::clone(users.1.insert(Arc::new(S::start().await))),
        }
    }

    async fn leave(&self) {
        let mut users = self.users.lock().await;
        users.0 -= 1;
        if users.0 == 0
            && let Some(stage) = users.1.take().and_then(Arc::into_inner)
        {
            stage.stop().await;
        }
    }
}

struct User<'a, S: Shared>(&'a Sharing<S>, Arc<S>);

impl<S: Shared> Drop for User<'_, S> {
    fn drop(&mut self) {
        self.0.runtime.block_on(self.0.leave());
    }
}

/// What panicked on threads that run no test.
struct Panics(usize);

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TESTS: LazyLock<Mutex<HashSet<ThreadId>>> = LazyLock::new(Mutex::default);

impl Panics {
    fn watch() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                let tests = TESTS.lock().unwrap_or_else(PoisonError::into_inner);
                if !tests.contains(&thread::current().id()) {
                    SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
                }
                drop(tests);
                usual(info);
            }));
        });
        TESTS.lock().unwrap_or_else(PoisonError::into_inner).insert(thread::current().id());
        Self(SEEN.lock().unwrap_or_else(PoisonError::into_inner).len())
    }

    fn seen(&self) -> Vec<String> {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).split_off(self.0)
    }
}

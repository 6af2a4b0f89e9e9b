//! The only place that asks what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use crate::types::{Millis, ServerTimestamp};

/// Tells the server's time: the system's, or one that a test moves by hand. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Simulated(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::advance`].
    pub fn simulated(start: ServerTimestamp) -> Self {
        Self(Source::Simulated(Arc::new(AtomicI64::new(start.as_millis()))))
    }

    /// Moves a simulated clock; the system's clock is left alone.
    pub fn advance(&self, by: Millis) {
        if let Source::Simulated(millis) = &self.0 {
            millis.fetch_add(i64::try_from(by.0).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// The present, in milliseconds since the Unix epoch.
    #[allow(clippy::disallowed_methods, reason = "the one caller of the system's clock")]
    pub fn now(&self) -> ServerTimestamp {
        match &self.0 {
            Source::System => {
                let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let millis = since_epoch.map_or(0, |elapsed| elapsed.as_millis());
                ServerTimestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
            }
            Source::Simulated(millis) => {
                ServerTimestamp::from_millis(millis.load(Ordering::SeqCst))
            }
        }
    }
}

//! Slows a producer down to its rates, and notices one that is too slow.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: an average rate with bursts of up to one second's worth.
pub(super) struct Pace {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Pace {
    /// `per_second` of 0 is unlimited.
    pub(super) fn new(per_second: u64, now: Instant) -> Self {
        let per_second = per_second as f64;
        Self { per_second, tokens: per_second, filled: now }
    }

    /// Takes `amount` and tells how long to wait before taking more.
    pub(super) fn take(&mut self, amount: u64, now: Instant) -> Duration {
        if self.per_second == 0.0 {
            return Duration::ZERO;
        }
        let refill = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + refill).min(self.per_second) - amount as f64;
        self.filled = now;
        Duration::from_secs_f64((-self.tokens / self.per_second).max(0.0))
    }
}

/// Watches that each period brings a minimum of bytes.
pub(super) struct Minimum {
    period: Duration,
    bytes_per_period: u64,
    bytes: u64,
    ends: Instant,
}

impl Minimum {
    pub(super) fn new(bytes_per_second: u64, period: Duration, now: Instant) -> Self {
        let bytes_per_period = bytes_per_second.saturating_mul(period.as_secs());
        Self { period, bytes_per_period, bytes: 0, ends: now + period }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// When [`Minimum::is_met`] is to be asked next.
    pub(super) fn deadline(&self) -> Instant {
        self.ends
    }

    /// Begins a period anew, whatever this one brought.
    pub(super) fn restart(&mut self, now: Instant) {
        self.bytes = 0;
        self.ends = now + self.period;
    }

    /// Ends the period; false when it brought too little.
    pub(super) fn is_met(&mut self, now: Instant) -> bool {
        let met = self.bytes >= self.bytes_per_period.max(1);
        self.restart(now);
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producer_above_the_rate_waits_until_its_average_is_met() {
        let start = Instant::now();
        let mut pace = Pace::new(100, start);
        assert_eq!(pace.take(100, start), Duration::ZERO);
        assert_eq!(pace.take(50, start), Duration::from_millis(500));
        assert_eq!(pace.take(50, start + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Pace::new(0, start).take(u64::MAX, start), Duration::ZERO);
    }

    #[test]
    fn connection_that_only_drips_misses_the_minimum() {
        let start = Instant::now();
        let mut minimum = Minimum::new(30, Duration::from_secs(30), start);
        minimum.add(899);
        assert!(!minimum.is_met(start));
        minimum.add(900);
        assert!(minimum.is_met(start));
    }
}

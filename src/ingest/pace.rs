//! Slows a producer down to its rates, and notices one that is too slow.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

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

/// How long a connection waits for its next sign of life (an IDLE ack).
const IDLE_ACK: Duration = Duration::from_secs(10);

/// What a connection must do by when, and what it is told.
pub(super) struct Times {
    minimum: Minimum,
    idle: Duration,
    last_data: Instant,
    last_sign_of_life: Instant,
    /// When the connection has lasted long enough.
    pub(super) connection_ends: Instant,
}

impl Times {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            minimum: Minimum::new(limits.minimum_bytes_per_second, limits.idle, now),
            idle: limits.idle,
            last_data: now,
            last_sign_of_life: now,
            connection_ends: now + limits.connection,
        }
    }

    /// When any of the questions below is to be asked next.
    pub(super) fn next(&self) -> Instant {
        let quiet = (self.last_data + self.idle).min(self.last_sign_of_life + IDLE_ACK);
        quiet.min(self.minimum.ends).min(self.connection_ends)
    }

    /// Data came.
    pub(super) fn brought(&mut self, bytes: usize, now: Instant) {
        self.last_data = now;
        self.last_sign_of_life = now;
        self.minimum.add(bytes);
    }

    /// The producer is, or was until now, held back by us, and so neither idle nor slow.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.last_data = now;
        self.minimum.restart(now);
    }

    /// Whether the connection brought nothing for too long, or too little.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        let slow = now >= self.minimum.ends && !self.minimum.is_met(now);
        slow || now >= self.last_data + self.idle
    }

    /// Whether a sign of life is due; the next one is then due later.
    pub(super) fn wants_sign_of_life(&mut self, now: Instant) -> bool {
        let due = now >= self.last_sign_of_life + IDLE_ACK;
        if due {
            self.last_sign_of_life = now;
        }
        due
    }
}

/// Watches that each period brings a minimum of bytes.
struct Minimum {
    period: Duration,
    bytes_per_period: u64,
    bytes: u64,
    ends: Instant,
}

impl Minimum {
    fn new(bytes_per_second: u64, period: Duration, now: Instant) -> Self {
        let bytes_per_period = bytes_per_second.saturating_mul(period.as_secs());
        Self { period, bytes_per_period, bytes: 0, ends: now + period }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Begins a period anew, whatever this one brought.
    fn restart(&mut self, now: Instant) {
        self.bytes = 0;
        self.ends = now + self.period;
    }

    /// Ends the period; false when it brought too little.
    fn is_met(&mut self, now: Instant) -> bool {
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
    fn next_time_is_the_nearest_and_moves_only_away() {
        let start = Instant::now();
        let limits = Limits {
            idle: Duration::from_secs(8),
            connection: Duration::from_secs(30),
            minimum_bytes_per_second: 1,
            ..Limits::default()
        };
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut times = Times::new(&limits, start);
        assert_eq!(times.next(), after(8));
        times.brought(8, after(5));
        assert!(!times.is_idle(after(8)) && !times.wants_sign_of_life(after(8)));
        assert_eq!(times.next(), after(10));
        assert!(times.wants_sign_of_life(after(10)) && !times.wants_sign_of_life(after(10)));
        assert_eq!(times.next(), after(13));
        times.forgive(after(13));
        assert_eq!(times.next(), after(16));
        assert!(!times.is_idle(after(16)));
        assert!(times.is_idle(after(21)), "eight seconds without a byte");
        assert_eq!(Times::new(&limits, start).connection_ends, after(30));
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

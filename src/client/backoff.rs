//! How long to wait before the next attempt.

use std::time::Duration;

/// Waits that double from one attempt to the next, each shortened by chance to between half and
/// all of it, so that many producers do not come back at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// The first wait, before chance, and the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempts: 0 }
    }

    /// The next wait; `chance` is any random number.
    pub fn next_wait(&mut self, chance: u32) -> Duration {
        let factor = 1u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(factor).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        let half = wait / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// It works again: the next wait is the first.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Waits since it last worked.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
        let waits: Vec<_> = (0..5).map(|_| backoff.next_wait(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.next_wait(0).as_millis(), 125);
    }

    #[test]
    fn any_number_of_attempts_stays_within_the_longest_wait() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(30));
        for attempt in 0..100u32 {
            let wait = backoff.next_wait(attempt.wrapping_mul(0x9e37_79b9));
            assert!(wait <= Duration::from_secs(30), "{wait:?}");
        }
    }
}

//! How much a shard takes and gives per second, as token buckets.
//!
//! A bucket holds what one second brings. Something larger than the bucket passes when the bucket is
//! full, and leaves a debt: so a record of 10 MiB passes at 1 MiB per second, and nothing else for
//! the next ten seconds.

use crate::types::{Millis, ServerTimestamp};

/// Records per second that a shard takes.
const WRITE_RECORDS: u64 = 1000;
/// Bytes per second that a shard takes.
const WRITE_BYTES: u64 = 1 << 20;
/// Calls of GetRecords per second for a shard.
const READ_CALLS: u64 = 5;
/// Bytes per second that a shard gives to all its readers, and to each consumer beside them.
const READ_BYTES: u64 = 2 << 20;

/// Whether shards are held to the rates of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardLimits {
    /// 1000 records and 1 MiB per second in; 5 calls and 2 MiB per second out.
    Aws,
    /// Whatever the machine can do.
    Off,
}

/// A bucket that fills with time.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: u64,
    /// Thousandths of what may be taken; below zero it is a debt.
    level: i64,
    at: ServerTimestamp,
}

impl TokenBucket {
    /// A full bucket of `per_second`.
    pub fn new(per_second: u64, now: ServerTimestamp) -> Self {
        let mut bucket = Self { per_second, level: 0, at: now };
        bucket.level = bucket.capacity();
        bucket
    }

    /// Whether `cost` may be taken now.
    pub fn allows(&mut self, cost: u64, now: ServerTimestamp) -> bool {
        self.fill(now);
        self.level >= thousandths(cost).min(self.capacity())
    }

    /// Takes `cost`, on credit where it has to.
    pub fn take(&mut self, cost: u64) {
        self.level = self.level.saturating_sub(thousandths(cost));
    }

    /// How long until there is no debt.
    pub fn wait(&mut self, now: ServerTimestamp) -> Millis {
        self.fill(now);
        let debt = u64::try_from(-self.level).unwrap_or(0);
        Millis(debt.div_ceil(self.per_second.max(1)))
    }

    fn capacity(&self) -> i64 {
        thousandths(self.per_second)
    }

    fn fill(&mut self, now: ServerTimestamp) {
        let elapsed = i64::try_from(now.since(self.at).0).unwrap_or(i64::MAX);
        let gained = elapsed.saturating_mul(i64::try_from(self.per_second).unwrap_or(i64::MAX));
        self.level = self.level.saturating_add(gained).min(self.capacity());
        self.at = self.at.max(now);
    }
}

fn thousandths(amount: u64) -> i64 {
    i64::try_from(amount.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// What a shard takes from producers.
#[derive(Debug)]
pub struct WriteRate(Option<(TokenBucket, TokenBucket)>);

impl WriteRate {
    /// For a new shard.
    pub fn new(limits: ShardLimits, now: ServerTimestamp) -> Self {
        let buckets = || (TokenBucket::new(WRITE_RECORDS, now), TokenBucket::new(WRITE_BYTES, now));
        Self((limits == ShardLimits::Aws).then(buckets))
    }

    /// Takes one record of `bytes`; `false` when it is too much now.
    pub fn take(&mut self, bytes: u64, now: ServerTimestamp) -> bool {
        let Some((records, volume)) = &mut self.0 else { return true };
        let allowed = records.allows(1, now) && volume.allows(bytes, now);
        if allowed {
            records.take(1);
            volume.take(bytes);
        }
        allowed
    }
}

/// What a shard gives to those who call GetRecords.
#[derive(Debug)]
pub struct ReadRate(Option<(TokenBucket, TokenBucket)>);

impl ReadRate {
    /// For a new shard.
    pub fn new(limits: ShardLimits, now: ServerTimestamp) -> Self {
        let buckets = || (TokenBucket::new(READ_CALLS, now), TokenBucket::new(READ_BYTES, now));
        Self((limits == ShardLimits::Aws).then(buckets))
    }

    /// Takes one call; `false` when it is too much now, or earlier answers were too large.
    pub fn call(&mut self, now: ServerTimestamp) -> bool {
        let Some((calls, volume)) = &mut self.0 else { return true };
        let allowed = calls.allows(1, now) && volume.wait(now) == Millis(0);
        if allowed {
            calls.take(1);
        }
        allowed
    }

    /// Counts what the answer to a call held.
    pub fn spend(&mut self, bytes: u64) {
        if let Some((_, volume)) = &mut self.0 {
            volume.take(bytes);
        }
    }
}

/// What a subscription gives.
#[derive(Debug)]
pub struct PushRate(Option<TokenBucket>);

impl PushRate {
    /// For a new subscription.
    pub fn new(limits: ShardLimits, now: ServerTimestamp) -> Self {
        Self((limits == ShardLimits::Aws).then(|| TokenBucket::new(READ_BYTES, now)))
    }

    /// How long to wait before the next records.
    pub fn wait(&mut self, now: ServerTimestamp) -> Millis {
        self.0.as_mut().map_or(Millis(0), |volume| volume.wait(now))
    }

    /// Counts what was given.
    pub fn spend(&mut self, bytes: u64) {
        if let Some(volume) = &mut self.0 {
            volume.take(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> ServerTimestamp {
        ServerTimestamp::from_millis(millis)
    }

    #[test]
    fn shard_takes_a_thousand_records_in_a_second_and_no_more() {
        let mut limit = WriteRate::new(ShardLimits::Aws, at(0));
        let taken = |limit: &mut WriteRate, now| (0..2000).filter(|_| limit.take(1, now)).count();
        assert_eq!(taken(&mut limit, at(0)), 1000);
        assert_eq!(taken(&mut limit, at(10)), 10);
        assert_eq!(taken(&mut limit, at(60_000)), 1000);
        let mut off = WriteRate::new(ShardLimits::Off, at(0));
        assert_eq!(taken(&mut off, at(0)), 2000);
    }

    #[test]
    fn record_larger_than_a_second_passes_and_leaves_a_debt() {
        let mut limit = WriteRate::new(ShardLimits::Aws, at(0));
        assert!(limit.take(10 << 20, at(0)));
        assert!(!limit.take(1, at(8_900)));
        assert!(limit.take(1, at(9_100)));
    }

    #[test]
    fn call_of_ten_mebibytes_stops_the_next_for_five_seconds() {
        let mut limit = ReadRate::new(ShardLimits::Aws, at(0));
        assert!(limit.call(at(0)));
        limit.spend(10 << 20);
        assert!(!limit.call(at(3_900)));
        assert!(limit.call(at(4_001)), "the bucket was full before");
        assert_eq!((0..9).filter(|_| limit.call(at(5_000))).count(), 5);
    }

    proptest! {
        #[test]
        fn no_order_of_takes_exceeds_rate_and_burst(
            steps in proptest::collection::vec((0i64..500, 1u64..50), 1..100)
        ) {
            let (mut bucket, mut now, mut taken) = (TokenBucket::new(100, at(0)), 0, 0);
            for (pause, cost) in steps {
                now += pause;
                if bucket.allows(cost, at(now)) {
                    bucket.take(cost);
                    taken += cost;
                }
                prop_assert!(taken * 1000 <= 100 * (now as u64 + 1000));
            }
        }

        #[test]
        fn clock_that_is_set_back_gives_nothing(back in 1i64..10_000) {
            let mut bucket = TokenBucket::new(10, at(10_000));
            bucket.take(10);
            prop_assert!(!bucket.allows(1, at(10_000 - back)));
            prop_assert!(!bucket.allows(1, at(10_000)));
            prop_assert!(bucket.allows(1, at(10_100)));
        }
    }
}

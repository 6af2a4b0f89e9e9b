//! Sequence numbers as AWS makes them: 47 hexadecimal digits, written as 56 decimal ones.
//!
//! `2` ‖ the shard's epoch in seconds (9) ‖ low digit of the shard (1) ‖ index (16) ‖ `00` ‖ arrival
//! in seconds (9) ‖ shard (8) ‖ `2`. Clients need only uniqueness, and growth within a shard; as a
//! child's epoch is later than its parents', numbers grow over a reshard too.

use std::fmt;
use std::str::FromStr;

use crate::store::ShardInfo;
use crate::types::{ServerTimestamp, ShardId};

const HEX_DIGITS: usize = 47;
/// More digits than a client may send.
const MAX_DECIMAL_DIGITS: usize = 129;
const LARGEST_SECONDS: u64 = (1 << 36) - 1;
/// The index in a closed shard's ending sequence number, above those of all its records.
const ENDING_INDEX: u64 = i64::MAX as u64;
/// 47 hexadecimal digits are 188 bits: six limbs.
const LIMBS: usize = 6;
const CHUNK: u64 = 1_000_000_000;

/// The place of a record in its stream. The order is that of the number that clients see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber {
    epoch: u64,
    shard_digit: u8,
    index: u64,
    arrival_s: u64,
    shard: u32,
}

/// The text is not a sequence number that this service makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sequence number")]
pub struct InvalidSequenceNumber;

impl SequenceNumber {
    /// The number of the record with an index of a shard. Seconds beyond 36 bits are cut to them,
    /// and indices to 63.
    pub fn new(shard: ShardId, epoch: u64, index: u64, arrival: ServerTimestamp) -> Self {
        let arrival_s = u64::try_from(arrival.as_millis() / 1000).unwrap_or(0);
        Self {
            epoch: epoch.min(LARGEST_SECONDS),
            shard_digit: (shard.0 & 0xf) as u8,
            index: index.min(ENDING_INDEX),
            arrival_s: arrival_s.min(LARGEST_SECONDS),
            shard: shard.0,
        }
    }

    /// The number of a record of `shard`.
    pub fn of(shard: &ShardInfo, index: u64, arrival: ServerTimestamp) -> Self {
        Self::new(shard.id, shard.epoch, index, arrival)
    }

    /// Before all records of a shard.
    pub fn starting(shard: &ShardInfo) -> Self {
        Self::of(shard, 0, shard.created)
    }

    /// After all records of a shard; `None` while it is open.
    pub fn ending(shard: &ShardInfo) -> Option<Self> {
        shard.closed.map(|closed| Self::of(shard, ENDING_INDEX, closed.at))
    }

    /// The shard that it belongs to.
    pub fn shard(&self) -> ShardId {
        ShardId(self.shard)
    }

    /// The index of the record in its shard; 0 is before the first.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Whether it is one of `shard`, and not of a shard of that id in an earlier stream.
    pub fn belongs_to(&self, shard: &ShardInfo) -> bool {
        self.shard == shard.id.0 && self.epoch == shard.epoch.min(LARGEST_SECONDS)
    }

    fn hex(&self) -> String {
        let Self { epoch, shard_digit, index, arrival_s, shard } = self;
        format!("2{epoch:09x}{shard_digit:x}{index:016x}00{arrival_s:09x}{shard:08x}2")
    }

    fn from_hex(digits: &str) -> Option<Self> {
        let number = |from: usize, len: usize| u64::from_str_radix(&digits[from..from + len], 16);
        let fixed = (digits.get(0..1)?, digits.get(27..29)?, digits.get(46..47)?);
        let shard = u32::try_from(number(38, 8).ok()?).ok()?;
        let parsed = Self {
            epoch: number(1, 9).ok()?,
            shard_digit: u8::try_from(number(10, 1).ok()?).ok()?,
            index: number(11, 16).ok()?,
            arrival_s: number(29, 9).ok()?,
            shard,
        };
        let whole = fixed == ("2", "00", "2")
            && u32::from(parsed.shard_digit) == shard & 0xf
            && parsed.index <= ENDING_INDEX;
        whole.then_some(parsed)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.hex();
        let mut limbs = [0u32; LIMBS];
        for digit in hex.bytes().filter_map(|digit| char::from(digit).to_digit(16)) {
            multiply_add(&mut limbs, 16, digit);
        }
        // 56 digits are six groups of nine and two more, taken from the low end.
        let mut groups = [0u64; 7];
        for group in groups.iter_mut().rev() {
            let mut rest = 0;
            for limb in &mut limbs {
                let value = (rest << 32) | u64::from(*limb);
                *limb = (value / CHUNK) as u32;
                rest = value % CHUNK;
            }
            *group = rest;
        }
        write!(f, "{}", groups[0])?;
        groups[1..].iter().try_for_each(|group| write!(f, "{group:09}"))
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SequenceNumber({} #{})", self.shard(), self.index)
    }
}

impl FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || text.len() > MAX_DECIMAL_DIGITS || text.starts_with('0') {
            return Err(InvalidSequenceNumber);
        }
        let mut limbs = [0u32; LIMBS];
        for digit in text.bytes() {
            if !multiply_add(&mut limbs, 10, u32::from(digit - b'0')) {
                return Err(InvalidSequenceNumber);
            }
        }
        let hex: String = limbs.iter().map(|limb| format!("{limb:08x}")).collect();
        let (above, hex) = hex.split_at(hex.len() - HEX_DIGITS);
        let fits = above.bytes().all(|digit| digit == b'0');
        fits.then(|| Self::from_hex(hex)).flatten().ok_or(InvalidSequenceNumber)
    }
}

/// `limbs` · `factor` + `digit`; `false` when it does not fit.
fn multiply_add(limbs: &mut [u32; LIMBS], factor: u64, digit: u32) -> bool {
    let mut carry = u64::from(digit);
    for limb in limbs.iter_mut().rev() {
        let value = u64::from(*limb) * factor + carry;
        *limb = value as u32;
        carry = value >> 32;
    }
    carry == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn number_of_aws_reads_as_its_parts() {
        let text = "49590338271490256608559692538361571095921575989136588898";
        let number: SequenceNumber = text.parse().expect("a number of AWS");
        assert_eq!((number.epoch, number.arrival_s), (1_542_776_258, 1_545_084_650));
        assert_eq!(number.shard(), ShardId(6));
        assert_eq!(number.to_string(), text);
    }

    #[test]
    fn text_that_is_no_sequence_number_is_refused() {
        let nines = "9".repeat(56);
        let long = "4".repeat(130);
        for text in ["", "0", "1", "-1", "4959x", &nines, &long] {
            assert_eq!(text.parse::<SequenceNumber>(), Err(InvalidSequenceNumber), "{text}");
        }
    }

    fn any_number() -> impl Strategy<Value = SequenceNumber> {
        (any::<u32>(), 0..=LARGEST_SECONDS, 0..=ENDING_INDEX, 0..=LARGEST_SECONDS as i64).prop_map(
            |(shard, epoch, index, seconds)| {
                let arrival = ServerTimestamp::from_millis(seconds * 1000);
                SequenceNumber::new(ShardId(shard), epoch, index, arrival)
            },
        )
    }

    proptest! {
        #[test]
        fn numbers_survive_text(number in any_number()) {
            let text = number.to_string();
            prop_assert_eq!(text.len(), 56);
            prop_assert_eq!(text.parse(), Ok(number));
        }

        #[test]
        fn order_is_that_of_the_numbers_clients_see(a in any_number(), b in any_number()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,140}") {
            if let Ok(number) = text.parse::<SequenceNumber>() {
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}

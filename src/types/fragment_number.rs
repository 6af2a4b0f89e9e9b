//! A fragment's number on the wire: 47 decimal digits that grow as strings.

use std::fmt;
use std::str::FromStr;

use super::ServerTimestamp;

/// A fragment's number: unique in its stream and growing.
///
/// On the wire it is a 157-bit integer of 47 decimal digits, `1` (four bits) ‖ counter (64) ‖
/// server time in milliseconds (64) ‖ random (28), which is wider than `u128`, so its fields are
/// kept apart and compared in order. All numbers have the same length, hence order as numbers and
/// as strings agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentNumber {
    counter: u64,
    server_ms: u64,
    random: u32,
}

/// The text is not a fragment number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fragment number has 47 decimal digits and begins with 91343852333")]
pub struct ParseFragmentNumberError;

const DIGITS: usize = 47;
const RANDOM_BITS: u32 = 28;
const RANDOM_MASK: u32 = (1 << RANDOM_BITS) - 1;
const LARGEST_COUNTER: u64 = (1 << 60) - 1;
/// Decimal digits a limb carries while the number is taken apart.
const CHUNK: u64 = 1_000_000_000;

impl FragmentNumber {
    /// Before every number of a stream.
    pub const MIN: Self = Self { counter: 0, server_ms: 0, random: 0 };
    /// After every number of a stream.
    pub const MAX: Self =
        Self { counter: LARGEST_COUNTER, server_ms: u64::MAX, random: RANDOM_MASK };

    /// Builds a number; only the low 28 bits of `random` are kept, a time before 1970 is 0, and the
    /// counter stops at 2^60 - 1, the last power of two for which 47 digits are enough.
    pub fn new(counter: u64, server: ServerTimestamp, random: u32) -> Self {
        let server_ms = u64::try_from(server.as_millis()).unwrap_or(0);
        Self { counter: counter.min(LARGEST_COUNTER), server_ms, random: random & RANDOM_MASK }
    }

    /// Counts the stream's fragments from 1.
    pub const fn counter(self) -> u64 {
        self.counter
    }

    /// When the server began to receive the fragment.
    pub fn server_timestamp(self) -> ServerTimestamp {
        ServerTimestamp::from_millis(i64::try_from(self.server_ms).unwrap_or(i64::MAX))
    }

    /// The number just below, whether a fragment has it or not; itself when it is the least.
    #[must_use]
    pub const fn before(self) -> Self {
        let Self { counter, server_ms, random } = self;
        match (counter, server_ms, random) {
            (0, 0, 0) => self,
            (_, 0, 0) => Self { counter: counter - 1, server_ms: u64::MAX, random: RANDOM_MASK },
            (_, _, 0) => Self { counter, server_ms: server_ms - 1, random: RANDOM_MASK },
            _ => Self { counter, server_ms, random: random - 1 },
        }
    }

    /// 20 bytes, big-endian, that sort like the number.
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.counter.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.server_ms.to_be_bytes());
        bytes[16..].copy_from_slice(&self.random.to_be_bytes());
        bytes
    }

    /// The reverse of [`FragmentNumber::to_bytes`].
    pub fn from_bytes(bytes: &[u8; 20]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(word)
        };
        let random = u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        Self { counter: word(0), server_ms: word(8), random: random & RANDOM_MASK }
    }

    /// The 157-bit integer as five 32-bit limbs, most significant first.
    fn limbs(self) -> [u32; 5] {
        let high = (1u128 << 64) | u128::from(self.counter);
        let low = (u128::from(self.server_ms) << RANDOM_BITS) | u128::from(self.random);
        // The low part has 92 bits, so the high part is shifted in at bit 92 = 2 × 32 + 28.
        let high = high << 28;
        let low_top = (low >> 64) as u32;
        [
            (high >> 64) as u32,
            (high >> 32) as u32,
            (high as u32) | low_top,
            (low >> 32) as u32,
            low as u32,
        ]
    }
}

impl fmt::Display for FragmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        // 47 digits = five groups of nine and one of two, taken from the low end.
        let mut groups = [0u64; 6];
        for group in groups.iter_mut().rev() {
            let mut rest = 0u64;
            for limb in &mut limbs {
                let value = (rest << 32) | u64::from(*limb);
                *limb = (value / CHUNK) as u32;
                rest = value % CHUNK;
            }
            *group = rest;
        }
        write!(f, "{:02}", groups[0])?;
        groups[1..].iter().try_for_each(|group| write!(f, "{group:09}"))
    }
}

impl fmt::Debug for FragmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FragmentNumber({self})")
    }
}

impl FromStr for FragmentNumber {
    type Err = ParseFragmentNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseFragmentNumberError);
        }
        let mut limbs = [0u32; 5];
        for digit in text.bytes() {
            let mut carry = u64::from(digit - b'0');
            for limb in limbs.iter_mut().rev() {
                let value = u64::from(*limb) * 10 + carry;
                *limb = value as u32;
                carry = value >> 32;
            }
            if carry != 0 {
                return Err(ParseFragmentNumberError);
            }
        }
        let high =
            (u128::from(limbs[0]) << 64) | (u128::from(limbs[1]) << 32) | u128::from(limbs[2]);
        let low = (u128::from(limbs[2] & RANDOM_MASK) << 64)
            | (u128::from(limbs[3]) << 32)
            | u128::from(limbs[4]);
        let high = high >> 28;
        let counter = high as u64;
        if high >> 64 != 1 || counter > LARGEST_COUNTER {
            return Err(ParseFragmentNumberError);
        }
        Ok(Self {
            counter,
            server_ms: (low >> RANDOM_BITS) as u64,
            random: (low as u32) & RANDOM_MASK,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn number_is_written_as_aws_writes_it() {
        let time = ServerTimestamp::from_millis(1_550_860_950_395);
        let number = FragmentNumber::new(37_040, time, 0xab4_1a43);
        let text = "91343852333181615800926522983015284194795592259";
        assert_eq!(number.to_string(), text);
        assert_eq!(text.parse(), Ok(number));
        assert_eq!(number.server_timestamp(), time);
        assert_eq!(FragmentNumber::MAX.to_string().parse(), Ok(FragmentNumber::MAX));
    }

    #[test]
    fn text_that_is_no_fragment_number_is_refused() {
        for text in ["", "1", "00000000000000000000000000000000000000000000000", "9x"] {
            assert_eq!(text.parse::<FragmentNumber>(), Err(ParseFragmentNumberError), "{text}");
        }
        let too_large = "9".repeat(47);
        assert_eq!(too_large.parse::<FragmentNumber>(), Err(ParseFragmentNumberError));
    }

    fn any_number() -> impl Strategy<Value = FragmentNumber> {
        (0..=LARGEST_COUNTER, 0..i64::MAX, any::<u32>()).prop_map(|(counter, ms, random)| {
            FragmentNumber::new(counter, ServerTimestamp::from_millis(ms), random)
        })
    }

    proptest! {
        #[test]
        fn numbers_survive_text_and_bytes(number in any_number()) {
            prop_assert_eq!(number.to_string().parse(), Ok(number));
            prop_assert_eq!(FragmentNumber::from_bytes(&number.to_bytes()), number);
        }

        #[test]
        fn order_is_the_same_as_numbers_strings_and_bytes(a in any_number(), b in any_number()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }
}

//! Bits of a parameter set, most significant first. Every read may end in `None`; nothing panics.

/// Reads bits of a byte slice in order.
#[derive(Clone, Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// Position in bits.
    at: usize,
}

impl<'a> Bits<'a> {
    /// Starts at the first bit.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits that are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// The next bit.
    pub fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// The next `count` bits, at most 32, as `u(n)` of H.264 and H.265.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "a value has at most 32 bits");
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Moves on by `count` bits.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        if count > self.remaining() {
            return None;
        }
        self.at += count;
        Some(())
    }

    /// An unsigned Exp-Golomb value, `ue(v)` (H.264 9.1). Its length is bounded by 32 zeros.
    pub fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// A signed Exp-Golomb value, `se(v)` (H.264 9.1.1).
    pub fn signed(&mut self) -> Option<i32> {
        let code = self.unsigned()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { magnitude } else { -magnitude })
    }
}

/// A NAL unit's payload without the emulation prevention bytes (H.264 7.4.1).
pub fn raw_byte_sequence(nal: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        raw.push(byte);
    }
    raw
}

/// Splits `count` bytes off the front of `bytes`.
pub fn split<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

/// Splits a NAL unit with its 16-bit length off the front of `bytes`.
pub fn split_nal<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = split(bytes, 2)?;
    split(bytes, usize::from(u16::from_be_bytes([length[0], length[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_golomb_values_are_read_as_the_standard_lists_them() {
        // H.264 table 9-2: 1, 010, 011, 00100, 00101 are 0, 1, 2, 3, 4; signed 0, 1, -1, 2, -2.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes);
        let unsigned: Vec<_> = (0..5).map_while(|_| bits.unsigned()).collect();
        assert_eq!(unsigned, [0, 1, 2, 3, 4]);
        let mut bits = Bits::new(&bytes);
        let signed: Vec<_> = (0..5).map_while(|_| bits.signed()).collect();
        assert_eq!(signed, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_bytes_are_removed() {
        assert_eq!(raw_byte_sequence(&[1, 0, 0, 3, 1, 0, 0, 3, 0]), [1, 0, 0, 1, 0, 0, 0]);
    }
}

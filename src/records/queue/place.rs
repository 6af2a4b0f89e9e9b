//! Where a record lies, and the names that are made of it: its id and its receipt handles.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::types::StreamId;

/// The longest receipt handle that is looked at, as the API says.
pub const MAX_RECEIPT_CHARS: usize = 1024;

/// The version of receipt handles.
const RECEIPT_VERSION: u8 = 1;
/// Version, kind, shard, index, number.
const RECEIPT_BODY: usize = 1 + 1 + 4 + 8 + 8;
/// Bytes of the code that are kept; half of SHA-256 is as hard to guess as a random UUID.
const RECEIPT_MAC: usize = 16;

/// Where a record lies: in which shard's log, and at which index there. No other record of this
/// server ever has the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The shard's log.
    pub shard: StreamId,
    /// The record's index in it.
    pub index: u64,
}

impl Place {
    /// The record's id: the same at every delivery and in every queue, 24 of `[a-f0-9]`.
    pub fn record_id(self) -> String {
        format!("{:08x}{:016x}", self.shard.0, self.index)
    }
}

/// What a receipt handle says: which delivery of which record it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record.
    pub place: Place,
    /// The delivery's number, unique in its queue.
    pub number: u64,
    /// Whether it was received as a dead letter.
    pub dead: bool,
}

/// A queue's secret that signs its receipt handles, so that nobody can make one up.
#[derive(Clone)]
pub struct ReceiptKey([u8; 32]);

impl ReceiptKey {
    /// From 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The receipt as an opaque handle.
    pub fn seal(&self, receipt: Receipt) -> String {
        let mut bytes = Vec::with_capacity(RECEIPT_BODY + RECEIPT_MAC);
        bytes.extend_from_slice(&[RECEIPT_VERSION, receipt.dead.into()]);
        bytes.extend_from_slice(&receipt.place.shard.0.to_be_bytes());
        bytes.extend_from_slice(&receipt.place.index.to_be_bytes());
        bytes.extend_from_slice(&receipt.number.to_be_bytes());
        let code = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code[..RECEIPT_MAC]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a handle says; `None` unless this queue made it.
    pub fn open(&self, handle: &str) -> Option<Receipt> {
        if handle.len() > MAX_RECEIPT_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let (body, code) = bytes.split_at_checked(RECEIPT_BODY)?;
        if code.len() != RECEIPT_MAC || body[0] != RECEIPT_VERSION {
            return None;
        }
        self.mac(body).verify_truncated_left(code).ok()?;
        let shard = u32::from_be_bytes(body[2..6].try_into().ok()?);
        let index = u64::from_be_bytes(body[6..14].try_into().ok()?);
        let number = u64::from_be_bytes(body[14..22].try_into().ok()?);
        let place = Place { shard: StreamId(shard), index };
        Some(Receipt { place, number, dead: body[1] != 0 })
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(body);
        mac
    }
}

/// Secrets never reach a log.
impl std::fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: ReceiptKey = ReceiptKey::new([7; 32]);

    #[test]
    fn record_id_is_made_of_the_characters_that_the_api_allows() {
        let place = Place { shard: StreamId(u32::MAX), index: 255 };
        assert_eq!(place.record_id(), "ffffffff00000000000000ff");
    }

    #[test]
    fn handle_is_refused_by_another_queue() {
        let place = Place { shard: StreamId(1), index: 2 };
        let handle = KEY.seal(Receipt { place, number: 3, dead: false });
        assert_eq!(ReceiptKey::new([8; 32]).open(&handle), None);
    }

    proptest! {
        #[test]
        fn handle_carries_its_receipt(shard: u32, index: u64, number: u64, dead: bool) {
            let receipt = Receipt { place: Place { shard: StreamId(shard), index }, number, dead };
            let handle = KEY.seal(receipt);
            prop_assert!(handle.len() <= MAX_RECEIPT_CHARS);
            prop_assert_eq!(KEY.open(&handle), Some(receipt));
        }

        #[test]
        fn altered_handle_is_refused(index: u64, at_byte: usize, to in 1u8..) {
            let place = Place { shard: StreamId(1), index };
            let handle = KEY.seal(Receipt { place, number: 1, dead: false });
            let mut bytes = URL_SAFE_NO_PAD.decode(handle).expect("own handle");
            let at = at_byte % bytes.len();
            bytes[at] ^= to;
            prop_assert_eq!(KEY.open(&URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn any_text_is_answered(text: String) {
            prop_assert_eq!(KEY.open(&text), None);
        }
    }
}

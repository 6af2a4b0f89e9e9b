//! EBML (RFC 8794): element ids, sizes and values, from bytes and to bytes.
//!
//! Here: how elements are coded. Not here: what any of them means (`mkv`).

use std::borrow::Cow;

/// The longest id and the longest size (RFC 8794 11.2.4 and 11.2.5, their defaults).
const MAX_ID_LEN: usize = 4;
const MAX_SIZE_LEN: usize = 8;

/// What is wrong with an element, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Offset of the offending element, on the caller's scale.
    pub at: u64,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What can be wrong with the coding of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not an element id: longer than four bytes, or reserved (all bits zero or one).
    InvalidId,
    /// Not an element size: longer than eight bytes.
    InvalidSize,
    /// An element of unknown size where the size must be known.
    UnknownSize {
        /// The element.
        id: u32,
    },
    /// An element reaches beyond the end of the element around it.
    BeyondParent {
        /// The inner element; zero when even its header is cut.
        id: u32,
    },
    /// A number of a wrong length, or out of range.
    InvalidValue {
        /// The element that holds it.
        id: u32,
    },
}

/// An element's id and size, as they stand before its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The id with its length marker, as the standards print it: `0x1A45DFA3`.
    pub id: u32,
    /// Bytes of content; `None` when the size is written as unknown (RFC 8794 6.2).
    pub size: Option<u64>,
    /// Bytes of the header itself, 2 to 12.
    pub len: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidId`] and [`ErrorKind::InvalidSize`], as soon as one byte tells.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ErrorKind> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let id_len = first.leading_zeros() as usize + 1;
        if id_len > MAX_ID_LEN {
            return Err(ErrorKind::InvalidId);
        }
        let Some((id, rest)) = bytes.split_at_checked(id_len) else { return Ok(None) };
        let id = big_endian(id) as u32;
        let mask = (1 << (7 * id_len)) - 1;
        if id & mask == 0 || id & mask == mask {
            return Err(ErrorKind::InvalidId);
        }
        if rest.first() == Some(&0) {
            return Err(ErrorKind::InvalidSize);
        }
        let size = Vint::read(rest);
        Ok(size.map(|size| Self { id, size: size.known(), len: id_len + size.len }))
    }
}

/// A variable-size integer (RFC 8794 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vint {
    /// The value without its length marker.
    pub value: u64,
    /// Bytes it takes, 1 to 8.
    pub len: usize,
}

impl Vint {
    /// Reads the integer at the start of `bytes`; `None` when it is cut or longer than 8 bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let len = bytes.first()?.leading_zeros() as usize + 1;
        if len > MAX_SIZE_LEN {
            return None;
        }
        let value = big_endian(bytes.get(..len)?) & ones(len);
        Some(Self { value, len })
    }

    /// The value as a size: `None` when all its bits are one, which means unknown.
    pub fn known(self) -> Option<u64> {
        (self.value != ones(self.len)).then_some(self.value)
    }

    /// The value as a signed difference, as EBML lacing codes it (RFC 9559 10.3.3).
    pub fn signed(self) -> i64 {
        // At most 56 bits are set, so neither conversion can change the value.
        self.value as i64 - (ones(self.len) >> 1) as i64
    }
}

/// A whole element of known size inside of another.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The id with its length marker.
    pub id: u32,
    /// Offset of the element's first byte.
    pub at: u64,
    /// The content.
    pub data: &'a [u8],
    /// Bytes of the header before `data`.
    pub header_len: usize,
}

impl<'a> Element<'a> {
    /// The elements inside of this one.
    pub fn children(&self) -> Children<'a> {
        Children { rest: self.data, at: self.at + self.header_len as u64 }
    }

    /// The content as an unsigned integer; an empty one is zero (RFC 8794 7.2).
    pub fn uint(&self) -> Result<u64, Error> {
        if self.data.len() > 8 { Err(self.invalid()) } else { Ok(big_endian(self.data)) }
    }

    /// The content as a float of 4 or 8 bytes; an empty one is zero (RFC 8794 7.3).
    pub fn float(&self) -> Result<f64, Error> {
        match self.data.len() {
            0 => Ok(0.0),
            4 => Ok(f64::from(f32::from_bits(big_endian(self.data) as u32))),
            8 => Ok(f64::from_bits(big_endian(self.data))),
            _ => Err(self.invalid()),
        }
    }

    /// The content as text up to a terminating zero (RFC 8794 13); what is not UTF-8 is replaced.
    pub fn text(&self) -> Cow<'a, str> {
        let end = self.data.iter().position(|&byte| byte == 0).unwrap_or(self.data.len());
        String::from_utf8_lossy(&self.data[..end])
    }

    /// The error that this element's value is out of range.
    pub fn invalid(&self) -> Error {
        Error { at: self.at, kind: ErrorKind::InvalidValue { id: self.id } }
    }
}

/// Walks the elements inside of an element; ends after the first error.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Element<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match read_child(self.rest) {
            Ok((header, data)) => {
                let child = Element { id: header.id, at: self.at, data, header_len: header.len };
                let len = header.len + data.len();
                self.rest = &self.rest[len..];
                self.at += len as u64;
                Some(Ok(child))
            }
            Err(kind) => {
                self.rest = &[];
                Some(Err(Error { at: self.at, kind }))
            }
        }
    }
}

fn read_child(bytes: &[u8]) -> Result<(Header, &[u8]), ErrorKind> {
    let header = Header::read(bytes)?.ok_or(ErrorKind::BeyondParent { id: 0 })?;
    let size = header.size.ok_or(ErrorKind::UnknownSize { id: header.id })?;
    let data = usize::try_from(size).ok().and_then(|size| bytes[header.len..].get(..size));
    data.map(|data| (header, data)).ok_or(ErrorKind::BeyondParent { id: header.id })
}

/// Appends an element's id.
pub fn put_id(out: &mut Vec<u8>, id: u32) {
    let skip = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(&id.to_be_bytes()[skip.min(MAX_ID_LEN - 1)..]);
}

/// Appends a size or other variable-size integer in `width` bytes (1 to 8), or in as many more as
/// it needs; a value of more than 56 bits, which no buffer has, is written as unknown.
pub fn put_vint(out: &mut Vec<u8>, value: u64, width: usize) {
    let fits = |&len: &usize| value < ones(len);
    let len = (width.max(1)..=MAX_SIZE_LEN).find(fits).unwrap_or(MAX_SIZE_LEN);
    let coded = value.min(ones(len)) | (1 << (7 * len));
    out.extend_from_slice(&coded.to_be_bytes()[8 - len..]);
}

/// Appends a whole element whose size takes `width` bytes, or more if it must.
pub fn put(out: &mut Vec<u8>, id: u32, width: usize, data: &[u8]) {
    put_id(out, id);
    put_vint(out, data.len() as u64, width);
    out.extend_from_slice(data);
}

/// The bytes as a big-endian number; of more than eight, the last eight count.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// All value bits of a variable-size integer of `len` bytes.
const fn ones(len: usize) -> u64 {
    (1 << (7 * len)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(bytes: &[u8]) -> Result<Option<Header>, ErrorKind> {
        Header::read(bytes)
    }

    #[test]
    fn header_is_read_at_every_width_and_needs_all_its_bytes() {
        let cluster = [0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for cut in 0..cluster.len() {
            assert_eq!(header(&cluster[..cut]), Ok(None), "{cut}");
        }
        let whole = Header { id: 0x1f43_b675, size: None, len: 12 };
        assert_eq!(header(&cluster), Ok(Some(whole)));
        assert_eq!(header(&[0xa3, 0x82]), Ok(Some(Header { id: 0xa3, size: Some(2), len: 2 })));
        assert_eq!(
            header(&[0x42, 0x86, 0x40, 0x03]),
            Ok(Some(Header { id: 0x4286, size: Some(3), len: 4 })),
        );
    }

    #[test]
    fn what_is_no_id_or_size_is_refused_at_its_first_byte() {
        for bytes in [&[0x00][..], &[0x0f], &[0x80], &[0xff], &[0x7f, 0xff], &[0x40, 0x00]] {
            assert_eq!(header(bytes), Err(ErrorKind::InvalidId), "{bytes:x?}");
        }
        assert_eq!(header(&[0xa3, 0x00]), Err(ErrorKind::InvalidSize));
    }

    #[test]
    fn signed_differences_are_centred() {
        let signed = |bytes: &[u8]| Vint::read(bytes).map(Vint::signed);
        assert_eq!(signed(&[0x80]), Some(-63));
        assert_eq!(signed(&[0xbf]), Some(0));
        assert_eq!(signed(&[0xc0]), Some(1));
        assert_eq!(signed(&[0x5f, 0xff]), Some(0));
    }

    #[test]
    fn children_end_after_the_first_error() {
        let parent = Element { id: 0xae, at: 10, data: &[0xd7, 0x81, 1, 0x83], header_len: 2 };
        let children: Vec<_> = parent.children().collect();
        assert_eq!(children.len(), 2);
        assert_eq!(children[0].as_ref().map(|child| child.at), Ok(12));
        let cut = Error { at: 15, kind: ErrorKind::BeyondParent { id: 0 } };
        assert_eq!(children[1].as_ref().err(), Some(&cut));
    }

    #[test]
    fn floats_are_empty_or_have_four_or_eight_bytes() {
        let float = |data: &[u8]| Element { id: 0xb5, at: 0, data, header_len: 2 }.float();
        assert_eq!(float(&[]), Ok(0.0));
        assert_eq!(float(&44_100f32.to_be_bytes()), Ok(44_100.0));
        assert_eq!(float(&48_000f64.to_be_bytes()), Ok(48_000.0));
        assert!(float(&[0; 3]).is_err());
    }

    proptest! {
        #[test]
        fn sizes_survive_writing_at_any_width(value in 0u64..(1 << 56) - 1, width in 1usize..=8) {
            let mut bytes = Vec::new();
            put_vint(&mut bytes, value, width);
            let read = Vint::read(&bytes);
            prop_assert_eq!(read.and_then(Vint::known), Some(value));
            prop_assert!(bytes.len() >= width);
        }

        #[test]
        fn elements_survive_writing(data in prop::collection::vec(any::<u8>(), 0..300)) {
            for id in [0xa3, 0x4286, 0x2a_d7b1, 0x1f43_b675] {
                let mut bytes = Vec::new();
                put(&mut bytes, id, 1, &data);
                let header = Header::read(&bytes).ok().flatten().expect("whole header");
                prop_assert_eq!(header.id, id);
                prop_assert_eq!(&bytes[header.len..], &data[..]);
            }
        }
    }
}

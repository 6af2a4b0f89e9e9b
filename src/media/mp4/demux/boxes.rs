//! Boxes: headers, and the row of boxes inside another (ISO/IEC 14496-12 4.2).

use mp4_atom::Atom;

use super::{Error, ErrorKind};

/// Four letters that name a box.
pub type Name = [u8; 4];

/// The start of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHeader {
    /// Its four letters.
    pub name: Name,
    /// Bytes of the header: 8 or 16.
    pub len: usize,
    /// Bytes of the content; `None` for a box that goes on to the file's end.
    pub content: Option<u64>,
}

impl BoxHeader {
    /// The longest header.
    pub const MAX_LEN: usize = 16;

    /// Reads the header at the start of `bytes`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// `InvalidBox` for a size that does not even hold the header.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ErrorKind> {
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let Some((&name, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let (len, size) = match u32::from_be_bytes(*size) {
            0 => return Ok(Some(Self { name, len: 8, content: None })),
            1 => match rest.first_chunk::<8>() {
                Some(size) => (16, u64::from_be_bytes(*size)),
                None => return Ok(None),
            },
            size => (8, u64::from(size)),
        };
        let content = size.checked_sub(len as u64).ok_or(ErrorKind::InvalidBox)?;
        Ok(Some(Self { name, len, content: Some(content) }))
    }

    /// The letters as text.
    pub fn text(&self) -> String {
        self.name.escape_ascii().to_string()
    }
}

/// Whether a body that begins so is an MP4 or QuickTime file. Eight bytes tell.
pub fn looks_like_mp4(start: &[u8]) -> bool {
    const FIRST: [&Name; 11] = [
        b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"prft",
        b"pnot",
    ];
    start.get(4..8).is_some_and(|name| FIRST.iter().any(|known| known[..] == *name))
}

/// A box that is whole, with where it stands in the body.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    pub name: Name,
    pub at: u64,
    pub content: &'a [u8],
}

impl<'a> Child<'a> {
    /// The boxes inside, behind `skip` bytes of fields.
    pub fn children(&self, skip: usize) -> Children<'a> {
        // The header's own length is not known any more; eight is right for all but giants, and
        // offsets only serve error texts.
        Children {
            rest: self.content.get(skip..).unwrap_or_default(),
            at: self.at + 8 + skip as u64,
        }
    }

    /// The first box of a name inside.
    pub fn find(&self, name: &'static Name) -> Result<Option<Self>, Error> {
        for child in self.children(0) {
            let child = child?;
            if child.name == *name {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// The first box of a name inside, which must be there.
    pub fn need(&self, name: &'static Name) -> Result<Self, Error> {
        let missing = || {
            let name = std::str::from_utf8(name).unwrap_or_default();
            Error { at: self.at, kind: ErrorKind::Missing { name } }
        };
        self.find(name)?.ok_or_else(missing)
    }

    /// Reads the content as the atom that it is.
    pub fn read<A: Atom>(&self, name: &'static str) -> Result<A, Error> {
        let mut content = self.content;
        A::decode_body(&mut content).map_err(|error| self.malformed(name, &error.to_string()))
    }

    pub fn malformed(&self, name: &'static str, why: &str) -> Error {
        Error { at: self.at, kind: ErrorKind::Malformed { name, why: why.to_owned() } }
    }
}

/// The boxes inside another, in their order.
pub struct Children<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Child<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // QuickTime ends some rows with four zero bytes.
        if self.rest.len() < 8 {
            return None;
        }
        let at = self.at;
        let child = BoxHeader::read(self.rest).ok().flatten().and_then(|header| {
            let room = self.rest.len() - header.len;
            let content = header.content.map_or(Some(room), |size| usize::try_from(size).ok())?;
            let whole = self.rest.get(..header.len + content)?;
            Some((header, whole))
        });
        let Some((header, whole)) = child else {
            self.rest = &[];
            return Some(Err(Error { at, kind: ErrorKind::InvalidBox }));
        };
        self.rest = &self.rest[whole.len()..];
        self.at += whole.len() as u64;
        Some(Ok(Child { name: header.name, at, content: &whole[header.len..] }))
    }
}

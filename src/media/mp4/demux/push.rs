//! The push parser: bytes of a body in at any split, frames out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::boxes::{BoxHeader, Child};
use super::movie::{MAX_MOOV, Movie};
use super::samples::{InFile, Sample, check_size};
use super::{Error, ErrorKind, Frame, fragment};

/// The most bytes of a fragment's index.
const MAX_MOOF: u64 = 8 << 20;

/// What comes out of a body.
#[derive(Clone, Debug)]
pub enum Event {
    /// The index; it comes before all frames, and once.
    Movie(Arc<Movie>),
    /// A frame.
    Frame(Frame),
    /// Frames stand in front of the index, or in an order in which they cannot be taken as they
    /// come: the body from [`Demuxer::at`] on has to be kept, and is of no use to the demuxer any
    /// more. Take what it holds with [`Demuxer::into_rest`].
    KeepFile,
}

/// Reads a body cut at any place.
///
/// [`push`](Self::push) some bytes, take events until there is none, and again. It holds the
/// unfinished index or frame beside what was pushed last; both are bounded.
#[derive(Debug)]
pub struct Demuxer {
    buffer: BytesMut,
    /// Offset of the buffer's first byte in the body.
    at: u64,
    state: State,
    movie: Option<Arc<Movie>>,
    /// The frames of the index that are still to come; `None` behind the last.
    indexed: Option<InFile>,
    next_indexed: Option<Sample>,
    /// The frames of the fragment, as they stand in the body.
    waiting: VecDeque<Sample>,
    /// Decode time behind each track's newest fragment.
    decode: Vec<u64>,
    /// Frames of the index stand in no order in which they can be taken as they come.
    disordered: bool,
    /// What a `prft` box said.
    reference_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A box begins here.
    Header,
    /// Inside a box that is held whole: where it began, and how long its content is.
    Whole { name: [u8; 4], began: u64, content: usize },
    /// Inside an `mdat`, up to this place; `None` up to the body's end.
    Data { end: Option<u64> },
    /// Inside a box of no interest, up to this place; `None` up to the body's end.
    Skip { end: Option<u64> },
}

/// What a step did.
enum Step {
    Event(Event),
    Moved,
    NeedsMore,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            at: 0,
            state: State::Header,
            movie: None,
            indexed: None,
            next_indexed: None,
            waiting: VecDeque::new(),
            decode: Vec::new(),
            disordered: false,
            reference_ms: None,
        }
    }
}

impl Demuxer {
    /// Adds bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no MP4 file that can be taken. The demuxer is of no further use then.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match self.step()? {
                Step::Event(event) => return Ok(Some(event)),
                Step::Moved => {}
                Step::NeedsMore => return Ok(None),
            }
        }
    }

    /// The index, once it came.
    pub fn movie(&self) -> Option<Arc<Movie>> {
        self.movie.clone()
    }

    /// Offset in the body of the first byte that was not consumed.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What was pushed and not consumed.
    pub fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// When the presentation starts, as far as the file says: milliseconds since the Unix epoch.
    pub fn embedded_ms(&self) -> Option<i64> {
        self.reference_ms.or_else(|| self.movie.as_ref()?.created_ms)
    }

    /// Whether the body may end here.
    ///
    /// # Errors
    /// `Truncated` within a box or when frames are missing, `NoMovie` without an index.
    pub fn finish(&self) -> Result<(), Error> {
        let error = |kind| Err(Error { at: self.at + self.buffer.len() as u64, kind });
        let open_end = matches!(self.state, State::Data { end: None } | State::Skip { end: None });
        let at_box = self.state == State::Header && self.buffer.is_empty();
        if self.movie.is_none() {
            return error(ErrorKind::NoMovie);
        }
        if !(open_end || at_box) || self.next_indexed.is_some() || !self.waiting.is_empty() {
            return error(ErrorKind::Truncated);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, Error> {
        match self.state {
            State::Header => self.header(),
            State::Whole { name, began, content } => self.whole(name, began, content),
            State::Data { end } => self.data(end),
            State::Skip { end } => {
                let left = end.map_or(u64::MAX, |end| end - self.at);
                self.skip(left);
                if Some(self.at) != end {
                    return Ok(Step::NeedsMore);
                }
                self.state = State::Header;
                Ok(Step::Moved)
            }
        }
    }

    fn header(&mut self) -> Result<Step, Error> {
        let error = |kind| Error { at: self.at, kind };
        let Some(header) = BoxHeader::read(&self.buffer).map_err(error)? else {
            return Ok(Step::NeedsMore);
        };
        let limit = match &header.name {
            b"moov" => MAX_MOOV,
            b"moof" | b"prft" => MAX_MOOF,
            b"mdat" => {
                if self.must_keep_file() {
                    return Ok(Step::Event(Event::KeepFile));
                }
                let end = self.end_of(&header)?;
                self.consume(header.len);
                self.state = State::Data { end };
                return Ok(Step::Moved);
            }
            _ => {
                let end = self.end_of(&header)?;
                self.consume(header.len);
                self.state = State::Skip { end };
                return Ok(Step::Moved);
            }
        };
        let size = header.content.unwrap_or(u64::MAX);
        if size > limit {
            let kind = ErrorKind::BoxTooLarge { name: header.text(), size, limit };
            return Err(error(kind));
        }
        let began = self.at;
        self.consume(header.len);
        self.state = State::Whole { name: header.name, began, content: size as usize };
        Ok(Step::Moved)
    }

    fn end_of(&self, header: &BoxHeader) -> Result<Option<u64>, Error> {
        let Some(content) = header.content else { return Ok(None) };
        let end = (self.at + header.len as u64).checked_add(content);
        end.map(Some).ok_or(Error { at: self.at, kind: ErrorKind::InvalidBox })
    }

    /// Frames come whose index is not there yet, or that stand in no good order.
    fn must_keep_file(&self) -> bool {
        self.movie.is_none() || self.next_indexed.is_some() && self.disordered
    }

    fn whole(&mut self, name: [u8; 4], began: u64, content: usize) -> Result<Step, Error> {
        if self.buffer.len() < content {
            return Ok(Step::NeedsMore);
        }
        let bytes = self.buffer.split_to(content).freeze();
        self.at += content as u64;
        self.state = State::Header;
        match (&name, self.movie.clone()) {
            (b"moov", None) => {
                let movie = Arc::new(Movie::read(&bytes, began)?);
                let mut indexed = movie.in_file();
                self.next_indexed = indexed.next(&movie.tracks).map(check_size).transpose()?;
                self.indexed = Some(indexed);
                self.disordered = !movie.is_interleaved();
                self.decode = vec![0; movie.tracks.len()];
                self.movie = Some(Arc::clone(&movie));
                return Ok(Step::Event(Event::Movie(movie)));
            }
            (b"moof", Some(movie)) => {
                if !self.waiting.is_empty() {
                    return Err(Error { at: began, kind: ErrorKind::Truncated });
                }
                self.waiting = fragment::read(&bytes, began, &movie, &mut self.decode)?.into();
            }
            (b"moof", None) => return Err(Error { at: began, kind: ErrorKind::NoMovie }),
            (b"prft", Some(movie)) if self.reference_ms.is_none() => {
                let prft = Child { name, at: began, content: &bytes };
                self.reference_ms = fragment::reference_ms(&prft, &movie)?;
            }
            // A second index says nothing new: encoders repeat it.
            _ => {}
        }
        Ok(Step::Moved)
    }

    /// The next frame of the `mdat`, or its end.
    fn data(&mut self, end: Option<u64>) -> Result<Step, Error> {
        let next = self.next_sample();
        let Some(sample) = next.filter(|sample| end.is_none_or(|end| sample.at < end)) else {
            self.state = State::Skip { end };
            return Ok(Step::Moved);
        };
        if sample.at < self.at {
            return Err(Error { at: sample.at, kind: ErrorKind::Overlap });
        }
        if end.is_some_and(|end| sample.at.saturating_add(sample.size.into()) > end) {
            return Err(Error { at: sample.at, kind: ErrorKind::InvalidBox });
        }
        self.skip(sample.at - self.at);
        let size = sample.size as usize;
        if self.at < sample.at || self.buffer.len() < size {
            return Ok(Step::NeedsMore);
        }
        let data = self.buffer.split_to(size).freeze();
        self.at += u64::from(sample.size);
        self.pass_sample()?;
        let Sample { track, time_ns, keyframe, .. } = sample;
        Ok(Step::Event(Event::Frame(Frame { track, time_ns, keyframe, data })))
    }

    /// The frame that stands first, of the fragment and of the index.
    fn next_sample(&self) -> Option<Sample> {
        let candidates = [self.waiting.front().copied(), self.next_indexed];
        candidates.into_iter().flatten().min_by_key(|sample| sample.at)
    }

    fn pass_sample(&mut self) -> Result<(), Error> {
        if self.next_sample() == self.waiting.front().copied() {
            self.waiting.pop_front();
        } else if let (Some(indexed), Some(movie)) = (&mut self.indexed, &self.movie) {
            self.next_indexed = indexed.next(&movie.tracks).map(check_size).transpose()?;
        }
        Ok(())
    }

    fn consume(&mut self, len: usize) {
        self.buffer.advance(len);
        self.at += len as u64;
    }

    /// Passes over up to so many bytes of those that are there.
    fn skip(&mut self, most: u64) {
        let len = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        self.consume(len);
    }
}

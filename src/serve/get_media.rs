//! GetMedia: an endless MKV, one complete document per fragment, live frame by frame.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::clock::Clock;
use crate::media::mkv::kvs;
use crate::store::{Chunk, Cursor, FragmentReader, MediaStream, ReadError, Start, TornFragment};
use crate::types::{FragmentNumber, Millis};

/// Matroska's Cluster id with each way to write that the size is unknown.
const UNKNOWN_SIZE_CLUSTERS: [&[u8]; 2] = [
    &[0x1f, 0x43, 0xb6, 0x75, 0xff],
    &[0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// One GetMedia response being made: ask [`GetMedia::next_bytes`] until it ends.
///
/// Each fragment comes as the producer's own bytes: head, inserted tags (number and both
/// timestamps), cluster, producer's tags, inserted tags (distance to now, continuation token).
/// The last pair is sent only once the fragment is persisted, so a token never names one that a
/// crash could take back.
pub struct GetMedia {
    stream: Arc<MediaStream>,
    cursor: Cursor,
    clock: Clock,
    current: Option<Current>,
}

struct Current {
    reader: FragmentReader,
    /// Whether a reader of the bytes can tell that the cluster broke off: the next document's
    /// head ends a cluster of unknown size, but would count as content of a sized one.
    open_ended: bool,
}

impl GetMedia {
    /// A response that starts at `start`.
    pub fn new(stream: Arc<MediaStream>, start: Start, clock: Clock) -> Self {
        let cursor = stream.cursor(start);
        Self { stream, cursor, clock, current: None }
    }

    /// The next bytes; waits at the tail. `None` ends the response: the stream was deleted, or a
    /// fragment broke off in a way that cannot be told within the body.
    ///
    /// A damaged fragment is passed over, like one that expired: a reader that came back with its
    /// continuation token would only meet it again, and never see what follows.
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let Some(current) = &mut self.current else {
                match self.cursor.next().await {
                    Ok(reader) => return Ok(Some(self.open(reader))),
                    Err(ReadError::StreamDeleted) => return Ok(None),
                    Err(ReadError::Damaged(what)) => tracing::error!("passed over: {what}"),
                    Err(error) => return Err(error),
                }
                continue;
            };
            match current.reader.next_piece().await {
                Ok(Some(piece)) => {
                    current.open_ended |=
                        UNKNOWN_SIZE_CLUSTERS.iter().any(|start| piece.starts_with(start));
                    return Ok(Some(piece));
                }
                Ok(None) => {
                    let tags = kvs::trailing_tags(self.behind_now(), self.number());
                    self.current = None;
                    return Ok(Some(tags));
                }
                Err(TornFragment::Read(ReadError::StreamDeleted)) => return Ok(None),
                Err(TornFragment::Read(error @ ReadError::Io { .. })) => return Err(error),
                Err(torn) => {
                    if let TornFragment::Read(ReadError::Damaged(what)) = torn {
                        tracing::error!("broken off: {what}");
                    }
                    if !current.open_ended {
                        return Ok(None);
                    }
                    self.current = None;
                }
            }
        }
    }

    fn open(&mut self, reader: FragmentReader) -> Bytes {
        let tags = kvs::leading_tags(reader.number(), reader.server(), reader.producer());
        let mut start = BytesMut::with_capacity(reader.head().len() + tags.len());
        start.extend_from_slice(reader.head());
        start.extend_from_slice(&tags);
        self.current = Some(Current { reader, open_ended: false });
        start.freeze()
    }

    fn number(&self) -> FragmentNumber {
        self.current.as_ref().map_or(FragmentNumber::MIN, |c| c.reader.number())
    }

    /// How long ago the fragment just sent ended; zero when it is the newest one.
    fn behind_now(&self) -> Millis {
        let Some(current) = &self.current else { return Millis(0) };
        let newest = self.stream.bounds().map(|(_, newest)| newest.number);
        if newest.is_none_or(|newest| newest <= current.reader.number()) {
            return Millis(0);
        }
        let duration = current.reader.info().map_or(Millis(0), |info| info.duration);
        self.clock.now().since(current.reader.server().plus(duration))
    }
}

/// One fragment as GetMediaForFragmentList sends it: the stored chunk with the inserted tags
/// before its cluster, uncopied.
pub fn fragment_list_item(chunk: &Chunk) -> [Bytes; 3] {
    let info = &chunk.info;
    let tags = kvs::fragment_list_tags(info.number, info.server(), info.producer);
    [chunk.bytes.slice(..chunk.head_len), tags, chunk.bytes.slice(chunk.head_len..)]
}

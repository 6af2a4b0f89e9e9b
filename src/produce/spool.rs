//! Fragments that are not confirmed yet: kept in memory, sent in order, sent again after a
//! reconnect, let go when the service has confirmed them.
//!
//! Pure: the caller moves bytes to the connection and acknowledgements back. Fragments are sent
//! piece by piece while they are made, so a session may hold one that is still open.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::fragmenter::Piece;
use crate::client::{Ack, AckKind};

/// Memory that unconfirmed fragments may take, unless configured.
pub const DEFAULT_SPOOL_BYTES: usize = 256 << 20;
/// Small pieces are joined up to so many bytes: one write, one HTTP chunk.
pub const JOINED_BYTES: usize = 32 << 10;
/// What keeping a piece costs beside its bytes.
const PIECE_OVERHEAD: usize = 64;

/// Which acknowledgement lets a fragment go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Durable; the stream has a retention.
    Persisted,
    /// The stream's retention is 0, so nothing is ever persisted.
    Received,
}

/// What the session is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send these bytes.
    Bytes(Bytes),
    /// End the body; what follows needs a new session: other tracks, or time that ran backwards.
    EndSession,
}

/// What an acknowledgement did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing that concerns the spool.
    Noted,
    /// A fragment was confirmed and let go.
    Confirmed,
    /// The session is over; unconfirmed fragments are to be sent again.
    Resend,
    /// The session is over; the service will never take the fragment, so it was given up.
    Refused {
        /// Its timecode, when there was one to give up.
        timecode: Option<u64>,
    },
}

/// What became of the fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Confirmed by the service.
    pub confirmed: u64,
    /// Bytes of confirmed fragments.
    pub confirmed_bytes: u64,
    /// Given up because the spool was full.
    pub dropped: u64,
    /// Given up because the service refused them.
    pub refused: u64,
    /// Sent again after a session that ended too early.
    pub resent: u64,
    /// Presentation time of the latest frame of all confirmed fragments.
    pub last_confirmed: Option<u64>,
}

/// The unconfirmed fragments and the place of the running session in them.
#[derive(Debug)]
pub struct Spool {
    limit: usize,
    confirmation: Confirmation,
    fragments: BTreeMap<u64, Fragment>,
    /// Key of the next fragment.
    next_key: u64,
    bytes: usize,
    session: Option<Session>,
    stats: SpoolStats,
}

#[derive(Debug)]
struct Fragment {
    head: Bytes,
    timecode: u64,
    latest: u64,
    pieces: Vec<Bytes>,
    bytes: usize,
    whole: bool,
    /// It will not be sent: its further pieces are let go as they come.
    given_up: bool,
    /// Pieces the running session has taken.
    sent: usize,
    /// A session before the running one had taken some of it.
    sent_before: bool,
    received: bool,
}

#[derive(Debug, Default)]
struct Session {
    head: Option<Bytes>,
    /// The fragment that is being sent, or was last.
    current: Option<u64>,
    last_timecode: Option<u64>,
    end_wanted: bool,
    over: bool,
}

impl Spool {
    /// Keeps up to `limit` bytes, and one fragment more.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            confirmation: Confirmation::Persisted,
            fragments: BTreeMap::new(),
            next_key: 0,
            bytes: 0,
            session: None,
            stats: SpoolStats::default(),
        }
    }

    /// Says which acknowledgement lets fragments go.
    pub fn set_confirmation(&mut self, confirmation: Confirmation) {
        self.confirmation = confirmation;
    }

    /// Takes a piece of the newest fragment.
    pub fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Begin { head, timecode } => {
                let fragment = Fragment::new(head, timecode);
                self.fragments.insert(self.next_key, fragment);
                self.next_key += 1;
            }
            Piece::Data(data) => {
                let Some(mut open) = self.fragments.last_entry() else { return };
                let open = open.get_mut();
                if !open.given_up && !open.whole {
                    let cost = data.len() + PIECE_OVERHEAD;
                    open.bytes += cost;
                    self.bytes += cost;
                    open.pieces.push(data);
                }
            }
            Piece::End { latest } => {
                let Some(mut open) = self.fragments.last_entry() else { return };
                open.get_mut().whole = true;
                open.get_mut().latest = latest;
                if open.get().given_up {
                    open.remove();
                }
            }
        }
    }

    /// No room for more; a source that can wait should. Never while only the open fragment is
    /// held, which could not be confirmed otherwise.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.limit && self.fragments.values().any(|fragment| fragment.whole)
    }

    /// Makes room for a source that cannot wait: gives up the oldest fragments, but none that the
    /// session is in the middle of. Returns how many.
    pub fn drop_oldest(&mut self) -> u64 {
        let before = self.stats.dropped;
        while self.bytes > self.limit {
            let mut whole = self.fragments.iter().filter(|(_, fragment)| fragment.whole);
            let Some((&key, _)) = whole.find(|(_, f)| f.sent == 0 || f.is_sent()) else { break };
            self.remove(key);
            self.stats.dropped += 1;
        }
        self.stats.dropped - before
    }

    /// A new session begins: everything unconfirmed is to be sent, oldest first.
    pub fn begin_session(&mut self) {
        for fragment in self.fragments.values_mut() {
            fragment.sent_before |= fragment.sent > 0;
            fragment.sent = 0;
            fragment.received = false;
        }
        self.session = Some(Session::default());
    }

    /// Ends the running session's body at the next end of a fragment.
    pub fn request_session_end(&mut self) {
        if let Some(session) = &mut self.session {
            session.end_wanted = true;
        }
    }

    /// What the session should do now; `None` when it has everything there is.
    pub fn next_send(&mut self) -> Option<Next> {
        let session = self.session.as_mut().filter(|session| !session.over)?;
        let key = next_key(session, &self.fragments)?;
        let fragment = self.fragments.get_mut(&key)?;
        if fragment.sent > 0 {
            return Some(Next::Bytes(fragment.take(None)));
        }
        if session.head.is_some() && session.must_end_before(fragment) {
            session.over = true;
            return Some(Next::EndSession);
        }
        session.current = Some(key);
        session.last_timecode = Some(fragment.timecode);
        let head = session.head.is_none().then(|| fragment.head.clone());
        session.head.get_or_insert_with(|| fragment.head.clone());
        self.stats.resent += u64::from(fragment.sent_before);
        Some(Next::Bytes(fragment.take(head)))
    }

    /// Whether [`Spool::next_send`] has something.
    pub fn has_next(&self) -> bool {
        let session = self.session.as_ref().filter(|session| !session.over);
        session.is_some_and(|session| next_key(session, &self.fragments).is_some())
    }

    /// Applies an acknowledgement of the running session.
    pub fn apply(&mut self, ack: &Ack) -> Applied {
        let timecode = ack.timecode.and_then(|timecode| u64::try_from(timecode).ok());
        match &ack.kind {
            AckKind::Received => {
                if let Some(key) = self.sent_fragment(timecode) {
                    if self.confirmation == Confirmation::Received {
                        return self.confirm(key);
                    }
                    if let Some(fragment) = self.fragments.get_mut(&key) {
                        fragment.received = true;
                    }
                }
                Applied::Noted
            }
            AckKind::Persisted => {
                self.sent_fragment(timecode).map_or(Applied::Noted, |key| self.confirm(key))
            }
            AckKind::Error { id, .. } if is_fault_of_the_fragment(*id) => self.refuse(timecode),
            AckKind::Error { .. } => Applied::Resend,
            AckKind::Buffering | AckKind::Idle | AckKind::Other(_) => Applied::Noted,
        }
    }

    /// Nothing waits to be confirmed.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// A whole fragment was sent and waits for its confirmation.
    pub fn awaits_confirmation(&self) -> bool {
        self.fragments.values().any(|fragment| fragment.whole && fragment.is_sent())
    }

    /// Fragments that are not confirmed, the open one included.
    pub fn len(&self) -> usize {
        self.fragments.len()
    }

    /// Memory that is taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What became of the fragments.
    pub fn stats(&self) -> SpoolStats {
        self.stats
    }

    /// The fragment of that timecode which the session has sent to its end.
    fn sent_fragment(&self, timecode: Option<u64>) -> Option<u64> {
        let is_meant = |fragment: &Fragment| {
            Some(fragment.timecode) == timecode && fragment.whole && fragment.is_sent()
        };
        self.fragments.iter().find(|(_, fragment)| is_meant(fragment)).map(|(&key, _)| key)
    }

    fn confirm(&mut self, key: u64) -> Applied {
        let Some(fragment) = self.remove(key) else { return Applied::Noted };
        let stats = &mut self.stats;
        stats.confirmed += 1;
        stats.confirmed_bytes += fragment.pieces.iter().map(|p| p.len() as u64).sum::<u64>();
        stats.last_confirmed = stats.last_confirmed.max(Some(fragment.latest));
        Applied::Confirmed
    }

    /// Gives up the fragment an ERROR means: that of its timecode, or, where the service did not
    /// say, the oldest one it had not received.
    fn refuse(&mut self, timecode: Option<u64>) -> Applied {
        let sent = || self.fragments.iter().filter(|(_, fragment)| fragment.sent > 0);
        let named = sent().find(|(_, fragment)| Some(fragment.timecode) == timecode);
        let found = named.or_else(|| sent().find(|(_, fragment)| !fragment.received));
        let Some((key, fragment)) = found.map(|(&key, fragment)| (key, fragment)) else {
            return Applied::Refused { timecode: None };
        };
        let timecode = Some(fragment.timecode);
        if fragment.whole {
            self.remove(key);
        } else if let Some(open) = self.fragments.get_mut(&key) {
            self.bytes -= open.bytes;
            open.give_up();
        }
        self.stats.refused += 1;
        Applied::Refused { timecode }
    }

    fn remove(&mut self, key: u64) -> Option<Fragment> {
        let fragment = self.fragments.remove(&key)?;
        self.bytes -= fragment.bytes;
        Some(fragment)
    }
}

impl Fragment {
    fn new(head: Bytes, timecode: u64) -> Self {
        Self {
            head,
            timecode,
            latest: timecode,
            pieces: Vec::new(),
            bytes: 0,
            whole: false,
            given_up: false,
            sent: 0,
            sent_before: false,
            received: false,
        }
    }

    /// Everything that has come was taken.
    fn is_sent(&self) -> bool {
        self.sent == self.pieces.len() && self.sent > 0
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.pieces = Vec::new();
        self.bytes = 0;
        self.sent = 0;
    }

    /// The next bytes, behind `head`: a large piece as it is, small ones joined.
    fn take(&mut self, head: Option<Bytes>) -> Bytes {
        let rest = self.pieces.get(self.sent..).unwrap_or_default();
        if let (None, Some(first)) = (&head, rest.first())
            && (first.len() >= JOINED_BYTES || rest.len() == 1)
        {
            self.sent += 1;
            return first.clone();
        }
        let mut joined = BytesMut::from(head.unwrap_or_default().as_ref());
        for piece in rest {
            if !joined.is_empty() && joined.len() + piece.len() > JOINED_BYTES {
                break;
            }
            joined.extend_from_slice(piece);
            self.sent += 1;
        }
        joined.freeze()
    }
}

impl Session {
    /// Another head, or a timecode that is not later: the service takes neither in one session.
    fn must_end_before(&self, fragment: &Fragment) -> bool {
        self.end_wanted
            || self.head.as_ref() != Some(&fragment.head)
            || self.last_timecode.is_some_and(|last| fragment.timecode <= last)
    }
}

/// The fragment that has something for the session: the current one, and behind it the next.
fn next_key(session: &Session, fragments: &BTreeMap<u64, Fragment>) -> Option<u64> {
    let from = session.current.unwrap_or(0);
    for (&key, fragment) in fragments.range(from..) {
        let begun = session.current == Some(key);
        if fragment.given_up || fragment.pieces.is_empty() {
            continue;
        }
        if !fragment.is_sent() {
            return Some(key);
        }
        if begun && !fragment.whole {
            return None;
        }
    }
    None
}

/// ERROR ids that mean the fragment itself: it would be refused again. The others are troubles of
/// the connection, the stream, its key or the service, and the fragment is kept.
fn is_fault_of_the_fragment(id: u16) -> bool {
    matches!(id, 4001 | 4002 | 4004..=4007 | 4009..=4012)
}

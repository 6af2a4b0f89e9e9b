//! A session: all that a player's links must carry, in few bytes.

use crate::store::Order;
use crate::types::{ProducerTimestamp, ServerTimestamp, StreamId};

/// What a player asked for when it opened the session. A plain value; who hands it out signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The stream, by the id that is never reused.
    pub stream: StreamId,
    /// Live, or a range of the past.
    pub playback: Playback,
    /// Where playlists tell of discontinuities.
    pub discontinuity: Discontinuity,
    /// Whether each segment tells its start: `PROGRAM-DATE-TIME`.
    pub display_timestamps: bool,
    /// Most fragments in a media playlist, 1 to [`MAX_RESULTS`]; values outside are brought in.
    pub max_results: u16,
    /// When the session ends. Whoever decodes it compares.
    pub expires: ServerTimestamp,
    /// What becomes of tracks that cannot be played.
    pub unplayable: UnplayableTracks,
}

/// Most fragments of a media playlist (AWS: `MaxMediaPlaylistFragmentResults`).
pub const MAX_RESULTS: u16 = 5000;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playback {
    /// The newest fragments. They are selected by arrival; the clock says which times are shown,
    /// and with the producer's a fragment of the same time as a later one is superseded.
    Live(SelectorClock),
    /// A list that does not change, in the order of the range's clock.
    OnDemand(Order),
}

/// The clock of `HLSFragmentSelector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorClock {
    /// Time of the producer.
    Producer,
    /// Time of arrival.
    Server,
}

/// `DiscontinuityMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discontinuity {
    /// Before each fragment.
    Always,
    /// Nowhere.
    Never,
    /// Where fragments do not follow each other, or their format changes.
    OnDiscontinuity,
}

/// What becomes of tracks that cannot be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnplayableTracks {
    /// The session fails, as it does on AWS.
    Refuse,
    /// The others are played.
    Skip,
}

/// The bytes are not a session of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded session")]
pub struct DecodeSessionError;

/// First byte of an encoded session; another one means another layout.
const VERSION: u8 = 1;

impl Playback {
    /// Whether the playlist moves on.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// The clock whose times are shown.
    pub fn clock(&self) -> SelectorClock {
        match self {
            Self::Live(clock) => *clock,
            Self::OnDemand(Order::Producer { .. }) => SelectorClock::Producer,
            Self::OnDemand(Order::Server { .. }) => SelectorClock::Server,
        }
    }
}

impl Session {
    /// Whether a track that cannot be played ends the session.
    pub(super) fn refuses_unplayable(&self) -> bool {
        self.unplayable == UnplayableTracks::Refuse
    }

    /// Most fragments in a playlist, in range.
    pub(super) fn max_results(&self) -> usize {
        self.max_results.clamp(1, MAX_RESULTS).into()
    }

    /// The session in 16 bytes, and 16 more for a range: version, flags, stream, results, expiry,
    /// both ends of the range; numbers big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let discontinuity = match self.discontinuity {
            Discontinuity::Always => 0,
            Discontinuity::Never => 1,
            Discontinuity::OnDiscontinuity => 2,
        };
        let flags = discontinuity
            | u8::from(self.display_timestamps) << 2
            | u8::from(self.refuses_unplayable()) << 3
            | u8::from(self.playback.clock() == SelectorClock::Server) << 4
            | u8::from(self.playback.is_live()) << 5;
        let mut bytes = Vec::with_capacity(32);
        bytes.extend([VERSION, flags]);
        bytes.extend(self.stream.0.to_be_bytes());
        bytes.extend(self.max_results.to_be_bytes());
        bytes.extend(self.expires.as_millis().to_be_bytes());
        let ends = match self.playback {
            Playback::Live(_) => None,
            Playback::OnDemand(Order::Producer { from, to }) => {
                Some([from.as_millis(), to.as_millis()])
            }
            Playback::OnDemand(Order::Server { from, to }) => {
                Some([from.as_millis(), to.as_millis()])
            }
        };
        ends.into_iter().flatten().for_each(|end| bytes.extend(end.to_be_bytes()));
        bytes
    }

    /// The reverse of [`Session::encode`].
    ///
    /// # Errors
    /// For anything that `encode` does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeSessionError> {
        decode(bytes).ok_or(DecodeSessionError)
    }
}

fn decode(mut bytes: &[u8]) -> Option<Session> {
    let [version, flags] = take(&mut bytes)?;
    if version != VERSION || flags >> 6 != 0 {
        return None;
    }
    let discontinuity = match flags & 3 {
        0 => Discontinuity::Always,
        1 => Discontinuity::Never,
        2 => Discontinuity::OnDiscontinuity,
        _ => return None,
    };
    let stream = StreamId(u32::from_be_bytes(take(&mut bytes)?));
    let max_results = u16::from_be_bytes(take(&mut bytes)?);
    let mut instant = || Some(i64::from_be_bytes(take(&mut bytes)?));
    let expires = ServerTimestamp::from_millis(instant()?);
    let playback = match (flags >> 5 & 1 == 1, flags >> 4 & 1 == 1) {
        (true, false) => Playback::Live(SelectorClock::Producer),
        (true, true) => Playback::Live(SelectorClock::Server),
        (false, false) => {
            let mut instant = || instant().map(ProducerTimestamp::from_millis);
            Playback::OnDemand(Order::Producer { from: instant()?, to: instant()? })
        }
        (false, true) => {
            let mut instant = || instant().map(ServerTimestamp::from_millis);
            Playback::OnDemand(Order::Server { from: instant()?, to: instant()? })
        }
    };
    let session = Session {
        stream,
        playback,
        discontinuity,
        display_timestamps: flags >> 2 & 1 == 1,
        max_results,
        expires,
        unplayable: if flags >> 3 & 1 == 1 {
            UnplayableTracks::Refuse
        } else {
            UnplayableTracks::Skip
        },
    };
    bytes.is_empty().then_some(session)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_playback() -> impl Strategy<Value = Playback> {
        let clock = prop_oneof![Just(SelectorClock::Producer), Just(SelectorClock::Server)];
        let millis = || (any::<i64>(), any::<i64>());
        prop_oneof![
            clock.prop_map(Playback::Live),
            millis().prop_map(|(from, to)| Playback::OnDemand(Order::Producer {
                from: ProducerTimestamp::from_millis(from),
                to: ProducerTimestamp::from_millis(to),
            })),
            millis().prop_map(|(from, to)| Playback::OnDemand(Order::Server {
                from: ServerTimestamp::from_millis(from),
                to: ServerTimestamp::from_millis(to),
            })),
        ]
    }

    fn any_session() -> impl Strategy<Value = Session> {
        let discontinuity = prop_oneof![
            Just(Discontinuity::Always),
            Just(Discontinuity::Never),
            Just(Discontinuity::OnDiscontinuity)
        ];
        let unplayable = prop_oneof![Just(UnplayableTracks::Refuse), Just(UnplayableTracks::Skip)];
        let numbers = (any::<u32>(), any::<bool>(), any::<u16>(), any::<i64>());
        (any_playback(), discontinuity, unplayable, numbers).prop_map(
            |(playback, discontinuity, unplayable, numbers)| {
                let (stream, display_timestamps, max_results, expires) = numbers;
                let (stream, expires) = (StreamId(stream), ServerTimestamp::from_millis(expires));
                Session {
                    stream,
                    playback,
                    discontinuity,
                    display_timestamps,
                    max_results,
                    expires,
                    unplayable,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn sessions_survive_their_encoding(session in any_session()) {
            let bytes = session.encode();
            prop_assert_eq!(Session::decode(&bytes), Ok(session));
            prop_assert!(Session::decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn what_decodes_is_what_encodes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(session) = Session::decode(&bytes) {
                prop_assert_eq!(session.encode(), bytes);
            }
        }
    }
}

//! Sessions on a store, from the master playlist to the bytes of a segment.

use std::sync::Arc;

use super::*;
use crate::clock::Clock;
use crate::serve::fixtures::{START_MS, chunks, read_back};
use crate::serve::package::Options;
use crate::store::{self, NewStream, Store};
use crate::types::Arn;

/// A store with one stream, and what is needed to play it.
struct Bench {
    packager: Packager,
    stream: Arc<MediaStream>,
    clock: Clock,
    store: Store,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// The stream holds the fragments of a fixture, each a second after the one before.
    async fn with(fixture: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::simulated(ServerTimestamp::from_millis(START_MS));
        let options = store::Options { segment_bytes: 1 << 20, ..store::Options::default() };
        let (store, _report) =
            Store::open(dir.path(), options, clock.clone()).expect("the store opens");
        let arn = Arn {
            region: "us-east-1".into(),
            account: "000000000000".into(),
            name: "camera".parse().expect("a name"),
            created_ms: START_MS,
        };
        let stream = NewStream {
            arn,
            device_name: None,
            media_type: None,
            kms_key_id: None,
            retention_hours: 1,
            tags: Default::default(),
        };
        let id = store.catalog().create(stream).expect("the stream is created").id;
        let stream = store.media(id).expect("the stream's media");
        let bench =
            Self { packager: Packager::new(Options::default()), stream, clock, store, _dir: dir };
        for (index, chunk) in (0..).zip(chunks(fixture)) {
            bench.persist(index, &chunk, FormatId(9)).await;
        }
        bench
    }

    async fn persist(&self, index: i64, chunk: &store::Chunk, format: FormatId) {
        let producer = ProducerTimestamp::from_millis(START_MS + index * 1000);
        let mut writer = self.stream.begin(chunk.bytes.slice(..chunk.head_len), producer, format);
        writer.push(chunk.bytes.slice(chunk.head_len..));
        writer.finish(Millis(1000)).await.expect("the fragment is stored");
        self.clock.advance(Millis(1000));
    }

    fn session(&self, playback: Playback) -> Session {
        let session = session(playback, Discontinuity::OnDiscontinuity);
        Session { stream: self.stream.id(), ..session }
    }

    async fn open(&self, session: &Session) -> Result<(), Error> {
        open(&self.packager, &self.stream, session, self.clock.now(), LIVE_WITHIN).await
    }

    async fn media_playlist(&self, session: &Session, track: u64) -> Result<String, Error> {
        let track = TrackNumber(track);
        media_playlist(&self.packager, &self.stream, session, track, &TestLinks).await
    }
}

const AV: &str = "kvssink-h264_aac-two_tracks.mkv";
const LIVE_WITHIN: Millis = Millis(30_000);
const LIVE: Playback = Playback::Live(SelectorClock::Server);

#[tokio::test]
async fn a_session_leads_from_its_master_playlist_to_every_frame() {
    let bench = Bench::with(AV).await;
    let session = bench.session(Playback::OnDemand(EVER));
    bench.open(&session).await.expect("a session");
    let master = master_playlist(&bench.packager, &bench.stream, &session, &TestLinks).await;
    let master = master.expect("a master playlist");
    let master = m3u8_rs::parse_master_playlist_res(master.as_bytes()).expect("valid");
    assert_eq!(master.variants[0].codecs.as_deref(), Some("avc1.4d400d,mp4a.40.2"));
    assert_eq!(master.variants[0].uri, "track1.m3u8");
    assert_eq!(master.alternatives[0].uri.as_deref(), Some("track2.m3u8"));
    for (track, frames) in [(1, 180), (2, 256)] {
        let text = bench.media_playlist(&session, track).await.expect("a playlist");
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("valid");
        assert_eq!(playlist.segments.len(), session.max_results());
        let map = playlist.segments[0].map.as_ref().expect("an init segment");
        assert_eq!(map.uri, format!("init{track}-9.mp4"));
        let listed = bench.stream.list(EVER, None, 10);
        let mut found = 0;
        for fragment in listed {
            let track = TrackNumber(track);
            let make = || bench.packager.media_segment(&bench.stream, fragment.number, track);
            let segment = make().await.expect("a segment").concat();
            found += read_back(&segment).len();
            let kept = make().await.expect("the segment again");
            assert_eq!(kept.concat(), segment);
            let same = make().await.expect("the segment once more");
            assert_eq!(same[0].as_ptr(), kept[0].as_ptr(), "what is asked for again is kept");
        }
        assert_eq!(found, frames);
    }
    let none = bench.media_playlist(&session, 3).await;
    assert!(matches!(none, Err(Error::NotFound)), "{none:?}");
}

#[tokio::test]
async fn an_init_segment_is_found_without_any_memory_of_the_playlist() {
    let bench = Bench::with(AV).await;
    let session = bench.session(LIVE);
    let init = |track, format| {
        init_segment(&bench.packager, &bench.stream, &session, TrackNumber(track), FormatId(format))
    };
    let video = init(1, 9).await.expect("an init segment");
    assert_eq!(&video[4..8], b"ftyp");
    assert_ne!(video, init(2, 9).await.expect("an init segment"));
    assert!(matches!(init(1, 10).await, Err(Error::NotFound)));
    assert!(matches!(init(3, 9).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_new_format_is_a_discontinuity_with_its_own_init_segment() {
    let bench = Bench::with(AV).await;
    let chunk = chunks(AV).remove(0);
    bench.persist(6, &chunk, FormatId(10)).await;
    let text = bench.media_playlist(&bench.session(LIVE), 1).await.expect("a playlist");
    let expected = "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init1-10.mp4\"\n#EXTINF:1.000,\n";
    assert!(text.contains(expected), "{text}");
    let session = bench.session(LIVE);
    let track = TrackNumber(1);
    let init = init_segment(&bench.packager, &bench.stream, &session, track, FormatId(10)).await;
    assert!(init.is_ok(), "{init:?}");
}

#[tokio::test]
async fn a_live_session_needs_a_recent_fragment() {
    let bench = Bench::with(AV).await;
    let session = bench.session(LIVE);
    bench.clock.advance(LIVE_WITHIN);
    bench.open(&session).await.expect("just in time");
    bench.clock.advance(Millis(1));
    assert!(matches!(bench.open(&session).await, Err(Error::NoFragments)));
    let late = Order::Producer {
        from: ProducerTimestamp::from_millis(START_MS + 5001),
        to: ProducerTimestamp::MAX,
    };
    let session = bench.session(Playback::OnDemand(late));
    assert!(matches!(bench.open(&session).await, Err(Error::NoFragments)));
}

#[tokio::test]
async fn what_retention_removed_does_not_come_back_from_the_cache() {
    let bench = Bench::with(AV).await;
    let number = bench.stream.newest(1)[0].number;
    let segment = || bench.packager.media_segment(&bench.stream, number, TrackNumber(1));
    for _ in 0..3 {
        segment().await.expect("a segment");
    }
    bench.clock.advance(Millis(2 * 3_600_000));
    bench.store.enforce_retention();
    assert!(matches!(segment().await, Err(Error::NotFound)));
}

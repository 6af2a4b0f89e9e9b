use std::convert::Infallible;

use super::*;
use crate::clock::Clock;
use crate::media::mkv::{Head, Track, TrackKind, cluster, head, simple_block};
use crate::store::disk::{Faults, MemoryDisk};
use crate::store::{NewStream, Options, Store};
use crate::types::{Arn, ServerTimestamp, TimestampScale};

const SEGMENT_BYTES: u64 = 64 << 10;

fn fragment(timecode_ms: u64, bytes: usize) -> Vec<u8> {
    [&cluster(timecode_ms)[..], &simple_block(1, 0, true, bytes), &vec![7; bytes]].concat()
}

fn stream_in(store: &Store) -> Arc<MediaStream> {
    let arn = Arn {
        region: "us-east-1".into(),
        account: "000000000000".into(),
        name: "camera".parse().expect("a valid name"),
        created_ms: 1,
    };
    let stream = NewStream {
        arn,
        device_name: None,
        media_type: None,
        kms_key_id: None,
        retention_hours: 1,
        tags: Default::default(),
    };
    let info = store.catalog().create(stream).expect("the stream is created");
    store.media(info.id).expect("it exists")
}

fn head_with_a_track() -> Bytes {
    let track = Track {
        number: 1,
        kind: TrackKind::Video { width: 16, height: 16 },
        name: None,
        codec_id: "V_TEST".to_owned(),
        codec_private: None,
        codec_delay_ns: 0,
        default_duration_ns: None,
    };
    let (scale, writing_app) = (TimestampScale::MILLISECOND, "test".to_owned());
    head(&Head { scale, writing_app, tracks: vec![track] })
}

/// Uploads a body in one piece; how that ended, and the acks.
async fn upload(stream: Arc<MediaStream>, body: Vec<u8>) -> (End, Vec<Ack>) {
    let (acks, mut sent) = mpsc::channel(64);
    let timecodes = TimecodeType::Absolute;
    let upload = Upload { stream, timecodes, limits: Limits::default(), acks };
    let body = tokio_stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
    let end = run(upload, body, std::future::pending()).await;
    let acks = std::iter::from_fn(|| sent.try_recv().ok()).collect();
    (end, acks)
}

#[tokio::test]
async fn error_names_the_fragment_that_was_lost_and_nothing_behind_it_is_called_persisted() {
    let disk = MemoryDisk::new();
    let options =
        Options { segment_bytes: SEGMENT_BYTES, prepared_segments: 0, ..Options::default() };
    let clock = Clock::simulated(ServerTimestamp::from_millis(1_700_000_000_000));
    let (store, _) =
        Store::open_on(Arc::new(disk.clone()), options, clock).expect("the store opens");
    // Room for two segments of the usual size, and none for one that takes the second fragment.
    disk.set_faults(Faults { capacity: Some(2 * SEGMENT_BYTES), ..Faults::default() });
    let head = head_with_a_track();
    // The last one may still be open when the second is lost.
    let fragments = [(1_000, 100), (2_000, 90_000), (3_000, 100), (4_000, 100)];
    let fragments = fragments.map(|(timecode_ms, bytes)| fragment(timecode_ms, bytes));
    let stream = stream_in(&store);
    let (end, acks) = upload(stream.clone(), [head.to_vec(), fragments.concat()].concat()).await;
    assert!(matches!(end, End::Refused(Refusal::NotPersisted(_))), "{end:?}");
    let told: Vec<(&str, Option<i64>)> = acks
        .iter()
        .filter_map(|ack| match ack {
            Ack::Persisted { timecode_ms, .. } => Some(("PERSISTED", Some(*timecode_ms))),
            Ack::Error { timecode_ms, .. } => Some(("ERROR", *timecode_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [("PERSISTED", Some(1_000)), ("ERROR", Some(2_000))], "{acks:?}");
    // The third is there all the same, and found to be when it is sent again.
    let stored: Vec<i64> = stream.newest(10).iter().map(|info| info.producer.as_millis()).collect();
    assert!(stored.starts_with(&[1_000, 3_000]), "{stored:?}");
}

/// Many producers, each in the middle of a fragment: together they hold what one bound allows, and
/// the one fragment that may always get complete.
#[tokio::test]
async fn open_fragments_of_all_producers_share_one_bound_and_all_get_complete() {
    const HELD: u64 = 100_000;
    const FRAME: usize = 10_000;
    const FRAMES: usize = 30;
    let options = Options { held_bytes: HELD, ..Options::default() };
    let clock = Clock::simulated(ServerTimestamp::from_millis(1_700_000_000_000));
    let (store, _) =
        Store::open_on(Arc::new(MemoryDisk::new()), options, clock).expect("the store opens");
    let (stream, store) = (stream_in(&store), Arc::new(store));
    let most = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let producers = (0..8).map(|producer| {
        let mut pieces = vec![head_with_a_track(), cluster(1_000 + producer)];
        for frame in 0..FRAMES {
            let block = simple_block(1, frame as i16, frame == 0, FRAME);
            pieces.push([&block[..], &vec![producer as u8; FRAME]].concat().into());
        }
        let (store, most) = (store.clone(), most.clone());
        // Each takes its turn after every frame, so that all would be in the middle of theirs.
        let body = futures_util::stream::iter(pieces).then(move |piece| {
            let (store, most) = (store.clone(), most.clone());
            async move {
                tokio::task::yield_now().await;
                most.fetch_max(store.held_bytes(), std::sync::atomic::Ordering::Relaxed);
                Ok::<_, Infallible>(piece)
            }
        });
        let (acks, mut sent) = mpsc::channel(64);
        let (timecodes, limits) = (TimecodeType::Absolute, Limits::default());
        let upload = Upload { stream: stream.clone(), timecodes, limits, acks };
        async move {
            let end = run(upload, Box::pin(body), std::future::pending()).await;
            assert!(matches!(end, End::Complete), "{end:?}");
            let acks = std::iter::from_fn(|| sent.try_recv().ok());
            acks.filter(|ack| matches!(ack, Ack::Persisted { .. })).count()
        }
    });
    let persisted = futures_util::future::join_all(producers).await;
    assert_eq!(persisted, [1; 8]);
    let most = most.load(std::sync::atomic::Ordering::Relaxed);
    let fragment = (FRAMES * (FRAME + 100)) as u64;
    assert!((HELD..=HELD + fragment + 8 * FRAME as u64).contains(&most), "{most} bytes were held");
    assert_eq!(store.held_bytes(), 0);
}

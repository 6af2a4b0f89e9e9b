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
    let track = Track {
        number: 1,
        kind: TrackKind::Video { width: 16, height: 16 },
        name: None,
        codec_id: "V_TEST".to_owned(),
        codec_private: None,
        codec_delay_ns: 0,
        default_duration_ns: None,
    };
    let head = head(&Head {
        scale: TimestampScale::MILLISECOND,
        writing_app: "test".to_owned(),
        tracks: vec![track],
    });
    // The last one is still open when the second is lost.
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
    assert_eq!(stream.newest(10).len(), 2);
}

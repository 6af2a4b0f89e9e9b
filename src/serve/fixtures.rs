//! Recorded media for tests of this folder.

use std::path::Path;

use bytes::Bytes;
use mp4_atom::{Decode, Moof};

use crate::media::mkv::{self, EventKind};
use crate::store::{Chunk, FormatId, FragmentInfo};
use crate::types::{FragmentNumber, Millis, ProducerTimestamp, ServerTimestamp};

/// When each fragment begins on the producer's clock.
pub const START_MS: i64 = 1_795_309_233_060;

/// The fragments of a recorded body, as ingest would store them.
pub fn chunks(fixture: &str) -> Vec<Chunk> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("media-fixtures").join(fixture);
    let mut reader = mkv::Reader::new(1 << 20);
    reader.push(&std::fs::read(path).expect("a fixture"));
    let (mut head, mut clusters) = (Vec::new(), Vec::<Vec<u8>>::new());
    while let Some(event) = reader.next_event().expect("valid") {
        match event.kind {
            EventKind::ClusterStart { .. } => clusters.push(event.raw.to_vec()),
            EventKind::ClusterTimecode(_)
            | EventKind::Frames(_)
            | EventKind::OtherInCluster { .. } => {
                clusters.last_mut().expect("an open cluster").extend(event.raw);
            }
            EventKind::EbmlHead { .. }
            | EventKind::SegmentStart { .. }
            | EventKind::Info { .. }
            | EventKind::Tracks(_) => head.extend(event.raw),
            _ => {}
        }
    }
    let clusters = (1u64..).zip(clusters);
    clusters.map(|(counter, cluster)| chunk(counter, &head, &cluster)).collect()
}

fn chunk(counter: u64, head: &[u8], cluster: &[u8]) -> Chunk {
    let bytes = Bytes::from([head, cluster].concat());
    let info = FragmentInfo {
        number: FragmentNumber::new(counter, ServerTimestamp::from_millis(0), 0),
        producer: ProducerTimestamp::from_millis(START_MS),
        duration: Millis(1000),
        size: bytes.len() as u32,
        format: FormatId(0),
        sequence: Some(counter),
        breaks: 0,
    };
    Chunk { info, head_len: head.len(), cluster_len: cluster.len(), bytes }
}

/// Presentation times in ticks, and bytes, of the frames of a media segment.
pub fn read_back(segment: &[u8]) -> Vec<(i64, &[u8])> {
    let moof = Moof::decode(&mut &segment[..]).expect("moof");
    let (tfdt, trun) = (moof.traf[0].tfdt.as_ref(), &moof.traf[0].trun[0]);
    let mut time = tfdt.expect("tfdt").base_media_decode_time as i64;
    let mut at = trun.data_offset.expect("an offset") as usize;
    let default_duration = moof.traf[0].tfhd.default_sample_duration;
    let mut frames = Vec::new();
    for entry in &trun.samples {
        let end = at + entry.size.expect("a size") as usize;
        frames.push((time + entry.cts.unwrap_or(0), &segment[at..end]));
        time += i64::from(entry.duration.or(default_duration).expect("a duration"));
        at = end;
    }
    assert_eq!(at, segment.len());
    frames
}

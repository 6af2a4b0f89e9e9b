//! Files that the service does not take as they are, by way of GStreamer: a body of MKV.

use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::media::mkv::Track;
use crate::media::remux::{CutLimits, Cutter, Item};
use crate::produce::gstreamer::{self, SourceOptions};
use crate::produce::{Source, SourceEvent, SourceSpec};
use crate::types::{Millis, ProducerTimestamp};

/// Fragments that are sent; the service cuts them again.
const LIMITS: CutLimits =
    CutLimits { target: Millis(2000), longest: Millis(18_000), bytes: 32 << 20 };
/// Pieces that wait to be sent.
const PIECES_WAITING: usize = 64;
/// Frames that come before it is known how many tracks there are.
const EARLY_FRAMES: usize = 4096;

/// Reads a file whose first frame was at `start`; what comes out is a body of MKV.
pub async fn open(
    path: &Path,
    start: ProducerTimestamp,
    clock: Clock,
) -> Result<mpsc::Receiver<std::io::Result<Bytes>>, String> {
    let options = SourceOptions {
        audio: true,
        fragment: LIMITS.target,
        bitrate: 4_000_000,
        fast: true,
        start: Some(start),
        offset: std::time::Duration::ZERO,
        repeat: false,
        rtsp_transport: "tcp".to_owned(),
    };
    let source = gstreamer::open(SourceSpec::File(path.to_owned()), options, clock).await;
    let source = source.map_err(|error| error.to_string())?;
    let (pieces, body) = mpsc::channel(PIECES_WAITING);
    tokio::spawn(async move {
        let told = convert(source, &pieces).await;
        if let Err(error) = told {
            // The upload was given up before.
            let _ = pieces.send(Err(std::io::Error::other(error))).await;
        }
    });
    Ok(body)
}

/// What is known of a source.
struct Conversion {
    cutter: Cutter,
    tracks: Vec<Track>,
    /// So many tracks will be described.
    expected: Option<usize>,
    declared: bool,
    early: Vec<(u64, Item)>,
}

async fn convert(
    mut source: Source,
    pieces: &mpsc::Sender<std::io::Result<Bytes>>,
) -> Result<(), String> {
    let mut conversion = Conversion {
        cutter: Cutter::new(LIMITS),
        tracks: Vec::new(),
        expected: None,
        declared: false,
        early: Vec::new(),
    };
    conversion.cutter.anchor_zero(0);
    loop {
        let event = source.events.recv().await.unwrap_or(SourceEvent::End);
        let ended = event == SourceEvent::End;
        for fragment in conversion.take(event)? {
            for piece in fragment {
                if pieces.send(Ok(piece)).await.is_err() {
                    return Ok(()); // The service ended the upload, and says why.
                }
            }
        }
        if ended {
            return Ok(());
        }
    }
}

impl Conversion {
    fn take(&mut self, event: SourceEvent) -> Result<Vec<Vec<Bytes>>, String> {
        let mut fragments = Vec::new();
        match event {
            SourceEvent::Expect(count) => self.expected = Some(count),
            SourceEvent::Track(track) => {
                self.finish_tracks(&mut fragments)?;
                self.tracks.retain(|known| known.number != track.number);
                self.tracks.push(track);
                self.tracks.sort_by_key(|track| track.number);
            }
            SourceEvent::Frame(frame) => {
                let time_ns = frame.time.as_millis().saturating_mul(1_000_000);
                let item = Item { time_ns, keyframe: frame.keyframe, data: frame.data };
                self.early.push((frame.track, item));
            }
            SourceEvent::TrackEnd(number) => {
                if let Some(index) = self.tracks.iter().position(|track| track.number == number) {
                    self.cutter.end_track(index);
                }
            }
            SourceEvent::End => {
                self.expected = Some(self.tracks.len());
                self.declare();
                self.cutter.finish();
            }
            SourceEvent::Failed(why) => return Err(why),
        }
        let known = self.expected.is_some_and(|count| self.tracks.len() >= count);
        if known || self.early.len() > EARLY_FRAMES {
            self.declare();
        }
        self.cut(&mut fragments)?;
        Ok(fragments)
    }

    /// Hands frames on once all tracks are known.
    fn declare(&mut self) {
        if !self.declared {
            self.cutter.set_tracks(self.tracks.clone());
            self.declared = true;
        }
        for (number, item) in self.early.drain(..) {
            if let Some(index) = self.tracks.iter().position(|track| track.number == number) {
                self.cutter.push(index, item);
            }
        }
    }

    /// A track whose parameters change begins anew, with all others.
    fn finish_tracks(&mut self, fragments: &mut Vec<Vec<Bytes>>) -> Result<(), String> {
        if self.declared {
            self.cutter.finish();
            self.cut(fragments)?;
            self.declared = false;
        }
        Ok(())
    }

    fn cut(&mut self, fragments: &mut Vec<Vec<Bytes>>) -> Result<(), String> {
        while let Some(fragment) = self.cutter.next_fragment().map_err(|e| e.to_string())? {
            fragments.push(fragment);
        }
        Ok(())
    }
}

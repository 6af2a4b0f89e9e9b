//! Decodes fragments with GStreamer: the only module of the detector that names it.
//!
//! Each fragment has a pipeline of its own, as it can be decoded by itself: a change of codec or
//! size, and whatever a broken frame did to a decoder, end with the fragment that has them.
//!
//! Pictures stay as they were decoded, brightness and colours apart and in the decoder's own memory:
//! what looks at them needs few of their pixels in red, green and blue. Only what is not 8 bits with
//! colours of half the size is converted to that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks, AppSrc, AppStreamType};
use gst_video::prelude::*;
use gst_video::{
    VideoColorMatrix, VideoColorRange, VideoColorimetry, VideoFrame, VideoInfo, VideoMeta,
};

use super::frame::{DecodedFrame, EncodedFrame, FragmentHead, FramePlace, Pixels};
use crate::media::mkv::Track;
use crate::vision::picture::{Coding, Matrix, Picture, Plane};

/// Frames and bytes that wait for the decoder before whoever feeds it must wait.
const MAX_WAITING_FRAMES: u64 = 8;
const MAX_WAITING_BYTES: u64 = 16 << 20;
/// How often it is looked whether the pipeline is still wanted.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Why a fragment was not decoded, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The pipeline cannot be built; an element may not be installed.
    #[error("build the decoder: {0}")]
    Build(String),
    /// No decoder for it is known.
    #[error("{0} is not decoded; H.264 and H.265 are")]
    Codec(String),
    /// The fragment has no pictures.
    #[error("the fragment has no track of pictures")]
    NoVideo,
    /// The decoder gave up.
    #[error("decode: {0}")]
    Broken(String),
    /// Nobody wants the frames any more.
    #[error("nobody wants the frames any more")]
    Unwanted,
}

/// Takes what a fragment was decoded to, frame by frame, in the order of presentation; `false`
/// when no more is wanted. It may block, which holds up the decoder and whoever feeds it.
pub type Taker = Box<dyn FnMut(DecodedFrame) -> bool + Send>;

/// Decodes one fragment.
pub struct Decoder {
    pipeline: gst::Pipeline,
    source: AppSrc,
    waiting: Arc<Waiting>,
    fed: u64,
}

/// Frames that went in and did not come out, by the time that they have in the pipeline.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, (FramePlace, bool)>>);

impl Waiting {
    fn insert(&self, pts: gst::ClockTime, place: FramePlace, wanted: bool) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(pts.nseconds(), (place, wanted));
    }

    /// Whether the frame is to become a picture.
    fn is_wanted(&self, pts: Option<gst::ClockTime>) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pts.and_then(|pts| waiting.get(&pts.nseconds())).is_some_and(|(_, wanted)| *wanted)
    }

    fn take(&self, pts: gst::ClockTime) -> Option<FramePlace> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&pts.nseconds()).map(|(place, _)| place)
    }

    /// How many wanted frames did not come out.
    fn lost(&self) -> u64 {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().filter(|(_, wanted)| *wanted).count() as u64
    }
}

impl Decoder {
    /// Starts a pipeline for the fragment's pictures.
    ///
    /// # Errors
    /// It has none, or none that can be decoded here.
    pub fn open(head: &FragmentHead, taker: Taker) -> Result<Self, DecodeError> {
        gst::init().map_err(|error| DecodeError::Build(error.to_string()))?;
        let track = head.video.as_ref().ok_or(DecodeError::NoVideo)?;
        let (caps, elements) = format(track)?;
        let description = format!(
            "appsrc name=source format=time block=true max-buffers={MAX_WAITING_FRAMES} \
             max-bytes={MAX_WAITING_BYTES} ! {elements} ! identity name=chosen drop-buffer-flags=gap+corrupted ! \
             videoconvert n-threads=1 ! video/x-raw,format=I420 ! \
             appsink name=sink sync=false max-buffers=1"
        );
        let build = |error: &dyn std::fmt::Display| DecodeError::Build(error.to_string());
        let pipeline = gst::parse::launch(&description).map_err(|error| build(&error))?;
        let pipeline: gst::Pipeline =
            pipeline.downcast().map_err(|_| build(&"the description is no pipeline"))?;
        let named = |name: &str| pipeline.by_name(name).ok_or_else(|| build(&name));
        let source: AppSrc = named("source")?.downcast().map_err(|_| build(&"appsrc"))?;
        let sink: AppSink = named("sink")?.downcast().map_err(|_| build(&"appsink"))?;
        source.set_caps(Some(&caps));
        source.set_stream_type(AppStreamType::Stream);
        let waiting = Arc::new(Waiting::default());
        mark_unwanted(&named("chosen")?, &waiting);
        take_padded(&sink);
        sink.set_callbacks(deliver(&waiting, taker));
        let decoder = Self { pipeline, source, waiting, fed: 0 };
        if decoder.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(DecodeError::Build(last_error(&decoder.pipeline)));
        }
        Ok(decoder)
    }

    /// Feeds a frame; waits while the decoder has enough. What is not wanted is decoded, as others
    /// refer to it, but comes to nothing.
    ///
    /// # Errors
    /// The fragment cannot be decoded further.
    pub fn feed(&mut self, frame: EncodedFrame, wanted: bool) -> Result<(), DecodeError> {
        // Times in the pipeline only need to differ, and to grow as the pictures are shown.
        let millis = frame.place.time.as_millis() - frame.place.producer.as_millis();
        let millis = u64::try_from(millis.saturating_add(1000)).unwrap_or(0);
        let pts = gst::ClockTime::from_nseconds(millis * 1_000_000 + self.fed % 1_000_000);
        self.fed += 1;
        self.waiting.insert(pts, frame.place, wanted);
        let mut buffer = gst::Buffer::from_slice(frame.data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
            if !frame.keyframe {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        if self.source.push_buffer(buffer).is_err() {
            return Err(self.why());
        }
        Ok(())
    }

    /// How many wanted frames went in and did not come out so far.
    pub fn lost(&self) -> u64 {
        self.waiting.lost()
    }

    /// Waits until all that was fed has come out; what has not by then is [`Self::lost`].
    ///
    /// # Errors
    /// The decoder gave up.
    pub fn drain(&mut self, mut is_wanted: impl FnMut() -> bool) -> Result<(), DecodeError> {
        let bus = self.pipeline.bus().ok_or_else(|| DecodeError::Broken("no bus".to_owned()))?;
        if self.source.end_of_stream().is_err() {
            return Err(self.why());
        }
        let last = [gst::MessageType::Eos, gst::MessageType::Error];
        while is_wanted() {
            let message = bus.timed_pop_filtered(PATIENCE, &last);
            match message.as_ref().map(|message| message.view()) {
                None => {}
                Some(gst::MessageView::Error(error)) => {
                    return Err(DecodeError::Broken(error.error().to_string()));
                }
                Some(_) => return Ok(()),
            }
        }
        Err(DecodeError::Unwanted)
    }

    fn why(&self) -> DecodeError {
        DecodeError::Broken(last_error(&self.pipeline))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // A pipeline that does not stop is of no further use either way.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// What goes into the pipeline, and the elements that make pictures of it.
fn format(track: &Track) -> Result<(gst::Caps, &'static str), DecodeError> {
    let (media, record_format, elements) = match track.codec_id.as_str() {
        "V_MPEG4/ISO/AVC" => ("video/x-h264", "avc", "h264parse ! avdec_h264 max-threads=1"),
        "V_MPEGH/ISO/HEVC" => ("video/x-h265", "hvc1", "h265parse ! avdec_h265 max-threads=1"),
        other => return Err(DecodeError::Codec(other.to_owned())),
    };
    let caps = gst::Caps::builder(media).field("alignment", "au");
    // Annex B is told by its start code; some producers send it with no record at all.
    let record = track.codec_private.as_ref();
    let record = record.filter(|record| !record.starts_with(&[0, 0]));
    let caps = match record {
        Some(record) => caps
            .field("stream-format", record_format)
            .field("codec_data", gst::Buffer::from_slice(record.clone())),
        None => caps.field("stream-format", "byte-stream"),
    };
    Ok((caps.build(), elements))
}

/// Frames that are not wanted are not turned into colours: they get the mark of a gap, which no
/// decoder gives, and the element drops what has it. A probe that drops them itself makes older
/// versions of GStreamer complain of each, as nothing is left for them to free.
fn mark_unwanted(element: &gst::Element, waiting: &Arc<Waiting>) {
    let waiting = Arc::clone(waiting);
    let Some(pad) = element.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
            && !waiting.is_wanted(buffer.pts())
        {
            buffer.make_mut().set_flags(gst::BufferFlags::GAP);
        }
        gst::PadProbeReturn::Ok
    });
}

fn deliver(waiting: &Arc<Waiting>, mut taker: Taker) -> AppSinkCallbacks {
    let waiting = Arc::clone(waiting);
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let frame = decoded(&sample, &waiting);
        let goes_on = frame.is_none_or(&mut taker);
        if goes_on { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Eos) }
    });
    callbacks.build()
}

/// Says that rows may be padded: decoders then hand on the memory that they decode into, and copy
/// nothing. Older versions of the sink cannot say so themselves.
fn take_padded(sink: &AppSink) {
    let Some(pad) = sink.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        match info.query_mut().map(gst::QueryRef::view_mut) {
            Some(gst::QueryViewMut::Allocation(query)) => {
                query.add_allocation_meta::<VideoMeta>(None);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

/// The sample as a frame; none when it is none that went in.
fn decoded(sample: &gst::Sample, waiting: &Waiting) -> Option<DecodedFrame> {
    let buffer = sample.buffer_owned()?;
    let place = waiting.take(buffer.pts()?)?;
    let info = VideoInfo::from_caps(sample.caps()?).ok()?;
    let pixels = Box::new(VideoFrame::from_buffer_readable(buffer, &info).ok()?);
    Some(DecodedFrame { place, pixels })
}

impl Pixels for VideoFrame<gst_video::video_frame::Readable> {
    fn picture(&self) -> Option<Picture<'_>> {
        let plane = |at: u32| {
            let stride = usize::try_from(*self.plane_stride().get(at as usize)?).ok()?;
            Some(Plane { bytes: self.plane_data(at).ok()?, stride })
        };
        let (width, height) = (self.info().width(), self.info().height());
        let coding = coding(&self.info().colorimetry(), height);
        Picture::i420(width, height, [plane(0)?, plane(1)?, plane(2)?], coding)
    }
}

/// How the video says that its colours are coded; what it leaves open is as usual.
fn coding(said: &VideoColorimetry, height: u32) -> Coding {
    let usual = Coding::usual(height);
    Coding {
        matrix: match said.matrix() {
            VideoColorMatrix::Bt601 | VideoColorMatrix::Fcc => Matrix::Bt601,
            VideoColorMatrix::Bt709 | VideoColorMatrix::Smpte240m => Matrix::Bt709,
            VideoColorMatrix::Bt2020 => Matrix::Bt2020,
            _ => usual.matrix,
        },
        full_range: match said.range() {
            VideoColorRange::Range0_255 => true,
            VideoColorRange::Range16_235 => false,
            _ => usual.full_range,
        },
    }
}

/// What the bus says of a failure.
fn last_error(pipeline: &gst::Pipeline) -> String {
    let message = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => error.error().to_string(),
        _ => "the decoder gives no reason".to_owned(),
    }
}

#[cfg(test)]
mod tests;

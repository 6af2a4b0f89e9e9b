//! The ends of a pipeline: encoded samples become events of the source.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gst::glib;
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use tokio::sync::mpsc;

use super::{OpenError, SourceOptions};
use crate::clock::Clock;
use crate::media::mkv::{Track, TrackKind};
use crate::produce::source::{SourceEvent, SourceFrame};
use crate::types::ProducerTimestamp;

const VIDEO_TRACK: u64 = 1;
const AUDIO_TRACK: u64 = 2;
/// The system's clock may leave the pipeline's by so much before frames follow it.
const MAX_DRIFT_NS: i64 = 2_000_000_000;
const AUDIO_BITRATE: u32 = 128_000;

/// Where a pipeline's ends are taken.
pub(super) struct Tap {
    pipeline: glib::WeakRef<gst::Pipeline>,
    events: mpsc::Sender<SourceEvent>,
    timeline: Timeline,
    pub(super) options: SourceOptions,
    live: bool,
    /// Whether there is a video, and an audio.
    taken: Mutex<[bool; 2]>,
    /// decodebins that have not said that they found everything.
    pub(super) unexplored: AtomicUsize,
}

/// How a kind of media becomes what MKV holds.
struct Branch {
    track: u64,
    /// Elements from the source's end on.
    elements: String,
    /// What must come out.
    caps: &'static str,
}

impl Tap {
    pub(super) fn new(
        pipeline: &gst::Pipeline,
        events: mpsc::Sender<SourceEvent>,
        options: SourceOptions,
        clock: Clock,
        live: bool,
    ) -> Self {
        let start = options.start.filter(|_| !live);
        Self {
            pipeline: pipeline.downgrade(),
            events,
            timeline: Timeline { clock, live, start, zero_ns: Mutex::new(None) },
            options,
            live,
            taken: Mutex::new([false; 2]),
            unexplored: AtomicUsize::new(0),
        }
    }

    /// Takes an end, or lets it run out when it is not wanted.
    pub(super) fn take(self: &Arc<Self>, pad: &gst::Pad) -> Result<(), OpenError> {
        let Some(pipeline) = self.pipeline.upgrade() else { return Ok(()) };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(branch) = self.branch(&caps).filter(|branch| self.claim(branch.track)) else {
            let ignored = gst::ElementFactory::make("fakesink").property("async", false).build()?;
            pipeline.add(&ignored)?;
            return connect(pad, &ignored);
        };
        let elements = gst::parse::bin_from_description(&branch.elements, true)
            .map_err(OpenError::Description)?;
        let sink = self.sink(&branch);
        pipeline.add(&elements)?;
        pipeline.add(&sink)?;
        elements.link(&sink)?;
        sink.sync_state_with_parent()?;
        connect(pad, elements.upcast_ref())
    }

    /// Whatever these caps will be, they need no decodebin to find out what is in them.
    pub(super) fn knows(&self, caps: &gst::CapsRef) -> bool {
        let mut names = caps.iter().map(|structure| structure.name());
        let first = names.next();
        first.is_some() && names.all(|name| Some(name) == first) && self.branch(caps).is_some()
    }

    /// The first of its kind is taken.
    fn claim(&self, track: u64) -> bool {
        let index = usize::from(track == AUDIO_TRACK);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut taken[index], true)
    }

    fn branch(&self, caps: &gst::CapsRef) -> Option<Branch> {
        let structure = caps.structure(0)?;
        let name = structure.name().as_str();
        let (track, elements) = match name {
            "video/x-h264" => (VIDEO_TRACK, "queue ! h264parse".to_owned()),
            "video/x-h265" => (VIDEO_TRACK, "queue ! h265parse".to_owned()),
            "audio/mpeg" => (AUDIO_TRACK, "queue ! aacparse".to_owned()),
            "video/x-raw" => (VIDEO_TRACK, self.encode_video(structure)),
            "audio/x-raw" => (AUDIO_TRACK, encode_audio()),
            _ => return None,
        };
        let caps = match (track, name) {
            (AUDIO_TRACK, _) if !self.options.audio => return None,
            (AUDIO_TRACK, _) => "audio/mpeg, mpegversion=4, stream-format=raw",
            (_, "video/x-h265") => "video/x-h265, stream-format=hvc1, alignment=au",
            _ => "video/x-h264, stream-format=avc, alignment=au",
        };
        Some(Branch { track, elements, caps })
    }

    fn encode_video(&self, raw: &gst::StructureRef) -> String {
        let fps = raw.get::<gst::Fraction>("framerate").ok();
        let fps = fps.filter(|fps| fps.numer() > 0 && fps.denom() > 0);
        let fps = fps.map_or(30.0, |fps| f64::from(fps.numer()) / f64::from(fps.denom()));
        let key_interval = (fps * self.options.fragment.0 as f64 / 1000.0).round().max(1.0);
        let bitrate = self.options.bitrate;
        let encoder = match first_installed(&["x264enc", "openh264enc"]) {
            "openh264enc" => {
                format!("openh264enc bitrate={bitrate} gop-size={key_interval} complexity=low")
            }
            x264 => format!(
                "{x264} tune=zerolatency speed-preset=veryfast bitrate={} \
                 key-int-max={key_interval}",
                bitrate / 1000
            ),
        };
        format!("queue ! videoconvert ! video/x-raw,format=I420 ! {encoder} ! h264parse")
    }

    fn sink(self: &Arc<Self>, branch: &Branch) -> AppSink {
        let caps: gst::Caps = branch.caps.parse().expect("the constants are caps strings");
        let mut outlet = Outlet { tap: Arc::clone(self), track: branch.track, caps: None };
        let (events, track) = (self.events.clone(), branch.track);
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                outlet.on_sample(&sample)
            })
            .eos(move |_| {
                // Nobody listens any more: the upload has ended.
                let _ = events.blocking_send(SourceEvent::TrackEnd(track));
            })
            .build();
        AppSink::builder()
            .caps(&caps)
            .sync(!self.live && !self.options.fast)
            .async_(!self.live)
            .max_buffers(4)
            .callbacks(callbacks)
            .build()
    }

    pub(super) fn explored(&self) {
        if self.unexplored.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.iter().filter(|&&taken| taken).count() {
            0 => self.fail("there is neither video nor audio in it"),
            tracks => {
                // Nobody listens any more: the upload has ended.
                let _ = self.events.blocking_send(SourceEvent::Expect(tracks));
            }
        }
    }

    pub(super) fn fail(&self, why: &str) {
        if let Some(pipeline) = self.pipeline.upgrade() {
            gst::element_error!(pipeline, gst::CoreError::Failed, ("{why}"));
        }
    }
}

/// Which of the elements exists; the first when none does, so that the error names it.
fn first_installed(names: &[&'static str]) -> &'static str {
    let exists = |name: &&&'static str| gst::ElementFactory::find(name).is_some();
    names.iter().find(exists).or(names.first()).copied().unwrap_or_default()
}

fn encode_audio() -> String {
    let encoder = first_installed(&["avenc_aac", "fdkaacenc", "voaacenc"]);
    format!(
        "queue ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=[1,2] \
         ! {encoder} bitrate={AUDIO_BITRATE} ! aacparse"
    )
}

fn connect(pad: &gst::Pad, element: &gst::Element) -> Result<(), OpenError> {
    element.sync_state_with_parent()?;
    let sink = element.static_pad("sink").ok_or(OpenError::NoOpenEnd)?;
    pad.link(&sink).map_err(|error| OpenError::Run(error.to_string()))?;
    Ok(())
}

/// The end of one branch: samples become events.
struct Outlet {
    tap: Arc<Tap>,
    track: u64,
    /// Of the last sample; other caps mean other parameter sets.
    caps: Option<gst::Caps>,
}

impl Outlet {
    fn on_sample(&mut self, sample: &gst::Sample) -> Result<gst::FlowSuccess, gst::FlowError> {
        let caps = sample.caps_owned().ok_or(gst::FlowError::NotNegotiated)?;
        if self.caps.as_ref() != Some(&caps) {
            let track = describe_track(self.track, &caps).ok_or(gst::FlowError::NotNegotiated)?;
            self.caps = Some(caps);
            self.send(SourceEvent::Track(track))?;
        }
        let Some(frame) = self.frame(sample) else { return Ok(gst::FlowSuccess::Ok) };
        self.send(SourceEvent::Frame(frame))?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// `None` for what has no time or no bytes: it could not be played.
    fn frame(&self, sample: &gst::Sample) -> Option<SourceFrame> {
        let buffer = sample.buffer()?;
        let pts = buffer.pts().or(buffer.dts())?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        // With a known beginning the position in the file counts, also behind an offset; when the
        // file repeats, all that was played.
        let position = match self.tap.timeline.start {
            Some(_) if !self.tap.options.repeat => segment.to_stream_time_full(pts),
            _ => segment.to_running_time_full(pts),
        }?;
        let position_ns = i64::try_from(position.nseconds()).ok()?;
        let time = self.tap.timeline.place(position_ns, self.tap.pipeline.upgrade().as_ref());
        let map = buffer.map_readable().ok().filter(|map| !map.is_empty())?;
        let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let data = Bytes::copy_from_slice(&map);
        Some(SourceFrame { track: self.track, time, keyframe, data })
    }

    fn send(&self, event: SourceEvent) -> Result<(), gst::FlowError> {
        self.tap.events.blocking_send(event).map_err(|_| gst::FlowError::Eos)
    }
}

fn describe_track(number: u64, caps: &gst::CapsRef) -> Option<Track> {
    let structure = caps.structure(0)?;
    let codec_id = match structure.name().as_str() {
        "video/x-h264" => "V_MPEG4/ISO/AVC",
        "video/x-h265" => "V_MPEGH/ISO/HEVC",
        _ => "A_AAC",
    };
    let positive = |name: &str| structure.get::<i32>(name).ok()?.try_into().ok();
    let kind = if number == VIDEO_TRACK {
        TrackKind::Video { width: positive("width")?, height: positive("height")? }
    } else {
        let sampling_hz = structure.get::<i32>("rate").ok().map(f64::from)?;
        TrackKind::Audio { sampling_hz, channels: positive("channels")? }
    };
    let codec_data = structure.get::<gst::Buffer>("codec_data").ok()?;
    let codec_private = Bytes::copy_from_slice(&codec_data.map_readable().ok()?);
    let fps = structure.get::<gst::Fraction>("framerate").ok();
    let fps = fps.filter(|fps| number == VIDEO_TRACK && fps.numer() > 0 && fps.denom() > 0);
    Some(Track {
        number,
        kind,
        name: Some(if number == VIDEO_TRACK { "video" } else { "audio" }.to_owned()),
        codec_id: codec_id.to_owned(),
        codec_private: Some(codec_private),
        codec_delay_ns: 0,
        default_duration_ns: fps
            .map(|fps| 1_000_000_000 * fps.denom().unsigned_abs() as u64 / fps.numer() as u64),
    })
}

/// Places the pipeline's time on the producer's clock.
struct Timeline {
    clock: Clock,
    live: bool,
    /// The producer's clock at the beginning of a file.
    start: Option<ProducerTimestamp>,
    /// The producer's clock, in nanoseconds, at the pipeline's time zero.
    zero_ns: Mutex<Option<i64>>,
}

impl Timeline {
    fn place(&self, position_ns: i64, pipeline: Option<&gst::Pipeline>) -> ProducerTimestamp {
        let mut zero = self.zero_ns.lock().unwrap_or_else(PoisonError::into_inner);
        let zero_ns = match (*zero, self.live) {
            (Some(zero_ns), false) => zero_ns,
            (None, false) => {
                self.start.map_or_else(|| self.now_ns(), |start| nanos(start.as_millis()))
            }
            (known, true) => {
                let elapsed = pipeline.and_then(|pipeline| pipeline.current_running_time());
                let elapsed_ns =
                    elapsed.map_or(0, |time| i64::try_from(time.nseconds()).unwrap_or(0));
                let measured = self.now_ns().saturating_sub(elapsed_ns);
                // Small differences are the scheduler's; a large one is a clock that was set.
                known
                    .filter(|zero_ns| zero_ns.abs_diff(measured) < MAX_DRIFT_NS.unsigned_abs())
                    .unwrap_or(measured)
            }
        };
        *zero = Some(zero_ns);
        ProducerTimestamp::from_millis(zero_ns.saturating_add(position_ns).div_euclid(1_000_000))
    }

    fn now_ns(&self) -> i64 {
        nanos(self.clock.now().as_millis())
    }
}

fn nanos(millis: i64) -> i64 {
    millis.saturating_mul(1_000_000)
}

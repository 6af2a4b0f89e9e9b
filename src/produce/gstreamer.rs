//! Sources made with GStreamer: the only module that names it.
//!
//! Whatever the source is, its ends are plugged with `decodebin`, told to stop at H.264, H.265 and
//! AAC: those are only parsed into the form MKV wants, everything else is decoded and encoded
//! again. The first video and the first audio are taken, as tracks 1 and 2.

mod tap;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use gst::glib;
use gst::prelude::*;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::tap::Tap;
use super::source::{MAX_WAITING_EVENTS, Source, SourceControl, SourceEvent};
use super::spec::{SourceSpec, TestPicture};
use crate::clock::Clock;
use crate::types::{Millis, ProducerTimestamp};

/// Where `decodebin` stops.
const STOP_CAPS: &str = "video/x-h264; video/x-h265; audio/mpeg, mpegversion=4; \
     video/x-raw; audio/x-raw";
/// How long a file may take to be ready for a seek.
const PREROLL_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(10);
/// Colours of the test picture, as ARGB: a warm ball on a calm ground.
const TEST_FOREGROUND: u32 = 0xfff4_a261;
const TEST_BACKGROUND: u32 = 0xff26_4653;
/// What `rtspsrc` may hold back to put packets into order, in milliseconds.
const RTSP_LATENCY_MS: u32 = 200;

/// How a source is opened.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Take audio.
    pub audio: bool,
    /// Encoders make a key frame after so long.
    pub fragment: Millis,
    /// Bits per second of video that has to be encoded.
    pub bitrate: u32,
    /// A file comes as fast as it is taken, not in its own time.
    pub fast: bool,
    /// Producer time of a file's beginning; the present when `None`.
    pub start: Option<ProducerTimestamp>,
    /// How much of a file is left out at its beginning.
    pub offset: Duration,
    /// A file begins again at its end, without a gap; needs one that can be sought in.
    pub repeat: bool,
    /// Lower transports of RTSP, as `rtspsrc` names them: `tcp`, `udp`, `tcp+udp`.
    pub rtsp_transport: String,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            audio: true,
            fragment: Millis(2000),
            bitrate: 2_000_000,
            fast: false,
            start: None,
            offset: Duration::ZERO,
            repeat: false,
            rtsp_transport: "tcp".to_owned(),
        }
    }
}

/// A source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// GStreamer does not start.
    #[error("start GStreamer: {0}")]
    Start(glib::Error),
    /// The pipeline cannot be built.
    #[error("build the pipeline: {0}")]
    Build(#[from] glib::BoolError),
    /// The description is not understood, or an element of it is not installed.
    #[error("pipeline description: {0}")]
    Description(glib::Error),
    /// The description has no open end.
    #[error("the pipeline description has no open end to upload: leave out its sink")]
    NoOpenEnd,
    /// The file's name is no path.
    #[error("{0}: {1}")]
    File(std::path::PathBuf, std::io::Error),
    /// The pipeline does not run.
    #[error("start the pipeline: {0}")]
    Run(String),
}

/// Builds and starts the pipeline of `spec`; must be called inside a tokio runtime.
pub async fn open(
    spec: SourceSpec,
    options: SourceOptions,
    clock: Clock,
) -> Result<Source, OpenError> {
    let opening = tokio::task::spawn_blocking(move || open_blocking(&spec, options, clock));
    opening.await.map_err(|error| OpenError::Run(error.to_string()))?
}

fn open_blocking(
    spec: &SourceSpec,
    options: SourceOptions,
    clock: Clock,
) -> Result<Source, OpenError> {
    gst::init().map_err(OpenError::Start)?;
    let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
    let live = spec.is_live();
    let pipeline = gst::Pipeline::new();
    let place = Place { offset: options.offset, repeat: options.repeat && !live };
    let bitrate = match spec {
        SourceSpec::Test(picture) => picture.bitrate,
        _ => options.bitrate,
    };
    let options = SourceOptions { bitrate, ..options };
    let tap = Arc::new(Tap::new(&pipeline, events.clone(), options, clock, live));
    build(spec, &pipeline, &tap)?;
    let watcher = watch_bus(&pipeline, events)?;
    let control = Box::new(Control { pipeline: pipeline.clone(), watcher });
    start(&pipeline, place)?;
    Ok(Source { events: receiver, live, control })
}

fn build(spec: &SourceSpec, pipeline: &gst::Pipeline, tap: &Arc<Tap>) -> Result<(), OpenError> {
    match spec {
        SourceSpec::Test(picture) => launch(&describe_test(picture), pipeline, tap),
        SourceSpec::Launch(description) => launch(description, pipeline, tap),
        SourceSpec::V4l2(device) => {
            let source = gst::ElementFactory::make("v4l2src")
                .property("device", device.to_string_lossy().as_ref())
                .build()?;
            pipeline.add(&source)?;
            let pad = source.static_pad("src").ok_or(OpenError::NoOpenEnd)?;
            plug(&pad, pipeline, tap)
        }
        SourceSpec::File(path) => explore_uri(&file_uri(path)?, pipeline, tap),
        SourceSpec::Rtsp(uri) => explore_uri(uri, pipeline, tap),
    }
}

fn file_uri(path: &Path) -> Result<String, OpenError> {
    let absolute = path.canonicalize().map_err(|error| OpenError::File(path.to_owned(), error))?;
    Ok(glib::filename_to_uri(absolute, None).map_err(OpenError::Description)?.into())
}

/// The picture moves, and shows the wall clock and its own time.
fn describe_test(picture: &TestPicture) -> String {
    let TestPicture { width, height, fps, pattern, audio, .. } = picture;
    let mut text = format!(
        "videotestsrc is-live=true pattern={pattern} \
         foreground-color={TEST_FOREGROUND} background-color={TEST_BACKGROUND} \
         ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 "
    );
    let overlay_exists = |name| gst::ElementFactory::find(name).is_some();
    if overlay_exists("clockoverlay") && overlay_exists("timeoverlay") {
        text += "! clockoverlay time-format=\"%Y-%m-%d %H:%M:%S\" shaded-background=true \
                 ! timeoverlay halignment=right valignment=bottom shaded-background=true ";
    } else {
        tracing::warn!("GStreamer's pango plugin is missing, so the picture shows no clock");
    }
    text += "! queue ";
    if *audio {
        text += "audiotestsrc is-live=true freq=440 volume=0.1 \
                 ! audio/x-raw,format=S16LE,rate=48000,channels=2 ! queue";
    }
    text
}

/// Takes every open end of a described pipeline.
fn launch(description: &str, pipeline: &gst::Pipeline, tap: &Arc<Tap>) -> Result<(), OpenError> {
    let bin =
        gst::parse::bin_from_description(description, false).map_err(OpenError::Description)?;
    pipeline.add(&bin)?;
    let mut ends = Vec::new();
    while let Some(pad) = bin.find_unlinked_pad(gst::PadDirection::Src) {
        let name = format!("end{}", ends.len());
        let end = gst::GhostPad::builder_with_target(&pad)?.name(name).build();
        bin.add_pad(&end)?;
        ends.push(end);
    }
    if ends.is_empty() {
        return Err(OpenError::NoOpenEnd);
    }
    // All are counted before the first can report what it has.
    tap.unexplored.fetch_add(ends.len(), Ordering::SeqCst);
    for end in ends {
        if tap.knows(&end.query_caps(None)) {
            tap.take(end.upcast_ref())?;
            tap.explored();
        } else {
            plug_counted(end.upcast_ref(), pipeline, tap)?;
        }
    }
    Ok(())
}

fn plug(pad: &gst::Pad, pipeline: &gst::Pipeline, tap: &Arc<Tap>) -> Result<(), OpenError> {
    tap.unexplored.fetch_add(1, Ordering::SeqCst);
    plug_counted(pad, pipeline, tap)
}

fn plug_counted(pad: &gst::Pad, pipeline: &gst::Pipeline, tap: &Arc<Tap>) -> Result<(), OpenError> {
    let explorer = gst::ElementFactory::make("decodebin").property("caps", stop_caps()).build()?;
    pipeline.add(&explorer)?;
    explore(&explorer, tap);
    let sink = explorer.static_pad("sink").ok_or(OpenError::NoOpenEnd)?;
    pad.link(&sink).map_err(|error| OpenError::Run(error.to_string()))?;
    Ok(())
}

fn explore_uri(uri: &str, pipeline: &gst::Pipeline, tap: &Arc<Tap>) -> Result<(), OpenError> {
    let explorer = gst::ElementFactory::make("uridecodebin")
        .property("uri", uri)
        .property("caps", stop_caps())
        .build()?;
    let transport = tap.options.rtsp_transport.clone();
    explorer.connect("source-setup", false, move |values| {
        let source = values.get(1)?.get::<gst::Element>().ok()?;
        if source.has_property("protocols") && source.has_property("latency") {
            source.set_property_from_str("protocols", &transport);
            source.set_property("latency", RTSP_LATENCY_MS);
        }
        None
    });
    pipeline.add(&explorer)?;
    tap.unexplored.fetch_add(1, Ordering::SeqCst);
    explore(&explorer, tap);
    Ok(())
}

fn stop_caps() -> gst::Caps {
    STOP_CAPS.parse().expect("the constant is a caps string")
}

/// Takes what a decodebin finds.
fn explore(explorer: &gst::Element, tap: &Arc<Tap>) {
    let on_pad = Arc::clone(tap);
    explorer.connect_pad_added(move |_, pad| {
        if pad.direction() == gst::PadDirection::Src
            && let Err(error) = on_pad.take(pad)
        {
            on_pad.fail(&error.to_string());
        }
    });
    let on_end = Arc::clone(tap);
    explorer.connect_no_more_pads(move |_| on_end.explored());
}

/// Where a file begins, and whether it does so again.
#[derive(Clone, Copy)]
struct Place {
    offset: Duration,
    repeat: bool,
}

/// Starts a pipeline; blocks while a file is made ready for a seek.
fn start(pipeline: &gst::Pipeline, place: Place) -> Result<(), OpenError> {
    let failed = |what: &str| OpenError::Run(format!("{what}: {}", last_error(pipeline)));
    if !place.offset.is_zero() || place.repeat {
        pipeline.set_state(gst::State::Paused).map_err(|_| failed("open"))?;
        let (ready, ..) = pipeline.state(PREROLL_TIMEOUT);
        ready.map_err(|_| failed("open"))?;
        let to = gst::ClockTime::try_from(place.offset)
            .map_err(|_| OpenError::Run("the offset is too large".to_owned()))?;
        let mut flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        // A segment's end is told in a message instead of ending the pipeline.
        flags.set(gst::SeekFlags::SEGMENT, place.repeat);
        pipeline.seek_simple(flags, to).map_err(|_| failed("seek to the beginning"))?;
    }
    pipeline.set_state(gst::State::Playing).map_err(|_| failed("play"))?;
    Ok(())
}

/// What the bus says of a state change that failed.
fn last_error(pipeline: &gst::Pipeline) -> String {
    let message = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => describe_error(error),
        _ => "the element gives no reason".to_owned(),
    }
}

/// Turns the pipeline's end or failure into the last event; sends a file that repeats back to its
/// beginning.
fn watch_bus(
    pipeline: &gst::Pipeline,
    events: mpsc::Sender<SourceEvent>,
) -> Result<AbortHandle, OpenError> {
    let bus = pipeline.bus().ok_or_else(|| OpenError::Run("the pipeline has no bus".to_owned()))?;
    let again = pipeline.downgrade();
    let task = tokio::spawn(async move {
        let wanted =
            [gst::MessageType::Eos, gst::MessageType::Error, gst::MessageType::SegmentDone];
        let mut messages = bus.stream_filtered(&wanted);
        let event = loop {
            let message = messages.next().await;
            match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::SegmentDone(_)) if repeat(&again) => {}
                Some(gst::MessageView::Error(error)) => {
                    break SourceEvent::Failed(describe_error(error));
                }
                _ => break SourceEvent::End,
            }
        };
        // Nobody listens any more: the upload has ended.
        let _ = events.send(event).await;
    });
    Ok(task.abort_handle())
}

/// Plays on from the beginning; what is on its way still comes before. Whether that could be done.
fn repeat(pipeline: &glib::WeakRef<gst::Pipeline>) -> bool {
    let flags = gst::SeekFlags::SEGMENT | gst::SeekFlags::KEY_UNIT;
    pipeline
        .upgrade()
        .is_some_and(|pipeline| pipeline.seek_simple(flags, gst::ClockTime::ZERO).is_ok())
}

fn describe_error(error: &gst::message::Error) -> String {
    let element = error.src().map(|source| source.name().to_string()).unwrap_or_default();
    // The debug text begins with a place in GStreamer's own source; its last line says why.
    let detail = error.debug().and_then(|debug| debug.lines().last().map(str::to_owned));
    match detail {
        Some(detail) => format!("{element}: {}: {detail}", error.error()),
        None => format!("{element}: {}", error.error()),
    }
}

struct Control {
    pipeline: gst::Pipeline,
    watcher: AbortHandle,
}

impl SourceControl for Control {
    fn stop(&mut self) {
        let pipeline = self.pipeline.clone();
        // It may have to wait for a thread that waits for room in our queue.
        tokio::task::spawn_blocking(move || pipeline.send_event(gst::event::Eos::new()));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.watcher.abort();
        // A pipeline that does not stop is of no further use either way.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

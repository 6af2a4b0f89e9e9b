//! What the user names as the source: `test://`, a file, `rtsp://…`, `v4l2://…`, `gst:…`.

use std::path::PathBuf;
use std::str::FromStr;

/// Where media comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A made picture with a clock in it, and a tone.
    Test(TestPicture),
    /// A file of any format the system can read.
    File(PathBuf),
    /// A network camera: `rtsp://…` or `rtsps://…`.
    Rtsp(String),
    /// A local camera: `v4l2:///dev/video0`.
    V4l2(PathBuf),
    /// The description of a GStreamer pipeline whose open ends are taken.
    Launch(String),
}

/// What `test://?size=640x360&fps=30&bitrate=1M&pattern=ball&audio=on` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestPicture {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Bits per second.
    pub bitrate: u32,
    /// A pattern of `videotestsrc`.
    pub pattern: String,
    /// With a tone.
    pub audio: bool,
}

/// The text names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It begins like an address of a kind that is not known.
    #[error("{0:?} is no kind of source: test://, rtsp://, v4l2://, gst: or a file")]
    UnknownScheme(String),
    /// An option of `test://` is not known or not usable.
    #[error(
        "test:// takes size=WxH, fps=1..240, bitrate=64k..100M, pattern=NAME, audio=on|off; \
         got {0:?}"
    )]
    TestOption(String),
    /// Nothing is named.
    #[error("the source is empty")]
    Empty,
}

impl SourceSpec {
    /// Frames carry the time of their capture, and it goes on whether or not anyone listens.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::File(_))
    }
}

impl FromStr for SourceSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(launch) = text.strip_prefix("gst:") {
            let launch = launch.trim();
            return if launch.is_empty() {
                Err(SpecError::Empty)
            } else {
                Ok(Self::Launch(launch.to_owned()))
            };
        }
        match text.split_once("://") {
            Some(("test", options)) => parse_test(options).map(Self::Test),
            Some(("rtsp" | "rtsps", rest)) if !rest.is_empty() => Ok(Self::Rtsp(text.to_owned())),
            Some(("v4l2", device)) if !device.is_empty() => Ok(Self::V4l2(device.into())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(_) => Err(SpecError::UnknownScheme(text.to_owned())),
            None if text.is_empty() => Err(SpecError::Empty),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Default for TestPicture {
    fn default() -> Self {
        Self {
            width: 640,
            height: 360,
            fps: 30,
            bitrate: 1_000_000,
            pattern: "ball".to_owned(),
            audio: true,
        }
    }
}

fn parse_test(options: &str) -> Result<TestPicture, SpecError> {
    let mut picture = TestPicture::default();
    let options = options.trim_start_matches(['/', '?']);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        apply_test_option(&mut picture, option)
            .ok_or_else(|| SpecError::TestOption(option.to_owned()))?;
    }
    Ok(picture)
}

fn apply_test_option(picture: &mut TestPicture, option: &str) -> Option<()> {
    let in_range = |value: u32, range: std::ops::RangeInclusive<u32>| {
        Some(value).filter(|value| range.contains(value))
    };
    match option.split_once('=')? {
        ("size", size) => {
            let (width, height) = size.split_once('x')?;
            // The encoder's 4:2:0 needs even sizes.
            let even = |text: &str| {
                in_range(text.parse().ok()?, 16..=7680).filter(|pixels| pixels % 2 == 0)
            };
            (picture.width, picture.height) = (even(width)?, even(height)?);
        }
        ("fps", fps) => picture.fps = in_range(fps.parse().ok()?, 1..=240)?,
        ("bitrate", rate) => {
            picture.bitrate = in_range(parse_rate(rate)?, 64_000..=100_000_000)?;
        }
        ("pattern", name) => {
            // It becomes part of a pipeline description, where other characters have a meaning.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let usable = !name.is_empty() && name.bytes().all(plain);
            picture.pattern = usable.then(|| name.to_owned())?;
        }
        ("audio", "on") => picture.audio = true,
        ("audio", "off") => picture.audio = false,
        _ => return None,
    }
    Some(())
}

/// `1M`, `800k` or plain bits per second.
fn parse_rate(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1_000_000),
        None => text.strip_suffix(['k', 'K']).map_or((text, 1), |digits| (digits, 1000)),
    };
    digits.parse::<u32>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_source_is_known_by_its_beginning() {
        let parse = |text: &str| text.parse::<SourceSpec>().expect(text);
        assert_eq!(parse("test://"), SourceSpec::Test(TestPicture::default()));
        assert_eq!(parse("rtsp://cam/1"), SourceSpec::Rtsp("rtsp://cam/1".to_owned()));
        assert_eq!(parse("v4l2:///dev/video0"), SourceSpec::V4l2("/dev/video0".into()));
        assert_eq!(parse("gst: videotestsrc"), SourceSpec::Launch("videotestsrc".to_owned()));
        assert_eq!(parse("a/film.mp4"), SourceSpec::File("a/film.mp4".into()));
        assert_eq!(parse("file:///a/film.mp4"), SourceSpec::File("/a/film.mp4".into()));
        assert!(!parse("film.mp4").is_live());
    }

    #[test]
    fn test_picture_takes_options() {
        let text = "test://?size=1280x720&fps=25&bitrate=2M&pattern=smpte&audio=off";
        let picture = TestPicture {
            width: 1280,
            height: 720,
            fps: 25,
            bitrate: 2_000_000,
            pattern: "smpte".to_owned(),
            audio: false,
        };
        assert_eq!(text.parse(), Ok(SourceSpec::Test(picture)));
    }

    #[test]
    fn what_names_no_source_is_refused() {
        for text in ["", "gst:", "http://x", "rtsp://", "v4l2://"] {
            assert!(text.parse::<SourceSpec>().is_err(), "{text}");
        }
        for option in ["size=639x360", "fps=0", "bitrate=1G", "pattern=a ! b", "x=1", "size"] {
            let expected = SpecError::TestOption(option.to_owned());
            assert_eq!(format!("test://?{option}").parse::<SourceSpec>(), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(test://)?.{0,60}") {
            let _ = text.parse::<SourceSpec>();
        }
    }
}

//! Which frames are looked at, and which of the faces in them count.
//!
//! The choice depends on nothing but the frames' places, never on how fast they come: so the same
//! frames are chosen again after a crash, on another machine, and from the archive.

use super::frame::FramePlace;
use crate::types::{FragmentNumber, ProducerTimestamp};
use crate::vision::faces::Point;
use crate::vision::picture::{Colours, Normalisation, Picture, Window, resize};
use crate::wire::processors::{Options, Region};

/// Pictures are compared as so many fields from left to right and from top to bottom.
const FIELDS: (usize, usize) = (32, 18);
/// A field that became brighter or darker by this part of the scale has moved.
const MOVED: f32 = 0.03;
const NORMALISATION: Normalisation =
    Normalisation { colours: Colours::Rgb, mean: [0.0; 3], factor: 1.0 / 255.0 };
/// Frames per second above which a rate is none: no video has as many.
const MOST_FPS: f64 = 1000.0;

/// Chooses among the frames of a stream, in the order in which they are decoded.
#[derive(Debug)]
pub struct Selector {
    every_nth: u32,
    /// Milliseconds of producer time per frame that is wanted; none for all.
    slot_ms: Option<f64>,
    /// The fragment at hand, and the slots of it that have their frame.
    fragment: Option<FragmentNumber>,
    taken: Vec<i64>,
}

impl Selector {
    /// Follows the options `every_nth` and `max_fps`.
    pub fn new(options: &Options) -> Self {
        let limited = options.max_fps > 0.0 && options.max_fps < MOST_FPS;
        Self {
            every_nth: options.every_nth.max(1),
            slot_ms: limited.then(|| 1000.0 / options.max_fps),
            fragment: None,
            taken: Vec::new(),
        }
    }

    /// Whether the frame is wanted.
    ///
    /// Producer time is divided into slots of one frame each, and the first frame that is decoded of
    /// a slot is taken. Who begins to read within a slot may take one more; no frame is missed.
    pub fn wants(&mut self, place: &FramePlace) -> bool {
        if self.fragment != Some(place.fragment) {
            self.fragment = Some(place.fragment);
            // A slot may reach over the border between two fragments.
            let first = self.slot(place.producer);
            self.taken.retain(|taken| Some(*taken) == first);
        }
        if !place.index.is_multiple_of(self.every_nth) {
            return false;
        }
        let Some(slot) = self.slot(place.time) else { return true };
        let is_new = !self.taken.contains(&slot);
        if is_new {
            self.taken.push(slot);
        }
        is_new
    }

    /// The slot that a time is in; none when every frame is wanted.
    fn slot(&self, time: ProducerTimestamp) -> Option<i64> {
        let length = self.slot_ms?;
        Some((time.as_millis() as f64 / length).floor() as i64)
    }
}

/// Tells whether anything moved since the picture that was looked at last.
#[derive(Debug, Default)]
pub struct MotionGate {
    last: Option<Vec<f32>>,
}

impl MotionGate {
    /// Compares with the last picture that moved; the first one always does.
    pub fn moved(&mut self, picture: &Picture<'_>) -> bool {
        let window = Window::filling((picture.width(), picture.height()), FIELDS);
        let fields = resize(picture, &window, FIELDS, &NORMALISATION);
        let still = self.last.as_ref().is_some_and(|last| {
            last.iter().zip(&fields).all(|(before, now)| (before - now).abs() < MOVED)
        });
        if !still {
            self.last = Some(fields);
        }
        !still
    }
}

/// Whether a place, in parts of the picture, is within one of the regions; without any, all are.
pub fn within(place: Point, regions: &[Region]) -> bool {
    let (x, y) = (f64::from(place.x), f64::from(place.y));
    regions.is_empty()
        || regions.iter().any(|region| match region {
            Region::Box(part) => {
                (part.left..=part.left + part.width).contains(&x)
                    && (part.top..=part.top + part.height).contains(&y)
            }
            Region::Polygon(corners) => {
                let corners: Vec<_> = corners.iter().map(|corner| (corner.x, corner.y)).collect();
                is_inside(&corners, (x, y))
            }
        })
}

/// Whether a line from the place to the left crosses the polygon's edges an odd number of times.
fn is_inside(corners: &[(f64, f64)], (x, y): (f64, f64)) -> bool {
    let next = corners.iter().cycle().skip(1);
    let crossed = corners.iter().zip(next).filter(|((ax, ay), (bx, by))| {
        let reaches = (*ay > y) != (*by > y);
        reaches && x > ax + (y - ay) / (by - ay) * (bx - ax)
    });
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::ServerTimestamp;
    use crate::wire::processors::{Corner, Rectangle};

    fn place(fragment: u64, begin_ms: i64, index: u32, time_ms: i64) -> FramePlace {
        FramePlace {
            fragment: FragmentNumber::new(fragment, ServerTimestamp::from_millis(0), 0),
            server: ServerTimestamp::from_millis(0),
            producer: ProducerTimestamp::from_millis(begin_ms),
            index,
            time: ProducerTimestamp::from_millis(time_ms),
        }
    }

    /// The times of the frames that are chosen out of fragments of 25 frames each.
    fn chosen(options: &Options, fragments: std::ops::Range<u64>) -> Vec<i64> {
        let mut selector = Selector::new(options);
        let mut times = Vec::new();
        for fragment in fragments {
            let begin = fragment as i64 * 1000;
            for index in 0..25 {
                let time = begin + i64::from(index) * 40;
                if selector.wants(&place(fragment, begin, index, time)) {
                    times.push(time);
                }
            }
        }
        times
    }

    #[test]
    fn a_rate_takes_the_first_frame_of_each_slot_of_producer_time() {
        let options = Options { max_fps: 5.0, ..Options::default() };
        assert_eq!(chosen(&options, 0..1), [0, 200, 400, 600, 800]);
        let slow = Options { max_fps: 0.5, ..Options::default() };
        assert_eq!(chosen(&slow, 0..5), [0, 2000, 4000]);
    }

    #[test]
    fn every_nth_counts_within_the_fragment() {
        let options = Options { max_fps: 0.0, every_nth: 10, ..Options::default() };
        assert_eq!(chosen(&options, 0..2), [0, 400, 800, 1000, 1400, 1800]);
    }

    #[test]
    fn frames_that_are_decoded_out_of_order_share_slots_all_the_same() {
        let mut selector = Selector::new(&Options { max_fps: 10.0, ..Options::default() });
        let order = [0, 160, 80, 40, 120];
        let wanted: Vec<_> =
            order.iter().zip(0..).filter(|(t, i)| selector.wants(&place(1, 0, *i, **t))).collect();
        assert_eq!(wanted.iter().map(|(t, _)| **t).collect::<Vec<_>>(), [0, 160]);
    }

    #[test]
    fn a_picture_that_stands_still_does_not_move_again() {
        let grey = [100u8; 64 * 64 * 3];
        let mut other = grey;
        other[..16 * 64 * 3].fill(180);
        let picture = |pixels| Picture::new(64, 64, 64 * 3, pixels).expect("it is a picture");
        let mut gate = MotionGate::default();
        assert!(gate.moved(&picture(&grey)));
        assert!(!gate.moved(&picture(&grey)));
        assert!(gate.moved(&picture(&other)));
    }

    #[test]
    fn only_what_is_in_a_region_counts() {
        let rectangle = Rectangle { left: 0.5, top: 0.0, width: 0.5, height: 1.0 };
        let corner = |x, y| Corner { x, y };
        let triangle = vec![corner(0.0, 0.0), corner(0.4, 0.0), corner(0.0, 0.4)];
        let regions = [Region::Box(rectangle), Region::Polygon(triangle)];
        for (x, y, inside) in [(0.7, 0.5, true), (0.1, 0.1, true), (0.3, 0.3, false)] {
            assert_eq!(within(Point { x, y }, &regions), inside, "{x} {y}");
        }
        assert!(within(Point { x: 2.0, y: 2.0 }, &[]));
    }

    proptest! {
        #[test]
        fn wherever_reading_begins_no_frame_is_missed_and_one_at_most_is_more(
            fps in 0.3f64..40.0, nth in 1u32..4, from in 0u64..8,
        ) {
            let options = Options { max_fps: fps, every_nth: nth, ..Options::default() };
            let all = chosen(&options, 0..8);
            let later: Vec<_> = all.into_iter().filter(|t| *t >= from as i64 * 1000).collect();
            let mut resumed = chosen(&options, from..8);
            if resumed.len() > later.len() {
                resumed.remove(0);
            }
            prop_assert_eq!(resumed, later);
        }
    }
}

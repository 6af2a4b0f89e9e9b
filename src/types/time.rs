//! The clocks. Producer time may be wrong and may run backwards between sessions; server time
//! grows within a stream. Both count milliseconds since the Unix epoch, and never mix.

use std::fmt;

/// A length of media or a distance in time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

macro_rules! epoch_millis {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The latest instant the type can hold; an open end of a range.
            pub const MAX: Self = Self(i64::MAX);
            /// The earliest instant the type can hold; an open start of a range.
            pub const MIN: Self = Self(i64::MIN);

            /// From milliseconds since the Unix epoch.
            pub const fn from_millis(millis: i64) -> Self {
                Self(millis)
            }

            /// From seconds since the Unix epoch, as the AWS protocols write them; `None` when the
            /// value is not finite or out of range.
            pub fn from_secs_f64(seconds: f64) -> Option<Self> {
                let millis = (seconds * 1000.0).round();
                (millis.abs() < 9.0e15).then_some(Self(millis as i64))
            }

            /// Milliseconds since the Unix epoch.
            pub const fn as_millis(self) -> i64 {
                self.0
            }

            /// Seconds since the Unix epoch, as the AWS protocols write them.
            pub fn as_secs_f64(self) -> f64 {
                self.0 as f64 / 1000.0
            }

            /// This instant moved later, stopping at the end of the type's range.
            pub const fn plus(self, distance: Millis) -> Self {
                Self(self.0.saturating_add_unsigned(distance.0))
            }

            /// This instant moved earlier, stopping at the start of the type's range.
            pub const fn minus(self, distance: Millis) -> Self {
                Self(self.0.saturating_sub_unsigned(distance.0))
            }

            /// How long after `earlier` this instant is; zero when it is not after it.
            pub const fn since(self, earlier: Self) -> Millis {
                if self.0 > earlier.0 { Millis(self.0.abs_diff(earlier.0)) } else { Millis(0) }
            }
        }

        /// Seconds with exactly three decimals: `1511852109.126`.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let sign = if self.0 < 0 { "-" } else { "" };
                let magnitude = self.0.unsigned_abs();
                write!(f, "{sign}{}.{:03}", magnitude / 1000, magnitude % 1000)
            }
        }
    };
}

epoch_millis! {
    /// Milliseconds since the Unix epoch on the producer's clock, which may be wrong.
    ProducerTimestamp
}

epoch_millis! {
    /// Milliseconds since the Unix epoch on the server's clock, when it began to receive a
    /// fragment or record. Grows within a stream.
    ServerTimestamp
}

/// Ticks of a segment's [`TimestampScale`]; means nothing outside its segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timecode(pub i64);

/// Nanoseconds per tick (Matroska `TimestampScale`); never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimestampScale(u32);

impl TimestampScale {
    /// One tick per millisecond, Matroska's default.
    pub const MILLISECOND: Self = Self(1_000_000);

    /// `None` for zero or a tick longer than four seconds, which no producer means.
    pub fn from_nanos(nanos: u64) -> Option<Self> {
        u32::try_from(nanos).ok().filter(|&n| n > 0).map(Self)
    }

    /// Nanoseconds per tick.
    pub const fn nanos(self) -> u32 {
        self.0
    }
}

impl Timecode {
    /// The timecode in nanoseconds; `None` when it does not fit.
    pub fn nanos(self, scale: TimestampScale) -> Option<i64> {
        self.0.checked_mul(i64::from(scale.0))
    }

    /// The timecode in whole milliseconds, rounded down.
    pub fn millis(self, scale: TimestampScale) -> i64 {
        if scale == TimestampScale::MILLISECOND {
            return self.0;
        }
        let nanos = i128::from(self.0) * i128::from(scale.0);
        i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }

    /// Places the timecode on the producer's clock; `None` when it does not fit.
    pub fn since(
        self,
        start: ProducerTimestamp,
        scale: TimestampScale,
    ) -> Option<ProducerTimestamp> {
        let millis = start.as_millis().checked_add(self.millis(scale))?;
        Some(ProducerTimestamp::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_seconds_with_three_decimals() {
        assert_eq!(ProducerTimestamp::from_millis(1_511_852_109_126).to_string(), "1511852109.126");
        assert_eq!(ProducerTimestamp::from_millis(5_000).to_string(), "5.000");
        assert_eq!(ServerTimestamp::from_millis(-1_005).to_string(), "-1.005");
    }

    #[test]
    fn timecode_of_a_finer_scale_is_placed_in_milliseconds() {
        let scale = TimestampScale::from_nanos(100_000).expect("valid scale");
        let start = ProducerTimestamp::from_millis(1_000);
        assert_eq!(Timecode(25).since(start, scale), Some(ProducerTimestamp::from_millis(1_002)));
        assert_eq!(Timecode(i64::MAX).since(start, TimestampScale::MILLISECOND), None);
    }
}

//! How video codes colours: brightness and two differences of colour, and back to RGB.

/// Numbers of a place's channels.
pub(super) type Colour = [f32; 3];

/// The height from which on video without a word about its colours is taken for high definition.
const HIGH_DEFINITION: u32 = 720;

/// Which parts of red, green and blue make the brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, JPEG.
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
    /// ITU-R BT.2020: ultra high definition.
    Bt2020,
}

/// How brightness and differences of colour are coded in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// What brightness is made of.
    pub matrix: Matrix,
    /// Whether all of 0 to 255 is used, as in JPEG; else black is 16 and white 235, as in most
    /// video.
    pub full_range: bool,
}

impl Coding {
    /// What video of this height is when it does not say itself.
    pub fn usual(height: u32) -> Self {
        let matrix = if height < HIGH_DEFINITION { Matrix::Bt601 } else { Matrix::Bt709 };
        Self { matrix, full_range: false }
    }

    /// The bytes that are black.
    pub(super) fn zero(self) -> Colour {
        [if self.full_range { 0.0 } else { 16.0 }, 128.0, 128.0]
    }

    pub(super) fn transform(self) -> Transform {
        let (red, blue) = match self.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let green = 1.0 - red - blue;
        let (luma, colour) =
            if self.full_range { (1.0, 1.0) } else { (255.0 / 219.0, 255.0 / 224.0) };
        Transform {
            zero: self.zero(),
            luma,
            red: 2.0 * (1.0 - red) * colour,
            green_of_blue: -2.0 * (1.0 - blue) * blue / green * colour,
            green_of_red: -2.0 * (1.0 - red) * red / green * colour,
            blue: 2.0 * (1.0 - blue) * colour,
        }
    }
}

/// The numbers by which a coding becomes RGB.
#[derive(Clone, Copy)]
pub(super) struct Transform {
    zero: Colour,
    luma: f32,
    red: f32,
    green_of_blue: f32,
    green_of_red: f32,
    blue: f32,
}

impl Transform {
    /// Red, green and blue of 0 to 255, from bytes.
    pub(super) fn rgb(&self, bytes: Colour) -> Colour {
        let [luma, blue, red] = std::array::from_fn(|at| bytes[at] - self.zero[at]);
        self.of_differences(luma, blue, red)
    }

    /// Makes red, green and blue of a row's brightness, blue and red differences, from each of which
    /// its zero was taken.
    pub(super) fn row(&self, luma: &mut [f32], blue: &mut [f32], red: &mut [f32]) {
        for ((luma, blue), red) in luma.iter_mut().zip(blue).zip(red) {
            [*luma, *blue, *red] = self.of_differences(*luma, *blue, *red);
        }
    }

    fn of_differences(&self, luma: f32, blue: f32, red: f32) -> Colour {
        let grey = luma * self.luma;
        let green = grey + blue * self.green_of_blue + red * self.green_of_red;
        [grey + red * self.red, green, grey + blue * self.blue].map(|value| value.clamp(0.0, 255.0))
    }
}

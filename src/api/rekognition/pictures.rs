//! Pictures of requests: decoded within bounds, and looked at on threads of their own.

use std::io::Cursor;
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use tokio::sync::Semaphore;

use super::Call;
use super::error::{Failure, Kind};
use super::quality::Filter;
use crate::api::{ApiError, App};
use crate::people::{NewFace, RelativeBox};
use crate::vision::engine::{Engine, EngineError, EngineOptions, Seen};
use crate::vision::faces::{BoundingBox as Pixels, LANDMARK_NAMES};
use crate::vision::picture::Picture;
use crate::wire::rekognition::faces::{
    BoundingBox, FaceDetail, Image, ImageQuality, Landmark, Pose,
};

/// The most bytes of a picture in a request, as on AWS.
pub const MAX_PICTURE_BYTES: usize = 5 << 20;
/// The longest edge of a picture in pixels.
const MAX_EDGE: u32 = 10_000;
/// Bytes that decoding one may take: 64 million pixels.
const MAX_DECODED_BYTES: u64 = 192 << 20;
/// The most faces of a picture that are told: the largest, as on AWS.
const MAX_FACES: usize = 100;

/// Looks at pictures for requests: at one per core at a time, so that video goes on beside them.
pub struct Pictures {
    engine: Arc<Engine>,
    room: Arc<Semaphore>,
}

impl Pictures {
    /// With models that are loaded when the first picture comes.
    pub fn new(options: EngineOptions) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { engine: Arc::new(Engine::new(options)), room: Arc::new(Semaphore::new(cores)) }
    }
}

/// The faces of a picture, the largest first.
pub(super) struct Looked {
    width: f32,
    height: f32,
    pub(super) faces: Vec<Seen>,
}

impl Call {
    /// Looks at a picture of the request.
    pub(super) async fn look(&self, image: Option<Image>) -> Result<Looked, Failure> {
        self.app.pictures.look(bytes_of(image.unwrap_or_default())?).await
    }
}

impl Pictures {
    async fn look(&self, bytes: Bytes) -> Result<Looked, Failure> {
        let room = self.room.clone().acquire_owned().await.map_err(Failure::internal)?;
        let engine = self.engine.clone();
        let work = move || {
            let _room = room;
            look(&engine, &bytes)
        };
        tokio::task::spawn_blocking(work).await.map_err(Failure::internal)?
    }
}

/// The face of a portrait, a picture of one person, to be enrolled through the native API.
pub async fn portrait(app: &App, bytes: Bytes) -> Result<NewFace, ApiError> {
    let looked = app.pictures.look(bytes).await?;
    let is_good = |seen: &&Seen| Filter::Low.reasons(seen).is_empty();
    let good: Vec<&Seen> = looked.faces.iter().filter(is_good).collect();
    let (seen, embedding) = match good[..] {
        [seen] => (seen, seen.embedding.clone()),
        [] => return Err(none_to_enrol(looked.faces.first())),
        _ => {
            let count = good.len();
            let message = format!("{count} faces are in the picture: cut it to the one.");
            return Err(ApiError::invalid(message));
        }
    };
    Ok(NewFace {
        embedding: embedding.ok_or_else(|| none_to_enrol(Some(seen)))?,
        bounds: looked.place(&seen.face.bounds),
        confidence: seen.face.confidence * 100.0,
        image: app.people.new_image()?,
        external: None,
    })
}

/// Why nobody can be known by a picture, of which this is the largest face.
fn none_to_enrol(largest: Option<&Seen>) -> ApiError {
    let Some(seen) = largest else { return ApiError::invalid("No face is in the picture.") };
    let why = Filter::Low.reasons(seen).join(", ").to_lowercase().replace('_', " ");
    ApiError::invalid(format!("Nobody can be known by the face in the picture: {why}."))
}

fn bytes_of(image: Image) -> Result<Bytes, Failure> {
    match (image.bytes, image.s3_object) {
        (Some(bytes), None) if bytes.0.len() > MAX_PICTURE_BYTES => Err(Failure::new(
            Kind::ImageTooLarge,
            format!("A picture has at most {MAX_PICTURE_BYTES} bytes, this one {}.", bytes.0.len()),
        )),
        (Some(bytes), None) => Ok(bytes.0),
        (None, Some(_)) => Err(Failure::new(
            Kind::InvalidS3Object,
            "There are no buckets here: read the object, and send its bytes as Image.Bytes.",
        )),
        _ => Err(Failure::invalid("An image has Bytes or an S3Object.")),
    }
}

fn look(engine: &Engine, bytes: &[u8]) -> Result<Looked, Failure> {
    let image = decode(bytes)?;
    let picture = Picture::of(&image).ok_or_else(too_large)?;
    let mut faces = engine.analyse(&picture).map_err(|error| match error {
        EngineError::NoModels(_) => {
            tracing::warn!("a picture was not looked at: {error}");
            Failure::new(Kind::AccessDenied, format!("{error}."))
        }
        EngineError::Failed(_) => Failure::internal(error),
    })?;
    let area = |seen: &Seen| seen.face.bounds.width() * seen.face.bounds.height();
    faces.sort_by(|a, b| area(b).total_cmp(&area(a)));
    faces.truncate(MAX_FACES);
    Ok(Looked { width: image.width() as f32, height: image.height() as f32, faces })
}

/// The pixels of a JPEG or PNG, turned as its Exif says.
fn decode(bytes: &[u8]) -> Result<RgbImage, Failure> {
    let unreadable = |why: String| {
        let message = format!("The picture is no JPEG or PNG that can be read: {why}.");
        Failure::new(Kind::InvalidImageFormat, message)
    };
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| unreadable(error.to_string()))?;
    if !matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
        return Err(unreadable("it begins like something else".to_owned()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_EDGE);
    limits.max_image_height = Some(MAX_EDGE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let failed = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => too_large(),
        error => unreadable(error.to_string()),
    };
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let turned = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(turned);
    Ok(image.into_rgb8())
}

fn too_large() -> Failure {
    let message = format!(
        "A picture has edges of at most {MAX_EDGE} pixels, and takes at most {MAX_DECODED_BYTES} \
         bytes when it is decoded."
    );
    Failure::new(Kind::ImageTooLarge, message)
}

impl Looked {
    /// Where a face is, in parts of the picture.
    pub(super) fn place(&self, bounds: &Pixels) -> RelativeBox {
        RelativeBox {
            left: bounds.left / self.width,
            top: bounds.top / self.height,
            width: bounds.width() / self.width,
            height: bounds.height() / self.height,
        }
    }

    /// What is told of a face.
    pub(super) fn detail(&self, seen: &Seen) -> FaceDetail {
        let landmarks = seen.face.landmarks.map(|points| {
            let named = LANDMARK_NAMES.iter().zip(points);
            let landmark = |(name, point): (&&str, crate::vision::faces::Point)| Landmark {
                kind: Some((*name).to_owned()),
                x: Some(f64::from(point.x / self.width)),
                y: Some(f64::from(point.y / self.height)),
            };
            named.map(landmark).collect()
        });
        FaceDetail {
            bounding_box: Some(bounding_box(self.place(&seen.face.bounds))),
            landmarks,
            pose: seen.pose.map(|pose| Pose {
                roll: Some(f64::from(pose.roll)),
                yaw: Some(f64::from(pose.yaw)),
                pitch: Some(f64::from(pose.pitch)),
            }),
            quality: Some(ImageQuality {
                brightness: Some(f64::from(seen.quality.brightness)),
                sharpness: Some(f64::from(seen.quality.sharpness)),
            }),
            confidence: Some(confidence(seen)),
        }
    }
}

/// How sure it is that it is a face, 0 to 100.
pub(super) fn confidence(seen: &Seen) -> f64 {
    f64::from(seen.face.confidence * 100.0)
}

/// A place as it is told.
pub(super) fn bounding_box(place: RelativeBox) -> BoundingBox {
    BoundingBox {
        left: Some(f64::from(place.left)),
        top: Some(f64::from(place.top)),
        width: Some(f64::from(place.width)),
        height: Some(f64::from(place.height)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = RgbImage::new(width, height);
        image.write_to(&mut bytes, ImageFormat::Png).expect("memory takes everything");
        bytes.into_inner()
    }

    #[test]
    fn pictures_are_decoded_and_what_is_none_is_told() {
        assert_eq!(decode(&png(4, 3)).map(|image| image.dimensions()), Ok((4, 3)));
        let whole = png(64, 64);
        for broken in [&b""[..], b"GIF89a", b"\xff\xd8\xff\xe0", &whole[..whole.len() / 2]] {
            let kind = decode(broken).map(drop).map_err(|failure| failure.kind);
            assert_eq!(kind, Err(Kind::InvalidImageFormat), "{broken:?}");
        }
    }

    #[test]
    fn picture_of_too_many_pixels_is_refused_before_it_is_decoded() {
        let kind = decode(&png(10_001, 1)).map(drop).map_err(|failure| failure.kind);
        assert_eq!(kind, Err(Kind::ImageTooLarge));
    }
}

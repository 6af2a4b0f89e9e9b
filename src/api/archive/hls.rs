//! A playback session's resources. The token in each link is the whole session; there is no other
//! authentication, since players cannot sign.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Deserialize;

use crate::api::parts::Parts;
use crate::api::{ApiError, App, AppState, ErrorKind};
use crate::serve::hls::{self, Links, Session};
use crate::serve::package::{Error, TrackNumber};
use crate::store::{FormatId, MediaStream};
use crate::types::FragmentNumber;
use crate::wire::token::{Purpose, TokenError};

/// Where the handlers below are mounted.
pub(super) const FOLDER: &str = "/hls/v1/";
/// Players come back for a live playlist within its target duration; nothing may keep it.
const PLAYLIST_HEADERS: [(header::HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/vnd.apple.mpegurl"), (header::CACHE_CONTROL, "no-store")];
/// A segment's bytes depend on nothing but the stored fragment.
const SEGMENT_HEADERS: [(header::HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "video/mp4"),
    (header::CACHE_CONTROL, "private, max-age=3600, immutable"),
];

/// What the links of a session carry.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Link {
    session_token: Option<String>,
    track_number: Option<u64>,
    /// An init segment's: the digest of its format.
    sequence_number: Option<u32>,
    fragment_number: Option<String>,
}

pub(super) async fn master_playlist(
    State(app): State<AppState>,
    Query(link): Query<Link>,
) -> Result<Response, ApiError> {
    let opened = Opened::from_link(&app, &link)?;
    opened.master_playlist(&app, "").await
}

pub(super) async fn media_playlist(
    State(app): State<AppState>,
    Query(link): Query<Link>,
) -> Result<Response, ApiError> {
    let Opened { stream, session, token } = Opened::from_link(&app, &link)?;
    let links = SessionLinks { folder: "", token: &token };
    let text = hls::media_playlist(&app.packager, &stream, &session, link.track()?, &links).await?;
    app.metrics.hls_playlists.add(1);
    Ok((PLAYLIST_HEADERS, text).into_response())
}

pub(super) async fn init_segment(
    State(app): State<AppState>,
    Query(link): Query<Link>,
) -> Result<Response, ApiError> {
    let Opened { stream, session, .. } = Opened::from_link(&app, &link)?;
    let format = link.sequence_number.map(FormatId);
    let format = format.ok_or_else(|| ApiError::invalid("SequenceNumber must be given."))?;
    let bytes = hls::init_segment(&app.packager, &stream, &session, link.track()?, format).await?;
    Ok((SEGMENT_HEADERS, bytes).into_response())
}

pub(super) async fn media_segment(
    State(app): State<AppState>,
    Query(link): Query<Link>,
) -> Result<Response, ApiError> {
    let Opened { stream, .. } = Opened::from_link(&app, &link)?;
    let number = link.fragment_number.as_deref().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| ApiError::invalid("FragmentNumber must be given."))?;
    let parts = app.packager.media_segment(&stream, number, link.track()?).await?;
    let parts = Parts::from(parts);
    app.metrics.hls_segments.add(1);
    app.metrics.hls_bytes.add(parts.len());
    Ok((SEGMENT_HEADERS, Body::new(parts)).into_response())
}

impl Link {
    fn track(&self) -> Result<TrackNumber, ApiError> {
        let number = self.track_number.map(TrackNumber);
        number.ok_or_else(|| ApiError::invalid("TrackNumber must be given."))
    }
}

/// A session with its stream at hand.
pub(super) struct Opened {
    stream: Arc<MediaStream>,
    session: Session,
    token: String,
}

impl Opened {
    /// Begins a session, if there is something to play.
    pub(super) async fn begin(app: &App, session: Session) -> Result<Self, ApiError> {
        let stream = app.store.media(session.stream).ok_or_else(ApiError::no_stream)?;
        hls::open(&app.packager, &stream, &session, app.clock.now(), app.live_within()).await?;
        let secret = app.keys.token_secret();
        let token = secret.seal(Purpose::Session, &session.encode(), session.expires);
        Ok(Self { stream, session, token })
    }

    fn from_link(app: &App, link: &Link) -> Result<Self, ApiError> {
        let token = link.session_token.clone();
        let token = token.ok_or_else(|| ApiError::invalid("SessionToken must be given."))?;
        let now = app.clock.now();
        let payload = app.keys.token_secret().open(Purpose::Session, &token, now);
        let payload = payload.map_err(|error| match error {
            TokenError::Expired => {
                ApiError::new(ErrorKind::Forbidden, "The streaming session token is expired.")
            }
            TokenError::Malformed | TokenError::WrongSignature => {
                ApiError::new(ErrorKind::Forbidden, "The streaming session token is not valid.")
            }
        })?;
        let session = Session::decode(&payload).map_err(|error| {
            ApiError::new(ErrorKind::Forbidden, format!("The streaming session token: {error}."))
        })?;
        let stream = app.store.media(session.stream).ok_or_else(ApiError::no_stream)?;
        Ok(Self { stream, session, token })
    }

    /// The link that a player is given.
    pub(super) fn url(&self, base: &str) -> String {
        format!("{base}{FOLDER}getHLSMasterPlaylist.m3u8?SessionToken={}", self.token)
    }

    /// The master playlist, whose links are relative to `folder` (empty: to its own).
    pub(super) async fn master_playlist(
        &self,
        app: &App,
        folder: &str,
    ) -> Result<Response, ApiError> {
        let links = SessionLinks { folder, token: &self.token };
        let text = hls::master_playlist(&app.packager, &self.stream, &self.session, &links).await?;
        app.metrics.hls_playlists.add(1);
        Ok((PLAYLIST_HEADERS, text).into_response())
    }
}

/// The links in AWS's form.
struct SessionLinks<'a> {
    folder: &'a str,
    token: &'a str,
}

impl SessionLinks<'_> {
    fn write(&self, text: &mut String, rest: std::fmt::Arguments<'_>) {
        text.push_str(self.folder);
        text.write_fmt(rest).expect("text takes whatever is written");
    }
}

impl Links for SessionLinks<'_> {
    fn media_playlist(&self, text: &mut String, track: TrackNumber) {
        let token = self.token;
        self.write(
            text,
            format_args!("getHLSMediaPlaylist.m3u8?SessionToken={token}&TrackNumber={}", track.0),
        );
    }

    fn init_segment(&self, text: &mut String, track: TrackNumber, format: FormatId) {
        let token = self.token;
        self.write(
            text,
            format_args!(
                "getMP4InitFragment.mp4?SessionToken={token}&TrackNumber={}&SequenceNumber={}",
                track.0, format.0
            ),
        );
    }

    fn media_segment(&self, text: &mut String, track: TrackNumber, number: FragmentNumber) {
        let token = self.token;
        self.write(
            text,
            format_args!(
                "getMP4MediaFragment.mp4?FragmentNumber={number}&SessionToken={token}&TrackNumber={}",
                track.0
            ),
        );
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NoFragments => Self::new(
                ErrorKind::ResourceNotFound,
                "No fragments found in the stream for the streaming request.",
            ),
            Error::NotFound => {
                Self::new(ErrorKind::ResourceNotFound, "The fragment or track does not exist.")
            }
            Error::UnsupportedCodec { track, codec_id } => Self::new(
                ErrorKind::UnsupportedStreamMediaType,
                format!("Track {} has the codec {codec_id}, which cannot be played.", track.0),
            ),
            Error::MissingCodecPrivate { track } => Self::new(
                ErrorKind::MissingCodecPrivateData,
                format!("Missing codec private data in fragment for track {}.", track.0),
            ),
            Error::InvalidCodecPrivate { track, reason } => Self::new(
                ErrorKind::InvalidCodecPrivateData,
                format!("Invalid codec private data in fragment for track {}: {reason}.", track.0),
            ),
            Error::Media(_) | Error::Package(_) => {
                Self::new(ErrorKind::InvalidMediaFrame, format!("{error}."))
            }
            Error::Store(_) | Error::Interrupted => Self::internal(error),
        }
    }
}

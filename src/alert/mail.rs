//! Mails through an SMTP server: what happened, the picture of the face, links, and the clip where the
//! receiver wants it.

mod text;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::Semaphore;

use super::clip::Parcel;
use super::deliver::Failed;
use crate::clock::Clock;
use crate::wire::alerts::Notice;
use text::Letter;

/// How long a connection may take to be made, and the whole exchange, without a clip and with one.
const CONNECT: Duration = Duration::from_secs(10);
const EXCHANGE: Duration = Duration::from_secs(60);
const EXCHANGE_WITH_CLIP: Duration = Duration::from_secs(180);
/// Connections at a time: servers turn away who opens many.
const MAX_CONNECTIONS: usize = 4;
/// The largest clip that is attached; of a larger one, there is the link. A mail is a third larger
/// than what is attached to it, and many servers take 25 MB.
pub const MAX_ATTACHED_BYTES: usize = 15 << 20;
/// Who mails are from, beside the address.
const SENDER: &str = "kinora";
/// The name by which the body of a mail shows the picture.
const PICTURE: &str = "face";

/// The server that takes mails.
pub struct SmtpServer {
    /// Its name or address; its certificate must be for it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// Name and password, where the server wants them.
    pub login: Option<(String, String)>,
    /// The address that mails are from.
    pub from: String,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From STARTTLS on; nothing is sent to a server that does not offer it.
    StartTls,
    /// From the beginning.
    Tls,
    /// Not at all.
    None,
}

/// Why mails cannot be sent. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The sender is no address.
    #[error("alerts.smtp.from: {0:?} is not a mail address")]
    Sender(String),
    /// TLS could not be set up.
    #[error("alerts.smtp.host: {0}")]
    Tls(SmtpError),
}

/// Sends mails.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    clock: Clock,
    connections: Semaphore,
}

impl Mailer {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// The sender is no address, or TLS could not be set up.
    pub fn new(server: SmtpServer, clock: Clock) -> Result<Self, MailError> {
        let SmtpServer { host, port, encryption, login, from } = server;
        let address: Address = from.parse().map_err(|_| MailError::Sender(from))?;
        let builder = match encryption {
            Encryption::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&host),
            Encryption::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&host),
            Encryption::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)),
        };
        let mut builder = builder.map_err(MailError::Tls)?.port(port).timeout(Some(CONNECT));
        if let Some((user, password)) = login {
            builder = builder.credentials(Credentials::new(user, password));
        }
        Ok(Self {
            transport: builder.build(),
            from: Mailbox::new(Some(SENDER.to_owned()), address),
            clock,
            connections: Semaphore::new(MAX_CONNECTIONS),
        })
    }

    /// Sends one mail to an address; times in it are those of `zone`.
    ///
    /// # Errors
    /// The server did not take it, or the clip could not be read.
    pub async fn send(
        &self,
        to: &str,
        attach_clip: bool,
        zone: &TimeZone,
        parcel: &Parcel<'_>,
    ) -> Result<(), Failed> {
        let clip = if attach_clip { parcel.clip().await? } else { None };
        let clip = clip.filter(|clip| clip.len() <= MAX_ATTACHED_BYTES);
        let timeout = if clip.is_some() { EXCHANGE_WITH_CLIP } else { EXCHANGE };
        let _turn = self.connections.acquire().await.map_err(|_| Failed::TimedOut)?;
        let message = self.message(to, zone, &parcel.notice, clip.map(|clip| &clip[..]))?;
        match tokio::time::timeout(timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(Failed::TimedOut),
        }
    }

    fn message(
        &self,
        to: &str,
        zone: &TimeZone,
        notice: &Notice,
        clip: Option<&[u8]>,
    ) -> Result<Message, Failed> {
        let unsound = |what: &str| Failed::Refused(format!("{what} cannot be part of a mail"));
        let to = to.parse::<Address>().map_err(|_| unsound(to))?;
        let jpeg = notice.crop.as_ref().and_then(|crop| STANDARD.decode(crop).ok());
        let letter = Letter::new(notice, zone, jpeg.is_some().then_some(PICTURE));
        let mut body = MultiPart::related()
            .multipart(MultiPart::alternative_plain_html(letter.text, letter.html));
        if let Some(jpeg) = jpeg {
            let picture = Attachment::new_inline_with_name(PICTURE.to_owned(), "face.jpg".into());
            body = body.singlepart(picture.body(binary(jpeg), media_type("image/jpeg")));
        }
        let mut mail = MultiPart::mixed().multipart(body);
        if let Some(clip) = clip {
            let file = Attachment::new("clip.mp4".to_owned());
            mail = mail.singlepart(file.body(binary(clip.to_vec()), media_type("video/mp4")));
        }
        // The same alert sent again has the same id, and mail programs show it once.
        let id = format!("<{}@{}>", notice.alert.id, self.from.email.domain());
        // Nobody's holiday answers it (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .message_id(Some(id))
            .date(self.now())
            .subject(letter.subject)
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(mail)
            .map_err(|error| unsound(&error.to_string()))
    }

    fn now(&self) -> SystemTime {
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(millis)
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the transport knows, nobody else should: the password.
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

fn binary(bytes: Vec<u8>) -> Body {
    let encoding = ContentTransferEncoding::Base64;
    Body::new_with_encoding(bytes, encoding).expect("base64 can say any bytes")
}

fn media_type(name: &str) -> ContentType {
    ContentType::parse(name).expect("the names here are media types")
}

/// What the server says, and whether it may change its mind by itself.
fn refusal(error: &SmtpError) -> Failed {
    let expected = if error.is_permanent() {
        "refused for good"
    } else if error.is_transient() {
        "refused for now"
    } else {
        "not delivered"
    };
    Failed::Refused(format!("mail {expected}: {error}"))
}

#[cfg(test)]
mod tests;

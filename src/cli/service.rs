//! What the commands that call a service have in common: where it is, and which key they show.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Failure;
use crate::client::{self, Client, credentials_from_profile};
use crate::clock::Clock;
use crate::types::ProducerTimestamp;
use crate::wire::sigv4::Credentials;

/// Which service to call, and with which key.
#[derive(Args)]
pub(super) struct Service {
    /// Address of the service; AWS itself with --endpoint aws
    #[arg(
        long,
        value_name = "URL",
        env = "AWS_ENDPOINT_URL_KINESIS_VIDEO",
        default_value = "http://127.0.0.1:5580"
    )]
    endpoint: String,
    /// Region that requests are signed for
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// Public part of the key
    #[arg(long, value_name = "ID", env = "AWS_ACCESS_KEY_ID", requires = "secret_key")]
    access_key: Option<String>,
    /// Secret part of the key
    #[arg(long, value_name = "KEY", env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_key: Option<String>,
    /// Token of a temporary key
    #[arg(long, value_name = "TOKEN", env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    session_token: Option<String>,
    /// File with the key [default: ~/.aws/credentials]
    #[arg(long, value_name = "FILE", env = "AWS_SHARED_CREDENTIALS_FILE")]
    credentials: Option<PathBuf>,
    /// Certificates in PEM to trust instead of the system's: of a private authority, or the service's own
    #[arg(long, value_name = "FILE", env = "AWS_CA_BUNDLE")]
    ca_bundle: Option<PathBuf>,
    /// Profile in that file
    #[arg(long, value_name = "NAME", env = "AWS_PROFILE", default_value = "default")]
    profile: String,
}

/// Names the program to the service.
pub(super) const USER_AGENT: &str = concat!("kinora/", env!("CARGO_PKG_VERSION"));

impl Service {
    /// A client of the service.
    pub(super) fn client(&self, clock: Clock) -> Result<Client, Failure> {
        let endpoint = Some(self.endpoint.clone()).filter(|endpoint| endpoint != "aws");
        let options = client::Options {
            endpoint,
            region: self.region.clone(),
            credentials: self.credentials()?,
            user_agent: USER_AGENT.to_owned(),
            trusted: self.ca_bundle.as_deref().map(certificates).transpose()?.unwrap_or_default(),
            sole_endpoint: false,
        };
        Ok(Client::new(options, clock)?)
    }

    /// Explicit keys first, then the file.
    fn credentials(&self) -> Result<Credentials, Failure> {
        if let (Some(access_key), Some(secret)) = (&self.access_key, &self.secret_key) {
            return Ok(Credentials {
                access_key: access_key.clone(),
                secret: secret.clone(),
                session_token: self.session_token.clone(),
            });
        }
        let home = || Some(std::env::home_dir()?.join(".aws/credentials"));
        let path = self.credentials.clone().or_else(home).ok_or("there is no home directory")?;
        read_credentials(&path, &self.profile)
    }
}

/// Reads a key from a file in the AWS shared-credentials format.
pub(super) fn read_credentials(path: &Path, profile: &str) -> Result<Credentials, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "no key: {}: {error}; point --credentials at the file that \"kinora serve\" wrote",
            path.display()
        )
    })?;
    credentials_from_profile(&text, profile)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Reads certificates in PEM, of which there is at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(|error| in_file(&error))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| in_file(&error))?;
    if all.is_empty() { Err(in_file(&"it has no certificate")) } else { Ok(all) }
}

/// A time: seconds since the epoch, or a date.
pub(super) fn timestamp(text: &str) -> Result<ProducerTimestamp, String> {
    let seconds = text.parse().ok().and_then(ProducerTimestamp::from_secs_f64);
    if let Some(time) = seconds.filter(|time| time.as_millis() >= 0) {
        return Ok(time);
    }
    let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let millis = time.as_millisecond();
    let usable = (millis >= 0).then(|| ProducerTimestamp::from_millis(millis));
    usable.ok_or_else(|| "a time before 1970 cannot be uploaded".to_owned())
}

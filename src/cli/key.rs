//! `kinora key`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use crate::api::keys::{Key, KeyRing};
use crate::clock::Clock;
use crate::config::{Config, Flag};
use crate::types::{Millis, ServerTimestamp, StreamName};
use crate::wire::sigv4::amz_date;
use crate::wire::token::{Access, Scope};

/// Create, list and revoke access keys, and print signed links.
///
/// Works on the keys of a data directory, also while its server runs, which notices within a
/// second.
#[derive(Args)]
pub(super) struct KeyCommand {
    #[command(subcommand)]
    action: Action,
    /// Settings file; kinora.toml in the working directory when it exists
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The server's data directory [default: ./kinora-data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Make a key and print it in the format of the AWS shared-credentials file
    Create {
        /// What to call it
        #[arg(default_value = "unnamed")]
        name: String,
        /// Refuse it after this time: 30m, 12h, 7d
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<Millis>,
    },
    /// List the keys, without their secrets
    List,
    /// Revoke a key, and with it the links it signed
    Revoke {
        /// AKIA…
        access_key: String,
    },
    /// Print a link that signs in to the console, or with --stream plays one stream
    Link {
        /// Let the link do no more than read this stream
        #[arg(long, value_name = "NAME")]
        stream: Option<StreamName>,
        /// How long the link is good for: 30m, 12h, 7d
        #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "12h")]
        expires: Millis,
        /// The key that signs it; the oldest by default
        #[arg(long, value_name = "ACCESS-KEY")]
        key: Option<String>,
        /// What the server is reached under [default: public_url, or http://LISTEN]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}

impl KeyCommand {
    /// Does it and prints the outcome.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let flags: Vec<Flag> = self.data.into_iter().map(|dir| ("data", dir)).collect();
        let config = Config::load(self.config.as_deref(), &flags)?;
        let keys = KeyRing::open_existing(&config.data)
            .map_err(|error| format!("{error} (`kinora serve` makes the first key)"))?;
        let now = Clock::system().now();
        match self.action {
            Action::Create { name, expires } => {
                let key = keys.create(&name, expires.map(|life| now.plus(life)), now)?;
                print!("{}", key.shared_credentials(&config.region));
            }
            Action::List => keys.list().iter().for_each(|key| println!("{}", row(key))),
            Action::Revoke { access_key } => keys.revoke(&access_key)?,
            Action::Link { stream, expires, key, url } => {
                let url =
                    url.or_else(|| config.public_url.clone()).unwrap_or_else(|| config.own_url());
                println!("{}", link(&keys, &url, stream, key, now.plus(expires), now)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(key: &Key) -> String {
    let date = |ms| amz_date(ServerTimestamp::from_millis(ms));
    let expires = key
        .expires_ms
        .map_or_else(|| "never expires".to_owned(), |ms| format!("expires {}", date(ms)));
    format!("{}  made {}  {expires}  {}", key.access_key, date(key.created_ms), key.name)
}

fn link(
    keys: &KeyRing,
    url: &str,
    stream: Option<StreamName>,
    access_key: Option<String>,
    expires: ServerTimestamp,
    now: ServerTimestamp,
) -> Result<String, Failure> {
    let key = match &access_key {
        Some(access_key) => keys.lookup(access_key, now).ok(),
        None => keys.list().into_iter().find(|key| keys.lookup(&key.access_key, now).is_ok()),
    };
    let key = key.ok_or("there is no such valid key; `kinora key list` shows them")?;
    let scope = stream.clone().map_or(Scope::All, Scope::ReadStream);
    let access = Access { access_key: key.access_key.clone(), scope };
    let token = keys.token_secret().grant(&access, expires);
    let url = url.trim_end_matches('/');
    Ok(match stream {
        Some(name) => format!("{url}/v1/streams/{name}/live.m3u8?token={token}"),
        // Behind the hash, where no server's log and no Referer header gets it.
        None => format!("{url}/#token={token}"),
    })
}

/// `90s`, `30m`, `12h`, `7d`.
fn lifetime(text: &str) -> Result<Millis, String> {
    let unit = match text.chars().last() {
        Some('s') => 1000,
        Some('m') => 60 * 1000,
        Some('h') => 60 * 60 * 1000,
        Some('d') => 24 * 60 * 60 * 1000,
        _ => return Err("write a number and s, m, h or d, as in 12h".to_owned()),
    };
    let number = text[..text.len() - 1].parse::<u64>().ok().filter(|number| *number > 0);
    let millis = number.and_then(|number| number.checked_mul(unit));
    millis.map(Millis).ok_or_else(|| "write a number and s, m, h or d, as in 12h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_a_number_and_a_unit() {
        assert_eq!(lifetime("90s"), Ok(Millis(90_000)));
        assert_eq!(lifetime("12h"), Ok(Millis(43_200_000)));
        for text in ["", "12", "h", "0d", "-1h", "1w", "99999999999999999999d", "1ä"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn link_is_signed_for_what_it_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = ServerTimestamp::from_millis(1000);
        let (keys, _) = KeyRing::open(dir.path(), "us-east-1", now).expect("opens");
        let later = ServerTimestamp::from_millis(2000);
        let stream: StreamName = "cam1".parse().expect("a name");
        let link = link(&keys, "http://h/", Some(stream.clone()), None, later, now).expect("made");
        let token = link.strip_prefix("http://h/v1/streams/cam1/live.m3u8?token=").expect(&link);
        let access = keys.token_secret().access(token, now).expect("own token");
        assert_eq!(access.scope, Scope::ReadStream(stream));
    }
}

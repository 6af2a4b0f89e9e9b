//! The server's own alerter: a customer with the root key, over loopback.

use std::sync::Arc;
use std::time::Duration;

use super::customers::own_client;
use crate::alert::mail::{Encryption, Mailer, SmtpServer};
use crate::alert::{self, Options};
use crate::api::AppState;
use crate::clock::Clock;
use crate::config::{AlertsConfig, SmtpConfig, SmtpEncryption};
use crate::types::StreamName;

/// Follows the rules until the server stops.
pub(super) async fn run(app: AppState, options: Options) {
    if !app.config.alerts.enabled {
        return;
    }
    let client = match own_client(&app) {
        Ok(client) => client,
        Err(error) => return tracing::error!("no rule of alerts is followed: {error}"),
    };
    tokio::select! {
        () = alert::run(client, app.clock.clone(), options) => {}
        () = app.shutdown.cancelled() => {}
    }
}

/// What the settings say, and what is wrong with them.
pub(super) fn options(config: &AlertsConfig) -> Result<Options, String> {
    let names = config.streams.split(',').map(str::trim).filter(|name| !name.is_empty());
    let name = |text: &str| {
        text.parse::<StreamName>().map_err(|error| format!("alerts.streams: {text}: {error}"))
    };
    Ok(Options {
        streams: names.map(name).collect::<Result<_, _>>()?,
        retry: Duration::from_secs(config.retry_seconds.into()),
        link: Duration::from_secs(u64::from(config.link_hours) * 3600),
        mailer: config.smtp.is_set().then(|| mailer(&config.smtp)).transpose()?,
    })
}

fn mailer(config: &SmtpConfig) -> Result<Arc<Mailer>, String> {
    let server = SmtpServer {
        host: config.host.clone(),
        port: config.port(),
        encryption: match config.encryption {
            SmtpEncryption::Starttls => Encryption::StartTls,
            SmtpEncryption::Tls => Encryption::Tls,
            SmtpEncryption::None => Encryption::None,
        },
        login: (!config.user.is_empty()).then(|| (config.user.clone(), config.password.clone())),
        from: config.from.clone(),
    };
    Mailer::new(server, Clock::system()).map(Arc::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::deliver::wait;
    use crate::wire::alerts::Rule;

    /// Both the settings and the rule are as they come.
    #[test]
    fn attempts_outlast_a_receiver_that_is_down_for_ten_minutes() {
        let options = options(&AlertsConfig::default()).expect("the defaults are valid");
        let rule: Rule = serde_json::from_str(r#"{"when": {"type": "face"}}"#).expect("a rule");
        for chance in [0, u32::MAX / 2, u32::MAX] {
            let waits = (1..rule.max_attempts).map(|made| wait(options.retry, made, chance));
            let seconds: u32 = waits.sum();
            assert!(seconds > 10 * 60, "the last attempt is made after {seconds} s");
        }
    }

    #[test]
    fn waits_grow_to_an_hour_and_no_further() {
        let waits = [1, 2, 3, 11, 12, 33, u32::MAX];
        let waits = waits.map(|made| wait(Duration::from_secs(2), made, u32::MAX / 2));
        assert_eq!(waits, [2, 4, 8, 2048, 3600, 3600, 3600]);
    }
}

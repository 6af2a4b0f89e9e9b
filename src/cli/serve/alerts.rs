//! The server's own alerter: a customer with the root key, over loopback.

use std::time::Duration;

use super::customers::own_client;
use crate::alert::{self, Options};
use crate::api::AppState;
use crate::config::Config;
use crate::types::StreamName;

/// Follows the rules until the server stops.
pub(super) async fn run(app: AppState) {
    if !app.config.alerts.enabled {
        return;
    }
    let (client, options) =
        match own_client(&app).and_then(|client| Ok((client, options(&app.config)?))) {
            Ok(ready) => ready,
            Err(error) => return tracing::error!("no rule of alerts is followed: {error}"),
        };
    tokio::select! {
        () = alert::run(client, app.clock.clone(), options) => {}
        () = app.shutdown.cancelled() => {}
    }
}

fn options(config: &Config) -> Result<Options, String> {
    let names = config.alerts.streams.split(',').map(str::trim).filter(|name| !name.is_empty());
    let name = |text: &str| {
        text.parse::<StreamName>().map_err(|error| format!("alerts.streams: {text}: {error}"))
    };
    Ok(Options {
        streams: names.map(name).collect::<Result<_, _>>()?,
        retry: Duration::from_secs(config.alerts.retry_seconds.into()),
        link: Duration::from_secs(u64::from(config.alerts.link_hours) * 3600),
    })
}

//! Customers of the server's API that it runs in its own process: they know nothing of it but its
//! address and its root key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::api::AppState;
use crate::cli::service::{USER_AGENT, certificates};
use crate::client::{Client, Options};
use crate::config::Config;
use crate::wire::sigv4::Credentials;

/// Runs stream processors until the shutdown, unless somebody else is to.
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
pub(super) async fn detect(app: AppState) {
    use crate::detect::models::ModelFiles;
    use crate::detect::runner::run_processors;
    use crate::vision::engine::models_folder;

    if !app.config.detect.enabled {
        return;
    }
    let vision = &app.config.vision;
    let files = ModelFiles {
        folder: models_folder(&vision.models_dir, &app.config.data),
        detector: Some(vision.detector.clone()).filter(|own| !own.as_os_str().is_empty()),
    };
    match own_client(&app) {
        Ok(client) => {
            run_processors(client, app.clock.clone(), files, app.shutdown.child_token()).await;
        }
        Err(error) => tracing::error!("stream processors do not run here: {error}"),
    }
}

/// This build has no detector.
#[cfg(not(all(feature = "gstreamer", feature = "onnx")))]
pub(super) async fn detect(_: AppState) {}

/// A client with the root key.
pub(super) fn own_client(app: &AppState) -> Result<Client, String> {
    let key = app.keys.list().into_iter().next().ok_or("there is no key")?;
    let credentials = Credentials {
        access_key: key.access_key.clone(),
        secret: key.secret.clone(),
        session_token: None,
    };
    let config = &app.config;
    let trusted = config.tls_cert.as_deref().map(certificates).transpose()?;
    let options = Options {
        endpoint: Some(endpoint(config)),
        region: config.region.clone(),
        credentials,
        user_agent: USER_AGENT.to_owned(),
        // It may be for a public name only, and of an authority that nobody here knows.
        trusted: trusted.unwrap_or_default(),
        // The public address may not be within reach from inside.
        sole_endpoint: true,
    };
    Client::new(options, app.clock.clone()).map_err(|error| error.to_string())
}

/// Where the server reaches itself: over loopback when it listens everywhere.
fn endpoint(config: &Config) -> String {
    let mut listen = config.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    format!("{}://{listen}", config.scheme())
}

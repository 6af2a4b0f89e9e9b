//! Customers of the server's API that it runs in its own process: they know nothing of it but its
//! address and its root key.

use crate::api::AppState;

/// Runs stream processors until the shutdown, unless somebody else is to.
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
pub(super) async fn detect(app: AppState) {
    use super::options::models_folder;
    use crate::detect::models::ModelFiles;
    use crate::detect::runner::run_processors;

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

/// A client with the root key, over loopback when the server listens everywhere.
#[cfg(all(feature = "gstreamer", feature = "onnx"))]
fn own_client(app: &AppState) -> Result<crate::client::Client, crate::cli::Failure> {
    use crate::api::keys::CREDENTIALS_FILE;
    use crate::cli::service::{USER_AGENT, read_credentials};
    use crate::client::{Client, Options};

    let options = Options {
        endpoint: Some(app.config.own_url()),
        region: app.config.region.clone(),
        credentials: read_credentials(&app.config.data.join(CREDENTIALS_FILE), "default")?,
        user_agent: USER_AGENT.to_owned(),
    };
    Ok(Client::new(options, app.clock.clone())?)
}

//! Media in and out while it happens: PutMedia and GetMedia.

use super::Routes;

/// The routes of this area.
pub fn routes() -> Routes {
    Routes::default()
}

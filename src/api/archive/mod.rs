//! Archived media: listings, fragment lists and session URLs.

use super::Routes;

/// The routes of this area.
pub fn routes() -> Routes {
    Routes::default()
}

//! `kinora export` and `kinora import`: recordings out to files, and files in as recordings.
//!
//! Both are customers of the service, through `client`: `export` of the KVS API (ListFragments,
//! GetMediaForFragmentList), `import` of the native `PUT media`. `plan` and `timeline` are pure.

mod export;
mod import;
mod meter;
mod output;
mod plan;
mod timeline;
#[cfg(feature = "gstreamer")]
mod transmux;

pub use export::{Export, ExportError, Exported, export, export_fragment};
pub use import::{Import, ImportError, Imported, import};
pub use meter::Meter;
pub use timeline::Gap;

//! PutMedia: a body of MKV bytes becomes durable fragments and acknowledgements.
//!
//! Here: fragment boundaries, limits, the order of acknowledgements. Not here: sockets and HTTP
//! (`api`), bytes on disk (`store`), the meaning of elements (`media`).

mod ack;
mod file;
mod limits;
mod pace;
mod run;
mod session;

pub use ack::{Ack, Refusal};
pub use file::{FileError, FileUpload, SpoolRoom, run_file};
pub use limits::Limits;
pub use run::{End, Upload, run};
pub use session::{Output, Session, TimecodeType};

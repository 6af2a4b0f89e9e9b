//! Every operation of the model: its name, its state, and what answers it. The table in
//! `OPERATIONS.md` is held to this one by a test.

use axum::response::Response;

use super::error::{Failure, Kind};
use super::{Call, account, channels};

/// How far an operation goes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Does what AWS documents.
    Works,
    /// Accepted, remembered and reported, but without any effect.
    Kept,
    /// Answers with an error, or says that there is none.
    Refused,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    #[cfg_attr(not(test), allow(dead_code, reason = "told in the documentation"))]
    pub(super) state: State,
}

macro_rules! operations {
    ($($state:ident $name:ident: $handler:path;)*) => {
        /// By name.
        pub(super) const OPERATIONS: &[Row] =
            &[$(Row { name: stringify!($name), state: State::$state },)*];

        /// Lets the operation of that name answer.
        pub(super) async fn dispatch(
            call: Call,
            name: &str,
            body: &[u8],
        ) -> Result<Response, Failure> {
            match name {
                $(stringify!($name) => Box::pin(call.answer(body, $handler)).await,)*
                _ => Err(Failure::new(Kind::UnknownOperation, "")),
            }
        }
    };
}

operations! {
    Refused CreateChannel: channels::create;
    Refused DeleteChannel: channels::find;
    Works DescribeAccountSettings: account::describe;
    Refused DescribeChannel: channels::find;
    Refused ListChannels: channels::list;
    Refused UpdateAccountSettings: account::update;
    Refused UpdateChannel: channels::find;
}

/// The operation of that name.
pub(super) fn find(name: &str) -> Option<&'static str> {
    let at = OPERATIONS.binary_search_by_key(&name, |row| row.name).ok()?;
    Some(OPERATIONS[at].name)
}

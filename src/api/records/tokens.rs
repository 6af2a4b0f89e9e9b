//! What clients hand back to us unread: shard iterators and tokens of listings. Both are signed.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Call;
use super::error::{Failure, Kind};
use crate::records::ShardIterator;
use crate::types::{Millis, ServerTimestamp};
use crate::wire::token::{Purpose, TokenError};

/// How long a listing can be continued.
const PAGE_LIFE: Millis = Millis(300_000);

impl Call {
    /// A reader's place as text. It carries its own time, so that its end can be told with it.
    pub(super) fn seal_iterator(&self, iterator: &ShardIterator) -> String {
        let secret = self.app.keys.token_secret();
        secret.seal(Purpose::Iterator, &iterator.to_bytes(), ServerTimestamp::MAX)
    }

    /// A reader's place that we gave out.
    pub(super) fn open_iterator(&self, text: &str) -> Result<ShardIterator, Failure> {
        let secret = self.app.keys.token_secret();
        let bytes = secret.open(Purpose::Iterator, text, self.app.clock.now()).ok();
        bytes
            .and_then(|bytes| ShardIterator::from_bytes(&bytes))
            .ok_or_else(|| Failure::invalid("Invalid ShardIterator."))
    }

    /// Where a listing goes on, for the operation of that name.
    pub(super) fn seal_page(&self, operation: &str, place: &impl Serialize) -> String {
        let payload = serde_json::to_vec(&(operation, place));
        let payload = payload.expect("places are plain values with text keys");
        let expires = self.app.clock.now().plus(PAGE_LIFE);
        self.app.keys.token_secret().seal(Purpose::Page, &payload, expires)
    }

    /// Where a listing goes on that we began.
    pub(super) fn open_page<T: DeserializeOwned>(
        &self,
        operation: &str,
        token: &str,
    ) -> Result<T, Failure> {
        let invalid = || Failure::invalid("Invalid NextToken.");
        let opened = self.app.keys.token_secret().open(Purpose::Page, token, self.app.clock.now());
        let payload = opened.map_err(|error| match error {
            TokenError::Expired => Failure::new(
                Kind::ExpiredNextToken,
                format!("The NextToken is older than {} seconds.", PAGE_LIFE.0 / 1000),
            ),
            TokenError::Malformed | TokenError::WrongSignature => invalid(),
        })?;
        let page: Option<(String, T)> = serde_json::from_slice(&payload).ok();
        page.filter(|(made_for, _)| made_for == operation)
            .map(|(_, place)| place)
            .ok_or_else(invalid)
    }
}

//! What is kept of people who were seen.

use serde::{Deserialize, Serialize};

/// What is kept of people who were seen. Enrolled faces stay until they are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeopleConfig {
    /// How long sightings and their pictures are kept.
    pub sighting_days: u64,
    /// Sightings of a collection; the oldest go first. Each takes about 1 KiB of memory.
    pub max_sightings: usize,
}

impl Default for PeopleConfig {
    fn default() -> Self {
        Self { sighting_days: 30, max_sightings: 100_000 }
    }
}

impl PeopleConfig {
    /// What is out of its bounds, if anything is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if !(1..=36_500).contains(&self.sighting_days) {
            return Some("people.sighting_days must be from 1 to 36500");
        }
        let holds = (1..=10_000_000).contains(&self.max_sightings);
        (!holds).then_some("people.max_sightings must be from 1 to 10000000")
    }
}

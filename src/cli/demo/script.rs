//! What the film shows: who passes when, as `scene.json` beside it says.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::Failure;

/// Who is in the collection, as the script calls that person.
pub const ENROLLED: &str = "enrolled";

/// The script of the film, which is shown over and over.
#[derive(Debug, Deserialize)]
pub struct Script {
    seconds: f64,
    persons: Persons,
    passages: Vec<Passage>,
}

#[derive(Debug, Deserialize)]
struct Persons {
    enrolled: Enrolled,
}

#[derive(Debug, Deserialize)]
struct Enrolled {
    portrait: PathBuf,
}

/// One person crosses the picture once; in seconds since the film's start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Passage {
    /// Who it is.
    pub person: String,
    /// When the first of the person is to be seen.
    pub from: f64,
    /// When the last is.
    pub to: f64,
}

impl Script {
    /// The script beside the film; `None` where there is none.
    pub fn beside(film: &Path) -> Result<Option<Self>, Failure> {
        let path = film.with_extension("json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)?;
        let script =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(script))
    }

    /// A picture of the person who is enrolled, from the working directory.
    pub fn portrait(&self) -> &Path {
        &self.persons.enrolled.portrait
    }

    /// Every passage that begins within the first `seconds` of showing it over and over.
    pub fn passages(&self, seconds: f64) -> Vec<Passage> {
        let mut passages = Vec::new();
        let mut start = 0.0;
        while self.seconds > 0.0 && start < seconds {
            passages.extend(self.passages.iter().map(|passage| Passage {
                from: passage.from + start,
                to: passage.to + start,
                ..passage.clone()
            }));
            start += self.seconds;
        }
        passages.retain(|passage| passage.from < seconds);
        passages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_come_again_with_every_repetition() {
        let text = r#"{"seconds": 44, "persons": {"enrolled": {"portrait": "a.jpg"}},
            "passages": [{"person": "enrolled", "from": 1, "to": 11},
                         {"person": "stranger", "from": 13, "to": 23}]}"#;
        let script: Script = serde_json::from_str(text).expect("a script");
        let times = |seconds| {
            let passages = script.passages(seconds).into_iter();
            passages.map(|passage| (passage.from, passage.to)).collect::<Vec<_>>()
        };
        assert_eq!(times(12.0), [(1.0, 11.0)]);
        assert_eq!(times(46.0), [(1.0, 11.0), (13.0, 23.0), (45.0, 55.0)]);
    }
}

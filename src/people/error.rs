//! Why a request about people is refused.

use crate::store::people::PeopleStoreError;
use crate::types::{CollectionId, FaceId, PersonId, SightingId};

/// Why a request about people is refused. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeopleError {
    /// No collection has this id.
    #[error("there is no collection {0}")]
    NoCollection(CollectionId),
    /// The collection exists.
    #[error("the collection {0} exists already")]
    CollectionExists(CollectionId),
    /// The collection has no such face.
    #[error("there is no face {0}")]
    NoFace(FaceId),
    /// The collection has no such person.
    #[error("there is no person {0}")]
    NoPerson(PersonId),
    /// The collection, or the person that was named with it, has no such sighting.
    #[error("there is no sighting {0}, or it is of somebody else")]
    NoSighting(SightingId),
    /// The collection has no such user.
    #[error("there is no user {0}")]
    NoUser(String),
    /// The user exists.
    #[error("the user {0} exists already")]
    UserExists(String),
    /// The face was described by another recogniser than those of the collection.
    #[error("a face of this collection has {expected} numbers, this one has {given}")]
    WrongLength {
        /// Numbers of the collection's faces.
        expected: usize,
        /// Numbers of the one that was given.
        given: usize,
    },
    /// A text or number is outside of its bounds.
    #[error("{0}")]
    Invalid(&'static str),
    /// There are as many as there may be.
    #[error("there can be no more than {most} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] PeopleStoreError),
    /// The system gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

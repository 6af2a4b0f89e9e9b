//! The shapes of Kinesis Data Streams (API version 2013-12-02), one definition for both of its
//! protocols: JSON 1.1 and CBOR ([`Format`]).
//!
//! Every member is optional, also where the service requires it: the model's demands stand beside
//! the members as [`rule`]s, and [`rule::problems`] says in the words of AWS which do not hold.
//! Unknown members are ignored; members that are unset are left out.
//!
//! Here: members, their types and the model's constraints. Not here: answers that this service never
//! gives (descriptions of channels), and what any of it does.

pub mod channels;
pub mod consumers;
pub mod data;
mod format;
pub mod queues;
pub mod rule;
pub mod settings;
pub mod shards;
pub mod streams;
pub mod tags;
mod value;

#[cfg(test)]
mod tests;

pub use format::{Format, Unreadable};
pub use value::{Blob, TagMap, Timestamp};

/// Declares shapes. A member reads `name as "WireName": Type = RULE`; without `as`, the wire's name
/// is the member's in Pascal case, and without a rule anything of the type is fine.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident {
        $($member:ident $(as $wire:literal)?: $kind:ty $(= $rule:expr)?,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(rename_all = "PascalCase", default)]
            #[allow(missing_docs, reason = "members are named and documented by the AWS API")]
            pub struct $name {
                $(
                    $(#[serde(rename = $wire)])?
                    #[serde(skip_serializing_if = "Option::is_none")]
                    pub $member: Option<$kind>,
                )*
            }

            impl $crate::wire::records::rule::Value for $name {
                fn shown(&self) -> String {
                    stringify!($name).to_owned()
                }

                #[allow(unused_variables, reason = "some shapes have no members")]
                fn inside(&self, checker: &mut $crate::wire::records::rule::Checker) {
                    $(
                        let name = $crate::wire::records::rule::Name {
                            member: stringify!($member),
                            wire: $crate::wire::records::either!(None $(, Some($wire))?),
                        };
                        let rule = $crate::wire::records::either!(
                            $crate::wire::records::rule::ANY $(, $rule)?
                        );
                        checker.member(name, self.$member.as_ref(), &rule);
                    )*
                }
            }
        )*
    };
}

/// The second, or the first where there is none.
macro_rules! either {
    ($default:expr) => {
        $default
    };
    ($default:expr, $given:expr) => {
        $given
    };
}

pub(in crate::wire) use {either, shapes};

shapes! {
    /// The whole request of operations that need nothing; as an answer, an empty body.
    Empty {}
}

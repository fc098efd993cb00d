//! Everything that travels or is stored, as the messages of `proto`.
//!
//! A message becomes a domain type by `TryFrom`, which checks every bound, and a domain type a message by `From`. What is
//! refused says which field is wrong. Messages stay within this module and its like: nothing else works with them.
//!
//! [`resources`] says how tables are cut into what control pushes.

mod basic;
mod interest;
mod member;
mod placement;
mod policy;
mod report;
pub mod resources;
mod routes;
#[cfg(test)]
mod tests;

use std::{error::Error, fmt};

use prost::Message;
use sluice_topic::Limits;

pub use basic::node_id;
pub use interest::FRAME_CHANGES_MAX;
pub use report::{read_peers, write_peers};

/// What is wrong with a message, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireError {
    field: String,
    problem: String,
}

impl WireError {
    /// A field and what is wrong with it.
    #[must_use]
    pub fn new(field: &str, problem: impl fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.to_string() }
    }

    /// The same, where the message is a field of another.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }

    /// Where it is, such as `process.peer_addresses[1]`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl Error for WireError {}

/// Reads a message.
///
/// # Errors
/// The bytes are none of its kind.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, WireError> {
    M::decode(bytes).map_err(|error| WireError::new("message", error))
}

/// Names the field that could not be read.
pub(crate) trait InField<T> {
    fn field(self, field: &str) -> Result<T, WireError>;
}

impl<T, E: fmt::Display> InField<T> for Result<T, E> {
    fn field(self, field: &str) -> Result<T, WireError> {
        self.map_err(|problem| WireError::new(field, problem))
    }
}

/// A message that has to be there, as a domain type.
pub(crate) fn required<M, T: TryFrom<M, Error = WireError>>(field: &str, message: Option<M>) -> Result<T, WireError> {
    let message = message.ok_or_else(|| WireError::new(field, "is missing"))?;
    T::try_from(message).map_err(|error| error.within(field))
}

/// A message that may be there.
pub(crate) fn optional<M, T: TryFrom<M, Error = WireError>>(
    field: &str,
    message: Option<M>,
) -> Result<Option<T>, WireError> {
    message.map(|message| T::try_from(message).map_err(|error| error.within(field))).transpose()
}

/// Each of a list of at most `max`, with its place in what goes wrong.
pub(crate) fn each<M, T>(
    field: &str,
    list: Vec<M>,
    max: usize,
    read: impl Fn(M) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    at_most(field, list.len(), max)?;
    let place = |(at, message)| read(message).map_err(|error| error.within(&format!("{field}[{at}]")));
    list.into_iter().enumerate().map(place).collect()
}

/// Each of a list of at most `max` that has no fields of its own.
pub(crate) fn each_plain<M, T, E: fmt::Display>(
    field: &str,
    list: Vec<M>,
    max: usize,
    read: impl Fn(M) -> Result<T, E>,
) -> Result<Vec<T>, WireError> {
    at_most(field, list.len(), max)?;
    let place = |(at, value)| read(value).map_err(|error| WireError::new(&format!("{field}[{at}]"), error));
    list.into_iter().enumerate().map(place).collect()
}

pub(crate) fn at_most(field: &str, len: usize, max: usize) -> Result<(), WireError> {
    if len > max { Err(WireError::new(field, format_args!("{len} entries, more than {max}"))) } else { Ok(()) }
}

/// A number that has fewer bits here than on the wire.
pub(crate) fn narrow<T: TryFrom<u32>>(field: &str, number: u32) -> Result<T, WireError> {
    T::try_from(number).map_err(|_| WireError::new(field, format_args!("{number} is too large")))
}

/// What any node may have been configured to take. What a node itself takes from its clients is less.
pub(crate) const TOPIC_LIMITS: Limits = Limits { topic_bytes_max: 65_535, levels_max: 65_536 };

//! What is pushed: a name and bytes that only the node's core understands.

use std::{error::Error, fmt, sync::Arc};

use sluice_cluster::Version;

/// The bytes of a resource. Shared: control holds one copy for all its streams.
pub type Body = Arc<[u8]>;

/// The name of a resource, unique within its type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(Arc<str>);

impl Name {
    /// A name of 1 to [`NAME_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// When it is empty or longer.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(NameError { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that is empty or too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameError {
    /// Bytes it has.
    pub bytes: usize,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a resource name has 1 to {NAME_BYTES_MAX} bytes, not {}", self.bytes)
    }
}

impl Error for NameError {}

/// A resource as it travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Its name.
    pub name: Name,
    /// The version that brought this body.
    pub version: Version,
    /// What it says.
    pub body: Body,
}

/// What a resource counts against the bounds, in bytes: text, body, and the structures that hold them.
pub(crate) fn cost(name: &Name, body: &Body) -> usize {
    name.as_str().len() + body.len() + RESOURCE_OVERHEAD
}

/// Longer names say something that belongs into the body.
pub const NAME_BYTES_MAX: usize = 256;
/// Two shared allocations with their counters (32), two fat pointers (32), a version (16), and its share of a tree node.
pub(crate) const RESOURCE_OVERHEAD: usize = 96;

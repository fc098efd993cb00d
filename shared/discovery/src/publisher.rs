//! What one control leader wants the nodes to hold.
//!
//! Level-triggered: it is given the whole of a type and finds what has changed. While it is warming it adds and replaces
//! but removes nothing, neither from its sets nor (by not settling) from the nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    sync::Arc,
    time::Duration,
};

use sluice_cluster::Version;

use crate::resource::{Body, Name, cost};
use crate::{Limits, PerType, ResourceSet, ResourceType, Warming};

/// All types at one moment, shared by all streams.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) sets: PerType<Arc<ResourceSet>>,
    /// Whether nodes may let go of what the sets do not name.
    pub(crate) complete: bool,
}

impl Snapshot {
    /// The resources of a type.
    #[must_use]
    pub fn of(&self, kind: ResourceType) -> &ResourceSet {
        self.sets.of(kind)
    }

    /// Whether the leader knows of everything, so that what it does not name may go.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// The publishing side of one leadership.
#[derive(Debug)]
pub struct Publisher {
    last: Version,
    limits: Limits,
    warming: Warming,
    /// What is to be removed once the leader is warm.
    withheld: PerType<BTreeSet<Name>>,
    current: Arc<Snapshot>,
}

impl Publisher {
    /// A leader of this epoch, which is higher than that of every leader before. It begins warming for these nodes.
    #[must_use]
    pub fn new(epoch: u64, warming: Warming, limits: Limits) -> Self {
        let current = Snapshot { sets: PerType::default(), complete: warming.is_over() };
        let last = Version::new(epoch, 0);
        Self { last, limits, warming, withheld: PerType::default(), current: Arc::new(current) }
    }

    /// Counts on from `counter` at least, so that several publishers of one leader have versions that a node can go
    /// through in their order.
    pub fn skip_to(&mut self, counter: u64) {
        self.last.counter = self.last.counter.max(counter);
    }

    /// Makes `wanted` the resources of a type. Returns the new version, or `None` if nothing has changed.
    ///
    /// A type that may have nothing in it needs a resource that says so: nodes refuse to go from something to nothing.
    ///
    /// # Errors
    /// One resource does not fit into a part, or all of them not into a node. Nothing has changed then.
    pub fn publish(
        &mut self,
        kind: ResourceType,
        wanted: &BTreeMap<Name, Body>,
    ) -> Result<Option<Version>, PublishError> {
        self.check(wanted)?;
        let version = self.next_version();
        let mut set = self.current.of(kind).clone();
        let mut changed = false;
        for (name, body) in wanted {
            changed |= set.upsert(version, name, body);
        }
        let gone: BTreeSet<Name> =
            set.iter().map(|(name, _)| name.clone()).filter(|n| !wanted.contains_key(n)).collect();
        if self.warming.is_over() {
            for name in &gone {
                changed |= set.remove(version, name);
            }
        } else {
            *self.withheld.of_mut(kind) = gone;
        }
        let first = set.version() == Version::ZERO;
        Ok((changed || first).then(|| self.commit(kind, set, version)))
    }

    /// Whom the leader waits for, to be told of reports and leases. Call [`Self::finish_warming`] afterwards.
    pub fn warming_mut(&mut self) -> &mut Warming {
        &mut self.warming
    }

    /// Whom the leader waits for.
    #[must_use]
    pub fn warming(&self) -> &Warming {
        &self.warming
    }

    /// Removes what was withheld if nobody is waited for at `now`. Whether the snapshot has changed.
    pub fn finish_warming(&mut self, now: Duration) -> bool {
        self.warming.handle_timeout(now);
        if !self.warming.is_over() || self.current.complete {
            return false;
        }
        for kind in ResourceType::ALL {
            let version = self.next_version();
            let withheld = std::mem::take(self.withheld.of_mut(kind));
            let mut set = self.current.of(kind).clone();
            let gone = withheld.iter().filter(|name| set.remove(version, name)).count();
            if gone > 0 {
                self.commit(kind, set, version);
            }
        }
        Arc::make_mut(&mut self.current).complete = true;
        true
    }

    /// What is published, for [`crate::ServerStream::publish`].
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.clone()
    }

    fn check(&self, wanted: &BTreeMap<Name, Body>) -> Result<(), PublishError> {
        let largest = wanted.iter().map(|(name, body)| (cost(name, body), name)).max();
        if let Some((bytes, name)) = largest
            && bytes > self.limits.part_bytes_max
        {
            return Err(PublishError::Resource { name: name.clone(), bytes, max: self.limits.part_bytes_max });
        }
        let bytes = wanted.iter().map(|(name, body)| cost(name, body)).sum();
        let max = self.limits.type_bytes_max;
        if bytes > max { Err(PublishError::Type { bytes, max }) } else { Ok(()) }
    }

    fn next_version(&self) -> Version {
        Version { counter: self.last.counter + 1, ..self.last }
    }

    fn commit(&mut self, kind: ResourceType, mut set: ResourceSet, version: Version) -> Version {
        set.seal(version, self.limits.removed_bytes_max);
        self.last = version;
        *Arc::make_mut(&mut self.current).sets.of_mut(kind) = Arc::new(set);
        version
    }
}

/// Why something cannot be published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublishError {
    /// A resource does not fit into a part.
    Resource {
        /// Which.
        name: Name,
        /// Bytes it counts.
        bytes: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// The type has more than a node takes.
    Type {
        /// Bytes it counts.
        bytes: usize,
        /// Bytes that a node takes.
        max: usize,
    },
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource { name, bytes, max } => write!(f, "resource '{name}' counts {bytes} bytes, more than {max}"),
            Self::Type { bytes, max } => write!(f, "the resources count {bytes} bytes, more than {max}"),
        }
    }
}

impl Error for PublishError {}

//! The resources of one type as control publishes them, with what is needed to tell any recent holder what has changed.

use std::collections::BTreeMap;
use std::ops::Bound;

use sluice_cluster::{SetDigest, Version};

use crate::resource::{Body, Name, Resource, cost};

/// A versioned set. A published one never changes: a change makes the next.
///
/// Meant for up to tens of thousands of resources: what is larger (a routing table) is cut into that many by whoever
/// builds it, so that a delta carries little that has not changed.
#[derive(Clone, Debug, Default)]
pub struct ResourceSet {
    version: Version,
    /// Deltas can be made from this version on.
    floor: Version,
    digest: SetDigest,
    bytes: usize,
    entries: BTreeMap<Name, Entry>,
    removed: BTreeMap<Name, Version>,
    removed_bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    version: Version,
    body: Body,
}

impl ResourceSet {
    /// The version; [`Version::ZERO`] when nothing was published.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Of all names and bodies.
    #[must_use]
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// What a node needs to hold this, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The resources by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Body)> {
        self.entries.iter().map(|(name, entry)| (name, &entry.body))
    }

    /// The body of a resource.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Body> {
        self.entries.get(name).map(|entry| &entry.body)
    }

    /// Whether a delta from this version can be made.
    pub(crate) fn has_base(&self, base: Version) -> bool {
        (self.floor..=self.version).contains(&base)
    }

    /// The next resource behind `after` that a holder of `base` lacks; of the full state when there is no base.
    pub(crate) fn next_upsert(&self, base: Option<Version>, after: Option<&Name>) -> Option<Resource> {
        let behind = self.entries.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let mut lacking = behind.filter(|(_, entry)| base.is_none_or(|base| entry.version > base));
        let (name, entry) = lacking.next()?;
        Some(Resource { name: name.clone(), version: entry.version, body: entry.body.clone() })
    }

    /// The next name behind `after` that a holder of `base` may still have.
    pub(crate) fn next_removal(&self, base: Version, after: Option<&Name>) -> Option<&Name> {
        let behind = self.removed.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        behind.filter(|(_, version)| **version > base).map(|(name, _)| name).next()
    }

    /// Puts a resource in; whether that changes anything.
    pub(crate) fn upsert(&mut self, version: Version, name: &Name, body: &Body) -> bool {
        if self.get(name).is_some_and(|held| held == body) {
            return false;
        }
        self.take(name);
        self.digest.add(name.as_str().as_bytes(), body);
        self.bytes += cost(name, body);
        self.entries.insert(name.clone(), Entry { version, body: body.clone() });
        if self.removed.remove(name).is_some() {
            self.removed_bytes -= removed_cost(name);
        }
        true
    }

    /// Takes a resource away; whether it was there.
    pub(crate) fn remove(&mut self, version: Version, name: &Name) -> bool {
        if !self.take(name) {
            return false;
        }
        self.removed.insert(name.clone(), version);
        self.removed_bytes += removed_cost(name);
        true
    }

    /// Seals the changes made since the last version.
    pub(crate) fn seal(&mut self, version: Version, removed_bytes_max: usize) {
        assert!(version > self.version, "I26: versions only grow");
        if self.version == Version::ZERO {
            self.floor = version;
        }
        self.version = version;
        while self.removed_bytes > removed_bytes_max {
            self.forget_oldest_removal();
        }
    }

    fn forget_oldest_removal(&mut self) {
        let Some(oldest) = self.removed.values().min().copied() else { return };
        self.floor = self.floor.max(oldest);
        let bytes = &mut self.removed_bytes;
        self.removed.retain(|name, version| {
            let keep = *version > oldest;
            *bytes -= if keep { 0 } else { removed_cost(name) };
            keep
        });
    }

    fn take(&mut self, name: &Name) -> bool {
        let Some(entry) = self.entries.remove(name) else { return false };
        self.digest.remove(name.as_str().as_bytes(), &entry.body);
        self.bytes -= cost(name, &entry.body);
        true
    }
}

fn removed_cost(name: &Name) -> usize {
    name.as_str().len() + crate::resource::RESOURCE_OVERHEAD
}

//! What a node holds of one type.

use std::collections::BTreeMap;

use sluice_cluster::{SetDigest, Version};

use super::apply::Change;
use crate::resource::{Body, Name, cost};
use crate::{Held, Refusal, Resource};

/// A good state of one type, and what of earlier states is still in effect beside it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeldSet {
    pub(super) version: Version,
    pub(super) digest: SetDigest,
    pub(super) bytes: usize,
    pub(super) resources: BTreeMap<Name, (Version, Body)>,
    /// The oldest body of each name since the last settling, where it is not the one held.
    pub(super) retired: BTreeMap<Name, Body>,
    pub(super) retired_bytes: usize,
    pub(super) refused: Option<Version>,
}

impl HeldSet {
    /// The version; [`Version::ZERO`] = nothing was ever held.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Of all names and bodies, without the retired ones.
    #[must_use]
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// The body of a resource.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Body> {
        self.resources.get(name).map(|(_, body)| body)
    }

    /// The resources by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Body)> {
        self.resources.iter().map(|(name, (_, body))| (name, body))
    }

    /// What earlier states had and this one has not, or has with another body, until control settles. Types whose
    /// resources add up (routes) take both; the others what is held, and of these the names that are missing there.
    pub fn retired(&self) -> impl Iterator<Item = (&Name, &Body)> {
        self.retired.iter()
    }

    /// How many resources are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// What all of it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.retired_bytes
    }

    pub(super) fn summary(&self) -> Held {
        Held { version: self.version, digest: self.digest, refused: self.refused }
    }

    /// Returns the names with a new body, and those that are gone.
    pub(super) fn apply(&mut self, change: Change) -> (Vec<Name>, Vec<Name>) {
        assert!(change.version >= self.version, "I26: a node never goes back");
        let mut removed = Vec::new();
        for name in change.removals {
            if let Some((_, body)) = self.take(&name) {
                self.retire(&name, body);
                removed.push(name);
            }
        }
        let mut upserted = Vec::new();
        for Resource { name, version, body } in change.upserts {
            let earlier = self.take(&name).map(|(_, body)| body);
            let is_new = earlier.as_ref() != Some(&body);
            self.unretire(&name, &body);
            self.put(name.clone(), version, body);
            if let Some(earlier) = earlier.filter(|_| is_new) {
                self.retire(&name, earlier);
            }
            if is_new {
                upserted.push(name);
            }
        }
        self.version = change.version;
        self.refused = None;
        (upserted, removed)
    }

    /// Remembers what need not come again.
    pub(super) fn refuse(&mut self, version: Version, refusal: &Refusal) {
        match refusal {
            // These say that control should send something else of the same version, or nothing so old.
            Refusal::Base | Refusal::Digest | Refusal::Regressed => {}
            Refusal::Empty | Refusal::TooLarge | Refusal::Invalid(_) => self.refused = Some(version),
        }
    }

    /// Lets go of what is retired; whether there was any.
    pub(super) fn settle(&mut self) -> bool {
        self.retired_bytes = 0;
        !std::mem::take(&mut self.retired).is_empty()
    }

    pub(super) fn put(&mut self, name: Name, version: Version, body: Body) {
        self.digest.add(name.as_str().as_bytes(), &body);
        self.bytes += cost(&name, &body);
        self.resources.insert(name, (version, body));
    }

    pub(super) fn retire(&mut self, name: &Name, body: Body) {
        if !self.retired.contains_key(name) {
            self.retired_bytes += cost(name, &body);
            self.retired.insert(name.clone(), body);
        }
    }

    /// A retired body that comes back is retired no longer.
    fn unretire(&mut self, name: &Name, body: &Body) {
        if self.retired.get(name) == Some(body) {
            self.retired.remove(name);
            self.retired_bytes -= cost(name, body);
        }
    }

    fn take(&mut self, name: &Name) -> Option<(Version, Body)> {
        let taken = self.resources.remove(name)?;
        self.digest.remove(name.as_str().as_bytes(), &taken.1);
        self.bytes -= cost(name, &taken.1);
        Some(taken)
    }
}

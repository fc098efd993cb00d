//! The last good state as plain values, for the node's disk.
//!
//! A node that starts while control is away has the tables it had: what was held, and what was retired beside it (I27).
//! What a node refused is not kept: a restarted node may be another build, and should be asked again.

use std::{error::Error, fmt};

use sluice_cluster::{SetDigest, Version};

use super::held::HeldSet;
use crate::resource::{Body, Name, Resource};
use crate::{PerType, ResourceType};

/// All types.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Saved {
    /// In the order of application.
    pub types: PerType<SavedType>,
}

/// One type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SavedType {
    /// The version held.
    pub version: Version,
    /// Of the resources.
    pub digest: SetDigest,
    /// What was held.
    pub resources: Vec<Resource>,
    /// What was retired and not settled.
    pub retired: Vec<(Name, Body)>,
}

impl Saved {
    pub(super) fn of(types: &PerType<HeldSet>) -> Self {
        Self { types: PerType::from_fn(|kind| save(types.of(kind))) }
    }

    pub(super) fn load(&self) -> Result<PerType<HeldSet>, SavedError> {
        let mut types = PerType::default();
        for (kind, saved) in self.types.iter() {
            *types.of_mut(kind) = load(saved).ok_or(SavedError { kind })?;
        }
        Ok(types)
    }
}

/// What was saved of a type has changed on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedError {
    /// The type.
    pub kind: ResourceType,
}

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the saved {:?} are not what their digest says", self.kind)
    }
}

impl Error for SavedError {}

fn save(held: &HeldSet) -> SavedType {
    let resource = |(name, (version, body)): (&Name, &(Version, Body))| Resource {
        name: name.clone(),
        version: *version,
        body: body.clone(),
    };
    SavedType {
        version: held.version,
        digest: held.digest,
        resources: held.resources.iter().map(resource).collect(),
        retired: held.retired.iter().map(|(name, body)| (name.clone(), body.clone())).collect(),
    }
}

fn load(saved: &SavedType) -> Option<HeldSet> {
    let mut held = HeldSet { version: saved.version, ..HeldSet::default() };
    for Resource { name, version, body } in &saved.resources {
        held.put(name.clone(), *version, body.clone());
    }
    for (name, body) in &saved.retired {
        held.retire(name, body.clone());
    }
    (held.digest == saved.digest).then_some(held)
}

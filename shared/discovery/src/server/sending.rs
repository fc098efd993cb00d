//! A response under way: cut into parts when the transport asks for one, from a set that does not change.

use std::sync::Arc;

use sluice_cluster::Version;

use crate::resource::{Name, RESOURCE_OVERHEAD, cost};
use crate::{Nonce, ResourceSet, ResourceType, Response};

/// How far a response has been sent.
#[derive(Debug)]
pub(super) struct Sending {
    kind: ResourceType,
    set: Arc<ResourceSet>,
    base: Option<Version>,
    nonce: Nonce,
    part: u32,
    upserted: Step,
    removed: Step,
}

/// Where a walk over names stands.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    After(Option<Name>),
    Done,
}

impl Sending {
    /// The way from `base`, or from nothing, to `set`; `same` if the holder of `base` has the set's content already.
    pub(super) fn new(
        kind: ResourceType,
        set: Arc<ResourceSet>,
        base: Option<Version>,
        same: bool,
        nonce: Nonce,
    ) -> Self {
        let nothing = base.is_some() && same;
        let upserted = if nothing { Step::Done } else { Step::After(None) };
        let removed = if nothing || base.is_none() { Step::Done } else { Step::After(None) };
        Self { kind, set, base, nonce, part: 0, upserted, removed }
    }

    pub(super) fn kind(&self) -> ResourceType {
        self.kind
    }

    pub(super) fn nonce(&self) -> Nonce {
        self.nonce
    }

    pub(super) fn version(&self) -> Version {
        self.set.version()
    }

    pub(super) fn is_full(&self) -> bool {
        self.base.is_none()
    }

    /// Whether all parts have been sent.
    pub(super) fn is_done(&self) -> bool {
        self.part > 0 && self.upserted == Step::Done && self.removed == Step::Done
    }

    /// The next part, of at most `bytes_max` bytes; `None` when the last one has been sent.
    pub(super) fn next_part(&mut self, bytes_max: usize) -> Option<Response> {
        if self.is_done() {
            return None;
        }
        let mut part = Response {
            kind: self.kind,
            version: self.set.version(),
            nonce: self.nonce,
            base: self.base,
            digest: self.set.digest(),
            part: self.part,
            last: false,
            upserts: Vec::new(),
            removals: Vec::new(),
        };
        self.part += 1;
        let left = self.fill_upserts(&mut part, bytes_max);
        self.fill_removals(&mut part, left);
        part.last = self.is_done();
        Some(part)
    }

    /// Returns the bytes that are left; 0 when not all upserts have found room.
    fn fill_upserts(&mut self, part: &mut Response, mut left: usize) -> usize {
        while let Step::After(after) = &self.upserted {
            let Some(next) = self.set.next_upsert(self.base, after.as_ref()) else {
                self.upserted = Step::Done;
                break;
            };
            let bytes = cost(&next.name, &next.body);
            if bytes > left {
                return 0;
            }
            left -= bytes;
            self.upserted = Step::After(Some(next.name.clone()));
            part.upserts.push(next);
        }
        left
    }

    fn fill_removals(&mut self, part: &mut Response, mut left: usize) {
        while let (Step::After(after), Some(base)) = (&self.removed, self.base) {
            let Some(next) = self.set.next_removal(base, after.as_ref()) else {
                self.removed = Step::Done;
                return;
            };
            let bytes = next.as_str().len() + RESOURCE_OVERHEAD;
            if bytes > left {
                return;
            }
            left -= bytes;
            let name = next.clone();
            self.removed = Step::After(Some(name.clone()));
            part.removals.push(name);
        }
    }
}

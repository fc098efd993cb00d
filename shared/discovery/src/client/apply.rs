//! From the parts of a response to a change of what is held, or to a refusal.

use std::collections::BTreeSet;

use sluice_cluster::{SetDigest, Version};

use super::held::HeldSet;
use crate::limits::REASON_BYTES_MAX;
use crate::resource::{Body, Name, cost};
use crate::{Limits, Nonce, PerType, Refusal, Resource, ResourceType, Response};

/// The node's core, asked whether it can live with a state before the state is held.
pub trait Validate {
    /// Refuses a proposal with the reason, which goes to control and its operators: what is wrong and where.
    ///
    /// # Errors
    /// The proposal would do harm: it does not parse, or it takes away what must not go, such as a shard's last replica.
    fn validate(&self, proposal: &Proposal<'_>) -> Result<(), String>;
}

/// What a node is about to hold of one type.
#[derive(Debug)]
pub struct Proposal<'a> {
    change: &'a Change,
    types: &'a PerType<HeldSet>,
}

impl<'a> Proposal<'a> {
    /// The type that changes.
    #[must_use]
    pub fn kind(&self) -> ResourceType {
        self.change.kind
    }

    /// The version it changes to.
    #[must_use]
    pub fn version(&self) -> Version {
        self.change.version
    }

    /// New resources, and those that may have a new body.
    pub fn upserts(&self) -> impl Iterator<Item = (&'a Name, &'a Body)> {
        self.change.upserts.iter().map(|resource| (&resource.name, &resource.body))
    }

    /// Names that are to go.
    pub fn removals(&self) -> impl Iterator<Item = &'a Name> {
        self.change.removals.iter()
    }

    /// What is held now, of any type. Types before [`Self::kind`] have changed already.
    #[must_use]
    pub fn held(&self, kind: ResourceType) -> &'a HeldSet {
        self.types.of(kind)
    }
}

/// A checked change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: ResourceType,
    pub(super) version: Version,
    pub(super) upserts: Vec<Resource>,
    pub(super) removals: BTreeSet<Name>,
}

/// The parts of a response that have come.
#[derive(Debug)]
pub(super) struct Staged {
    head: Response,
    bytes: usize,
    too_large: bool,
}

impl Staged {
    pub(super) fn new(first: Response, limits: &Limits) -> Self {
        let mut staged = Self { head: first, bytes: 0, too_large: false };
        staged.bytes = bytes_of(&staged.head);
        staged.trim(limits);
        staged
    }

    pub(super) fn kind(&self) -> ResourceType {
        self.head.kind
    }

    pub(super) fn version(&self) -> Version {
        self.head.version
    }

    pub(super) fn nonce(&self) -> Nonce {
        self.head.nonce
    }

    pub(super) fn is_whole(&self) -> bool {
        self.head.last
    }

    pub(super) fn is_followed_by(&self, part: &Response) -> bool {
        let key = |part: &Response| (part.kind, part.version, part.nonce, part.base, part.digest);
        key(&self.head) == key(part) && part.part == self.head.part + 1
    }

    pub(super) fn push(&mut self, part: Response, limits: &Limits) {
        self.bytes += bytes_of(&part);
        (self.head.part, self.head.last) = (part.part, part.last);
        self.head.upserts.extend(part.upserts);
        self.head.removals.extend(part.removals);
        self.trim(limits);
    }

    /// A response beyond the bound is taken to its end, to answer it, but not kept.
    fn trim(&mut self, limits: &Limits) {
        self.too_large |= self.bytes > limits.type_bytes_max;
        if self.too_large {
            self.head.upserts = Vec::new();
            self.head.removals = Vec::new();
        }
    }
}

/// Holds a whole response against what is held.
pub(super) fn check(
    types: &PerType<HeldSet>,
    staged: Staged,
    limits: &Limits,
    validate: &dyn Validate,
) -> Result<Change, Refusal> {
    let Staged { head, too_large, .. } = staged;
    let held = types.of(head.kind);
    if head.version < held.version() {
        return Err(Refusal::Regressed);
    }
    match head.base {
        Some(base) if base != held.version() => return Err(Refusal::Base),
        // A full state of the version that is held repairs what has diverged; a delta cannot.
        Some(base) if head.version == base => return Err(Refusal::Regressed),
        Some(_) | None => {}
    }
    if too_large {
        return Err(Refusal::TooLarge);
    }
    let (digest, is_full) = (head.digest, head.base.is_none());
    let change = change(held, head, is_full);
    let outcome = Outcome::of(held, &change);
    if outcome.digest != digest {
        return Err(Refusal::Digest);
    }
    if outcome.resources == 0 && !held.is_empty() {
        return Err(Refusal::Empty);
    }
    if outcome.bytes > limits.type_bytes_max {
        return Err(Refusal::TooLarge);
    }
    validate.validate(&Proposal { change: &change, types }).map_err(|reason| Refusal::Invalid(cut(reason)))?;
    Ok(change)
}

fn change(held: &HeldSet, head: Response, is_full: bool) -> Change {
    let mut upserts = head.upserts;
    // The last of equal names wins, as if they were applied one after the other.
    upserts.reverse();
    upserts.sort_by(|a, b| a.name.cmp(&b.name));
    upserts.dedup_by(|a, b| a.name == b.name);
    let mut removals: BTreeSet<Name> = head.removals.into_iter().collect();
    if is_full {
        removals = held.iter().map(|(name, _)| name.clone()).collect();
    }
    upserts.iter().for_each(|resource| {
        removals.remove(&resource.name);
    });
    Change { kind: head.kind, version: head.version, upserts, removals }
}

/// What would be held after a change.
struct Outcome {
    digest: SetDigest,
    resources: usize,
    /// With what would be retired.
    bytes: usize,
}

impl Outcome {
    fn of(held: &HeldSet, change: &Change) -> Self {
        let mut outcome = Self { digest: held.digest(), resources: held.len(), bytes: held.bytes() };
        let names = change.removals.iter().chain(change.upserts.iter().map(|resource| &resource.name));
        for name in names {
            if let Some(body) = held.get(name) {
                outcome.digest.remove(name.as_str().as_bytes(), body);
                outcome.resources -= 1;
            }
        }
        for Resource { name, body, .. } in &change.upserts {
            outcome.digest.add(name.as_str().as_bytes(), body);
            outcome.resources += 1;
            let same = held.get(name).is_some_and(|held| held == body);
            outcome.bytes += if same { 0 } else { cost(name, body) };
        }
        outcome
    }
}

fn bytes_of(part: &Response) -> usize {
    let upserts: usize = part.upserts.iter().map(|resource| cost(&resource.name, &resource.body)).sum();
    let removals: usize = part.removals.iter().map(|name| cost(name, &Body::default())).sum();
    upserts + removals
}

fn cut(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
        reason.truncate(end);
    }
    reason
}

//! What a match has found, in a buffer that serves many matches.

use std::sync::Arc;

use sluice_topic::ParsedFilter;

use super::Target;
use crate::{NodeId, interest::Interest};

/// A shared group that matches, at one target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GroupTarget {
    /// The group and its filter.
    pub filter: Arc<ParsedFilter>,
    /// Where it has members.
    pub target: Target,
    /// Its members there.
    pub interest: Interest,
}

/// The targets of a topic. Each stands once, in order.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    targets: Vec<(Target, bool)>,
    groups: Vec<GroupTarget>,
}

impl Matched {
    /// Targets with plain subscriptions, and whether one of them has to store the message.
    #[must_use]
    pub fn targets(&self) -> &[(Target, bool)] {
        &self.targets
    }

    /// Shared groups, by group and target. Of several words on one, the one that promises most counts.
    #[must_use]
    pub fn groups(&self) -> &[GroupTarget] {
        &self.groups
    }

    pub(super) fn clear(&mut self) {
        self.targets.clear();
        self.groups.clear();
    }

    pub(super) fn add(&mut self, target: &Target, durable: bool) {
        self.targets.push((target.clone(), durable));
    }

    pub(super) fn add_group(&mut self, filter: &Arc<ParsedFilter>, target: &Target, interest: Interest) {
        self.groups.push(GroupTarget { filter: filter.clone(), target: target.clone(), interest });
    }

    /// Leaves one entry for each target, and none for `me`.
    pub(super) fn finish(&mut self, me: NodeId) {
        let others = |target: &Target| *target != Target::Node(me);
        self.targets.retain(|(target, _)| others(target));
        self.targets.sort_unstable();
        // Sorted, the durable one of two equal targets stands behind; it is kept.
        self.targets.dedup_by(|next, first| {
            let same = next.0 == first.0;
            first.1 |= same && next.1;
            same
        });
        self.groups.retain(|group| others(&group.target));
        self.groups.sort_unstable();
        self.groups.dedup_by(|next, first| {
            let same = (&next.filter, &next.target) == (&first.filter, &first.target);
            if same {
                first.interest = merge(first.interest, next.interest);
            }
            same
        });
    }
}

/// Either word may be the later one, so that what both promise together is assumed.
fn merge(a: Interest, b: Interest) -> Interest {
    Interest { durable: a.durable || b.durable, members: a.members.max(b.members) }
}

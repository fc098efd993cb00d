//! The replicas of one shard: who has it, and which change is under way.
//!
//! A *configuration* is the voters and the learners; its epoch grows with every change of it. What else is here, who is
//! leaving, is an intention: it says which voter a move will take away once the other has come, so that a planner that
//! knows nothing but the placement can go on with a move that another one began.

use std::collections::BTreeSet;

use crate::{Epoch, NodeId};

/// Most members of a configuration: the seven voters a policy can ask for, one that takes over from another, and one to
/// spare for a configuration that was made under another policy.
pub const REPLICAS_MAX: usize = 9;

/// Who has a shard: at least one voter, nobody twice, and somebody stays when all who leave have left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replicas {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    leaving: BTreeSet<NodeId>,
    epoch: Epoch,
}

impl Replicas {
    /// The first configuration of a shard that has no data.
    ///
    /// # Errors
    /// There is no voter, or more than [`REPLICAS_MAX`].
    pub fn first(voters: impl IntoIterator<Item = NodeId>) -> Result<Self, ReplicasError> {
        Self::new(voters, [], [], Epoch::default().next())
    }

    /// A configuration as it was stored or sent.
    ///
    /// # Errors
    /// It breaks an invariant of this type.
    pub fn new(
        voters: impl IntoIterator<Item = NodeId>,
        learners: impl IntoIterator<Item = NodeId>,
        leaving: impl IntoIterator<Item = NodeId>,
        epoch: Epoch,
    ) -> Result<Self, ReplicasError> {
        let replicas = Self {
            voters: voters.into_iter().collect(),
            learners: learners.into_iter().collect(),
            leaving: leaving.into_iter().collect(),
            epoch,
        };
        replicas.checked()
    }

    /// Members that vote, and have the data.
    #[must_use]
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        &self.voters
    }

    /// Members that receive the data and do not vote yet.
    #[must_use]
    pub fn learners(&self) -> &BTreeSet<NodeId> {
        &self.learners
    }

    /// Voters that are to go once the learners have taken over.
    #[must_use]
    pub fn leaving(&self) -> &BTreeSet<NodeId> {
        &self.leaving
    }

    /// Of the configuration.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who has the shard when what is under way is done, by id.
    pub fn target(&self) -> impl Iterator<Item = NodeId> {
        self.voters.union(&self.learners).copied().filter(|node| !self.leaving.contains(node))
    }

    /// How many voters decide.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether a change is under way.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        !self.learners.is_empty() || !self.leaving.is_empty()
    }

    /// Brings in a node, and says who is to go for it.
    ///
    /// # Errors
    /// It is a member, or `leaving` is no voter, or there are too many.
    pub fn add_learner(&self, node: NodeId, leaving: Option<NodeId>) -> Result<Self, ReplicasError> {
        let mut next = self.next();
        if self.voters.contains(&node) || !next.learners.insert(node) {
            return Err(ReplicasError::Twice { node });
        }
        next.leaving.extend(leaving);
        next.checked()
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// It is no learner.
    pub fn promote(&self, node: NodeId) -> Result<Self, ReplicasError> {
        let mut next = self.next();
        if !next.learners.remove(&node) {
            return Err(ReplicasError::NoLearner { node });
        }
        next.voters.insert(node);
        next.checked()
    }

    /// Lets a learner go. Who was to leave for it stays.
    ///
    /// # Errors
    /// It is no learner.
    pub fn drop_learner(&self, node: NodeId) -> Result<Self, ReplicasError> {
        let mut next = self.next();
        if !next.learners.remove(&node) {
            return Err(ReplicasError::NoLearner { node });
        }
        next.leaving.clear();
        next.checked()
    }

    /// Lets a voter go.
    ///
    /// # Errors
    /// It is no voter, or the last one.
    pub fn remove_voter(&self, node: NodeId) -> Result<Self, ReplicasError> {
        let mut next = self.next();
        if !next.voters.remove(&node) {
            return Err(ReplicasError::NoVoter { node });
        }
        next.leaving.remove(&node);
        next.checked()
    }

    /// Says which voters are to go. The configuration and its epoch stay as they are.
    ///
    /// # Errors
    /// One of them is no voter, or nobody would stay.
    pub fn with_leaving(&self, leaving: impl IntoIterator<Item = NodeId>) -> Result<Self, ReplicasError> {
        Self { leaving: leaving.into_iter().collect(), ..self.clone() }.checked()
    }

    /// A new start with other voters, after an operator has given up what the old ones had.
    ///
    /// # Errors
    /// As [`Self::first`].
    pub fn force(&self, voters: impl IntoIterator<Item = NodeId>) -> Result<Self, ReplicasError> {
        Self::new(voters, [], [], self.epoch.next())
    }

    fn next(&self) -> Self {
        Self { epoch: self.epoch.next(), ..self.clone() }
    }

    fn checked(self) -> Result<Self, ReplicasError> {
        if self.voters.is_empty() {
            return Err(ReplicasError::NoVoters);
        }
        let members = self.voters.len() + self.learners.len();
        if members > REPLICAS_MAX {
            return Err(ReplicasError::TooMany { members });
        }
        if let Some(&node) = self.voters.intersection(&self.learners).next() {
            return Err(ReplicasError::Twice { node });
        }
        if let Some(&node) = self.leaving.difference(&self.voters).next() {
            return Err(ReplicasError::NoVoter { node });
        }
        if self.target().next().is_none() {
            return Err(ReplicasError::NobodyStays);
        }
        Ok(self)
    }
}

/// Why a shard cannot have these replicas.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum ReplicasError {
    /// Nobody would have the shard.
    #[error("a shard needs a voter")]
    NoVoters,
    /// More members than [`REPLICAS_MAX`].
    #[error("{members} members of a shard, more than {REPLICAS_MAX}")]
    TooMany {
        /// How many.
        members: usize,
    },
    /// It is a member already.
    #[error("node {node} is a member already")]
    Twice {
        /// Which node.
        node: NodeId,
    },
    /// It is not a learner.
    #[error("node {node} is no learner")]
    NoLearner {
        /// Which node.
        node: NodeId,
    },
    /// It is not a voter.
    #[error("node {node} is no voter")]
    NoVoter {
        /// Which node.
        node: NodeId,
    },
    /// All who have the shard are to leave, and nobody comes.
    #[error("all members are leaving")]
    NobodyStays,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(voters: &[u64], learners: &[u64], leaving: &[u64], epoch: u64) -> Result<Replicas, ReplicasError> {
        let ids = |numbers: &[u64]| numbers.iter().map(|&number| NodeId(number)).collect::<Vec<_>>();
        Replicas::new(ids(voters), ids(learners), ids(leaving), Epoch(epoch))
    }

    #[test]
    fn a_move_is_learner_then_voter_then_the_old_one_goes_and_each_step_has_its_epoch() {
        let start = Replicas::first([NodeId(1)]).unwrap();
        let copying = start.add_learner(NodeId(2), Some(NodeId(1))).unwrap();
        assert_eq!(Ok(copying.clone()), of(&[1], &[2], &[1], 2));
        let both = copying.promote(NodeId(2)).unwrap();
        assert_eq!(Ok(both.clone()), of(&[1, 2], &[], &[1], 3));
        assert_eq!(both.remove_voter(NodeId(1)), of(&[2], &[], &[], 4));
        assert_eq!(copying.drop_learner(NodeId(2)), of(&[1], &[], &[], 3));
    }

    #[test]
    fn the_target_is_who_has_the_shard_in_the_end() {
        let moving = of(&[1, 2, 3], &[4], &[2], 7).unwrap();
        assert_eq!(moving.target().map(|node| node.0).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(moving.is_moving() && !of(&[1], &[], &[], 1).unwrap().is_moving());
    }

    #[test]
    fn what_would_leave_a_shard_with_nobody_is_refused() {
        assert_eq!(of(&[], &[1], &[], 1), Err(ReplicasError::NoVoters));
        assert_eq!(of(&[1], &[], &[1], 1), Err(ReplicasError::NobodyStays));
        assert_eq!(of(&[1], &[], &[], 1).unwrap().remove_voter(NodeId(1)), Err(ReplicasError::NoVoters));
        assert_eq!(of(&[1, 2], &[], &[1], 1).unwrap().remove_voter(NodeId(2)), Err(ReplicasError::NobodyStays));
        assert_eq!(of(&[1], &[1], &[], 1), Err(ReplicasError::Twice { node: NodeId(1) }));
        assert_eq!(of(&[1], &[], &[2], 1), Err(ReplicasError::NoVoter { node: NodeId(2) }));
    }
}

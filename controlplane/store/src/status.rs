//! How a store is.

use sluice_controlplane_core::ledger::Revision;

/// How a store is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Which kind: `etcd`, `embedded` or `memory`.
    pub kind: &'static str,
    /// The store's identity, where it has one.
    pub cluster: Option<u64>,
    /// The last revision.
    pub revision: Revision,
    /// Bytes of its largest member.
    pub size_bytes: u64,
    /// Bytes in use there; the rest comes back by defragmentation.
    pub used_bytes: u64,
    /// Bytes at which it stops taking writes; `None`: the store does not say and nobody has told.
    pub quota_bytes: Option<u64>,
    /// Its members.
    pub members: Vec<Member>,
    /// What is wrong with it by its own account.
    pub alarms: Vec<String>,
}

impl Status {
    /// How much of the quota is used, in percent.
    #[must_use]
    pub fn used_percent(&self) -> Option<u64> {
        self.quota_bytes.filter(|quota| *quota > 0).map(|quota| self.size_bytes.saturating_mul(100) / quota)
    }

    /// Whether most of the members answer.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        let answering = self.members.iter().filter(|member| member.error.is_none()).count();
        answering > self.members.len() / 2
    }
}

/// A member of a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Member {
    /// Its name, or its address before it has one.
    pub name: String,
    /// Where it is reached.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// Whether it leads the store.
    pub is_leader: bool,
    /// Bytes it takes.
    pub size_bytes: u64,
    /// Why it does not answer, if it does not.
    pub error: Option<String>,
}

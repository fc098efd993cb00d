//! Why the store did not do what it was asked to.

/// Why the store did not do what it was asked to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, has no leader, or did not answer in time. Whether a transaction was written is not known.
    #[error("the store cannot be reached: {reason}")]
    Unavailable {
        /// What was found.
        reason: String,
    },
    /// It has no room: everything but deleting and compacting is refused.
    #[error("the store is full: compact and defragment it, then clear its alarm")]
    Full,
    /// It does not let this process in, or not do this.
    #[error("the store refuses: {reason}")]
    Denied {
        /// What it says.
        reason: String,
    },
    /// The request is one that no store takes: too large, or too many writes.
    #[error("the store cannot take this: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// What the store keeps on this machine cannot be read or written.
    #[error("the store's files: {reason}")]
    Disk {
        /// What was found.
        reason: String,
    },
}

impl StoreError {
    /// Whether asking again, later or elsewhere, may help by itself.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Full | Self::Denied { .. } | Self::Invalid { .. } | Self::Disk { .. } => false,
        }
    }

    pub(crate) fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable { reason: reason.to_string() }
    }
}

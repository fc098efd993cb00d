//! Versions of what control pushes: they only ever grow, across changes of control's leader too.

use std::fmt;

use crate::Epoch;

/// A state of one resource type as a control leader published it.
///
/// Ordered by the epoch of the leadership first: whatever a later leader says is newer than all that an earlier one said,
/// however far the earlier one had counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version {
    /// Grows with every change of the control leader. 0 = nothing was ever published.
    pub leadership: Epoch,
    /// Grows with every change that this leader publishes, whatever its resource type.
    pub counter: u64,
}

impl Version {
    /// Before anything was published.
    pub const ZERO: Self = Self { leadership: Epoch(0), counter: 0 };

    /// The version of this leadership and count.
    #[must_use]
    pub fn new(leadership: u64, counter: u64) -> Self {
        Self { leadership: Epoch(leadership), counter }
    }

    /// The version after this one, made under `leadership`; under the later of the two if that one is older.
    #[must_use]
    pub fn next(self, leadership: Epoch) -> Self {
        Self { leadership: leadership.max(self.leadership), counter: self.counter + 1 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.leadership, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_leadership_outranks_any_count_of_an_earlier_one() {
        assert!(Version::new(2, 1) > Version::new(1, 9_000));
        assert!(Version::new(2, 2) > Version::new(2, 1) && Version::ZERO < Version::new(1, 0));
        assert_eq!(Version::new(2, 17).to_string(), "2.17");
    }
}

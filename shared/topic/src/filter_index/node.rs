//! A node of the trie, packed into half a cache line.

use crate::level::LevelKey;
use crate::pool::NIL;

/// One half of a cache line, and never on two.
#[repr(align(32))]
pub(super) struct Node {
    /// The level that leads here.
    pub(super) key: LevelKey,
    pub(super) parent: u32,
    /// The child `+`, or `NIL`.
    pub(super) plus: u32,
    literals: u32,
    ends: u32,
}

/// The children of a node that are neither `+` nor `#`.
#[derive(Clone, Copy)]
pub(super) enum Literals {
    None,
    /// One, and it is not in the table of edges.
    Only(u32),
    /// So many, at least one, and they are in the table of edges.
    Listed(u32),
}

/// The filters that end at a node, by the ids of their values.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    None,
    /// One ends here.
    Here(u32),
    /// One ends with `#` behind here.
    Below(u32),
    /// Both do; the id is that of the pair of values.
    Both(u32),
}

impl Node {
    pub(super) fn new(parent: u32, key: LevelKey) -> Self {
        Self { key, parent, plus: NIL, literals: NIL, ends: NIL }
    }

    /// Whether the node serves no filter.
    pub(super) fn is_bare(&self) -> bool {
        self.plus == NIL && self.literals == NIL && self.ends == NIL
    }

    #[inline]
    pub(super) fn literals(&self) -> Literals {
        match (self.literals & ID_MASK, self.literals >> ID_BITS) {
            _ if self.literals == NIL => Literals::None,
            (id, 0) => Literals::Only(id),
            (count, _) => Literals::Listed(count),
        }
    }

    pub(super) fn set_literals(&mut self, literals: Literals) {
        self.literals = match literals {
            Literals::None => NIL,
            Literals::Only(id) => pack(id, 0),
            Literals::Listed(count) => pack(count, 1),
        };
    }

    #[inline]
    pub(super) fn ends(&self) -> Ends {
        match (self.ends & ID_MASK, self.ends >> ID_BITS) {
            _ if self.ends == NIL => Ends::None,
            (id, 0) => Ends::Here(id),
            (id, 1) => Ends::Below(id),
            (id, _) => Ends::Both(id),
        }
    }

    pub(super) fn set_ends(&mut self, ends: Ends) {
        self.ends = match ends {
            Ends::None => NIL,
            Ends::Here(id) => pack(id, 0),
            Ends::Below(id) => pack(id, 1),
            Ends::Both(id) => pack(id, 2),
        };
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new(NIL, LevelKey::ROOT)
    }
}

fn pack(id: u32, kind: u32) -> u32 {
    assert!(id <= ID_MASK, "a trie holds at most 2^30 nodes");
    id | (kind << ID_BITS)
}

/// The rest of the 32 bits tells the kind. Kind 3 is used by nothing but `NIL`.
const ID_BITS: u32 = 30;
const ID_MASK: u32 = (1 << ID_BITS) - 1;

//! Where a message goes: a base table from control, and an overlay of what peers have said since.
//!
//! * [`BaseTable`]: from all interest that control knows, compact, the same for every node of a region.
//! * [`RouteBuilder`]: makes one.
//! * [`RoutingTable`]: a node's view, base ∪ overlay. It may name a target too many, never one too few.

mod base;
mod build;
mod matched;
mod overlay;
mod table;

use std::sync::Arc;

pub use base::BaseTable;
pub use build::{BuildReport, RouteBuilder};
pub use matched::{GroupTarget, Matched};
pub use table::{InstallError, Reach, RoutingTable};

use crate::NodeId;

/// The name of a region, a label of its nodes.
pub type Region = Arc<str>;

/// Whom a copy goes to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// A node of the own region.
    Node(NodeId),
    /// Another region: one copy, whoever wants it there.
    Region(Region),
}

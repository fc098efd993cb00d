//! Where a message goes: a base table from control, and an overlay of what peers have said since.
//!
//! * [`BaseTable`]: from all interest that control knows, compact, the same for every node of a region.
//! * [`RouteBuilder`]: makes one from interest, whole or in [`RoutesPart`]s; [`TableAssembler`]: from such parts.
//! * [`RoutingTable`]: a node's view, base ∪ overlay. It may name a target too many, never one too few.

mod assemble;
mod base;
mod build;
mod cut;
mod matched;
mod overlay;
mod parts;
mod table;

use std::sync::Arc;

pub use assemble::TableAssembler;
pub use base::BaseTable;
pub use build::{BuildReport, RouteBuilder};
pub use cut::RouteRows;
pub use matched::{GroupTarget, Matched};
pub use parts::{PARTS, PartError, PartGroup, RoutesHead, RoutesPart, TARGETS_MAX, part_of};
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

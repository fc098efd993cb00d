//! The base table in parts. The filters of a part stand in columns: without a message and an allocation for each.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sluice_proto::cluster::v1 as pb;
use sluice_topic::{ParsedFilter, TopicFilter};

use super::basic::{filter, label, node_id};
use super::{InField, WireError, at_most, each, narrow, required};
use crate::interest::{Interest, Position};
use crate::routing::{PartGroup, RoutesHead, RoutesPart, TARGETS_MAX, Target};
use crate::{NODES_MAX, NodeId};

impl From<&RoutesHead> for pb::RoutesHead {
    fn from(head: &RoutesHead) -> Self {
        let position =
            |(owner, upto): (&NodeId, &Position)| pb::OwnerPosition { owner: owner.0, position: Some((*upto).into()) };
        Self { positions: head.positions.iter().map(position).collect() }
    }
}

impl TryFrom<pb::RoutesHead> for RoutesHead {
    type Error = WireError;

    fn try_from(message: pb::RoutesHead) -> Result<Self, WireError> {
        let position = |row: pb::OwnerPosition| Ok((node_id("owner", row.owner)?, required("position", row.position)?));
        let rows = each("positions", message.positions, NODES_MAX, position)?;
        let owners = rows.len();
        let positions: BTreeMap<NodeId, Position> = rows.into_iter().collect();
        if positions.len() < owners {
            return Err(WireError::new("positions", "an owner is there twice"));
        }
        Ok(Self { positions })
    }
}

impl From<&RoutesPart> for pb::RoutesPart {
    fn from(part: &RoutesPart) -> Self {
        let mut columns = Columns::default();
        part.filters().iter().for_each(|(filter, _)| columns.push(filter.as_str()));
        Self {
            number: part.number().into(),
            targets: part.targets().iter().map(Into::into).collect(),
            sets: part.sets().iter().map(|set| pb::TargetSet { places: set.to_vec() }).collect(),
            text: Bytes::from(columns.text),
            shared: columns.shared,
            own: columns.own,
            set: part.filters().iter().map(|(_, set)| *set).collect(),
            groups: part.groups().iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::RoutesPart> for RoutesPart {
    type Error = WireError;

    fn try_from(message: pb::RoutesPart) -> Result<Self, WireError> {
        let number = narrow("number", message.number)?;
        let targets = each("targets", message.targets, TARGETS_MAX, Target::try_from)?;
        let sets = message.sets.into_iter().map(|set| {
            at_most("sets", set.places.len(), targets.len())?;
            Ok(set.places.into_boxed_slice())
        });
        let sets = sets.collect::<Result<Vec<_>, WireError>>()?;
        let filters = read_filters(&message.text, &message.shared, &message.own, &message.set)?;
        // As many as fit into the message, which is bounded where it is received.
        let groups = each("groups", message.groups, usize::MAX, PartGroup::try_from)?;
        Self::new(number, targets, sets, filters, groups).field("part")
    }
}

/// Texts of which each begins as the one before it.
#[derive(Default)]
struct Columns {
    text: Vec<u8>,
    shared: Vec<u32>,
    own: Vec<u32>,
    last: Vec<u8>,
}

impl Columns {
    fn push(&mut self, text: &str) {
        let text = text.as_bytes();
        let shared = self.last.iter().zip(text).take_while(|(a, b)| a == b).count();
        self.text.extend_from_slice(&text[shared..]);
        // A filter has at most 65,535 bytes.
        self.shared.push(shared as u32);
        self.own.push((text.len() - shared) as u32);
        self.last.clear();
        self.last.extend_from_slice(text);
    }
}

fn read_filters(
    mut text: &[u8],
    shared: &[u32],
    own: &[u32],
    sets: &[u32],
) -> Result<Vec<(TopicFilter, u32)>, WireError> {
    if shared.len() != own.len() || own.len() != sets.len() {
        return Err(WireError::new("set", "the columns have different lengths"));
    }
    let mut last: Vec<u8> = Vec::new();
    let mut filters = Vec::with_capacity(own.len());
    let mut bytes = 0;
    for (at, ((&shared, &own), &set)) in shared.iter().zip(own).zip(sets).enumerate() {
        if shared as usize > last.len() {
            return Err(WireError::new(&format!("shared[{at}]"), "more than the filter before has"));
        }
        last.truncate(shared as usize);
        let Some((head, rest)) = text.split_at_checked(own as usize) else {
            return Err(WireError::new(&format!("own[{at}]"), "more than there is text"));
        };
        last.extend_from_slice(head);
        text = rest;
        bytes += last.len();
        if bytes > PART_TEXT_BYTES_MAX {
            return Err(WireError::new("text", format_args!("more than {PART_TEXT_BYTES_MAX} bytes")));
        }
        let field = || format!("text[{at}]");
        let filter = std::str::from_utf8(&last).map_err(|error| WireError::new(&field(), error))?;
        let filter = TopicFilter::parse(filter, &super::TOPIC_LIMITS);
        filters.push((filter.map_err(|error| WireError::new(&field(), error))?, set));
    }
    if text.is_empty() { Ok(filters) } else { Err(WireError::new("text", "more than the filters have")) }
}

impl From<&Target> for pb::Target {
    fn from(target: &Target) -> Self {
        let target = match target {
            Target::Node(node) => pb::target::Target::Node(node.0),
            Target::Region(region) => pb::target::Target::Region(region.to_string()),
        };
        Self { target: Some(target) }
    }
}

impl TryFrom<pb::Target> for Target {
    type Error = WireError;

    fn try_from(message: pb::Target) -> Result<Self, WireError> {
        match message.target.ok_or_else(|| WireError::new("target", "is none that is known here"))? {
            pb::target::Target::Node(node) => Ok(Self::Node(node_id("node", node)?)),
            pb::target::Target::Region(region) if region.is_empty() => Ok(Self::Region(region.into())),
            pb::target::Target::Region(region) => Ok(Self::Region(label("region", &region)?.as_str().into())),
        }
    }
}

impl From<&PartGroup> for pb::GroupRow {
    fn from(group: &PartGroup) -> Self {
        Self {
            group: group.filter.group.as_deref().unwrap_or_default().into(),
            filter: group.filter.filter.to_string(),
            target: group.target,
            durable: group.interest.durable,
            members: group.interest.members,
        }
    }
}

impl TryFrom<pb::GroupRow> for PartGroup {
    type Error = WireError;

    fn try_from(message: pb::GroupRow) -> Result<Self, WireError> {
        let filter = filter("filter", &message.filter)?;
        if message.group.is_empty() || message.group.contains(['/', '+', '#', '\0']) {
            return Err(WireError::new("group", "no name of a shared group"));
        }
        let filter = ParsedFilter { group: Some(message.group.into()), filter };
        let interest = Interest { durable: message.durable, members: message.members };
        Ok(Self { filter: Arc::new(filter), target: message.target, interest })
    }
}

/// The filters of a part, written out. A few bytes of the columns can stand for a whole filter, so that the bound on the
/// message bounds nothing; sixteen times that bound is far more than filters have in common.
const PART_TEXT_BYTES_MAX: usize = 16 << 20;

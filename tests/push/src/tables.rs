//! Tables to publish.

use std::{collections::BTreeMap, sync::Arc};

use sluice_cluster::interest::{Incarnation, Interest, Position, Sequence};
use sluice_cluster::routing::RouteBuilder;
use sluice_cluster::wire::resources::{self, Resources};
use sluice_cluster::{
    Epoch, Keyspace, KeyspaceId, Keyspaces, Label, Liveness, Member, Node, NodeId, NodePhase, Placement, Policies,
    Policy, Process, ProtocolRange, Replicas, ShardId, ShardKey, Version,
};
use sluice_topic::{Limits, ParsedFilter, TopicFilter};

/// A table of these nodes.
#[must_use]
pub fn nodes(ids: &[NodeId]) -> Resources {
    let member = |id: &NodeId| Member {
        node: Node {
            id: *id,
            labels: sluice_cluster::Labels::default(),
            weight: sluice_cluster::Weight::default(),
            phase: NodePhase::Active,
            liveness: Liveness::Live,
        },
        gateway: false,
        process: Process {
            peer_addresses: vec!["127.0.0.1:7070".parse().unwrap()],
            client_addresses: Vec::new(),
            build: "test".parse().unwrap(),
            peer_protocol: ProtocolRange::new(1, 1).unwrap(),
            workers: 2,
        },
    };
    let members: Vec<Member> = ids.iter().map(member).collect();
    resources::write_nodes(&members)
}

/// A placement of session shards, each with its only voter and an epoch.
#[must_use]
pub fn placement(shards: &[(u16, NodeId, u64)]) -> Resources {
    let entry = |(shard, node, epoch): &(u16, NodeId, u64)| {
        let key = ShardKey { keyspace: KeyspaceId::SESSIONS, shard: ShardId(*shard) };
        (key, Replicas::new([*node], [], [], Epoch(*epoch)).unwrap())
    };
    let shards = shards.iter().map(entry).collect();
    resources::write_placement(&Placement::new(Version::ZERO, Keyspaces::default(), shards).unwrap())
}

/// Routes of one owner that wants these filters.
#[must_use]
pub fn routes(owner: NodeId, filters: &[&str]) -> Resources {
    let parse = |text: &&str| (Arc::new(ParsedFilter::parse(text, &Limits::default()).unwrap()), Interest::default());
    let rows: BTreeMap<Arc<ParsedFilter>, Interest> = filters.iter().map(parse).collect();
    let upto = Position { incarnation: Incarnation(1), sequence: Sequence(rows.len() as u64) };
    let mut builder = RouteBuilder::new("".into());
    builder.add(owner, &"".into(), upto, rows.iter().map(|(filter, interest)| (filter, *interest)));
    resources::write_routes(&builder.finish())
}

/// Policies with one for the topics of a filter.
#[must_use]
pub fn policies(filter: &str) -> Resources {
    let filters = vec![TopicFilter::parse(filter, &Limits::default()).unwrap()];
    let keyspace = Keyspace::new(KeyspaceId(2), filters, 8).unwrap();
    let policy = Policy::new(Label::parse("own").unwrap(), keyspace);
    resources::write_policies(&Policies::new([policy]).unwrap())
}

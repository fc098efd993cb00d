//! The push protocol: what comes off a stream, off a disk, and out of the body of a resource.

use std::{sync::Arc, time::Duration};

use prost::Message;
use sluice_cluster::wire::{decode, resources};
use sluice_cluster::{NodeId, Version};
use sluice_discovery::wire::{FromControl, FromNode, read_saved, write_saved};
use sluice_discovery::{
    ClientStream, Limits, Nonce, Proposal, Publisher, ResourceType, ServerStream, Session, Timing, Validate, Warming,
};
use sluice_proto::{cluster::v1 as cluster, push::v1 as pb};

use crate::cursor::Cursor;

/// A byte that says what the rest is: frames for control, frames for a node, a saved state, or the body of a resource.
/// Nothing panics, and what is accepted can be written again and means the same.
pub fn fuzz_push(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    match cursor.below(4) {
        0 => frames_for_control(cursor),
        1 => frames_for_a_node(cursor),
        2 => saved_state(cursor.rest()),
        _ => body(cursor),
    }
}

fn frames_for_control(mut cursor: Cursor<'_>) {
    let mut publisher = Publisher::new(1, Warming::default(), Limits::default());
    let nodes = sluice_discovery::wire::wanted([("a".to_owned(), vec![1])].into()).unwrap();
    publisher.publish(ResourceType::Nodes, &nodes).unwrap();
    let mut stream =
        ServerStream::new(publisher.snapshot(), Limits::default(), Timing::default(), Nonce(1), Duration::ZERO);
    while !cursor.is_empty() {
        let Ok(message) = decode::<pb::Up>(cursor.run(255)) else { continue };
        let Ok(sent) = FromNode::try_from(message) else { continue };
        assert_eq!(FromNode::try_from(pb::Up::from(&sent)), Ok(sent.clone()));
        if let FromNode::Frame(frame) = sent {
            stream.handle(frame, Duration::ZERO);
            while stream.poll_transmit(Duration::ZERO).is_some() {}
        }
    }
}

fn frames_for_a_node(mut cursor: Cursor<'_>) {
    struct Anything;
    impl Validate for Anything {
        fn validate(&self, _: &Proposal<'_>) -> Result<(), String> {
            Ok(())
        }
    }
    let mut stream = ClientStream::new(NodeId(1), Limits::default(), Timing::default());
    stream.connected(Session(1), Duration::ZERO);
    while !cursor.is_empty() {
        let Ok(message) = decode::<pb::Down>(cursor.run(255)) else { continue };
        let Ok(sent) = FromControl::try_from(message) else { continue };
        assert_eq!(FromControl::try_from(pb::Down::from(&sent)), Ok(sent.clone()));
        if let FromControl::Frame(frame) = sent {
            stream.handle(Session(1), frame, &Anything, Duration::ZERO);
            while stream.poll_transmit(Duration::ZERO).is_some() {}
        }
    }
    let saved = stream.export();
    assert_eq!(read_saved(&write_saved(&saved)), Ok(saved.clone()));
    assert!(ClientStream::restore(NodeId(1), &saved, Limits::default(), Timing::default()).is_ok());
}

fn saved_state(bytes: &[u8]) {
    let Ok(saved) = read_saved(bytes) else { return };
    assert_eq!(read_saved(&write_saved(&saved)), Ok(saved.clone()));
    let restored = ClientStream::restore(NodeId(1), &saved, Limits::default(), Timing::default());
    assert!(restored.is_err() || restored.is_ok_and(|stream| stream.export().types.iter().count() == 4));
}

fn body(mut cursor: Cursor<'_>) {
    let choice = cursor.below(4);
    let bytes = cursor.rest();
    match choice {
        0 => node(bytes),
        1 => placement(bytes),
        2 => part(bytes),
        _ => policy(bytes),
    }
}

fn node(bytes: &[u8]) {
    let Ok(message) = decode::<cluster::Node>(bytes) else { return };
    let name = NodeId(message.id).to_string();
    if let Ok(Some(member)) = resources::read_node(&name, bytes) {
        let written = resources::write_nodes([&member]);
        assert_eq!(resources::read_node(&name, &written[&name]), Ok(Some(member)));
    }
}

fn placement(bytes: &[u8]) {
    let keyspaces = cluster::Keyspaces::default().encode_to_vec();
    let Ok(message) = decode::<cluster::PlacementBlock>(bytes) else { return };
    let name = format!("shards/{}/{}", message.keyspace, message.block);
    let own = [("keyspaces", keyspaces.as_slice()), (name.as_str(), bytes)];
    let Ok(placement) = resources::read_placement(Version::ZERO, own) else { return };
    let written = resources::write_placement(&placement);
    let named = written.iter().map(|(name, body)| (name.as_str(), body.as_slice()));
    assert_eq!(resources::read_placement(Version::ZERO, named), Ok(placement));
    let _ = resources::read_placement(Version::ZERO, [("keyspaces", bytes)]);
}

fn part(bytes: &[u8]) {
    let Ok(message) = decode::<cluster::RoutesPart>(bytes) else { return };
    let name = format!("part/{}", message.number);
    let Ok(Some(part)) = resources::read_part(&name, bytes) else { return };
    let again = cluster::RoutesPart::from(&part).encode_to_vec();
    assert_eq!(resources::read_part(&name, &again), Ok(Some(part)));
    let head = cluster::RoutesHead::default().encode_to_vec();
    let table = resources::read_routes(Version::new(1, 1), [("head", head.as_slice()), (&name, bytes)]).unwrap();
    let twice = [("head", head.as_slice()), (&name, bytes), (&name, &again)];
    let twice = resources::read_routes(Version::new(1, 1), twice).unwrap();
    assert_eq!((Arc::new(twice).digest(), table.len()), (table.digest(), table.len()), "a table is a set of rows");
}

fn policy(bytes: &[u8]) {
    let Ok(message) = decode::<cluster::Policy>(bytes) else { return };
    let name = format!("policy/{}", message.name);
    let Ok(policies) = resources::read_policies([(name.as_str(), bytes)]) else { return };
    let written = resources::write_policies(&policies);
    let named = written.iter().map(|(name, body)| (name.as_str(), body.as_slice()));
    assert_eq!(resources::read_policies(named), Ok(policies));
}

use std::time::Duration;

use proptest::{collection, option, prelude::*, sample::select};
use sluice_cluster::{Flow, Labels, NodeId, NodeReport, PeerStatus, Registration};

use super::*;
use crate::{Saved, SavedType};

fn versions() -> impl Strategy<Value = Version> {
    (any::<u64>(), any::<u64>()).prop_map(|(leadership, counter)| Version::new(leadership, counter))
}

fn kinds() -> impl Strategy<Value = ResourceType> {
    select(ResourceType::ALL.to_vec())
}

fn names() -> impl Strategy<Value = Name> {
    "[a-zü/]{1,20}".prop_map(|text| Name::new(&text).unwrap())
}

fn bodies() -> impl Strategy<Value = Body> {
    collection::vec(any::<u8>(), 0..50).prop_map(Body::from)
}

fn resources() -> impl Strategy<Value = Resource> {
    (names(), versions(), bodies()).prop_map(|(name, version, body)| Resource { name, version, body })
}

fn digests() -> impl Strategy<Value = SetDigest> {
    any::<u128>().prop_map(SetDigest)
}

fn held() -> impl Strategy<Value = Held> {
    (versions(), digests(), option::of(versions())).prop_map(|(version, digest, refused)| Held {
        version,
        digest,
        refused,
    })
}

fn per_type<T: Clone + std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = PerType<T>> {
    collection::vec(of, 4).prop_map(|values| PerType::from_fn(|kind| values[kind.index()].clone()))
}

fn refusals() -> impl Strategy<Value = Refusal> {
    use Refusal::{Base, Digest, Empty, Regressed, TooLarge};
    prop_oneof![select(vec![Base, Digest, Regressed, Empty, TooLarge]), "[a-zü ]{0,40}".prop_map(Refusal::Invalid)]
}

fn ups() -> impl Strategy<Value = FromNode> {
    let answer = (any::<u64>(), kinds(), option::of(refusals()), held()).prop_map(|(nonce, kind, refusal, held)| {
        Up::Answer(Answer { nonce: Nonce(nonce), kind, outcome: refusal.map_or(Ok(()), Err), held })
    });
    let frame = prop_oneof![
        (1..u64::MAX, per_type(held())).prop_map(|(node, held)| Up::Hello { node: NodeId(node), held }),
        answer,
        (any::<u64>(), per_type(held())).prop_map(|(number, held)| Up::Heartbeat { number, held }),
    ];
    frame.prop_map(FromNode::Frame)
}

fn downs() -> impl Strategy<Value = FromControl> {
    let upserts = collection::vec(resources(), 0..4);
    let removals = collection::vec(names(), 0..4);
    let head = (kinds(), versions(), any::<u64>(), option::of(versions()), digests(), 0..u32::MAX, any::<bool>());
    let response = (head, upserts, removals).prop_map(|(head, upserts, removals)| {
        let (kind, version, nonce, base, digest, part, last) = head;
        Down::Response(Response { kind, version, nonce: Nonce(nonce), base, digest, part, last, upserts, removals })
    });
    let frame = prop_oneof![
        response,
        per_type(versions()).prop_map(|versions| Down::Settle { versions }),
        any::<u64>().prop_map(|number| Down::Heartbeat { number }),
    ];
    frame.prop_map(FromControl::Frame)
}

fn saved() -> impl Strategy<Value = Saved> {
    let retired = collection::vec((names(), bodies()), 0..3);
    let one = (versions(), digests(), collection::vec(resources(), 0..4), retired)
        .prop_map(|(version, digest, resources, retired)| SavedType { version, digest, resources, retired });
    per_type(one).prop_map(|types| Saved { types })
}

proptest! {
    #[test]
    fn what_a_node_sends_survives_the_way(sent in ups()) {
        prop_assert_eq!(FromNode::try_from(pb::Up::from(&sent)), Ok(sent));
    }

    #[test]
    fn what_control_sends_survives_the_way(sent in downs()) {
        prop_assert_eq!(FromControl::try_from(pb::Down::from(&sent)), Ok(sent));
    }

    #[test]
    fn what_is_saved_is_what_is_read(saved in saved()) {
        prop_assert_eq!(read_saved(&write_saved(&saved)), Ok(saved));
    }

    #[test]
    fn a_saved_state_that_was_cut_is_refused_or_of_fewer_types(saved in saved(), cut in any::<prop::sample::Index>()) {
        let bytes = write_saved(&saved);
        let cut = cut.index(bytes.len());
        if let Ok(read) = read_saved(&bytes[..cut]) {
            prop_assert_ne!(read, saved);
        }
    }
}

#[test]
fn reports_travel_beside_the_frames() {
    let registration = Registration {
        labels: Labels::default(),
        weight: sluice_cluster::Weight::default(),
        process: sluice_cluster::Process {
            peer_addresses: vec!["a:1".parse().unwrap()],
            client_addresses: Vec::new(),
            build: "1".parse().unwrap(),
            peer_protocol: sluice_cluster::ProtocolRange::new(1, 1).unwrap(),
            workers: 2,
        },
    };
    let peer = PeerStatus {
        node: NodeId(7),
        silent: None,
        round_trip: Some(Duration::from_micros(80)),
        flow: Flow::default(),
    };
    for report in [
        Report::Registration(registration),
        Report::Load(sluice_cluster::Load::default()),
        Report::Replicas(NodeReport::default()),
        Report::Peers(vec![peer]),
    ] {
        let sent = FromNode::Report(report);
        assert_eq!(FromNode::try_from(pb::Up::from(&sent)), Ok(sent));
    }
}

#[test]
fn what_is_refused_says_which_field_is_wrong() {
    let problem = |up| FromNode::try_from(pb::Up { frame: Some(up) }).unwrap_err().to_string();
    assert_eq!(problem(pb::up::Frame::Hello(pb::Hello::default())), "hello.node: the id 0 is nobody's");
    let held = pb::Held { r#type: 1, version: Some(Version::ZERO.into()), digest: vec![1; 15].into(), refused: None };
    let hello = |held: Vec<pb::Held>| pb::up::Frame::Hello(pb::Hello { node: 1, held });
    assert_eq!(problem(hello(vec![held.clone()])), "hello.held.digest: 16 bytes, not 15");
    let held = pb::Held { digest: vec![1; 16].into(), ..held };
    assert_eq!(problem(hello(vec![held.clone(), held])), "hello.held: a type is there twice");
    let words = "x".repeat(1025);
    let refusal = Some(pb::Refusal { reason: pb::refusal::Reason::Invalid.into(), words });
    let held =
        Some(pb::Held { r#type: 1, version: Some(Version::ZERO.into()), digest: vec![1; 16].into(), refused: None });
    let answer = pb::up::Frame::Answer(pb::Answer { nonce: 1, refusal, held });
    assert_eq!(problem(answer), "answer.refusal.words: 1025 bytes, more than 1024");
}

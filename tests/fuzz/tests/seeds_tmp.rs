use prost::Message;
use sluice_proto::{cluster::v1 as c, push::v1 as pb};
#[test]
fn write() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/push/");
    let put = |name: &str, head: &[u8], body: Vec<u8>| {
        std::fs::write(format!("{dir}{name}"), [head, &body].concat()).unwrap()
    };
    let v = |a, b| Some(c::Version { leadership: a, counter: b });
    let held = |t: i32, ver, d: Vec<u8>| pb::Held { r#type: t, version: ver, digest: d.into(), refused: None };
    let all = || (1..5).map(|t| held(t, v(0, 0), vec![0; 16])).collect::<Vec<_>>();
    let run = |m: Vec<u8>| {
        assert!(m.len() < 256);
        [vec![m.len() as u8], m].concat()
    };
    let up = |f| run(pb::Up { frame: Some(f) }.encode_to_vec());
    let hello = up(pb::up::Frame::Hello(pb::Hello { node: 7, held: all() }));
    let ack =
        up(pb::up::Frame::Answer(pb::Answer { nonce: 1, refusal: None, held: Some(held(1, v(1, 1), vec![3; 16])) }));
    let nack = up(pb::up::Frame::Answer(pb::Answer {
        nonce: 1,
        refusal: Some(pb::Refusal { reason: 6, words: "no".into() }),
        held: Some(held(1, v(0, 0), vec![0; 16])),
    }));
    let beat = up(pb::up::Frame::Heartbeat(pb::Heartbeat { number: 1, held: all() }));
    put("up-ack", &[0], [hello.clone(), ack, beat].concat());
    put("up-nack", &[0], [hello, nack].concat());
    let process = c::Process {
        peer_addresses: vec!["10.0.0.1:7443".into()],
        client_addresses: vec!["a.example:1883".into()],
        build: "0.1.0".into(),
        peer_protocol: Some(c::ProtocolRange { oldest: 1, newest: 2 }),
        workers: 4,
    };
    let labels = vec![c::Label { key: "region".into(), value: "eu".into() }];
    let reg = up(pb::up::Frame::Registration(c::Registration {
        labels: labels.clone(),
        weight: 100,
        process: Some(process.clone()),
    }));
    let change =
        c::InterestChange { filter: "$share/g/a/+".into(), interest: Some(c::Interest { durable: true, members: 2 }) };
    let stream = Some(c::InterestStream { receiver: 1, number: 1 });
    let ann = up(pb::up::Frame::Interest(c::InterestFrame {
        frame: Some(c::interest_frame::Frame::Announce(c::InterestAnnounce {
            stream,
            incarnation: 1,
            after: 0,
            upto: 1,
            last: 1,
            changes: vec![change.clone()],
        })),
    }));
    let snap = up(pb::up::Frame::Interest(c::InterestFrame {
        frame: Some(c::interest_frame::Frame::Snapshot(c::InterestSnapshot {
            stream,
            at: Some(c::Position { incarnation: 1, sequence: 2 }),
            part: 0,
            end: true,
            last: 2,
            changes: vec![change],
        })),
    }));
    let load = up(pb::up::Frame::Load(c::Load {
        period_ms: 1000,
        connections: 3,
        shards: vec![c::ShardLoad { keyspace: 0, shard: 1, messages: 5, bytes: 6 }],
        deliveries: vec![c::Deliveries { prefix: "a/#".into(), region: "eu".into(), count: 4 }],
    }));
    let reps = up(pb::up::Frame::Replicas(c::Replicas {
        applied: v(1, 2),
        shards: vec![c::ShardStatus { keyspace: 1, shard: 2, epoch: 1, is_caught_up: true, is_empty: false }],
    }));
    let peers = up(pb::up::Frame::Peers(c::Peers {
        peers: vec![c::Peer { node: 3, silent_ms: Some(1), round_trip_us: Some(9) }],
    }));
    put("up-reports", &[0], [reg, ann, snap, load, reps, peers].concat());
    let down = |f| run(pb::Down { frame: Some(f) }.encode_to_vec());
    let mut digest = sluice_cluster::SetDigest::EMPTY;
    digest.add(b"a", b"1");
    let d = || digest.0.to_le_bytes().to_vec();
    let resp = pb::Response {
        r#type: 1,
        version: v(1, 1),
        nonce: 1,
        base: None,
        digest: d().into(),
        part: 0,
        last: true,
        upserts: vec![pb::Resource { name: "a".into(), version: v(1, 1), body: b"1".to_vec().into() }],
        removals: vec![],
    };
    let first = down(pb::down::Frame::Response(resp.clone()));
    let delta = down(pb::down::Frame::Response(pb::Response {
        version: v(1, 2),
        nonce: 2,
        base: v(1, 1),
        upserts: vec![],
        removals: vec!["b".into()],
        ..resp.clone()
    }));
    let settle =
        down(pb::down::Frame::Settle(pb::Settle { versions: vec![pb::TypeVersion { r#type: 1, version: v(1, 2) }] }));
    let beat = down(pb::down::Frame::Heartbeat(pb::Beat { number: 1 }));
    put("down", &[1], [first, delta, beat, settle].concat());
    let ty = pb::SavedType {
        r#type: 1,
        version: v(1, 1),
        digest: d().into(),
        resources: resp.upserts.clone(),
        retired: vec![pb::Resource { name: "b".into(), version: None, body: b"2".to_vec().into() }],
    }
    .encode_to_vec();
    put("saved", &[2], [(ty.len() as u64).to_le_bytes().to_vec(), ty].concat());
    put(
        "body-node",
        &[3, 0],
        c::Node {
            id: 7,
            labels,
            weight: 100,
            phase: 2,
            silent_since_ms: Some(4),
            gateway: true,
            process: Some(process),
        }
        .encode_to_vec(),
    );
    put(
        "body-block",
        &[3, 1],
        c::PlacementBlock {
            keyspace: 0,
            block: 0,
            shards: vec![c::PlacementShard {
                shard: 1,
                epoch: 3,
                voters: vec![1, 2],
                learners: vec![3],
                leaving: vec![1],
            }],
        }
        .encode_to_vec(),
    );
    put(
        "body-keyspaces",
        &[3, 1],
        c::Keyspaces { keyspaces: vec![c::Keyspace { id: 2, filters: vec!["a/#".into()], shards: 8 }] }.encode_to_vec(),
    );
    put(
        "body-policy",
        &[3, 3],
        c::Policy {
            name: "p".into(),
            keyspace: Some(c::Keyspace { id: 2, filters: vec!["a/#".into()], shards: 8 }),
            home: Some(c::Home { home: Some(c::home::Home::Region("eu".into())) }),
            replicas: 3,
            spread: Some(c::Spread { spread: Some(c::spread::Spread::Zone(c::SpreadZone {})) }),
            fallback: vec!["us".into()],
            hybrid_threshold_bytes: 1024,
            remote_subscribers: 2,
        }
        .encode_to_vec(),
    );
    // two filters of one part
    let lim = sluice_topic::Limits::default();
    let of = |t: &str| sluice_cluster::routing::part_of(&sluice_topic::TopicFilter::parse(t, &lim).unwrap());
    let want = of("a/0");
    let other = (1..).map(|i| format!("a/{i}")).find(|t| of(t) == want).unwrap();
    let own = other.len() as u32 - 2;
    put(
        "body-part",
        &[3, 2],
        c::RoutesPart {
            number: want.into(),
            targets: vec![
                c::Target { target: Some(c::target::Target::Node(1)) },
                c::Target { target: Some(c::target::Target::Region("us".into())) },
            ],
            sets: vec![c::TargetSet { places: vec![0] }, c::TargetSet { places: vec![1, 2] }],
            text: [b"a/0".to_vec(), other[2..].into()].concat().into(),
            shared: vec![0, 2],
            own: vec![3, own],
            set: vec![0, 1],
            groups: vec![c::GroupRow {
                group: "g".into(),
                filter: "a/0".into(),
                target: 0,
                durable: false,
                members: 2,
            }],
        }
        .encode_to_vec(),
    );
}

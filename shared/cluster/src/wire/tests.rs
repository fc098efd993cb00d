use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{collection, option, prelude::*};
use sluice_proto::cluster::v1 as pb;
use sluice_topic::{ParsedFilter, TopicFilter};

use super::resources::*;
use super::{TOPIC_LIMITS, WireError, decode, read_peers, write_peers};
use crate::interest::{Change, Incarnation, Interest, InterestFrame, Position, Sequence, Stream};
use crate::routing::{BaseTable, RouteBuilder, part_of};
use crate::*;

fn label() -> impl Strategy<Value = Label> {
    "[a-zA-Z0-9._/-]{1,12}".prop_map(|text| Label::parse(&text).unwrap())
}

fn labels() -> impl Strategy<Value = Labels> {
    collection::btree_map(label(), label(), 0..5).prop_map(|pairs| Labels::new(pairs).unwrap())
}

fn node() -> impl Strategy<Value = NodeId> {
    (1..u64::MAX).prop_map(NodeId)
}

fn filter_text() -> impl Strategy<Value = String> {
    "[ab$ü+]?(/[abü+]){0,3}(/#)?".prop_filter("not empty", |text| !text.is_empty())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    filter_text().prop_map(|text| TopicFilter::parse(&text, &TOPIC_LIMITS).unwrap())
}

fn parsed() -> impl Strategy<Value = Arc<ParsedFilter>> {
    let group = option::weighted(0.3, "[gh]{1,2}".prop_map(String::into_boxed_str));
    (group, filter()).prop_map(|(group, filter)| Arc::new(ParsedFilter { group, filter }))
}

fn interest() -> impl Strategy<Value = Interest> {
    (any::<bool>(), any::<u32>()).prop_map(|(durable, members)| Interest { durable, members })
}

fn process() -> impl Strategy<Value = Process> {
    let address =
        || ("[a-z0-9.-]{1,9}", 1..u16::MAX).prop_map(|(host, port)| format!("{host}:{port}").parse().unwrap());
    let protocol = (1..9u16, 0..9u16).prop_map(|(oldest, more)| ProtocolRange::new(oldest, oldest + more).unwrap());
    let addresses = || collection::vec(address(), 0..=ADDRESSES_MAX);
    let carrier = (0..Carrier::ALL.len()).prop_map(|nth| Carrier::ALL[nth]);
    let client = (carrier, address()).prop_map(|(carrier, address)| ClientAddress { carrier, address });
    // The order is kept among those of one carrier.
    let clients = collection::vec(client, 0..=ADDRESSES_MAX).prop_map(|mut clients| {
        clients.sort_by_key(|client| client.carrier != Carrier::Tcp);
        clients
    });
    (addresses(), clients, "[!-~]{1,64}", protocol, 1..=WORKERS_MAX).prop_map(
        |(peer_addresses, client_addresses, build, peer_protocol, workers)| Process {
            peer_addresses,
            client_addresses,
            build: build.parse().unwrap(),
            peer_protocol,
            workers,
        },
    )
}

fn weight() -> impl Strategy<Value = Weight> {
    (1..=WEIGHT_MAX).prop_map(|weight| Weight::new(weight).unwrap())
}

fn member() -> impl Strategy<Value = Member> {
    use NodePhase::{Active, Cordoned, Draining, Gone, Joining};
    let phase = proptest::sample::select(vec![Joining, Active, Cordoned, Draining, Gone]);
    let liveness = option::of(any::<u64>())
        .prop_map(|since| since.map_or(Liveness::Live, |since_ms| Liveness::Silent { since_ms }));
    (node(), labels(), weight(), phase, liveness, any::<bool>(), process()).prop_map(
        |(id, labels, weight, phase, liveness, gateway, process)| Member {
            node: Node { id, labels, weight, phase, liveness },
            gateway,
            process,
        },
    )
}

fn replicas() -> impl Strategy<Value = Replicas> {
    (collection::btree_set(node(), 1..5), option::of(node()), any::<u64>()).prop_map(|(voters, learner, epoch)| {
        let learner = learner.filter(|learner| !voters.contains(learner));
        let leaving: Vec<NodeId> = learner.and(voters.first().copied()).into_iter().collect();
        Replicas::new(voters, learner, leaving, Epoch(epoch)).unwrap()
    })
}

fn keyspaces() -> impl Strategy<Value = Keyspaces> {
    let of = |number: u16, shards: u16| {
        let filter = TopicFilter::parse(&format!("k{number}/#"), &TOPIC_LIMITS).unwrap();
        Keyspace::new(KeyspaceId(number), vec![filter], shards).unwrap()
    };
    collection::btree_map(2..200u16, 1..=SHARDS_MAX, 0..4)
        .prop_map(move |all| Keyspaces::new(all.into_iter().map(|(number, shards)| of(number, shards))).unwrap())
}

fn placement() -> impl Strategy<Value = Placement> {
    (keyspaces(), collection::vec((any::<u16>(), any::<u16>(), replicas()), 0..20)).prop_map(|(keyspaces, rows)| {
        let known: Vec<Keyspace> = keyspaces.iter().cloned().collect();
        let key = |keyspace: u16, shard: u16| {
            let keyspace = &known[usize::from(keyspace) % known.len()];
            ShardKey { keyspace: keyspace.id(), shard: ShardId(shard % keyspace.shards()) }
        };
        let shards = rows.into_iter().map(|(keyspace, shard, replicas)| (key(keyspace, shard), replicas)).collect();
        Placement::new(Version::new(3, 7), keyspaces, shards).unwrap()
    })
}

fn home() -> impl Strategy<Value = Home> {
    prop_oneof![
        Just(Home::Anywhere),
        label().prop_map(Home::Region),
        collection::btree_set(node(), 1..5).prop_map(Home::Nodes),
        collection::btree_map(label(), label(), 1..4)
            .prop_map(|pairs| Home::Selector(Selector::new(Labels::new(pairs).unwrap()).unwrap())),
    ]
}

fn policies() -> impl Strategy<Value = Policies> {
    let spread = prop_oneof![Just(Spread::Node), Just(Spread::Zone), label().prop_map(Spread::Label)];
    let remote = prop_oneof![Just(RemoteSubscribers::Forward), Just(RemoteSubscribers::Deny)];
    let fallback = collection::vec(label(), 0..4);
    let rest = (home(), 1..=7u8, spread, fallback, 0..=HYBRID_THRESHOLD_BYTES_MAX, (remote, any::<Option<bool>>()));
    (keyspaces(), collection::vec(rest, 6)).prop_map(|(keyspaces, rest)| {
        let policy = |(keyspace, rest): (&Keyspace, _)| {
            let (home, replicas, spread, fallback, hybrid_threshold_bytes, (remote_subscribers, steer)) = rest;
            let steer: Option<bool> = steer;
            let steer = steer.filter(|_| keyspace.id() == KeyspaceId::SESSIONS);
            let (name, replicas) = (format!("p{}", keyspace.id().0), ReplicaCount::new(replicas).unwrap());
            Policy {
                name: Label::parse(&name).unwrap(),
                keyspace: keyspace.clone(),
                home,
                replicas,
                spread,
                fallback,
                hybrid_threshold_bytes,
                remote_subscribers,
                steer: steer.map_or_else(Steer::default, |transient| Steer { to: SteerTo::Home, transient }),
            }
        };
        Policies::new(keyspaces.iter().zip(rest).map(policy)).unwrap()
    })
}

type Rows = Vec<(u64, bool, BTreeMap<Arc<ParsedFilter>, Interest>)>;

fn rows() -> impl Strategy<Value = Rows> {
    let wanted = collection::btree_map(parsed(), interest(), 0..20);
    collection::vec((any::<bool>(), wanted), 0..6)
        .prop_map(|owners| (1..).zip(owners).map(|(id, (remote, wanted))| (id, remote, wanted)).collect())
}

fn builder(rows: &Rows) -> RouteBuilder<'_> {
    let mut builder = RouteBuilder::new("eu".into());
    for (id, remote, wanted) in rows {
        let upto = Position { incarnation: Incarnation(*id), sequence: Sequence(9) };
        let region = if *remote { "us" } else { "eu" };
        builder.add(NodeId(*id), &region.into(), upto, wanted.iter().map(|(filter, interest)| (filter, *interest)));
    }
    builder
}

fn read_table(resources: &Resources) -> Result<BaseTable, WireError> {
    read_routes(Version::new(1, 1), named(resources))
}

fn named(resources: &Resources) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    resources.iter().map(|(name, body)| (name.as_str(), body.as_slice()))
}

fn frame() -> impl Strategy<Value = InterestFrame> {
    let stream = || {
        (any::<u64>(), any::<u64>()).prop_map(|(receiver, number)| Stream { receiver: Incarnation(receiver), number })
    };
    let position = || {
        (any::<u64>(), 0..u64::MAX)
            .prop_map(|(life, count)| Position { incarnation: Incarnation(life), sequence: Sequence(count) })
    };
    let change = (parsed(), option::of(interest())).prop_map(|(filter, interest)| Change { filter, interest });
    let changes = collection::vec(change, 0..5);
    let counts = collection::vec(0..u64::MAX, 3).prop_map(|mut counts| {
        counts.sort_unstable();
        counts.into_iter().map(Sequence).collect::<Vec<_>>()
    });
    let parts = (any::<bool>(), stream(), position(), counts, 0..u32::MAX, any::<bool>(), changes);
    prop_oneof![
        (stream(), option::of(position())).prop_map(|(stream, have)| InterestFrame::Ask { stream, have }),
        (stream(), position()).prop_map(|(stream, have)| InterestFrame::Ack { stream, have }),
        parts.prop_map(|(announce, stream, at, counts, part, end, changes)| {
            let (after, upto, last) = (counts[0], counts[1], counts[2]);
            if announce {
                return InterestFrame::Announce { stream, incarnation: at.incarnation, after, upto, last, changes };
            }
            let at = Position { sequence: upto, ..at };
            InterestFrame::Snapshot { stream, at, part, end, last, changes }
        }),
    ]
}

fn shard_key() -> impl Strategy<Value = ShardKey> {
    (any::<u16>(), 0..SHARDS_MAX)
        .prop_map(|(keyspace, shard)| ShardKey { keyspace: KeyspaceId(keyspace), shard: ShardId(shard) })
}

fn load() -> impl Strategy<Value = Load> {
    let shard = (any::<u64>(), any::<u64>()).prop_map(|(messages, bytes)| ShardLoad { messages, bytes });
    let row = (filter(), option::of(label()), any::<u64>()).prop_map(|(prefix, region, count)| Deliveries {
        prefix,
        region,
        count,
    });
    let shards = collection::btree_map(shard_key(), shard, 0..9);
    (any::<u32>(), any::<u64>(), shards, collection::vec(row, 0..9), traffic(), holdings()).prop_map(
        |(period, connections, shards, deliveries, traffic, holdings)| Load {
            period: Duration::from_millis(period.into()),
            connections,
            traffic,
            holdings,
            shards,
            deliveries,
        },
    )
}

fn traffic() -> impl Strategy<Value = Traffic> {
    any::<[u64; 5]>().prop_map(|[messages_received, messages_sent, messages_dropped, bytes_received, bytes_sent]| {
        Traffic { messages_received, messages_sent, messages_dropped, bytes_received, bytes_sent }
    })
}

fn holdings() -> impl Strategy<Value = Holdings> {
    any::<[u64; 5]>().prop_map(|[sessions, subscriptions, retained_messages, queued_messages, memory_bytes]| Holdings {
        sessions,
        subscriptions,
        retained_messages,
        queued_messages,
        memory_bytes,
    })
}

fn replica_report() -> impl Strategy<Value = NodeReport> {
    let status = (any::<u64>(), any::<bool>(), any::<bool>()).prop_map(|(epoch, is_caught_up, is_empty)| ShardStatus {
        epoch: Epoch(epoch),
        is_caught_up,
        is_empty,
    });
    (any::<(u64, u64)>(), collection::btree_map(shard_key(), status, 0..9))
        .prop_map(|(applied, shards)| NodeReport { applied: Version::new(applied.0, applied.1), shards })
}

fn peers() -> impl Strategy<Value = Vec<PeerStatus>> {
    let time = |unit: fn(u64) -> Duration| option::of(any::<u32>().prop_map(move |count| unit(count.into())));
    let flow = (any::<u64>(), any::<u64>(), 0..=1_000_000_u32).prop_map(
        |(queue_bytes, sent_bytes_per_s, lost_per_million)| Flow { queue_bytes, sent_bytes_per_s, lost_per_million },
    );
    let peer = (node(), time(Duration::from_millis), time(Duration::from_micros), flow)
        .prop_map(|(node, silent, round_trip, flow)| PeerStatus { node, silent, round_trip, flow });
    collection::vec(peer, 0..9)
}

proptest! {
    #[test]
    fn nodes_survive_the_way(members in collection::vec(member(), 0..5)) {
        let members: BTreeMap<NodeId, Member> = members.into_iter().map(|member| (member.node.id, member)).collect();
        prop_assert_eq!(read_nodes(named(&write_nodes(members.values()))), Ok(members));
    }

    #[test]
    fn registrations_survive_the_way(labels in labels(), weight in weight(), process in process()) {
        let registration = Registration { labels, weight, process };
        prop_assert_eq!(Registration::try_from(pb::Registration::from(&registration)), Ok(registration));
    }

    #[test]
    fn placements_survive_the_way(placement in placement()) {
        let resources = write_placement(&placement);
        prop_assert_eq!(read_placement(placement.version(), named(&resources)), Ok(placement));
    }

    #[test]
    fn policies_survive_the_way(policies in policies()) {
        prop_assert_eq!(read_policies(named(&write_policies(&policies))), Ok(policies));
    }

    #[test]
    fn interest_survives_the_way(frame in frame()) {
        prop_assert_eq!(InterestFrame::try_from(pb::InterestFrame::from(&frame)), Ok(frame));
    }

    #[test]
    fn reports_survive_the_way(load in load(), replicas in replica_report(), peers in peers()) {
        prop_assert_eq!(Load::try_from(pb::Load::from(&load)), Ok(load));
        prop_assert_eq!(NodeReport::try_from(pb::Replicas::from(&replicas)), Ok(replicas));
        prop_assert_eq!(read_peers(write_peers(&peers)), Ok(peers));
    }

    #[test]
    fn a_table_in_parts_is_the_table(rows in rows()) {
        let (table, report) = builder(&rows).build(Version::new(1, 1));
        let cut = builder(&rows).finish();
        prop_assert_eq!((cut.report().rows, cut.report().covered), (report.rows, report.covered));
        let read = read_table(&write_routes(&cut)).unwrap();
        prop_assert_eq!(write_table(&table), write_routes(&cut));
        prop_assert_eq!(read.digest(), table.digest());
        prop_assert_eq!((read.len(), read.positions()), (table.len(), table.positions()));
    }

    #[test]
    fn a_filter_more_changes_its_part_and_the_head_alone(rows in rows(), text in "[ab]/[0-9]{1,3}") {
        let mut rows = rows;
        rows.push((99, false, BTreeMap::new()));
        let before = write_routes(&builder(&rows).finish());
        let filter = Arc::new(ParsedFilter::parse(&text, &TOPIC_LIMITS).unwrap());
        let own = part_of(&filter.filter);
        rows.last_mut().unwrap().2.insert(filter, Interest::default());
        let after = write_routes(&builder(&rows).finish());
        let changed: Vec<&String> = after.iter().filter(|(name, body)| before.get(*name) != Some(body)).map(|(name, _)| name).collect();
        prop_assert!(changed.iter().all(|name| **name == format!("part/{own}")), "{changed:?}");
        prop_assert_eq!(changed.len(), 1);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_mean_something(bytes in collection::vec(any::<u8>(), 0..200)) {
        for name in ["0000000000000001", "keyspaces", "shards/0/0", "head", "part/0", "policy/a"] {
            let resource = [(name, bytes.as_slice())];
            let _ = read_nodes(resource);
            let _ = read_placement(Version::ZERO, resource);
            let _ = read_routes(Version::ZERO, resource);
            let _ = read_policies(resource);
        }
    }
}

fn problem<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_is_refused_says_which_field_is_wrong() {
    let process = pb::Process {
        peer_addresses: vec!["a:1".into(), "b".into()],
        build: "1".into(),
        peer_protocol: Some(pb::ProtocolRange { oldest: 1, newest: 1 }),
        workers: 1,
        ..pb::Process::default()
    };
    let registration = pb::Registration { weight: 1, process: Some(process), labels: Vec::new() };
    assert_eq!(
        problem(Registration::try_from(registration)),
        "process.peer_addresses[1]: an address ends with a colon and a port of 1 to 65535"
    );
    assert_eq!(
        problem(Registration::try_from(pb::Registration { weight: 1, ..Default::default() })),
        "process: is missing"
    );
    assert_eq!(problem(decode::<pb::Node>(&[0xff])).split(':').next(), Some("message"));
}

#[test]
fn a_body_under_the_name_of_another_is_refused() {
    let node = |id| pb::Node { id, weight: 1, phase: 2, process: Some(process_of_one()), ..Default::default() };
    let body = prost::Message::encode_to_vec(&node(1));
    assert!(read_node("0000000000000001", &body).unwrap().is_some());
    assert_eq!(problem(read_node("0000000000000002", &body)), "0000000000000002: its body is that of 0000000000000001");
    assert_eq!(read_node("something/new", &body), Ok(None), "a newer control may name what this build does not know");
}

fn process_of_one() -> pb::Process {
    pb::Process {
        build: "1".into(),
        peer_protocol: Some(pb::ProtocolRange { oldest: 1, newest: 1 }),
        workers: 1,
        ..Default::default()
    }
}

#[test]
fn a_part_that_would_unfold_without_bound_is_refused() {
    let rows = 100_000;
    let part = pb::RoutesPart {
        targets: vec![pb::Target { target: Some(pb::target::Target::Node(1)) }],
        sets: vec![pb::TargetSet { places: vec![0] }],
        text: std::iter::repeat_n(b'a', 60_000 + rows).collect::<Vec<u8>>().into(),
        shared: std::iter::once(0).chain(std::iter::repeat_n(60_000, rows)).collect(),
        own: std::iter::once(60_000).chain(std::iter::repeat_n(1, rows)).collect(),
        set: vec![0; rows + 1],
        ..Default::default()
    };
    let body = prost::Message::encode_to_vec(&part);
    assert!(body.len() < 1 << 20);
    assert_eq!(problem(read_part("part/0", &body)), "part/0.text: more than 16777216 bytes");
}

#[test]
fn counts_that_have_run_out_are_refused() {
    let ack = pb::InterestAck {
        stream: Some(pb::InterestStream { receiver: 1, number: 1 }),
        have: Some(pb::Position { incarnation: 1, sequence: u64::MAX }),
    };
    let frame = pb::InterestFrame { frame: Some(pb::interest_frame::Frame::Ack(ack)) };
    assert_eq!(problem(InterestFrame::try_from(frame)), "ack.have.sequence: has run out");
}

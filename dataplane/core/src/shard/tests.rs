use sluice_mqtt::QoS;

use super::*;
use recipient::Ids;

fn message(payload: &'static [u8]) -> MessageRef<'static> {
    MessageRef { topic: "t", forward: &[], payload, qos: QoS::AtLeastOnce, retain: false, expires_wall_ms: 0, id: None }
}

fn to(session: u64, packet_id: u16) -> Recipient<'static> {
    Recipient {
        session: SessionUid(session),
        packet_id,
        qos: 1,
        retain: false,
        shared: false,
        ids: Ids::Numbers(&[3, 4]),
    }
}

fn stored_block(ops: &[Op]) -> (u64, Bytes) {
    ops.iter()
        .find_map(|op| match op {
            Op::Put(Key::Block(_, first), body) => Some((*first, body.clone())),
            Op::Put(..) | Op::Drop(_) => None,
        })
        .unwrap()
}

#[test]
fn a_message_for_two_sessions_is_stored_once_and_dropped_when_both_have_settled() {
    let mut shard = Shard::new(ShardId(3));
    let mut ops = Vec::new();
    assert_eq!(shard.append(1, &message(b"one"), &to(10, 1)), 1);
    assert_eq!(shard.append(1, &message(b"one"), &to(11, 1)), 1);
    assert_eq!(shard.append(2, &message(b"two"), &to(10, 2)), 2);
    shard.seal(&mut ops);
    assert_eq!((shard.take_sealed(), shard.take_sealed()), (Some(2), None));
    let (first, body) = stored_block(&ops);
    assert_eq!(first, 1);
    assert_eq!(body.windows(3).filter(|w| w == b"one").count(), 1);
    ops.clear();
    shard.settle(1, &mut ops);
    shard.settle(2, &mut ops);
    assert!(ops.is_empty());
    shard.settle(1, &mut ops);
    assert_eq!(ops, [Op::Drop(Key::Block(ShardId(3), 1))]);
    assert_eq!(shard.cached_bytes(), 0);
}

#[test]
fn a_restored_shard_gives_the_same_records_and_goes_on_counting() {
    let mut shard = Shard::new(ShardId(0));
    let mut ops = Vec::new();
    shard.append(1, &message(b"one"), &to(10, 1));
    shard.append(2, &message(b"two"), &to(11, 7));
    shard.seal(&mut ops);
    let (first, body) = stored_block(&ops);

    let mut again = Shard::new(ShardId(0));
    let mut seen = Vec::new();
    again
        .restore_block(first, &body, &mut ops, |seq, record| {
            seen.extend(record.recipients().map(|r| (seq, r.session.0, r.packet_id, r.ids.iter().sum::<u32>())));
            1
        })
        .unwrap();
    assert_eq!(seen, [(1, 10, 1, 7), (2, 11, 7, 7)]);
    assert!(matches!(again.look(2), Look::Load(1)));
    assert!(matches!(again.look(1), Look::Loading(1)));
    assert!(again.loaded(1, Some(body)));
    let Look::Here(bytes) = again.look(2) else { panic!("the block was loaded") };
    assert_eq!(Record::parse(&bytes).unwrap().message.payload, b"two");
    assert_eq!(again.append(9, &message(b"three"), &to(10, 3)), 3);
}

#[test]
fn eviction_spares_what_is_not_on_stable_storage() {
    let mut shard = Shard::new(ShardId(0));
    let mut ops = Vec::new();
    shard.append(1, &message(b"one"), &to(10, 1));
    shard.seal(&mut ops);
    shard.evict(usize::MAX);
    assert!(shard.cached_bytes() > 0);
    shard.stored(1);
    shard.evict(1);
    assert_eq!(shard.cached_bytes(), 0);
    assert!(matches!(shard.look(1), Look::Load(1)));
}

#[test]
fn a_damaged_block_is_refused() {
    let mut shard = Shard::new(ShardId(0));
    let mut ops = Vec::new();
    shard.append(1, &message(b"one"), &to(10, 1));
    shard.seal(&mut ops);
    let (_, body) = stored_block(&ops);
    for cut in 1..body.len() {
        let mut again = Shard::new(ShardId(0));
        let damaged = body.slice(..cut);
        assert!(again.restore_block(1, &damaged, &mut ops, |_, _| 1).is_none(), "cut at {cut}");
    }
}

#[test]
fn uids_are_never_given_out_twice_across_a_crash() {
    let mut shard = Shard::new(ShardId(5));
    let mut ops = Vec::new();
    let last = (0..3000).map(|_| shard.next_uid(&mut ops)).last().unwrap();
    let Some(Op::Put(Key::Shard(_), value)) = ops.last() else { panic!("counters are stored") };
    let mut again = Shard::new(ShardId(5));
    again.restore_counters(value).unwrap();
    assert!(again.next_uid(&mut ops) > last);
}

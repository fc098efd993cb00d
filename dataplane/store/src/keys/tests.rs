use proptest::prelude::*;
use sluice_cluster::NodeId;

use super::*;

fn encoded(key: &Key) -> Vec<u8> {
    let mut out = b"what was there before".to_vec();
    encode(key, &mut out);
    out
}

fn any_shard() -> impl Strategy<Value = ShardId> {
    prop_oneof![0..4u16, any::<u16>()].prop_map(ShardId)
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, 250..260u64, any::<u64>()]
}

fn any_text() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[a-b/+#]{0,4}", ".{0,12}"].prop_map(String::into_boxed_str)
}

fn any_key() -> impl Strategy<Value = Key> {
    let uid = any_number().prop_map(SessionUid);
    (any_shard(), uid, any_number(), any_text(), 0..9usize).prop_map(|(shard, uid, first, text, kind)| match Kind::ALL
        [kind]
    {
        Kind::Session => Key::Session(shard, uid),
        Kind::Subscription => Key::Subscription(shard, uid, text),
        Kind::Progress => Key::Progress(shard, uid),
        Kind::Block => Key::Block(shard, first),
        Kind::Dedupe => Key::Dedupe(shard, uid),
        Kind::Will => Key::Will(shard, uid),
        Kind::Retained => Key::Retained(shard, text),
        Kind::Copy => Key::Copy(shard, NodeId(first), text),
        Kind::Shard => Key::Shard(shard),
    })
}

#[test]
fn layouts_are_part_of_the_stored_format_and_never_change() {
    let (shard, uid) = (ShardId(0x0102), SessionUid(0x0a0b));
    let with_uid = [1, 2, 0, 0, 0, 0, 0, 0, 0x0a, 0x0b];
    assert_eq!(encoded(&Key::Session(shard, uid)), with_uid);
    assert_eq!(encoded(&Key::Progress(shard, uid)), with_uid);
    assert_eq!(encoded(&Key::Dedupe(shard, uid)), with_uid);
    assert_eq!(encoded(&Key::Will(shard, uid)), with_uid);
    assert_eq!(encoded(&Key::Block(shard, 0x0a0b)), with_uid);
    assert_eq!(encoded(&Key::Subscription(shard, uid, "a/+".into())), [&with_uid[..], b"a/+"].concat());
    assert_eq!(encoded(&Key::Retained(shard, "a/b".into())), b"\x01\x02a/b");
    assert_eq!(encoded(&Key::Copy(shard, NodeId(0x0a0b), "a/b".into())), [&with_uid[..], b"a/b"].concat());
    assert_eq!(encoded(&Key::Shard(shard)), [1, 2]);
}

#[test]
fn names_of_families_are_part_of_the_stored_format_and_never_change() {
    let names = Kind::ALL.map(Kind::name);
    assert_eq!(names, ["session", "subscription", "progress", "block", "dedupe", "will", "retained", "copy", "shard"]);
}

#[test]
fn kinds_are_listed_at_their_index() {
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind.index(), index);
    }
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    for kind in Kind::ALL {
        assert_eq!(kind.decode(b""), None);
        assert_eq!(kind.decode(b"\x01"), None);
    }
    assert_eq!(Kind::Session.decode(&[0; 11]), None);
    assert_eq!(Kind::Block.decode(&[0; 9]), None);
    assert_eq!(Kind::Shard.decode(&[0; 3]), None);
    assert_eq!(Kind::Retained.decode(b"\x00\x00\xff"), None);
    assert_eq!(Kind::Copy.decode(&[0; 9]), None);
}

proptest! {
    #[test]
    fn a_key_comes_back_as_it_was(key in any_key()) {
        let bytes = encoded(&key);
        prop_assert_eq!(Kind::of(&key).decode(&bytes), Some(key));
    }

    #[test]
    fn bytes_order_as_keys_do_within_a_kind(a in any_key(), b in any_key()) {
        if Kind::of(&a) == Kind::of(&b) {
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), a.cmp(&b));
        } else {
            prop_assert_eq!(Kind::of(&a).cmp(&Kind::of(&b)), a.cmp(&b));
        }
    }

    #[test]
    fn a_key_lies_in_the_range_of_its_shard(key in any_key()) {
        let bytes = encoded(&key);
        let shard = shard_of(&bytes).expect("every key has a shard");
        prop_assert_eq!(shard, key.shard());
        prop_assert!(bytes.starts_with(&prefix(shard)));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(kind in 0..9usize, bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Some(key) = Kind::ALL[kind].decode(&bytes) {
            prop_assert_eq!(encoded(&key), bytes);
        }
    }
}

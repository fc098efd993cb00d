//! What a disk gives back.

use bytes::Bytes;
use sluice_cluster::{NodeId, ShardId};
use sluice_dataplane_core::{Key, SessionUid};

use crate::{cursor::Cursor, node};

/// Keys and values, some of them arbitrary: a worker refuses what it cannot read, serves when it has refused nothing,
/// and never panics over it.
pub fn fuzz_restore(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let mut values = Vec::new();
    while !cursor.is_empty() {
        let kind = cursor.byte();
        let shard = ShardId(0);
        let uid = SessionUid(u64::from(cursor.byte() % 4));
        let text: Box<str> = ["a", "a/+", "$share/g/a", "#"][usize::from(kind >> 3) % 4].into();
        let key = match kind % 9 {
            0 => Key::Session(shard, uid),
            1 => Key::Subscription(shard, uid, text),
            2 => Key::Progress(shard, uid),
            3 => Key::Block(shard, uid.0),
            4 => Key::Dedupe(shard, uid),
            5 => Key::Will(shard, uid),
            6 => Key::Retained(shard, text),
            7 => Key::Copy(shard, NodeId(uid.0), text),
            _ => Key::Shard(shard),
        };
        values.push((key, Bytes::copy_from_slice(cursor.run(255))));
    }
    values.sort_by(|a, b| a.0.cmp(&b.0));
    values.dedup_by(|a, b| a.0 == b.0);
    node::restore(values);
}

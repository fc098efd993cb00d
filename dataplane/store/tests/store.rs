//! What a store promises, on a real disk.

#![allow(clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "a test ends where it fails")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sluice_cluster::{ShardId, WorkerId};
use sluice_dataplane_core::{Key, Op, RestoreError, SessionUid, WriteBatch};
use sluice_dataplane_store::{Answer, Durability, Kind, MemoryStore, MinFree, Options, Store, StoreError};
use tempfile::TempDir;

const A: WorkerId = WorkerId(0);
const B: WorkerId = WorkerId(1);
const SHARD: ShardId = ShardId(7);

/// Space is another test's business.
fn options() -> Options {
    Options { min_free: MinFree::Bytes(0), ..Options::default() }
}

fn open(path: &Path) -> (Store, mpsc::Receiver<Answer>) {
    try_open(path, options()).expect("opens")
}

fn try_open(path: &Path, options: Options) -> Result<(Store, mpsc::Receiver<Answer>), StoreError> {
    let (sender, answers) = mpsc::channel();
    // The receiver may be gone while the store is closed.
    let store = Store::open(path, options, Arc::new(move |answer| drop(sender.send(answer))))?;
    Ok((store, answers))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn put(key: Key, value: &str) -> Op {
    Op::Put(key, Bytes::copy_from_slice(value.as_bytes()))
}

fn batch(ops: impl Into<Vec<Op>>) -> WriteBatch {
    WriteBatch { ops: ops.into() }
}

fn next(answers: &mpsc::Receiver<Answer>) -> Answer {
    answers.recv_timeout(Duration::from_secs(30)).expect("an answer")
}

fn wait_stored(answers: &mpsc::Receiver<Answer>, worker: WorkerId, batch: u64) {
    while next(answers) != (Answer::Stored { worker, batch }) {}
}

fn next_retained(answers: &mpsc::Receiver<Answer>) -> (WorkerId, u64, Vec<Option<Bytes>>) {
    loop {
        if let Answer::LoadedRetained { worker, read, messages } = next(answers) {
            return (worker, read, messages);
        }
    }
}

fn everything(store: &Store) -> Vec<(Key, Bytes)> {
    recovered(store, |_| true)
}

fn recovered(store: &Store, wanted: impl Fn(ShardId) -> bool) -> Vec<(Key, Bytes)> {
    let mut found = Vec::new();
    let sink = |key, value| {
        found.push((key, value));
        Ok(())
    };
    store.recover(wanted, sink).expect("recovers");
    found
}

#[test]
fn what_was_stored_is_there_after_reopening_in_key_order() {
    let folder = folder();
    let uid = SessionUid(5);
    let keys = [
        Key::Session(SHARD, uid),
        Key::Subscription(SHARD, uid, "a/+".into()),
        Key::Subscription(SHARD, uid, "a/b".into()),
        Key::Progress(SHARD, uid),
        Key::Block(SHARD, 1),
        Key::Block(SHARD, 256),
        Key::Dedupe(SHARD, uid),
        Key::Will(SHARD, uid),
        Key::Retained(ShardId(1), "b".into()),
        Key::Retained(SHARD, "a".into()),
        Key::Shard(SHARD),
    ];
    let (store, answers) = open(folder.path());
    let shuffled = keys.iter().rev().map(|key| put(key.clone(), "value")).collect::<Vec<_>>();
    store.submit(A, 1, batch(shuffled));
    wait_stored(&answers, A, 1);
    drop(store);

    let (store, _answers) = open(folder.path());
    let found = everything(&store);
    assert_eq!(found.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
    assert!(found.iter().all(|(_, value)| value == "value"));
}

#[test]
fn a_restart_gives_each_worker_the_shards_it_wants() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    let all = (0..64).flat_map(|shard| (0..3).map(move |first| put(Key::Block(ShardId(shard), first), "")));
    store.submit(A, 1, batch(all.collect::<Vec<_>>()));
    wait_stored(&answers, A, 1);
    for worker in 0..3u16 {
        let wanted = |shard: ShardId| shard.0 % 3 == worker;
        let expected = (0..64).filter(|shard| wanted(ShardId(*shard)));
        let expected = expected.flat_map(|shard| (0..3).map(move |first| Key::Block(ShardId(shard), first)));
        let found = recovered(&store, wanted).into_iter().map(|(key, _)| key);
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    assert_eq!(recovered(&store, |_| false), []);
}

#[test]
fn batches_of_a_worker_are_answered_in_order_and_the_last_is_answered() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    for number in 1..=500 {
        store.submit(A, number, batch([put(Key::Block(SHARD, number), "a")]));
        store.submit(B, number, batch([put(Key::Block(ShardId(8), number), "b")]));
    }
    let mut last = [0; 2];
    while last != [500, 500] {
        let Answer::Stored { worker, batch } = next(&answers) else { panic!("only writes were asked for") };
        assert!(last[worker.index()] < batch, "{batch} after {}", last[worker.index()]);
        last[worker.index()] = batch;
    }
    assert_eq!(store.pending_bytes(), 0);
}

#[test]
fn later_changes_of_a_key_win_within_a_batch_and_between_batches() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    let key = |first| Key::Block(SHARD, first);
    store.submit(A, 1, batch([put(key(1), "old"), put(key(1), "new"), put(key(2), "gone"), Op::Drop(key(2))]));
    store.submit(A, 2, batch([Op::Drop(key(3)), put(key(3), "back"), Op::Drop(key(4))]));
    wait_stored(&answers, A, 2);
    let expected = [(key(1), Bytes::from_static(b"new")), (key(3), Bytes::from_static(b"back"))];
    assert_eq!(everything(&store), expected);
}

#[test]
fn what_waits_while_the_disk_works_shares_one_sync() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    for number in 1..=2000 {
        store.submit(A, number, batch([put(Key::Block(SHARD, number), "x")]));
    }
    wait_stored(&answers, A, 2000);
    let counters = store.counters();
    assert_eq!(counters.ops, 2000);
    assert!((1..1000).contains(&counters.syncs), "{} syncs for 2000 batches", counters.syncs);
}

#[test]
fn without_fsync_a_batch_is_answered_without_a_sync() {
    let folder = folder();
    let (store, answers) =
        try_open(folder.path(), Options { durability: Durability::Async, ..options() }).expect("opens");
    store.submit(A, 1, batch([put(Key::Shard(SHARD), "x")]));
    assert_eq!(next(&answers), Answer::Stored { worker: A, batch: 1 });
    // What the kernel has reaches the disk soon, and once.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(store.counters().syncs, 1);
    let begun = Instant::now();
    let mut number = 1;
    while begun.elapsed() < Duration::from_millis(500) {
        number += 1;
        store.submit(A, number, batch([put(Key::Shard(SHARD), "x")]));
        wait_stored(&answers, A, number);
    }
    let syncs = store.counters().syncs;
    assert!(syncs <= 5, "{syncs} syncs for {number} batches");
}

#[test]
fn a_read_sees_what_its_worker_submitted_before() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    let mut reads = Vec::new();
    for number in 1..=200 {
        store.submit(A, number, batch([put(Key::Block(SHARD, number), &number.to_string())]));
        store.load(A, SHARD, number);
    }
    store.load(A, SHARD, 999);
    while reads.len() < 201 {
        if let Answer::Loaded { first, block, .. } = next(&answers) {
            reads.push((first, block));
        }
    }
    let expected = (1..=200).map(|first| (first, Some(Bytes::from(first.to_string()))));
    assert_eq!(reads, expected.chain([(999, None)]).collect::<Vec<_>>());
}

#[test]
fn retained_messages_are_read_in_the_order_asked_for_as_their_worker_left_them() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    let key = |n: u16| Key::Retained(ShardId(n % 8), format!("topic/{n}").into());
    let value = |n: u16| format!("{n}").repeat(usize::from(n) * 40);
    store.submit(A, 1, batch((0..300).map(|n| put(key(n), &value(n))).collect::<Vec<_>>()));
    store.submit(A, 2, batch([Op::Drop(key(7)), put(key(8), "newer")]));
    let asked = [299, 7, 8, 0, 150, 777].map(|n: u16| (ShardId(n % 8), format!("topic/{n}").into()));
    store.load_retained(A, 5, asked.to_vec());
    let (worker, read, messages) = next_retained(&answers);
    let found = messages.iter().map(|m| m.as_deref().map(String::from_utf8_lossy)).collect::<Vec<_>>();
    assert_eq!((worker, read), (A, 5));
    let expected = [Some(value(299)), None, Some("newer".into()), Some(String::new()), Some(value(150)), None];
    assert_eq!(found, expected.map(|value| value.map(Into::into)));
    drop(store);

    let (store, answers) = open(folder.path());
    store.load_retained(B, 6, vec![(ShardId(299 % 8), "topic/299".into())]);
    let (worker, read, messages) = next_retained(&answers);
    assert_eq!((worker, read, messages), (B, 6, vec![Some(Bytes::from(value(299)))]));
}

#[test]
fn closing_stores_what_was_submitted_and_answers_it() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    for number in 1..=100 {
        store.submit(A, number, batch([put(Key::Block(SHARD, number), "x")]));
    }
    store.load(B, SHARD, 1);
    drop(store);
    let answers = answers.iter().collect::<Vec<_>>();
    assert!(answers.contains(&Answer::Stored { worker: A, batch: 100 }));
    assert!(answers.iter().any(|answer| matches!(answer, Answer::Loaded { block: Some(_), .. })));
    let (store, _answers) = open(folder.path());
    assert_eq!(everything(&store).len(), 100);
}

#[test]
#[should_panic(expected = "batch 3 of worker 0 after 1")]
fn a_gap_in_the_numbers_of_batches_is_a_bug_of_the_driver() {
    let folder = folder();
    let (store, _answers) = open(folder.path());
    store.submit(A, 1, batch([]));
    store.submit(A, 3, batch([]));
}

#[test]
fn an_empty_batch_is_answered_in_its_turn() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    store.submit(A, 1, batch([]));
    assert_eq!(next(&answers), Answer::Stored { worker: A, batch: 1 });
}

#[test]
fn a_folder_in_use_is_refused_with_the_process_that_uses_it() {
    let folder = folder();
    let (_store, _answers) = open(folder.path());
    let error = try_open(folder.path(), options()).map(drop).expect_err("is in use");
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
}

#[test]
fn another_number_of_shards_is_refused() {
    let folder = folder();
    drop(open(folder.path()));
    let error = try_open(folder.path(), Options { shards: 128, ..options() }).map(drop).expect_err("other shards");
    assert!(error.to_string().contains("created with 64 shards, the configuration says 128"), "{error}");
    drop(open(folder.path()));
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, "").expect("writes");
    let error = try_open(&path, options()).map(drop).expect_err("no folder");
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
}

#[test]
fn the_folder_is_its_owners_alone() {
    let folder = folder();
    let path = folder.path().join("new/store");
    let mode = || fs::metadata(&path).expect("exists").permissions().mode() & 0o777;
    drop(open(&path));
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("changes");
    drop(open(&path));
    assert_eq!(mode(), 0o700);
}

#[test]
fn a_value_that_a_worker_refuses_ends_recovery() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    store.submit(A, 1, batch([put(Key::Shard(SHARD), "?")]));
    wait_stored(&answers, A, 1);
    let refuse = |_, _| Err(RestoreError { kind: "shard", shard: SHARD.0, what: "truncated" });
    let error = store.recover(|_| true, refuse).expect_err("refused");
    assert!(error.to_string().contains("stored shard of shard 7 is damaged: truncated"), "{error}");
}

#[test]
fn a_nearly_full_disk_is_said_when_the_store_opens() {
    let folder = folder();
    let full = Options { min_free: MinFree::Bytes(u64::MAX), ..Options::default() };
    let (store, answers) = try_open(folder.path(), full).expect("opens");
    assert_eq!(next(&answers), Answer::Writable(false));
    // What was promised before can still be written.
    store.submit(A, 1, batch([put(Key::Shard(SHARD), "x")]));
    wait_stored(&answers, A, 1);
    assert!(store.usage().free_bytes > 0);
}

#[test]
fn usage_names_each_kind_and_counts_what_is_there() {
    let folder = folder();
    let (store, answers) = open(folder.path());
    let values = (0..1000).map(|first| Op::Put(Key::Block(SHARD, first), Bytes::from(vec![1; 1000])));
    store.submit(A, 1, batch(values.collect::<Vec<_>>()));
    wait_stored(&answers, A, 1);
    let usage = store.usage();
    assert_eq!(usage.kinds.iter().map(|kind| kind.kind).collect::<Vec<_>>(), Kind::ALL);
    let blocks = usage.kinds[Kind::Block.index()];
    assert_eq!(blocks.keys, 1000);
    assert!(blocks.memtable_bytes >= 1_000_000, "{blocks:?}");
}

/// What a crash at this moment would leave of a store that is still open, and its only log.
fn crashed(path: &Path) -> (TempDir, PathBuf) {
    let copy = folder();
    for entry in fs::read_dir(path).expect("reads") {
        let entry = entry.expect("reads");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
    }
    let files = fs::read_dir(copy.path()).expect("reads").map(|entry| entry.expect("reads").path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = logs.max_by_key(|path| path.metadata().expect("exists").len()).expect("a log");
    (copy, log)
}

fn flip(log: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(log).expect("reads");
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(log, bytes).expect("writes");
}

fn hundred_blocks(path: &Path) -> Store {
    let (store, answers) = open(path);
    for number in 1..=100 {
        store.submit(A, number, batch([put(Key::Block(SHARD, number), &"x".repeat(1000))]));
        wait_stored(&answers, A, number);
    }
    store
}

#[test]
fn a_flipped_bit_in_the_log_is_refused_unless_the_loss_is_accepted() {
    let folder = folder();
    let _store = hundred_blocks(folder.path());
    let (copy, log) = crashed(folder.path());
    flip(&log, |length| length / 2);

    for _ in 0..2 {
        let error = try_open(copy.path(), options()).map(drop).expect_err("is damaged");
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    let (store, _answers) = try_open(copy.path(), Options { accept_loss: true, ..options() }).expect("opens");
    let left = everything(&store);
    assert!((45..55).contains(&left.len()), "{} of 100 blocks", left.len());
    drop(store);
    assert_eq!(everything(&open(copy.path()).0), left);
}

#[test]
fn damage_to_what_was_stored_last_is_seen_too_when_a_moment_has_passed() {
    let folder = folder();
    let _store = hundred_blocks(folder.path());
    std::thread::sleep(Duration::from_millis(800));
    let (copy, log) = crashed(folder.path());
    flip(&log, |length| length - 500);
    let error = try_open(copy.path(), options()).map(drop).expect_err("is damaged");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_log_that_ends_in_the_middle_of_a_group_is_opened_with_all_groups_before() {
    let folder = folder();
    let _store = hundred_blocks(folder.path());
    let (copy, log) = crashed(folder.path());
    let length = log.metadata().expect("exists").len();
    fs::OpenOptions::new().write(true).open(&log).expect("opens").set_len(length - 300).expect("cuts");
    assert_eq!(everything(&open(copy.path()).0).len(), 99);
}

mod model {
    use proptest::prelude::*;

    use super::*;

    fn any_op() -> impl Strategy<Value = Op> {
        let shard = (0..5u16).prop_map(ShardId);
        let key = (shard, 0..6u64, "[a-c/]{0,2}", 0..4u8).prop_map(|(shard, number, text, kind)| match kind {
            0 => Key::Session(shard, SessionUid(number)),
            1 => Key::Block(shard, number),
            2 => Key::Retained(shard, text.into()),
            _ => Key::Subscription(shard, SessionUid(number), text.into()),
        });
        (key, prop::option::weighted(0.6, prop::collection::vec(any::<u8>(), 0..40))).prop_map(|(key, value)| {
            match value {
                Some(value) => Op::Put(key, value.into()),
                None => Op::Drop(key),
            }
        })
    }

    fn any_batches() -> impl Strategy<Value = Vec<Vec<Op>>> {
        prop::collection::vec(prop::collection::vec(any_op(), 0..12), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn store_and_twin_and_a_plain_map_hold_the_same_after_each_restart(lives in prop::collection::vec(any_batches(), 1..4)) {
            let folder = folder();
            let mut twin = MemoryStore::new();
            let mut plain = BTreeMap::new();
            for batches in lives {
                let (store, answers) = open(folder.path());
                twin = twin.crash(0);
                for (number, ops) in (1..).zip(&batches) {
                    for op in ops {
                        match op {
                            Op::Put(key, value) => plain.insert(key.clone(), value.clone()),
                            Op::Drop(key) => plain.remove(key),
                        };
                    }
                    store.submit(A, number, batch(ops.clone()));
                    twin.submit(A, number, batch(ops.clone()));
                }
                wait_stored(&answers, A, batches.len() as u64);
                prop_assert_eq!(twin.sync(usize::MAX), [Answer::Stored { worker: A, batch: batches.len() as u64 }]);
                drop(store);

                let (store, _answers) = open(folder.path());
                for wanted in [|_: ShardId| true, |shard: ShardId| shard.0 % 2 == 1] {
                    let mut of_twin = Vec::new();
                    twin.recover(wanted, |key, value| { of_twin.push((key, value)); Ok(()) }).expect("recovers");
                    prop_assert_eq!(&recovered(&store, wanted), &of_twin);
                }
                prop_assert_eq!(everything(&store), plain.clone().into_iter().collect::<Vec<_>>());
            }
        }
    }
}

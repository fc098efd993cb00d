//! What every store promises.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_controlplane_core::ledger::Revision;
use sluice_controlplane_store::{
    Change, Entry, Listing, MetaStore, Outcome, StoreError, TRANSACTION_OPS_MAX, Txn, VALUE_BYTES_MAX, Watch,
    WatchEvent,
};

/// Longer than anything takes that does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a lease lasts.
pub(crate) const TTL: Duration = Duration::from_secs(2);

pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

pub(crate) fn put(key: &str, value: &str) -> Txn {
    Txn::new().put(key.into(), value.into())
}

pub(crate) async fn committed(store: &impl MetaStore, txn: Txn) -> Revision {
    match store.commit(txn).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict { key, modified } => panic!("{key} was modified at {modified}"),
    }
}

/// The next event that says something.
pub(crate) async fn next(watch: &mut Watch) -> WatchEvent {
    soon("an event", async {
        loop {
            match watch.next().await {
                WatchEvent::Interrupted { .. } | WatchEvent::Resumed { .. } => {}
                event @ (WatchEvent::Listed(_) | WatchEvent::Changed { .. }) => return event,
            }
        }
    })
    .await
}

/// What a follower knows after an event.
pub(crate) fn follow(known: &mut BTreeMap<String, Entry>, event: WatchEvent) {
    match event {
        WatchEvent::Listed(listing) => {
            *known = listing.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        }
        WatchEvent::Changed { changes, .. } => {
            for Change { key, entry } in changes {
                match entry {
                    Some(entry) => known.insert(key, entry),
                    None => known.remove(&key),
                };
            }
        }
        WatchEvent::Interrupted { .. } | WatchEvent::Resumed { .. } => {}
    }
}

pub(crate) async fn a_transaction_is_written_whole_or_not_at_all<S: MetaStore>(store: Arc<S>) {
    let first = committed(&*store, put("a", "1").put("b".into(), b"1".to_vec())).await;
    let second = committed(&*store, put("b", "2").expect("b".into(), first)).await;
    assert_eq!(second.0, first.0 + 1, "each transaction takes one revision");
    let stale = put("c", "1").put("a".into(), b"9".to_vec()).expect("a".into(), first).expect("b".into(), first);
    let outcome = store.commit(stale).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict { key: "b".into(), modified: second });
    assert_eq!(store.get("c").await.unwrap(), None);
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"1");
    let create = put("c", "1").expect("c".into(), Revision::ABSENT);
    committed(&*store, create.clone()).await;
    assert!(matches!(store.commit(create).await.unwrap(), Outcome::Conflict { .. }));
    let swap = Txn::new().delete("a".into()).put("d".into(), b"1".to_vec()).expect("a".into(), first);
    committed(&*store, swap).await;
    assert_eq!(store.get("a").await.unwrap(), None);
    let gone = store.commit(put("a", "2").expect("a".into(), first)).await.unwrap();
    assert_eq!(gone, Outcome::Conflict { key: "a".into(), modified: Revision::ABSENT });
}

pub(crate) async fn an_entry_knows_when_it_was_created_and_modified<S: MetaStore>(store: Arc<S>) {
    let created = committed(&*store, put("a", "1")).await;
    let modified = committed(&*store, put("a", "")).await;
    let entry = Entry { key: "a".into(), value: vec![], created, modified };
    assert_eq!(store.get("a").await.unwrap(), Some(entry));
    committed(&*store, Txn::new().delete("a".into())).await;
    let again = committed(&*store, put("a", "3")).await;
    let entry = Entry { key: "a".into(), value: b"3".to_vec(), created: again, modified: again };
    assert_eq!(store.get("a").await.unwrap(), Some(entry));
}

pub(crate) async fn a_listing_is_of_one_revision_and_of_its_prefix_only<S: MetaStore>(store: Arc<S>) {
    let first = committed(&*store, put("x/a", "1").put("x0".into(), vec![]).put("x/".into(), vec![])).await;
    let second = committed(&*store, put("y", "1")).await;
    let listing = store.list("x/").await.unwrap();
    let keys: Vec<_> = listing.entries.iter().map(|entry| (entry.key.as_str(), entry.modified)).collect();
    assert_eq!((listing.revision, keys), (second, vec![("x/", first), ("x/a", first)]));
    assert_eq!(store.list("z").await.unwrap(), Listing { revision: second, entries: vec![] });
}

pub(crate) async fn a_listing_of_many_entries_is_complete<S: MetaStore>(store: Arc<S>) {
    let keys: Vec<String> = (0..700).map(|number| format!("many/{number:04}")).collect();
    for some in keys.chunks(TRANSACTION_OPS_MAX) {
        let txn = some.iter().fold(Txn::new(), |txn, key| txn.put(key.clone(), vec![b'v'; 5000]));
        committed(&*store, txn).await;
    }
    let listing = store.list("many/").await.unwrap();
    assert_eq!(listing.entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), keys);
}

pub(crate) async fn of_writers_that_race_exactly_one_wins_each_round<S: MetaStore>(store: Arc<S>) {
    const ROUNDS: u64 = 20;
    let writers = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut won = 0;
            loop {
                let held = store.get("counter").await.unwrap();
                let (at, count) = held.map_or((Revision::ABSENT, 0), |held| {
                    (held.modified, String::from_utf8(held.value).unwrap().parse::<u64>().unwrap())
                });
                if count >= ROUNDS {
                    return won;
                }
                let txn = put("counter", &(count + 1).to_string()).expect("counter".into(), at);
                won += u64::from(matches!(store.commit(txn).await.unwrap(), Outcome::Committed(_)));
            }
        })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        won += soon("a race", writer).await.unwrap();
    }
    assert_eq!(won, ROUNDS);
}

pub(crate) async fn a_watch_says_everything_once_in_order_and_together<S: MetaStore>(store: Arc<S>) {
    let start = committed(&*store, put("w/a", "0")).await;
    let mut watch = store.watch("w/", Some(start));
    for number in 0..50 {
        let txn = put("w/a", &number.to_string()).put(format!("w/{number}"), vec![]).put("other".into(), vec![]);
        committed(&*store, txn).await;
        committed(&*store, put("other", "x")).await;
    }
    committed(&*store, Txn::new().delete("w/a".into()).delete("w/0".into())).await;
    let mut last = start;
    for number in 0..50 {
        let WatchEvent::Changed { revision, changes } = next(&mut watch).await else { panic!("no gap was there") };
        let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
        assert_eq!(keys.len(), 2, "{keys:?}");
        let of_a = changes.iter().find(|change| change.key == "w/a").and_then(|change| change.entry.clone()).unwrap();
        assert_eq!((of_a.value, of_a.modified), (number.to_string().into_bytes(), revision));
        assert!(revision > last);
        last = revision;
    }
    let WatchEvent::Changed { changes, .. } = next(&mut watch).await else { panic!("no gap was there") };
    assert!(changes.len() == 2 && changes.iter().all(|change| change.entry.is_none()));
}

pub(crate) async fn a_watch_begins_with_a_listing_or_where_it_is_told<S: MetaStore>(store: Arc<S>) {
    let first = committed(&*store, put("w/a", "1")).await;
    let second = committed(&*store, put("w/b", "1")).await;
    let mut watch = store.watch("w/", None);
    let WatchEvent::Listed(listing) = next(&mut watch).await else { panic!("it begins with a listing") };
    assert_eq!((listing.revision, listing.entries.len()), (second, 2));
    let third = committed(&*store, put("w/c", "1")).await;
    let expect = |event: WatchEvent, at: Revision| {
        assert!(matches!(event, WatchEvent::Changed { revision, .. } if revision == at), "{event:?}");
    };
    expect(next(&mut watch).await, third);
    let mut later = store.watch("w/", Some(first));
    expect(next(&mut later).await, second);
    expect(next(&mut later).await, third);
}

pub(crate) async fn a_watch_from_before_a_compaction_lists_again<S: MetaStore>(store: Arc<S>) {
    let first = committed(&*store, put("w/a", "1")).await;
    committed(&*store, put("w/a", "2")).await;
    let last = committed(&*store, put("w/b", "1")).await;
    store.compact(last).await.unwrap();
    store.compact(first).await.unwrap();
    let mut watch = store.watch("w/", Some(first));
    let WatchEvent::Listed(listing) = next(&mut watch).await else { panic!("what was in between is forgotten") };
    assert_eq!((listing.revision, listing.entries.len()), (last, 2));
    let next_one = committed(&*store, put("w/c", "1")).await;
    assert!(matches!(next(&mut watch).await, WatchEvent::Changed { revision, .. } if revision == next_one));
}

pub(crate) async fn what_no_store_can_take_is_refused<S: MetaStore>(store: Arc<S>) {
    let refused = |txn: Txn| async { matches!(store.commit(txn).await, Err(StoreError::Invalid { .. })) };
    let many = (0..=TRANSACTION_OPS_MAX).fold(Txn::new(), |txn, number| txn.put(number.to_string(), vec![]));
    assert!(refused(many).await);
    assert!(refused(Txn::new().put("a".into(), vec![0; VALUE_BYTES_MAX + 1])).await);
    let large = (0..3).fold(Txn::new(), |txn, number| txn.put(number.to_string(), vec![0; 500_000]));
    assert!(refused(large).await);
    assert_eq!(store.list("").await.unwrap().entries, []);
    committed(&*store, Txn::new().put("a".into(), vec![0; VALUE_BYTES_MAX])).await;
}

pub(crate) async fn one_candidate_leads_at_a_time_and_the_next_one_follows<S: MetaStore>(store: Arc<S>) {
    let first = soon("an election", store.campaign("leader", "one", TTL)).await.unwrap();
    assert_eq!(store.get("leader").await.unwrap().unwrap().value, b"one");
    let other = store.clone();
    let mut second = tokio::spawn(async move { other.campaign("leader", "two", TTL).await });
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(waited.is_err() && !first.is_lost(), "one leads, the other waits");
    first.resign().await;
    let second = soon("the next election", second).await.unwrap().unwrap();
    assert_eq!(store.get("leader").await.unwrap().unwrap().value, b"two");
    second.resign().await;
    assert_eq!(store.get("leader").await.unwrap(), None);
}

pub(crate) async fn a_leadership_that_is_dropped_is_given_up<S: MetaStore>(store: Arc<S>) {
    drop(soon("an election", store.campaign("leader", "one", TTL)).await.unwrap());
    let second = soon("the next election", store.campaign("leader", "two", TTL)).await.unwrap();
    assert!(!second.is_lost());
}

pub(crate) async fn the_status_says_what_it_is<S: MetaStore>(store: Arc<S>) {
    let revision = committed(&*store, put("a", "1")).await;
    let status = store.status().await.unwrap();
    assert!(status.revision >= revision && status.has_quorum() && status.alarms.is_empty(), "{status:?}");
    assert!(status.members.iter().all(|member| member.error.is_none()));
}

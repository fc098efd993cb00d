//! What only etcd can do.

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use sluice_controlplane_core::ledger::Revision;
use sluice_controlplane_store::{Etcd, EtcdSettings, EtcdTls, MetaStore, Outcome, StoreError, WatchEvent};

use crate::{
    process::Cluster,
    suite::{TTL, committed, follow, next, put, soon},
};

/// Writes until it is written, as callers do: with an expectation that holds once.
async fn insist(store: &Etcd, key: &str, value: &str) {
    soon("a write", async {
        loop {
            let at = match store.get(key).await {
                Ok(held) if held.as_ref().is_some_and(|held| held.value == value.as_bytes()) => return,
                Ok(held) => held.map_or(Revision::ABSENT, |held| held.modified),
                Err(error) => {
                    assert!(error.is_passing(), "{error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            match store.commit(put(key, value).expect(key.into(), at)).await {
                Ok(Outcome::Committed(_)) => return,
                Ok(Outcome::Conflict { .. }) => {}
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
        }
    })
    .await;
}

async fn leader_of(store: &Etcd) -> usize {
    soon("a leader", async {
        loop {
            let status = store.status().await;
            if let Some(nth) = status.ok().and_then(|of| of.members.iter().position(|member| member.is_leader)) {
                return nth;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_watches_go_on_when_members_and_the_leader_are_killed() {
    let mut cluster = Cluster::start(3).await;
    let store = cluster.connect().await;
    let mut watch = store.watch("k/", None);
    let mut known = BTreeMap::new();
    for round in 0..3 {
        let killed = if round == 0 { leader_of(&store).await } else { round };
        cluster.kill(killed);
        for number in 0..10 {
            insist(&store, &format!("k/{number}"), &format!("{round}")).await;
        }
        soon("what was written", async {
            while known.len() < 10
                || known
                    .values()
                    .any(|entry: &sluice_controlplane_store::Entry| entry.value != round.to_string().as_bytes())
            {
                follow(&mut known, watch.next().await);
            }
        })
        .await;
        soon("a status that names the member", async {
            // The first answers may come from where the member was.
            while !store.status().await.is_ok_and(|of| of.has_quorum() && of.members[killed].error.is_some()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        cluster.run(killed);
        soon("the member", async {
            while store.status().await.map_or(true, |of| of.members.iter().any(|member| member.error.is_some())) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_of_three_may_be_away_from_the_start() {
    let mut cluster = Cluster::prepare(3, "http", vec![]);
    cluster.run(0);
    cluster.run(2);
    let store = cluster.wait(&cluster.settings()).await;
    for number in 0..20 {
        insist(&store, &format!("k/{number}"), "x").await;
    }
    assert_eq!(store.list("k/").await.unwrap().entries.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_was_away_during_a_compaction_lists_again_and_misses_nothing() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.connect().await;
    committed(&store, put("w/a", "1")).await;
    committed(&store, put("w/b", "1")).await;
    let mut watch = store.watch("w/", None);
    let mut known = BTreeMap::new();
    follow(&mut known, next(&mut watch).await);
    cluster.kill(0);
    let noticed = soon("the end of the store", async {
        loop {
            if matches!(watch.next().await, WatchEvent::Interrupted { .. }) {
                return true;
            }
        }
    });
    assert!(noticed.await);
    // While nobody watches, an entry goes, one comes, and how that came about is forgotten. The watch finds the store only
    // afterwards: it comes back on another port.
    let aside = Cluster::moved(&mut cluster).await;
    let other = aside.connect().await;
    committed(&other, sluice_controlplane_store::Txn::new().delete("w/a".into())).await;
    let last = committed(&other, put("w/c", "1")).await;
    other.compact(last).await.unwrap();
    Cluster::back(aside, &mut cluster).await;
    let event = next(&mut watch).await;
    assert!(matches!(event, WatchEvent::Listed(_)), "{event:?}");
    follow(&mut known, event);
    assert_eq!(known.keys().collect::<Vec<_>>(), ["w/b", "w/c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_shows_as_a_listing_of_an_older_revision() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.connect().await;
    committed(&store, put("w/a", "1")).await;
    let backup = cluster.data(0).with_extension("backup");
    cluster.kill(0);
    copy(&cluster.data(0), &backup);
    cluster.run(0);
    insist(&store, "w/a", "2").await;
    insist(&store, "w/b", "2").await;
    let mut watch = store.watch("w/", None);
    let WatchEvent::Listed(before) = next(&mut watch).await else { panic!("it begins with a listing") };
    cluster.kill(0);
    std::fs::remove_dir_all(cluster.data(0)).unwrap();
    copy(&backup, &cluster.data(0));
    cluster.run(0);
    let WatchEvent::Listed(after) = next(&mut watch).await else { panic!("the store is another one") };
    assert!(after.revision < before.revision);
    assert_eq!(after.entries.iter().map(|entry| entry.value.clone()).collect::<Vec<_>>(), [b"1"]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_store_is_gone_knows_that_it_does_not_lead() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.connect().await;
    let mut leadership = store.campaign("leader", "one", TTL).await.unwrap();
    tokio::time::sleep(TTL * 2).await;
    assert!(!leadership.is_lost(), "its lease is renewed");
    cluster.kill(0);
    soon("the loss", leadership.lost()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_key_is_taken_away_knows_and_the_next_one_leads() {
    let cluster = Cluster::start(1).await;
    let store = Arc::new(cluster.connect().await);
    let mut first = store.campaign("leader", "one", TTL).await.unwrap();
    let waiting = store.clone();
    let second = tokio::spawn(async move { waiting.campaign("leader", "two", TTL).await });
    committed(&*store, sluice_controlplane_store::Txn::new().delete("leader".into())).await;
    soon("the loss", first.lost()).await;
    let second = soon("the next election", second).await.unwrap().unwrap();
    assert_eq!(store.get("leader").await.unwrap().unwrap().value, b"two");
    assert!(!second.is_lost());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_frozen_loses_its_lease_to_another() {
    let cluster = Cluster::start(1).await;
    let store = cluster.connect().await;
    // A process that stops for longer than its lease is one whose renewals do not come.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = cluster.settings();
    let (frozen, leadership) = tokio::task::spawn_blocking(move || {
        let held = runtime
            .block_on(async { Etcd::connect(settings).await.unwrap().campaign("leader", "one", TTL).await.unwrap() });
        (runtime, held)
    })
    .await
    .unwrap();
    let second = soon("the next election", store.campaign("leader", "two", TTL)).await.unwrap();
    assert!(!second.is_lost());
    // Awake again, it finds out.
    let mut leadership = leadership;
    tokio::task::spawn_blocking(move || {
        frozen.block_on(async { soon("the loss", leadership.lost()).await });
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_says_so_and_its_status_shows_the_alarm() {
    let cluster = Cluster::start_with(1, &["--quota-backend-bytes", "4000000"]).await;
    let store = cluster.connect().await;
    let error = soon("the quota", async {
        for number in 0.. {
            let txn = sluice_controlplane_store::Txn::new().put(format!("k/{number}"), vec![b'x'; 500_000]);
            if let Err(error) = store.commit(txn).await {
                return error;
            }
        }
        unreachable!("it is full before")
    });
    assert_eq!(error.await, StoreError::Full);
    let status = store.status().await.unwrap();
    assert!(status.alarms.iter().any(|alarm| alarm.contains("no space left within its quota")), "{status:?}");
    assert!(status.size_bytes > 2_000_000 && store.get("k/0").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_lets_in_and_without_it_the_refusal_says_so() {
    let cluster = Cluster::start(1).await;
    let etcdctl = |arguments: &[&str]| {
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &cluster.endpoint(0)])
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    etcdctl(&["user", "add", "root:secret"]);
    etcdctl(&["user", "grant-role", "root", "root"]);
    etcdctl(&["auth", "enable"]);
    let with = |password: &str| EtcdSettings { user: Some(("root".into(), password.into())), ..cluster.settings() };
    let store = Etcd::connect(with("secret")).await.unwrap();
    committed(&store, put("a", "1")).await;
    let mut watch = store.watch("a", None);
    assert!(matches!(next(&mut watch).await, WatchEvent::Listed(_)));
    assert!(!soon("an election", store.campaign("leader", "one", TTL)).await.unwrap().is_lost());
    assert!(matches!(Etcd::connect(with("wrong")).await, Err(StoreError::Denied { .. })));
    let stranger = Etcd::connect(cluster.settings()).await.unwrap();
    assert!(matches!(stranger.get("a").await, Err(StoreError::Denied { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked_on_both_sides() {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(params, authority_key).unwrap();
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
    };
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = issue("localhost");
    let arguments = vec![
        "--client-cert-auth".to_owned(),
        format!("--trusted-ca-file={}", file("ca.pem", &authority.pem())),
        format!("--cert-file={}", file("server.pem", &certificate)),
        format!("--key-file={}", file("server.key", &key)),
    ];
    let mut cluster = Cluster::prepare(1, "https", arguments);
    cluster.run(0);
    let (certificate, key) = issue("control");
    let identity = Some((certificate.into_bytes(), key.into_bytes()));
    let tls = EtcdTls { authority: Some(authority.pem().into_bytes()), identity, server_name: None };
    let store = cluster.wait(&EtcdSettings { tls: Some(tls.clone()), ..cluster.settings() }).await;
    committed(&store, put("a", "1")).await;
    let refused = |tls: EtcdTls| {
        let settings = EtcdSettings { tls: Some(tls), timeout: Duration::from_secs(2), ..cluster.settings() };
        async move {
            match Etcd::connect(settings).await {
                Ok(store) => store.get("a").await.is_err(),
                Err(_) => true,
            }
        }
    };
    assert!(refused(EtcdTls { identity: None, ..tls.clone() }).await, "a stranger");
    assert!(refused(EtcdTls { authority: None, ..tls }).await, "an etcd that nobody vouches for");
}

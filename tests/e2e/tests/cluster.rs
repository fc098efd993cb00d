//! Nodes over control and etcd, all of them processes, are one broker; and they are one without control and etcd.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use sluice_mqtt::{QoS, Version};
use sluice_tests_e2e::{
    client::{Connection, Hello},
    cluster::{
        Cluster, Member,
        traffic::{Publisher, Stream, Subscriber, numbers},
        until,
    },
};

/// A cluster is a dozen processes: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn three_nodes_are_one_broker() {
    let _alone = alone();
    let cluster = Cluster::start(3);
    let nodes: [&Member; 3] = [&cluster.nodes[0], &cluster.nodes[1], &cluster.nodes[2]];
    messages_arrive_once_and_in_order_at_every_qos_from_every_node_at_every_node(nodes);
    each_message_of_a_group_goes_to_one_of_its_members_at_all_nodes(nodes);
    what_is_retained_is_seen_from_every_node(nodes);
    a_client_id_is_connected_at_one_node(nodes);
    a_session_is_found_from_every_node(nodes);
    what_clients_do_is_not_written_to_etcd(&cluster);
}

fn messages_arrive_once_and_in_order_at_every_qos_from_every_node_at_every_node(nodes: [&Member; 3]) {
    let qoses = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let filters = ["order/+/0", "order/#", "order/n1/+"];
    let subscribe = |(nth, filter): (usize, &&str)| {
        let id = format!("order {nth}");
        Subscriber::start(nodes[nth].mqtt, &Hello::transient(&id), &[filter], QoS::ExactlyOnce)
    };
    let subscribers: Vec<_> = filters.iter().enumerate().map(subscribe).collect();
    let mut publishers: Vec<_> = (0..3).map(|n| Publisher::start(nodes[n].mqtt, &format!("orders {n}"))).collect();
    for step in 0..10 {
        for (n, publisher) in publishers.iter_mut().enumerate() {
            for (level, qos) in qoses.iter().enumerate() {
                publisher.publish(&format!("order/n{n}/{level}"), step * 20..(step + 1) * 20, *qos);
            }
        }
    }
    for n in 0..3 {
        for level in 0..3 {
            let topic = format!("order/n{n}/{level}");
            let wants = [level == 0, true, n == 1];
            for (subscriber, _) in subscribers.iter().zip(wants).filter(|(_, wants)| *wants) {
                subscriber.until_number(&topic, 199);
            }
            for (nth, (subscriber, wants)) in subscribers.iter().zip(wants).enumerate() {
                let expected: Vec<u64> = if wants { (0..200).collect() } else { Vec::new() };
                assert_eq!(subscriber.numbers(&topic), expected, "{topic} at {nth}");
            }
        }
    }
    subscribers.into_iter().for_each(|subscriber| drop(subscriber.stop()));
}

fn each_message_of_a_group_goes_to_one_of_its_members_at_all_nodes(nodes: [&Member; 3]) {
    let member = |nth: usize| {
        let id = format!("member {nth}");
        Subscriber::start(nodes[nth].mqtt, &Hello::transient(&id), &["$share/group/work/#"], QoS::AtLeastOnce)
    };
    let members: Vec<_> = (0..3).map(member).collect();
    for (nth, node) in nodes.iter().enumerate() {
        let topic = format!("work/{nth}");
        Publisher::start(node.mqtt, &format!("foreman {nth}")).publish(&topic, 0..300, QoS::AtLeastOnce);
    }
    let all = || members.iter().map(|member| member.received().len()).sum::<usize>();
    until("all work is given out", || all() >= 900);
    let shares: Vec<_> = members.into_iter().map(Subscriber::stop).collect();
    for nth in 0..3 {
        let mut done: Vec<_> = shares.iter().flat_map(|share| numbers(share, &format!("work/{nth}"))).collect();
        done.sort_unstable();
        assert_eq!(done, (0..300).collect::<Vec<_>>(), "work/{nth}");
    }
    assert!(shares.iter().all(|share| share.len() >= 100));
}

fn what_is_retained_is_seen_from_every_node(nodes: [&Member; 3]) {
    for (nth, node) in nodes.iter().enumerate() {
        let mut publisher = Publisher::start(node.mqtt, &format!("keeper {nth}"));
        (0..30).for_each(|n| publisher.retain(&format!("kept/{nth}/{n}"), n.to_string().as_bytes()));
        // One is cleared at another node than where it was made.
        let mut other = Publisher::start(nodes[(nth + 1) % 3].mqtt, &format!("cleaner {nth}"));
        other.retain(&format!("kept/{nth}/7"), b"");
    }
    for (nth, node) in nodes.iter().enumerate() {
        let id = format!("reader {nth}");
        let reader = Subscriber::start(node.mqtt, &Hello::transient(&id), &["kept/#"], QoS::AtLeastOnce);
        until("what is retained arrives", || reader.received().len() >= 87);
        let received = reader.stop();
        let topics: BTreeSet<_> = received.iter().map(|delivery| delivery.topic.as_str()).collect();
        assert_eq!((received.len(), topics.len()), (87, 87), "at {nth}");
        assert!(received.iter().all(|delivery| delivery.retain && !delivery.topic.ends_with("/7")));
    }
}

fn a_client_id_is_connected_at_one_node(nodes: [&Member; 3]) {
    let hello = Hello::transient("the only one");
    let first = Subscriber::start(nodes[0].mqtt, &hello, &["only"], QoS::AtLeastOnce);
    let second = Subscriber::start(nodes[1].mqtt, &hello, &["only"], QoS::AtLeastOnce);
    until("the first connection is taken over", || first.is_over());
    Publisher::start(nodes[2].mqtt, "to the only one").publish("only", 0..3, QoS::AtLeastOnce);
    second.until_number("only", 2);
    assert_eq!(second.numbers("only"), [0, 1, 2]);
    assert_eq!(first.received(), []);
    drop(second.stop());
}

fn a_session_is_found_from_every_node(nodes: [&Member; 3]) {
    let hello = Hello::persistent(Version::V5, "wanderer");
    let mut publisher = Publisher::start(nodes[1].mqtt, "home");
    let mut next = 0;
    for at in [0, 1, 2, 0] {
        let filters: &[&str] = if next == 0 { &["letters/+"] } else { &[] };
        let wanderer = Subscriber::start(nodes[at].mqtt, &hello, filters, QoS::ExactlyOnce);
        assert_eq!(wanderer.session_present(), next > 0, "at {at}");
        // Those of the time away, and some while it is there.
        publisher.publish("letters/home", next..next + 20, QoS::ExactlyOnce);
        wanderer.until_number("letters/home", next + 19);
        let expected: Vec<u64> = (next.saturating_sub(20)..next + 20).collect();
        assert_eq!(numbers(&wanderer.stop(), "letters/home"), expected, "at {at}");
        publisher.publish("letters/home", next + 20..next + 40, QoS::AtLeastOnce);
        next += 40;
    }
    let last = Hello { clean_start: true, ..Hello::transient("wanderer") };
    drop(Subscriber::start(nodes[2].mqtt, &last, &["nothing"], QoS::AtMostOnce).stop());
}

fn what_clients_do_is_not_written_to_etcd(cluster: &Cluster) {
    let before = cluster.etcd.revision();
    for n in 0..3_400_u32 {
        let id = format!("visitor {n}");
        let node = &cluster.nodes[n as usize % 3];
        let hello = if n % 2 == 0 { Hello::transient(&id) } else { Hello::persistent(Version::V5, &id) };
        let mut connection = Connection::open(node.mqtt, &hello).unwrap();
        connection.subscribe(&[format!("visits/{n}")], QoS::AtLeastOnce);
        connection.publish(&format!("kept/visit/{n}"), b"was here", QoS::AtLeastOnce, 2, false, true);
        let (one, other) = (connection.expect_packet().unwrap(), connection.expect_packet().unwrap());
        assert_ne!(one, other);
        connection.disconnect().unwrap();
    }
    assert_eq!(cluster.etcd.revision(), before, "10,200 things that clients did");
}

#[test]
fn clients_do_not_notice_that_control_and_etcd_are_gone() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let at = |cluster: &Cluster, n: usize| cluster.nodes[n].mqtt;
    let listen = |cluster: &Cluster, n: usize, id: &str, filter: &str| {
        Subscriber::start(at(cluster, n), &Hello::transient(id), &[filter], QoS::ExactlyOnce)
    };
    let listener = listen(&cluster, 1, "all along", "stream/#");
    let streams = [("stream/1", QoS::AtLeastOnce), ("stream/2", QoS::ExactlyOnce)]
        .map(|(topic, qos)| Stream::start(at(&cluster, 0), topic, qos));
    listener.until_number("stream/2", 50);

    cluster.kill_control();
    cluster.etcd.kill();

    // New clients, new subscriptions on other nodes' topics, publishes, takeovers.
    let late = listen(&cluster, 2, "late", "stream/2");
    until("messages of another node arrive", || late.received().len() > 20);
    drop(late.stop());
    let first = listen(&cluster, 0, "moving", "moved");
    let second = listen(&cluster, 1, "moving", "moved");
    until("a connection is taken over", || first.is_over());
    Publisher::start(at(&cluster, 2), "mover").publish("moved", 0..20, QoS::ExactlyOnce);
    second.until_number("moved", 19);
    assert_eq!(numbers(&second.stop(), "moved"), (0..20).collect::<Vec<_>>());

    // A node that restarts meanwhile comes back with what it has on disk, links and all.
    cluster.nodes[2].service.kill().unwrap();
    cluster.nodes[2].service.start();
    cluster.nodes[2].until_ready();
    let back = listen(&cluster, 2, "back", "stream/1");
    until("a node that restarted serves", || back.received().len() > 20);
    let numbers_back = numbers(&back.stop(), "stream/1");
    assert!(numbers_back.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers_back:?}");

    // Two members of three are enough to start with, also when the first that control asks is the one that is away.
    cluster.etcd.start_again(1);
    cluster.start_control();
    cluster.until_linked();

    for stream in streams {
        let topic = stream.topic().to_owned();
        let count = stream.stop();
        listener.until_number(&topic, count - 1);
        assert_eq!(listener.numbers(&topic), (0..count).collect::<Vec<_>>(), "{topic}");
    }
    drop(listener.stop());
}

#[test]
fn what_is_acknowledged_for_sessions_of_a_node_that_is_killed_arrives_when_it_is_back() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    // Enough for every node to be the home of some.
    let names: Vec<String> = (0..12).map(|nth| format!("keeper {nth}")).collect();
    for name in &names {
        let hello = Hello::persistent(Version::V5, name);
        drop(Subscriber::start(cluster.nodes[0].mqtt, &hello, &["for/keepers"], QoS::AtLeastOnce).stop());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (stop, address) = (Arc::clone(&stop), cluster.nodes[0].mqtt);
        thread::spawn(move || {
            let mut publisher = Publisher::start(address, "author");
            let mut acknowledged = Vec::new();
            for number in 0_u64.. {
                let answer = publisher.send("for/keepers", number.to_string().as_bytes(), QoS::AtLeastOnce, false);
                if !answer.is_error() {
                    acknowledged.push(number);
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            acknowledged
        })
    };
    for node in [1, 2, 1] {
        thread::sleep(Duration::from_millis(500));
        cluster.nodes[node].service.kill().unwrap();
        thread::sleep(Duration::from_millis(300));
        cluster.nodes[node].service.start();
        cluster.nodes[node].until_ready();
        cluster.until_linked();
    }
    thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let acknowledged = publisher.join().unwrap();
    assert!(acknowledged.len() > 100, "{} were acknowledged", acknowledged.len());
    for (nth, name) in names.iter().enumerate() {
        let hello = Hello::persistent(Version::V5, name);
        let keeper = Subscriber::start(cluster.nodes[nth % 3].mqtt, &hello, &[], QoS::AtLeastOnce);
        assert!(keeper.session_present(), "{name}");
        until("the last message arrives", || keeper.numbers("for/keepers").last() >= acknowledged.last());
        let received: BTreeSet<u64> = keeper.numbers("for/keepers").into_iter().collect();
        let missing: Vec<_> = acknowledged.iter().filter(|number| !received.contains(number)).collect();
        assert!(missing.is_empty(), "{name} misses {missing:?} of {} that were acknowledged", acknowledged.len());
        drop(keeper.stop());
    }
}

#[test]
fn what_a_node_had_retained_is_shown_by_the_others_when_it_is_killed_and_control_and_etcd_too() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let mut publisher = Publisher::start(cluster.nodes[0].mqtt, "archivist");
    let large = [b'L'; 4_000];
    for n in 0..90 {
        publisher.retain(&format!("archive/{n}"), n.to_string().as_bytes());
        publisher.retain(&format!("archive/{n}/picture"), &large);
    }
    (0..10).for_each(|n| publisher.retain(&format!("archive/{n}"), b""));
    let at_home: Vec<f64> = cluster.nodes.iter().map(|node| node.sum("mqtt_retained_messages")).collect();
    assert!(at_home.iter().all(|held| *held > 0.0), "every node is the home of some: {at_home:?}");
    // Nobody waits for copies; they come at once.
    let is_copied = |node: &Member| node.sum("mqtt_retained_messages") + node.sum("mqtt_retained_copies") == 170.0;
    until("all is copied", || cluster.nodes.iter().all(is_copied));

    cluster.kill_control();
    cluster.etcd.kill();
    cluster.nodes[2].service.kill().unwrap();
    let all: BTreeSet<u64> = (10..90).collect();
    for at in [0, 1] {
        assert_eq!(archived(&cluster.nodes[at], at), all, "at {at}");
        assert!(cluster.nodes[at].sum("mqtt_retained_copies_shown_total") > 0.0, "at {at}");
    }
    // One that is restarted meanwhile has them on its disk.
    cluster.nodes[1].service.kill().unwrap();
    cluster.nodes[1].service.start();
    cluster.nodes[1].until_ready();
    assert_eq!(archived(&cluster.nodes[1], 1), all, "after a restart");
    assert!(cluster.nodes[1].sum("mqtt_retained_copies_missed_total") > 0.0, "pictures of the node that is dead");
}

/// The small messages that a new subscriber at a node is shown, when nothing comes any more.
fn archived(node: &Member, at: usize) -> BTreeSet<u64> {
    let id = format!("visitor of the archive at {at}");
    let reader = Subscriber::start(node.mqtt, &Hello::transient(&id), &["archive/+"], QoS::AtLeastOnce);
    until("what is archived arrives", || reader.received().len() >= 80);
    let everything =
        Subscriber::start(node.mqtt, &Hello::transient(&format!("{id}, pictures")), &["archive/#"], QoS::AtLeastOnce);
    until("pictures arrive", || everything.received().len() > 80);
    drop(everything.stop());
    let received = reader.stop();
    assert!(received.iter().all(|delivery| delivery.retain));
    received.iter().map(|delivery| delivery.topic.rsplit('/').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn an_etcd_that_was_restored_from_an_older_backup_is_noticed_and_nothing_is_pushed() {
    let _alone = alone();
    let mut cluster = Cluster::start(2);
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    cluster.etcd.save(&backup);
    let id = ask(&cluster, "GET", "/api/v1/nodes", "")["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/nodes/{id}");
    assert_eq!(ask(&cluster, "PATCH", &path, r#"{"cordoned": true}"#)["phase"], "cordoned");
    let taken = |cluster: &Cluster| -> Vec<usize> {
        let of = |node: &Member| node.service.log_tail(usize::MAX).matches("a table was taken").count();
        cluster.nodes.iter().map(of).collect()
    };
    let is_told = |cluster: &Cluster| {
        let alarms = (0..2).map(|nth| cluster.control(nth, "GET", "/api/v1/alarms", "")["items"].clone());
        let mut codes =
            alarms.filter_map(|alarms| Some(alarms.as_array()?.iter().any(|it| it["code"] == "store.went_back")));
        codes.any(|is_told| is_told)
    };
    until("all is quiet", || {
        let before = taken(&cluster);
        thread::sleep(Duration::from_millis(500));
        before == taken(&cluster)
    });
    let before = taken(&cluster);

    // Control is down meanwhile, and comes back under the leadership of the backup.
    cluster.kill_control();
    cluster.etcd.restore(&backup);
    cluster.start_control();
    until("control has noticed", || is_told(&cluster));
    let listener = Subscriber::start(cluster.nodes[1].mqtt, &Hello::transient("ear"), &["x"], QoS::AtLeastOnce);
    Publisher::start(cluster.nodes[0].mqtt, "mouth").publish("x", 0..10, QoS::AtLeastOnce);
    listener.until_number("x", 9);
    drop(listener.stop());
    assert_eq!(taken(&cluster), before, "nothing was pushed");

    // An operator takes the backup as it is: the node that was cordoned since is not any more, and control pushes again.
    let accepted = ask(&cluster, "POST", "/api/v1/store/accept", "{}");
    assert!(accepted["epoch"].as_u64() > Some(1), "{accepted}");
    until("the alarm is over and the nodes are told", || {
        !is_told(&cluster) && taken(&cluster).iter().zip(&before).all(|(now, before)| now > before)
    });
    assert_eq!(ask(&cluster, "GET", &path, "")["phase"], "active");
}

/// Asks the replica that leads.
fn ask(cluster: &Cluster, method: &str, path: &str, body: &str) -> Value {
    let mut answer = Value::Null;
    until("a replica of control leads and answers", || {
        (0..cluster.controls.len()).any(|nth| {
            answer = cluster.control(nth, method, path, body);
            !answer.is_null() && answer["status"] != 503
        })
    });
    answer
}

mod clients;
mod strangers;
mod world;

use std::sync::atomic::Ordering;

use self::world::{Authority, Node, linked, until};
use super::*;

#[test]
fn frames_cross_both_ways_and_are_answered() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    for n in 0..500u32 {
        a.send(b.id, &n.to_le_bytes());
        b.send(a.id, &n.to_le_bytes());
    }
    for (node, other) in [(&a, &b), (&b, &a)] {
        until("all are answered", || node.shared.answered.load(Ordering::Relaxed) == 500);
        let received = std::mem::take(&mut node.shared.board().received);
        let expected: Vec<_> = (0..500u32).map(|n| (other.id, n.to_le_bytes().to_vec())).collect();
        assert_eq!(received, expected);
        let stats = node.links.handle().stats();
        assert_eq!((stats.len(), stats[0].peer, stats[0].connections), (1, other.id, 1));
        assert!(stats[0].connected_for.is_some() && stats[0].bytes.0 > 2_000 && stats[0].bytes.1 > 2_000, "{stats:?}");
        assert!(stats[0].round_trip > Duration::ZERO && stats[0].packets > 0 && stats[0].queued_bytes == 0);
    }
}

#[test]
fn three_nodes_are_linked_to_each_other_and_not_to_themselves() {
    let authority = Authority::new();
    let nodes = [3, 1, 2].map(|id| Node::start(&authority, id, 1, None));
    let all: Vec<&Node> = nodes.iter().collect();
    nodes.iter().for_each(|node| node.allow(&all));
    until("all are linked", || nodes.iter().all(|node| node.shared.board().up.len() == 2));
}

#[test]
fn a_node_that_was_restarted_is_linked_again_and_gets_what_it_has_not_answered() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    b.shared.refuses.store(true, Ordering::Relaxed);
    a.send(b.id, b"before");
    let (id, address) = (b.id, b.links.local_addr());
    drop(b);
    until("the link is down", || !a.is_up(id));
    a.send(id, b"meanwhile");
    let b = Node::start(&authority, 2, 2, Some(address));
    b.allow(&[&a]);
    until("both frames are there", || b.shared.board().received.len() == 2);
    assert_eq!(b.shared.board().received[0].1, b"before");
    until("both are answered", || a.shared.answered.load(Ordering::Relaxed) == 2);
    assert!(a.links.handle().stats()[0].connections >= 2, "one was tried before the other let it in, or both dialled");
}

#[test]
fn a_node_that_restarts_finds_the_others_that_wait_for_it() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    let address = a.links.local_addr();
    drop(a);
    until("the link is down", || !b.is_up(NodeId(1)));
    let a = Node::start(&authority, 1, 2, Some(address));
    a.allow(&[&b]);
    until("both are linked", || a.is_up(b.id) && b.is_up(a.id));
}

#[test]
fn a_node_that_leaves_the_table_is_cut_off_and_comes_back_with_it() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    b.allow(&[]);
    until("both are apart", || !a.is_up(b.id) && !b.is_up(a.id));
    until("it is told why", || a.last_error(b.id).contains("not among those allowed"));
    b.allow(&[&a]);
    until("both are linked", || a.is_up(b.id) && b.is_up(a.id));
    a.allow(&[]);
    until("both are apart", || !a.is_up(b.id) && !b.is_up(a.id));
    assert_eq!(a.links.handle().stats(), []);
}

#[test]
fn a_node_is_found_at_its_new_address() {
    let authority = Authority::new();
    let (a, b) = (Node::start(&authority, 1, 1, None), Node::start(&authority, 2, 1, None));
    b.allow(&[&a]);
    a.links.handle().allow([(b.id, "no-such-host.invalid:1".to_owned())].into());
    until("the name is not found", || a.last_error(b.id).contains("cannot be resolved"));
    let port = b.links.local_addr().port();
    a.links.handle().allow([(b.id, format!("localhost:{port}"))].into());
    until("both are linked", || a.is_up(b.id));
}

#[test]
fn a_certificate_is_exchanged_under_a_running_link() {
    let (old, new) = (Authority::new(), Authority::new());
    let (tls_a, tls_b) = (old.tls(1), old.tls(2));
    let (a, b) = (Node::with(Arc::clone(&tls_a), 1, 1, None), Node::with(Arc::clone(&tls_b), 2, 1, None));
    a.allow(&[&b]);
    b.allow(&[&a]);
    until("both are linked", || a.is_up(b.id) && b.is_up(a.id));
    for (tls, node) in [(&tls_a, 1), (&tls_b, 2)] {
        let (from, to) = (
            new.files(&format!("node-{node}"), &[sluice_cluster::Identity::Node(NodeId(node)).to_string()]),
            tls.files(),
        );
        std::fs::copy(from.certificate.cert, &to.certificate.cert).unwrap();
        std::fs::copy(from.certificate.key, &to.certificate.key).unwrap();
        std::fs::copy(from.ca, &to.ca).unwrap();
        tls.reload().unwrap();
    }
    a.links.handle().reload();
    b.links.handle().reload();
    a.send(b.id, b"still here");
    until("it is answered", || a.shared.answered.load(Ordering::Relaxed) == 1);
    assert_eq!((a.shared.board().ups, b.shared.board().ups), (1, 1), "nobody was cut off");
    let c = Node::start(&new, 3, 1, None);
    a.allow(&[&b, &c]);
    c.allow(&[&a]);
    until("the new one is linked", || a.is_up(c.id));
}

#[test]
fn what_is_not_accepted_waits_at_its_sender_within_its_bounds() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    b.shared.counts.store(true, Ordering::Relaxed);
    b.shared.refuses.store(true, Ordering::Relaxed);
    let frames = 4_000u64;
    for n in 0..frames {
        let mut frame = vec![0; 10_000];
        frame[..8].copy_from_slice(&n.to_le_bytes());
        a.shared.board().to_send.push((b.id, frame));
    }
    a.links.handle().wake();
    until("the window is full", || {
        a.shared.board().to_send.len() < frames as usize && a.links.handle().stats()[0].queued_bytes > 7 << 20
    });
    let received = b.shared.received_bytes.load(Ordering::Relaxed);
    assert!(received < 2 << 20, "{received} bytes were taken by one who takes none");
    b.shared.refuses.store(false, Ordering::Relaxed);
    b.links.handle().wake();
    until("all are answered", || a.shared.answered.load(Ordering::Relaxed) == frames);
}

#[test]
fn much_arrives_in_order() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    for node in [&a, &b] {
        node.shared.counts.store(true, Ordering::Relaxed);
    }
    let frames = 50_000u64;
    for round in 0..10 {
        for (node, other) in [(&a, &b), (&b, &a)] {
            let numbered = (round * frames / 10..(round + 1) * frames / 10).map(|n| {
                let mut frame = vec![7; 8 + (n % 1_000) as usize];
                frame[..8].copy_from_slice(&n.to_le_bytes());
                (other.id, frame)
            });
            node.shared.board().to_send.extend(numbered);
            node.links.handle().wake();
        }
    }
    until("all are answered", || [&a, &b].iter().all(|node| node.shared.answered.load(Ordering::Relaxed) == frames));
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let authority = Authority::new();
    let refused = |config: LinksConfig| {
        let answer = world::start(config, authority.tls(1), 1, Arc::default());
        answer.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let config = world::config_of(1, None);
    assert!(
        refused(LinksConfig { mtu_max: 9_000, ..config.clone() }).contains("9000 bytes is not within 1200 to 6500")
    );
    assert!(
        refused(LinksConfig { node: NodeId(2), ..config }).contains("not for spiffe://sluice/node/0000000000000002")
    );
}

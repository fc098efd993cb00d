//! Whoever comes without a right to, or does not keep to the protocol.

use quinn::{Connection, ConnectionError, Endpoint};
use sluice_dataplane_core::link::{Link, LinkLimits};

use super::*;
use crate::links::{
    profile::{self, Profile, Profiles},
    tests::world::config_of,
};

/// Something that speaks QUIC by hand.
struct Stranger {
    runtime: tokio::runtime::Runtime,
    endpoint: Endpoint,
    profiles: Profiles,
}

impl Stranger {
    fn new(tls: &PeerTls) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let profiles = Profiles::new(&config_of(1, None), tls).unwrap();
        drop(_inside);
        Self { runtime, endpoint, profiles }
    }

    fn open(&self, node: &Node) -> Result<Connection, ConnectionError> {
        self.open_with(node, self.profiles.open(Profile::Lanes))
    }

    fn open_with(&self, node: &Node, config: quinn::ClientConfig) -> Result<Connection, ConnectionError> {
        let address = node.links.local_addr();
        self.runtime.block_on(async { self.endpoint.connect_with(config, address, "node.sluice").unwrap().await })
    }

    /// How a connection ends.
    fn end(&self, connection: &Connection) -> String {
        self.runtime.block_on(connection.closed()).to_string()
    }

    /// Opens a lane and says something.
    fn say(&self, connection: &Connection, bytes: &[u8]) {
        self.runtime.block_on(async {
            let mut stream = connection.open_uni().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            // It stays open.
            std::mem::forget(stream);
        });
    }

    /// How an attempt to come in ends.
    fn fate(&self, node: &Node) -> String {
        match self.open(node) {
            Ok(connection) => self.end(&connection),
            Err(error) => error.to_string(),
        }
    }
}

fn named(authority: &Authority, uris: &[&str]) -> Stranger {
    let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
    Stranger::new(&PeerTls::load(authority.files("stranger", &uris)).unwrap())
}

/// Node 2, which lets in node 1 and knows a node 3.
fn guarded(authority: &Authority) -> Node {
    let node = Node::start(authority, 2, 1, None);
    node.links.handle().allow([1, 3].map(|id| (NodeId(id), "127.0.0.1:9".to_owned())).into());
    node
}

#[test]
fn a_certificate_of_another_authority_is_refused_by_both_sides() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let node = guarded(&ours);
    let fate = Stranger::new(&theirs.tls(1)).fate(&node);
    assert!(fate.contains("invalid peer certificate"), "{fate}");
    // It trusts the node's authority, but is of its own.
    let files = theirs.files("node-1", &[sluice_cluster::Identity::Node(NodeId(1)).to_string()]);
    std::fs::copy(ours.files("x", &[]).ca, &files.ca).unwrap();
    let fate = Stranger::new(&PeerTls::load(files).unwrap()).fate(&node);
    assert!(fate.contains("handshake failed") || fate.contains("the peer: "), "{fate}");
    assert!(node.shared.board().up.is_empty());
}

#[test]
fn a_certificate_names_exactly_one_node_that_is_allowed() {
    let authority = Authority::new();
    let node = guarded(&authority);
    let (one, five) =
        (sluice_cluster::Identity::Node(NodeId(1)).to_string(), sluice_cluster::Identity::Node(NodeId(5)).to_string());
    for (uris, why) in [
        (&[][..], "not for one node"),
        (&["spiffe://other/node/0000000000000001"], "not for one node"),
        (&[&one, &five], "not for one node"),
        (&[&five], "not among those allowed"),
    ] {
        let fate = named(&authority, uris).fate(&node);
        assert!(fate.contains(why), "{uris:?}: {fate}");
    }
    assert!(named(&authority, &[&one, "https://example.com"]).open(&node).is_ok());
}

#[test]
fn a_node_that_is_not_the_one_that_was_meant_is_left() {
    let authority = Authority::new();
    let (a, c) = (Node::start(&authority, 1, 1, None), Node::start(&authority, 3, 1, None));
    c.allow(&[&a]);
    // The address of node 3 is given for node 2.
    a.links.handle().allow([(NodeId(2), c.links.local_addr().to_string())].into());
    until("it is found out", || a.last_error(NodeId(2)).contains("not the node that was meant"));
    assert!(!a.is_up(NodeId(2)));
}

#[test]
fn only_the_smaller_of_two_nodes_opens_so_that_they_never_meet_half_way() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    let fate = Stranger::new(&authority.tls(2)).fate(&a);
    assert!(fate.contains("smaller id opens"), "{fate}");
    assert!(a.is_up(b.id) && a.shared.board().ups == 1, "the link stays");
}

#[test]
fn a_second_connection_takes_the_place_of_the_first() {
    let authority = Authority::new();
    let node = guarded(&authority);
    let stranger = Stranger::new(&authority.tls(1));
    let first = stranger.open(&node).unwrap();
    let second = stranger.open(&node).unwrap();
    let end = stranger.end(&first);
    assert!(end.contains("taken its place"), "{end}");
    assert_eq!(second.close_reason(), None);
    until("it is counted", || node.links.handle().stats()[0].connections == 2);
}

#[test]
fn a_connection_is_of_the_kind_that_it_says() {
    let authority = Authority::new();
    let node = guarded(&authority);
    let stranger = Stranger::new(&authority.tls(1));
    let with = |id: &'static [u8]| {
        let mut config = stranger.profiles.open(Profile::Clients);
        config.initial_dst_cid_provider(Arc::new(|| quinn::ConnectionId::new(id)));
        stranger.open_with(&node, config).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(with(b"\xC1 clients, honestly"), Ok(()));
    // TLS has an alert for it (RFC 7301, 3.2).
    let ends = [with(b"\x51 lanes, but no"), with(b"neither of them")].map(Result::unwrap_err);
    assert!(ends[0].contains("120") && ends[1].contains("refused"), "{ends:?}");
}

#[test]
fn a_node_that_says_nothing_or_nonsense_is_cut_off() {
    let authority = Authority::new();
    let node = guarded(&authority);
    let stranger = Stranger::new(&authority.tls(1));
    for (lanes, why) in [
        (&[][..], "has not said Hello"),
        (&[&b"\x00\x05\x01abcd"[..]], "cannot be read"),
        (&[b"\x00\x01\x04"], "means nothing"),
        (&[b"\x09"], "lane"),
        (&[b"\x01\x01", b"\x01"], "lane"),
    ] {
        let connection = stranger.open(&node).unwrap();
        lanes.iter().for_each(|bytes| stranger.say(&connection, bytes));
        let end = stranger.end(&connection);
        assert!(end.contains(why), "{lanes:02x?}: {end}");
    }
    assert!(profile::node_of_connection(&stranger.open(&node).unwrap()) == Some(node.id), "it goes on");
}

#[test]
fn a_node_that_vanishes_without_a_word_is_missed() {
    let authority = Authority::new();
    let node = guarded(&authority);
    let stranger = Stranger::new(&authority.tls(1));
    let connection = stranger.open(&node).unwrap();
    let mut link = Link::new(world::identity_of(1), NodeId(2), LinkLimits::default());
    link.connected(Duration::ZERO, 1);
    let mut lane = vec![0];
    link.transmit(Lane::Control, &mut lane, 1_000);
    stranger.say(&connection, &lane);
    until("it is linked", || {
        stranger.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        node.is_up(NodeId(1))
    });
    // Nothing moves while nobody runs its event loop.
    until("it is missed", || !node.is_up(NodeId(1)));
    // Whichever part of it notices first.
    let error = node.last_error(NodeId(1));
    assert!(error.contains("timed out") || error.contains("lost"), "{error}");
    drop(connection);
}

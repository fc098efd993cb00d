//! Whole nodes in one process, linked over real QUIC.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use sluice_cluster::{
    Identity, Keyspaces, Label, Labels, Liveness, Node, NodePhase, Placement, Replicas, Version, Weight,
};
use sluice_mqtt::{
    Connect, ConnectProperties, Packet, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter,
    SubscriptionOptions, UserProperties, Version as Mqtt, decode_from_server, encode, split,
};
use sluice_service::tls::{CertificateFiles, PeerFiles};

use super::*;
use crate::{
    config::NodeConfig,
    node::{OnDamage, RunningNode, start_as},
};

struct Cluster {
    nodes: Vec<RunningNode>,
    _folder: tempfile::TempDir,
}

fn issue(folder: &Path, node: NodeId, ca: &CertifiedIssuer<'_, KeyPair>) -> Arc<PeerTls> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(Identity::Node(node).to_string().try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, ca).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(format!("{node}.{name}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let certificate = CertificateFiles { cert: file("crt", certificate.pem()), key: file("key", key.serialize_pem()) };
    Arc::new(PeerTls::load(PeerFiles { certificate, ca: file("ca", ca.pem()) }).unwrap())
}

impl Cluster {
    fn start(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let nodes = ids
            .iter()
            .map(|&id| {
                let data = folder.path().join(id.to_string());
                let text = format!(
                    "node: {{data: {}}}\nworkers: 2\nsys_interval: 0s\nlisteners: [{{bind: '127.0.0.1:0', name: m}}]\ncluster:\n  control: {{endpoints: ['https://127.0.0.1:1']}}\n  peers: {{bind: '127.0.0.1:0'}}\n",
                    data.display()
                );
                let config = NodeConfig::from_source(&sluice_service::config::Source::from_text("test", &text)).unwrap();
                let member = Member {
                    cluster: ClusterId(9),
                    node: id,
                    incarnation: Incarnation(1),
                    region: "eu".into(),
                    tls: issue(folder.path(), id, &ca),
                };
                start_as(&config, OnDamage::Refuse, Some(&member)).unwrap()
            })
            .collect();
        let cluster = Self { nodes, _folder: folder };
        cluster.introduce(&ids);
        cluster
    }

    fn introduce(&self, ids: &[NodeId]) {
        let region = (Label::parse("region").unwrap(), Label::parse("eu").unwrap());
        let node = |id: NodeId| Node {
            id,
            labels: Labels::new([region.clone()]).unwrap(),
            weight: Weight::default(),
            phase: NodePhase::Active,
            liveness: Liveness::Live,
        };
        let nodes: BTreeMap<NodeId, Node> = ids.iter().map(|&id| (id, node(id))).collect();
        let keyspaces = Keyspaces::default();
        let keys: Vec<_> = keyspaces.iter().flat_map(|keyspace| keyspace.shard_keys()).collect();
        let at = |n: usize| Replicas::first([ids[n % ids.len()]]).unwrap();
        let shards = keys.into_iter().enumerate().map(|(n, key)| (key, at(n))).collect();
        let placement = Arc::new(Placement::new(Version::new(1, 1), keyspaces, shards).unwrap());
        let gateways: Vec<_> = self.nodes.iter().map(|node| node.gateway.as_ref().unwrap()).collect();
        let addresses: BTreeMap<NodeId, String> =
            ids.iter().zip(&gateways).map(|(&id, gateway)| (id, gateway.links.local_addr().to_string())).collect();
        for gateway in &gateways {
            let (nodes, placement) = (nodes.clone(), Arc::clone(&placement));
            gateway.teller().tell(move |gate, now| {
                gate.set_nodes(now, &nodes);
                gate.set_placement(now, placement);
            });
            gateway.links().allow(addresses.clone());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        let linked = |gateway: &&Gateway| gateway.stats().iter().all(|link| link.connected_for.is_some());
        while !gateways.iter().all(&linked) {
            assert!(Instant::now() < deadline, "{:?}", gateways.iter().map(|g| g.stats()).collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200));
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].address(0).unwrap()
    }
}

struct Client {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, client_id: &str, clean_start: bool) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Self { socket, input: Vec::new() };
        let session_expiry = Some(if clean_start { 0 } else { 3600 });
        let properties = ConnectProperties { session_expiry, ..ConnectProperties::default() };
        let connect = Connect {
            version: Mqtt::V5,
            bridge: false,
            clean_start,
            keep_alive: 0,
            client_id,
            will: None,
            username: None,
            password: None,
            properties,
        };
        client.send(|out| encode::connect(out, &connect));
        assert_eq!(client.next(), "connack");
        client
    }

    fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    fn subscribe(&mut self, filter: &str) {
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
        let filters = [SubscribeFilter { filter, options }];
        let packet = Subscribe {
            packet_id: 1,
            subscription_id: None,
            user_properties: UserProperties::EMPTY,
            filters: filters.as_slice().into(),
        };
        self.send(|out| encode::subscribe(out, Mqtt::V5, &packet));
        assert_eq!(self.next(), "suback");
    }

    fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        let (properties, qos) = (PublishProperties::EMPTY, QoS::AtLeastOnce);
        let payload = payload.as_bytes();
        let packet = Publish { dup: false, qos, retain, topic, packet_id: 7, properties, payload };
        self.send(|out| encode::publish_packet(out, Mqtt::V5, &packet));
        // A retained message may have nobody who waits for it.
        let expected: &[&str] = if retain { &["puback no_matching_subscribers"] } else { &["puback success"] };
        assert!(expected.contains(&&*self.next()), "{topic}");
    }

    /// The next packet, in words.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not looked at stands for itself")]
    fn next(&mut self) -> String {
        loop {
            if let Some(frame) = split(&self.input, u32::MAX).unwrap()
                && self.input.len() >= frame.total()
            {
                let body = &self.input[frame.header_len..frame.total()];
                let words = match decode_from_server(Mqtt::V5, frame.first, body).unwrap() {
                    Packet::Publish(publish) => String::from_utf8_lossy(publish.payload).into_owned(),
                    Packet::PubAck(ack) => format!("puback {}", ack.reason.name()),
                    other => format!("{:?}", other.packet_type()).to_lowercase(),
                };
                self.input.drain(..frame.total());
                return words;
            }
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk).expect("a packet") {
                0 => return "closed".into(),
                read => self.input.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

#[test]
fn clients_of_three_nodes_are_clients_of_one_broker() {
    let cluster = Cluster::start(3);
    let mut subscribers: Vec<Client> = (0..3)
        .map(|node| {
            let mut subscriber = Client::connect(cluster.address(node), &format!("s{node}"), true);
            subscriber.subscribe("t/#");
            subscriber
        })
        .collect();
    let mut publisher = Client::connect(cluster.address(0), "publisher", true);
    for n in 0..20 {
        publisher.publish("t/1", &n.to_string(), false);
    }
    for subscriber in &mut subscribers {
        let got: Vec<String> = (0..20).map(|_| subscriber.next()).collect();
        assert_eq!(got, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    }
    publisher.publish("kept", "retained", true);
    for node in 0..3 {
        let mut late = Client::connect(cluster.address(node), &format!("late{node}"), true);
        late.subscribe("kept");
        assert_eq!(late.next(), "retained", "node {node}");
    }
    // A session that is kept is the same from every node; one client id is one connection.
    for n in 0..6 {
        let name = format!("kept-{n}");
        let mut first = Client::connect(cluster.address(0), &name, false);
        first.subscribe(&format!("to/{name}"));
        let mut second = Client::connect(cluster.address(1), &name, false);
        assert_eq!(first.next(), "disconnect", "{name}");
        drop(second.socket.shutdown(std::net::Shutdown::Both));
        publisher.publish(&format!("to/{name}"), "for you", false);
        second = Client::connect(cluster.address(2), &name, false);
        assert_eq!(second.next(), "for you", "{name}");
    }
    for node in &cluster.nodes {
        node.shutdown(0, Duration::from_secs(2), None);
    }
}

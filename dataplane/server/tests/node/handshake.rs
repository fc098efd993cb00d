//! What stands before MQTT: PROXY header, TLS, WebSocket, and all of them together.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sluice_dataplane_server::config::{
    Certificate, ClientAuth, Listener, Network, Protocol, ProxyProtocol, Tls, WebSocket,
};

use crate::{
    Node,
    client::{CONNACK, Expect as _, connect, connect_to, publish, subscribe},
    local,
};

/// An authority, and what it signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Certificate and key for a name, in PEM.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn write(&self, dir: &Path) -> Certificate {
        use std::os::unix::fs::PermissionsExt;
        let (certificate, key) = self.sign("localhost");
        let files = Certificate { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    /// A client that trusts this authority and shows a certificate of another or none.
    fn client(&self, shows: Option<(&Self, &str)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shows {
            None => builder.with_no_client_auth(),
            Some((signed_by, name)) => {
                let (certificate, key) = signed_by.sign(name);
                let chain = vec![CertificateDer::from(certificate.der().to_vec())];
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

fn tls_over(socket: TcpStream, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let session = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
    StreamOwned::new(session, socket)
}

fn tls_listener(dir: &Path, authority: &Authority, client_auth: ClientAuth, protocol: Protocol) -> Listener {
    let ca = (client_auth != ClientAuth::None).then(|| dir.join("ca.pem"));
    if let Some(ca) = &ca {
        fs::write(ca, authority.issuer.pem()).unwrap();
    }
    let tls = Tls { certificates: vec![authority.write(dir)], client_auth, ca, ..Tls::default() };
    Listener { tls: Some(tls), ..local(protocol) }
}

/// A WebSocket over any stream; each write is a frame.
struct Framed<S> {
    stream: S,
    left: usize,
}

impl<S: Read + Write> Framed<S> {
    fn upgrade(mut stream: S) -> Self {
        let response = ask(&mut stream, "mqtt");
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        Self { stream, left: 0 }
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0xFF);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        let frame = if payload.len() > 125 && payload.len() <= 0xFFFF {
            [&[first, 0xFE][..], &(payload.len() as u16).to_be_bytes()].concat()
        } else {
            frame
        };
        let mask = [1, 2, 3, 4];
        let masked: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.stream.write_all(&[&frame[..], &mask, &masked].concat()).unwrap();
    }

    fn header(&mut self) -> (u8, usize) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let mut wide = [0; 8];
        let length = match head[1] {
            126 => {
                self.stream.read_exact(&mut wide[6..]).unwrap();
                u64::from_be_bytes(wide) as usize
            }
            127 => {
                self.stream.read_exact(&mut wide).unwrap();
                u64::from_be_bytes(wide) as usize
            }
            short => usize::from(short),
        };
        (head[0], length)
    }
}

impl<S: Read + Write> Read for Framed<S> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            let (first, length) = self.header();
            assert_eq!(first, 0x82, "a binary frame");
            self.left = length;
        }
        let want = buf.len().min(self.left);
        let read = self.stream.read(&mut buf[..want])?;
        self.left -= read;
        Ok(read)
    }
}

impl<S: Read + Write> Write for Framed<S> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.frame(0x82, buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Asks for an upgrade with a subprotocol; the head of the response.
fn ask(stream: &mut (impl Read + Write), protocol: &str) -> String {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Connects, subscribes, and gets a large message back that crosses every buffer on the way.
fn converse(stream: &mut (impl Read + Write), client_id: &str) {
    stream.begin(client_id);
    stream.send(&subscribe(1, client_id, 0));
    stream.expect(&[0x90, 3, 0, 1, 0]);
    for size in [1, 100, 5_000, 70_000, 300_000] {
        let payload: Vec<u8> = (0..size).map(|n: u32| (n ^ n >> 8) as u8).collect();
        let message = publish(client_id, &payload);
        stream.send(&message);
        stream.expect(&message);
    }
    stream.ping();
}

#[test]
fn tls_carries_mqtt() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let node = Node::start(|config| {
        config.listeners[0] = tls_listener(dir.path(), &authority, ClientAuth::None, Protocol::Mqtt);
    });
    let mut clients: Vec<_> = (0..4).map(|_| tls_over(connect_to(node.address()), &authority.client(None))).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        converse(client, &format!("tls-{n}"));
    }
    for mut client in clients {
        client.send(&[0xE0, 0]);
        assert!(client.expect_end().is_empty(), "with a close_notify, or this is an unexpected end");
    }
    node.settles_at(0);
}

#[test]
fn n3_a_client_without_a_certificate_is_refused_where_one_is_required() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let node = Node::start(|config| {
        config.listeners[0] = tls_listener(dir.path(), &authority, ClientAuth::Required, Protocol::Mqtt);
    });
    let mut good = tls_over(connect_to(node.address()), &authority.client(Some((&authority, "device"))));
    converse(&mut good, "good");
    for bad in [authority.client(None), authority.client(Some((&Authority::new(), "device")))] {
        let mut stream = tls_over(connect_to(node.address()), &bad);
        let connected = stream.write_all(&connect("bad")).and_then(|()| stream.read_exact(&mut [0; 4]));
        assert!(connected.is_err());
    }
    assert_eq!(node.running.stats().1.greeting_failed[3], 2);
}

#[test]
fn certificates_are_swapped_under_running_connections() {
    let (dir, old, new) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let node = Node::start(|config| {
        config.listeners[0] = tls_listener(dir.path(), &old, ClientAuth::None, Protocol::Mqtt);
    });
    let mut before = tls_over(connect_to(node.address()), &old.client(None));
    before.begin("before");
    new.write(dir.path());
    let accepted = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(20));
        let mut after = tls_over(connect_to(node.address()), &new.client(None));
        after.write_all(&connect("after")).and_then(|()| after.read_exact(&mut [0; 4])).is_ok()
    });
    assert!(accepted);
    before.ping();
}

#[test]
fn n4_a_client_hello_in_single_bytes_is_understood() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let node = Node::start(|config| {
        config.listeners[0] = tls_listener(dir.path(), &authority, ClientAuth::None, Protocol::Mqtt);
    });
    struct Bytewise(TcpStream);
    impl Read for Bytewise {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buf)
        }
    }
    impl Write for Bytewise {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.write(&buf[..buf.len().min(1)])
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let session = ClientConnection::new(authority.client(None), "localhost".try_into().unwrap()).unwrap();
    let mut client = StreamOwned::new(session, Bytewise(connect_to(node.address())));
    client.begin("bytewise");
    client.ping();
}

#[test]
fn n4_damaged_handshakes_end_their_connection_and_nothing_else() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let node = Node::start(|config| {
        config.listeners[0] = tls_listener(dir.path(), &authority, ClientAuth::None, Protocol::Mqtt);
        config.limits.connect_deadline = sluice_service::config::Duration::secs(1);
    });
    let mut hello = Vec::new();
    let mut session = ClientConnection::new(authority.client(None), "localhost".try_into().unwrap()).unwrap();
    session.write_tls(&mut hello).unwrap();
    // The front of a handshake message of 4 KiB in a record of its own, before what does not continue it.
    let front = [0x16, 3, 1, 0, 5, 1, 0, 16, 0, 0];
    let mut number = 1_u64;
    let mut random = |below: usize| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as usize % below
    };
    let mut open = Vec::new();
    for n in 0..300 {
        let mut damaged = hello.clone();
        for _ in 0..random(4) {
            let at = random(damaged.len());
            damaged[at] = random(256) as u8;
        }
        damaged.truncate(1 + random(damaged.len()));
        let before = if n % 3 == 0 { &front[..] } else { &[] };
        let mut socket = connect_to(node.address());
        // The node may have closed after the first of them.
        let _ =
            socket.write_all(before).and_then(|()| socket.write_all(&damaged)).and_then(|()| socket.write_all(&hello));
        open.push(socket);
    }
    open.iter_mut().for_each(|socket| drop(socket.expect_end()));
    drop(open);
    node.settles_at(0);
    converse(&mut tls_over(connect_to(node.address()), &authority.client(None)), "well");
}

#[test]
fn a_websocket_carries_mqtt() {
    let node = Node::start(|config| config.listeners[0] = local(Protocol::Ws));
    let mut client = Framed::upgrade(connect_to(node.address()));
    converse(&mut client, "ws");
    client.frame(0x89, b"hi");
    assert_eq!(client.header(), (0x8A, 2));
    client.stream.expect(b"hi");
    client.frame(0x88, &1000_u16.to_be_bytes());
    assert_eq!(client.stream.expect_end(), [0x88, 2, 0x03, 0xE8]);
    node.settles_at(0);
}

#[test]
fn ws6_a_packet_across_frames_and_many_packets_in_one_frame() {
    let node = Node::start(|config| config.listeners[0] = local(Protocol::Ws));
    let mut client = Framed::upgrade(connect_to(node.address()));
    for byte in connect("pieces") {
        client.frame(0x82, &[byte]);
    }
    client.expect(&CONNACK);
    client.send(&[0xC0, 0].repeat(300));
    client.expect(&[0xD0, 0].repeat(300));
}

#[test]
fn ws2_and_ws3_end_with_their_close_code() {
    let node = Node::start(|config| config.listeners[0] = local(Protocol::Ws));
    for (first, code) in [(0x81, 1003_u16), (0xC2, 1002), (0x83, 1002)] {
        let mut client = Framed::upgrade(connect_to(node.address()));
        client.begin("violator");
        client.frame(first, b"x");
        assert_eq!(client.stream.expect_end(), [&[0x88, 2][..], &code.to_be_bytes()].concat());
    }
    node.settles_at(0);
}

#[test]
fn ws1_a_request_without_mqtt_is_refused_with_400() {
    let node = Node::start(|config| {
        config.listeners[0] = Listener { websocket: Some(WebSocket::default()), ..local(Protocol::Ws) };
    });
    let mut stream = connect_to(node.address());
    assert!(ask(&mut stream, "chat").starts_with("HTTP/1.1 400 "));
    assert!(stream.expect_end().is_empty());
    assert_eq!(node.running.stats().1.greeting_failed[4], 1);
}

#[test]
fn ws5_a_slow_request_is_answered_with_408() {
    let node = Node::start(|config| {
        config.listeners[0] = local(Protocol::Ws);
        config.limits.connect_deadline = sluice_service::config::Duration::millis(300);
    });
    let mut stream = connect_to(node.address());
    stream.send(b"GET /mqtt HTTP/1.1\r\n");
    assert!(stream.expect_end().starts_with(b"HTTP/1.1 408 "));
    node.settles_at(0);
}

#[test]
fn the_proxy_header_names_the_client() {
    let node = Node::start(|config| proxied(&mut config.listeners[0], ProxyProtocol::Required));
    for header in [&b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 1883\r\n"[..], &HEADER_2] {
        let mut client = connect_to(node.address());
        client.send(&[header, &connect("proxied")].concat());
        client.expect(&CONNACK);
    }
    let mut bytewise = connect_to(node.address());
    HEADER_2.iter().for_each(|byte| bytewise.send(&[*byte]));
    bytewise.begin("bytewise");
}

#[test]
fn px1_a_missing_or_wrong_header_is_closed_where_one_is_required() {
    let node = Node::start(|config| proxied(&mut config.listeners[0], ProxyProtocol::Required));
    for first in [connect("direct"), b"PROXY TCP4 nonsense\r\n".to_vec(), [b'P'; 200].to_vec()] {
        let mut client = connect_to(node.address());
        client.send(&first);
        assert!(client.expect_end().is_empty());
    }
    assert_eq!(node.running.stats().1.greeting_failed[2], 3);
}

#[test]
fn px1_a_header_from_an_untrusted_address_is_closed() {
    let untrusted = |listener: &mut Listener, proxy| {
        proxied(listener, proxy);
        listener.trusted_cidrs = vec!["192.0.2.0/24".parse::<Network>().unwrap()];
    };
    for proxy in [ProxyProtocol::Required, ProxyProtocol::Optional] {
        let node = Node::start(|config| untrusted(&mut config.listeners[0], proxy));
        let mut client = connect_to(node.address());
        client.send(&[&HEADER_2[..], &connect("forger")].concat());
        assert!(client.expect_end().is_empty());
    }
}

#[test]
fn a_header_is_optional_where_the_listener_says_so() {
    let node = Node::start(|config| proxied(&mut config.listeners[0], ProxyProtocol::Optional));
    let mut direct = connect_to(node.address());
    direct.begin("direct");
    let mut proxied = connect_to(node.address());
    proxied.send(&HEADER_2);
    proxied.begin("proxied");
}

#[test]
fn proxy_header_tls_and_websocket_stand_on_each_other() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let node = Node::start(|config| {
        config.listeners[0] = tls_listener(dir.path(), &authority, ClientAuth::Required, Protocol::Ws);
        proxied(&mut config.listeners[0], ProxyProtocol::Required);
    });
    let mut socket = connect_to(node.address());
    socket.send(&HEADER_2);
    let mut client = Framed::upgrade(tls_over(socket, &authority.client(Some((&authority, "device")))));
    converse(&mut client, "wss");
}

#[test]
fn a_health_check_that_says_nothing_is_a_counter() {
    let node = Node::start(|config| proxied(&mut config.listeners[0], ProxyProtocol::Required));
    drop(connect_to(node.address()));
    node.settles_at(0);
    let failed = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(5));
        node.running.stats().1.greeting_failed == [1, 0, 0, 0, 0, 0]
    });
    assert!(failed);
}

fn proxied(listener: &mut Listener, proxy: ProxyProtocol) {
    listener.proxy_protocol = proxy;
}

/// PROXY TCP4, 192.0.2.7:4711 to 192.0.2.1:1883.
const HEADER_2: [u8; 28] = [
    0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0, 12, 192, 0, 2, 7, 192, 0, 2,
    1, 0x12, 0x67, 0x07, 0x5B,
];

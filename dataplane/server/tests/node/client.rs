//! Bytes of MQTT 3.1.1, and streams that expect them.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub(crate) const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

pub(crate) fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// CONNECT with a clean session.
pub(crate) fn connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
    push_text(client_id, &mut body);
    packet(0x10, &body)
}

/// CONNECT of version 5.
pub(crate) fn connect_v5(client_id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05\x02\0\0\0".to_vec();
    push_text(client_id, &mut body);
    packet(0x10, &body)
}

pub(crate) fn subscribe(packet_id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    push_text(filter, &mut body);
    body.push(qos);
    packet(0x82, &body)
}

/// PUBLISH with QoS 0.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(topic, &mut body);
    body.extend_from_slice(payload);
    packet(0x30, &body)
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut left = body.len();
    loop {
        let more = left >= 128;
        out.push((left % 128) as u8 | if more { 0x80 } else { 0 });
        left /= 128;
        if !more {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

pub(crate) trait Expect: Read + Write {
    fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
        self.flush().unwrap();
    }

    /// The next bytes are these.
    fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.read_exact(&mut got).unwrap();
        assert!(got == bytes, "got {:02x?}…", &got[..got.len().min(40)]);
    }

    /// The other side closes, perhaps after some bytes, which are returned.
    fn expect_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof),
                "not closed: {error}"
            ),
        }
        rest
    }

    /// Connects with MQTT 3.1.1.
    fn begin(&mut self, client_id: &str) {
        self.send(&connect(client_id));
        self.expect(&CONNACK);
    }

    /// Everything sent before was handled.
    fn ping(&mut self) {
        self.send(&PINGREQ);
        self.expect(&PINGRESP);
    }
}

impl<T: Read + Write> Expect for T {}

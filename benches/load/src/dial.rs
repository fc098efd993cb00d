//! Connecting clients before a workload starts: blocking, in batches, with the handshake done.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, SockRef, Socket, Type};

use crate::codec::{self, Frame};
use crate::target::Target;
use crate::tls::Stream;

/// A client to connect.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its client id.
    pub(crate) id: String,
    /// Whether the session ends with the connection.
    pub(crate) clean: bool,
    /// What it subscribes to, at `qos`.
    pub(crate) filters: Vec<String>,
    /// The QoS of its subscriptions.
    pub(crate) qos: u8,
}

impl Client {
    /// A transient client without subscriptions.
    pub(crate) fn new(id: String) -> Self {
        Self { id, clean: true, filters: Vec::new(), qos: 0 }
    }

    /// The client with one subscription.
    pub(crate) fn subscribing(mut self, filter: String, qos: u8) -> Self {
        self.filters.push(filter);
        self.qos = qos;
        self
    }

    /// The client with a session that outlives the connection, unless `transient`.
    pub(crate) fn persistent(mut self, persistent: bool) -> Self {
        self.clean = !persistent;
        self
    }
}

/// Clients that shake hands at the same time: enough for a broker to commit many in one go, and fewer than any
/// broker's accept queue (mosquitto's is 100).
const BATCH: usize = 64;
/// Filters in one SUBSCRIBE.
const FILTERS_PER_PACKET: usize = 250;
/// Connections from one source address: well below the 28,232 ephemeral ports it has.
const CONNECTIONS_PER_SOURCE: usize = 10_000;
/// 127.0.0.1 to 127.0.0.250.
const SOURCES_MAX: usize = 250;
/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Connects and subscribes all `clients`; the sockets are in their order. Dropping a socket resets the connection
/// and discards what is not sent: `leave` ends one in order. Over TLS the sockets can only be held open.
pub(crate) fn dial(target: &Target, clients: &[Client]) -> Result<Vec<TcpStream>> {
    let address = target.address;
    let mut sockets = Vec::with_capacity(clients.len());
    for (batch_index, batch) in clients.chunks(BATCH).enumerate() {
        let first = batch_index * BATCH;
        let mut opened = Vec::with_capacity(batch.len());
        for (at, client) in batch.iter().enumerate() {
            let socket = open_patient(address, source(address, (first + at) / CONNECTIONS_PER_SOURCE))?;
            let mut stream = Stream::new(socket, address, target.tls.as_ref())?;
            let mut packet = Vec::new();
            codec::connect(&mut packet, &client.id, client.clean, 0);
            stream.write_all(&packet).context("cannot send CONNECT")?;
            opened.push(stream);
        }
        for stream in &mut opened {
            with_packet(stream, |frame| frame.expect_connack()).context("no connection")?;
        }
        for (stream, client) in opened.iter_mut().zip(batch) {
            stream.write_all(&subscriptions(client)).context("cannot send SUBSCRIBE")?;
        }
        for (stream, client) in opened.iter_mut().zip(batch) {
            for _ in client.filters.chunks(FILTERS_PER_PACKET) {
                with_packet(stream, |frame| frame.expect_suback()).context("no subscription")?;
            }
        }
        sockets.extend(opened.into_iter().map(Stream::into_socket));
    }
    Ok(sockets)
}

/// Connects one client without encryption, and says how long it took from CONNECT to CONNACK.
pub(crate) fn greet(target: &Target, client: &Client) -> Result<(TcpStream, Duration)> {
    let mut socket = open_patient(target.address, None)?;
    let mut packet = Vec::new();
    codec::connect(&mut packet, &client.id, client.clean, 0);
    let start = Instant::now();
    socket.write_all(&packet).context("cannot send CONNECT")?;
    with_packet(&mut socket, |frame| frame.expect_connack()).context("no connection")?;
    Ok((socket, start.elapsed()))
}

/// Sends DISCONNECT and closes in order.
pub(crate) fn leave(mut socket: TcpStream) -> Result<()> {
    SockRef::from(&socket).set_linger(None).context("cannot set SO_LINGER")?;
    socket.write_all(&codec::DISCONNECT).context("cannot send DISCONNECT")
}

/// Source address number `index` for a loopback target, 0 to 250. The system chooses for other targets, and for
/// number 0, because it can use a port again whose last connection went elsewhere or ended a second ago.
pub(crate) fn source(target: SocketAddr, index: usize) -> Option<SocketAddr> {
    let last = u8::try_from(1 + index % SOURCES_MAX).ok()?;
    let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    (last > 1 && target.is_ipv4() && target.ip().is_loopback()).then_some(source)
}

/// Opens one connection on which an answer is waited for.
fn open_patient(address: SocketAddr, source: Option<SocketAddr>) -> Result<TcpStream> {
    let socket = open(address, source)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).context("cannot set a timeout")?;
    // Thousands of closed connections would keep their ports for a minute: reset them at the end instead.
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).context("cannot set SO_LINGER")?;
    Ok(socket)
}

/// Opens one connection without Nagle's delay.
pub(crate) fn open(address: SocketAddr, source: Option<SocketAddr>) -> Result<TcpStream> {
    let connect = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(&source.into())?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.connect(&address.into())?;
        std::io::Result::Ok(TcpStream::from(socket))
    };
    connect().with_context(|| format!("cannot connect to {address}"))
}

/// Reads exactly one packet, no byte more, and hands it to `use_packet`.
pub(crate) fn with_packet<T>(stream: &mut impl Read, use_packet: impl Fn(&Frame<'_>) -> Result<T>) -> Result<T> {
    let mut bytes = Vec::new();
    loop {
        // The header is read byte by byte; once it is whole the body is read in one go.
        let missing = match missing_len(&bytes) {
            Some(0) => break,
            Some(len) => len,
            None => 1,
        };
        let from = bytes.len();
        bytes.resize(from + missing, 0);
        stream.read_exact(&mut bytes[from..]).context("the broker did not answer")?;
    }
    let frame = Frame::split(&bytes)?.context("the broker's answer is not whole")?;
    use_packet(&frame)
}

/// Bytes that are missing from the packet that starts in `bytes`; `None` while its length is not known.
fn missing_len(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.get(1..)?;
    let last = digits.iter().take(4).position(|digit| digit & 0x80 == 0);
    let last = if digits.len() >= 4 { Some(last.unwrap_or(3)) } else { last }?;
    let body =
        digits[..=last].iter().enumerate().map(|(at, digit)| usize::from(digit & 0x7F) << (7 * at)).sum::<usize>();
    Some((2 + last + body).saturating_sub(bytes.len()))
}

fn subscriptions(client: &Client) -> Vec<u8> {
    let mut out = Vec::new();
    for (packet_id, filters) in (1..).zip(client.filters.chunks(FILTERS_PER_PACKET)) {
        codec::subscribe(&mut out, packet_id, filters, client.qos);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_is_read_and_nothing_behind_it() {
        let mut bytes: &[u8] = &[codec::CONNACK, 2, 1, 0, codec::PUBLISH, 9];
        with_packet(&mut bytes, |frame| frame.expect_connack()).unwrap();
        assert_eq!(bytes, [codec::PUBLISH, 9]);
    }

    #[test]
    fn a_long_suback_is_read_whole() {
        let mut long = vec![codec::SUBACK, 0x82, 0x02, 0, 1];
        long.resize(3 + 258, 0);
        let mut bytes: &[u8] = &long;
        with_packet(&mut bytes, |frame| frame.expect_suback()).unwrap();
        assert!(bytes.is_empty());
    }

    #[test]
    fn an_answer_that_ends_early_is_an_error() {
        let mut bytes: &[u8] = &[codec::CONNACK, 2, 1];
        assert!(with_packet(&mut bytes, |frame| frame.expect_connack()).is_err());
    }

    #[test]
    fn sources_are_loopback_addresses_and_only_for_loopback_targets() {
        let here: SocketAddr = "127.0.0.1:1883".parse().unwrap();
        assert_eq!(source(here, 0), None);
        assert_eq!(source(here, 1), "127.0.0.2:0".parse().ok());
        assert_eq!(source(here, 251), "127.0.0.2:0".parse().ok());
        assert_eq!(source("10.0.0.1:1883".parse().unwrap(), 3), None);
    }
}

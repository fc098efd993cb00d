//! The floor of the table: a process that reads, copies and writes the same bytes over the same sockets as a broker,
//! without knowing what they mean.
//!
//! It answers CONNECT and SUBSCRIBE so that the generator needs no second protocol. A connection's first PUBLISH fixes
//! where its bytes go and how long its messages are; after that it is not parsed any more. What needs a meaning
//! (persistent sessions, retained messages, shared groups) is refused. Routes are never corrected: start a new process
//! for each workload.

mod peer;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use crate::link::Link;
use peer::{Peer, Step};

const LISTENER: Token = Token(usize::MAX);
/// Bytes read at most at a time, for all connections together.
const READ_BUFFER_LEN: usize = 256 * 1_024;
const EVENTS_MAX: usize = 1_024;

/// Forwards on `address` until the process is ended.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let mut forwarder = Forwarder::bind(address)?;
    loop {
        forwarder.turn()?;
    }
}

struct Forwarder {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    links: Vec<Option<Link>>,
    peers: Vec<Peer>,
    free: Vec<usize>,
    subscribers: HashMap<String, Vec<usize>>,
    buffer: Vec<u8>,
    dirty: Vec<usize>,
}

impl Forwarder {
    fn bind(address: SocketAddr) -> Result<Self> {
        let poll = Poll::new().context("cannot create an epoll instance")?;
        let mut listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).context("cannot watch the listener")?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            listener,
            links: Vec::new(),
            peers: Vec::new(),
            free: Vec::new(),
            subscribers: HashMap::new(),
            buffer: vec![0; READ_BUFFER_LEN],
            dirty: Vec::new(),
        })
    }

    fn turn(&mut self) -> Result<()> {
        match self.poll.poll(&mut self.events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error).context("cannot poll"),
            _ => {}
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            if event.token() == LISTENER {
                self.accept()?;
                continue;
            }
            let index = event.token().0;
            if event.is_writable() && self.links[index].as_ref().is_some_and(Link::is_blocked) {
                mark(&mut self.dirty, &mut self.links, index);
            }
            if (event.is_readable() || event.is_error()) && self.on_readable(index).is_err() {
                self.close(index);
            }
        }
        self.events = events;
        for index in std::mem::take(&mut self.dirty) {
            let Some(link) = &mut self.links[index] else { continue };
            link.dirty = false;
            if link.flush().is_err() {
                self.close(index);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("cannot accept"),
            };
            stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
            let mut link = Link::from_stream(stream);
            let index = self.free.pop().unwrap_or(self.links.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(link.source(), Token(index), interest).context("cannot watch a socket")?;
            if index == self.links.len() {
                self.links.push(Some(link));
                self.peers.push(Peer::Fresh);
            } else {
                self.links[index] = Some(link);
                self.peers[index] = Peer::Fresh;
            }
        }
    }

    /// Fails when the connection is to be closed.
    fn on_readable(&mut self, index: usize) -> Result<()> {
        loop {
            let Some(link) = &mut self.links[index] else { return Ok(()) };
            let Some(filled) = link.read(&mut self.buffer)? else { return Ok(()) };
            let mut used = 0;
            while used < filled.len {
                let Some(link) = &mut self.links[index] else { return Ok(()) };
                let step = self.peers[index].step(&self.buffer[used..filled.len], &mut link.out)?;
                match step {
                    Step::Incomplete => break,
                    Step::Used(len) => used += len,
                    Step::Subscribed { filter, len } => {
                        self.subscribers.entry(filter).or_default().push(index);
                        used += len;
                    }
                    Step::Publishes { topic } => {
                        let route = self.subscribers.get(&topic).cloned().unwrap_or_default();
                        self.peers[index].set_route(route);
                    }
                    Step::Forward(len) => {
                        self.forward(index, used, used + len)?;
                        used += len;
                    }
                }
            }
            let Some(link) = &mut self.links[index] else { return Ok(()) };
            link.keep(&self.buffer[used..filled.len]);
            mark(&mut self.dirty, &mut self.links, index);
            if !filled.more {
                return Ok(());
            }
        }
    }

    /// Sends a part of the read buffer where `source` publishes to.
    fn forward(&mut self, source: usize, from: usize, to: usize) -> Result<()> {
        let Self { links, peers, dirty, buffer, .. } = self;
        let bytes = &buffer[from..to];
        let route = peers[source].route();
        for &destination in route {
            let Some(link) = &mut links[destination] else { continue };
            if route.len() == 1 {
                // Several sources may write to it in this turn: gather, and write once.
                link.out.extend_from_slice(bytes);
            } else {
                link.write_through(bytes)?;
            }
            if link.is_blocked() {
                mark(dirty, links, destination);
            }
        }
        Ok(())
    }

    fn close(&mut self, index: usize) {
        if self.links[index].take().is_some() {
            if self.peers[index].is_subscriber() {
                self.subscribers.values_mut().for_each(|indexes| indexes.retain(|other| *other != index));
            }
            self.peers[index] = Peer::Fresh;
            self.free.push(index);
        }
    }
}

fn mark(dirty: &mut Vec<usize>, links: &mut [Option<Link>], index: usize) {
    if let Some(link) = &mut links[index]
        && link.is_blocked()
        && !link.dirty
    {
        link.dirty = true;
        dirty.push(index);
    }
}

//! The event loop: one thread, one poll, every publisher and subscriber of a workload.
//!
//! A turn polls, reads each ready socket once into one shared buffer, counts what came, lets the flows that have room
//! send, and writes each touched socket once. So a busy broker meets batches as large as the windows allow, and the
//! generator costs a fraction of what it measures.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token};

use crate::clock::{Clock, nanos};
use crate::codec::{self, Frame};
use crate::flow::Flow;
use crate::latency::Latencies;
use crate::link::Link;
use crate::stamp::Stamp;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes for the flow of this index.
    Publisher(usize),
    /// Receives and acknowledges.
    Subscriber,
}

/// What has been counted since the last `reset`.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages written by publishers.
    pub(crate) sent: u64,
    /// Copies received by subscribers.
    pub(crate) deliveries: u64,
    /// Messages acknowledged to publishers (PUBACK or PUBCOMP).
    pub(crate) acknowledged: u64,
    /// Copies given up because nothing moved for `STALL`.
    pub(crate) lost: u64,
    /// From due to received.
    pub(crate) delivery: Latencies,
    /// From due to acknowledged.
    pub(crate) acknowledgement: Latencies,
}

/// The loop with its links and flows.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The clock of all stamps.
    pub(crate) clock: Clock,
    /// What has been counted.
    pub(crate) tally: Tally,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    links: Vec<Link>,
    roles: Vec<Role>,
    flows: Vec<Flow>,
    scheduled: bool,
    hungry: Vec<usize>,
    dirty: Vec<usize>,
    progress_at: u64,
    stalls: u32,
}

/// Bytes read at most at a time; larger than any message the generator sends.
const READ_BUFFER_LEN: usize = 256 * 1024;
/// When nothing at all arrives for this long, a closed loop counts what is outstanding as lost and goes on.
const STALL: Duration = Duration::from_millis(500);
/// So many stalls without anything in between make a failed run: ten seconds.
const STALLS_MAX: u32 = 20;
/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1_024;

impl Engine {
    /// Takes over sockets whose handshake is done; `roles[i]` says what `sockets[i]` is for, and a publisher's flow
    /// names its socket by the same index.
    pub(crate) fn new(clock: Clock, sockets: Vec<TcpStream>, roles: Vec<Role>, flows: Vec<Flow>) -> Result<Self> {
        assert!(sockets.len() == roles.len(), "every socket has a role");
        let poll = Poll::new().context("cannot create an epoll instance")?;
        let mut links = Vec::with_capacity(sockets.len());
        for (index, socket) in sockets.into_iter().enumerate() {
            let mut link = Link::new(socket)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(link.source(), Token(index), interest).context("cannot watch a socket")?;
            links.push(link);
        }
        let tally = Tally {
            sent: 0,
            deliveries: 0,
            acknowledged: 0,
            lost: 0,
            delivery: Latencies::new()?,
            acknowledgement: Latencies::new()?,
        };
        let scheduled = flows.iter().any(Flow::is_scheduled);
        let mut engine = Self {
            clock,
            tally,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BUFFER_LEN],
            links,
            roles,
            hungry: (0..flows.len()).collect(),
            flows,
            scheduled,
            dirty: Vec::new(),
            progress_at: clock.nanos(),
            stalls: 0,
        };
        engine.flows.iter_mut().for_each(|flow| flow.hungry = true);
        Ok(engine)
    }

    /// Runs until `enough` or until `limit` has passed; returns whether it was enough. Fails when a connection
    /// breaks, or when a closed loop stands still for too long.
    pub(crate) fn run(&mut self, limit: Duration, enough: impl Fn(&Tally) -> bool) -> Result<bool> {
        let mut now = self.clock.nanos();
        let deadline = now.saturating_add(nanos(limit));
        self.progress_at = now;
        while !enough(&self.tally) {
            if now >= deadline {
                return Ok(false);
            }
            self.turn(deadline - now)?;
            now = self.clock.nanos();
            if !self.scheduled && now.saturating_sub(self.progress_at) > nanos(STALL) {
                self.on_stall(now)?;
            }
        }
        Ok(true)
    }

    /// Forgets what was counted, so that a warm-up stays out of the results.
    pub(crate) fn reset(&mut self) {
        let Tally { sent, deliveries, acknowledged, lost, delivery, acknowledgement } = &mut self.tally;
        (*sent, *deliveries, *acknowledged, *lost) = (0, 0, 0, 0);
        delivery.clear();
        acknowledgement.clear();
    }

    /// Stops all flows; what is on its way may still arrive in a further `run`.
    pub(crate) fn stop_sending(&mut self) {
        self.flows.iter_mut().for_each(Flow::stop);
    }

    fn turn(&mut self, time_left: u64) -> Result<()> {
        // In open loop the generator has a core to itself and spins: a sleeping one would add its own wake-up.
        let spins = self.scheduled || !self.hungry.is_empty();
        let wait = if spins { Duration::ZERO } else { Duration::from_nanos(time_left).min(STALL) };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error).context("cannot poll"),
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let index = event.token().0;
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.on_readable(index)?;
            }
            if event.is_writable() && self.links[index].is_blocked() {
                mark(&mut self.dirty, &mut self.links[index], index);
            }
        }
        self.events = events;
        self.send();
        for index in self.dirty.drain(..) {
            let link = &mut self.links[index];
            link.dirty = false;
            link.flush()?;
        }
        Ok(())
    }

    fn on_readable(&mut self, index: usize) -> Result<()> {
        loop {
            let Some(filled) = self.links[index].read(&mut self.buffer)? else { return Ok(()) };
            let now = self.clock.nanos();
            self.progress_at = now;
            self.stalls = 0;
            let used = match self.roles[index] {
                Role::Publisher(flow) => self.on_acknowledgements(index, flow, filled.len, now)?,
                Role::Subscriber => self.on_deliveries(index, filled.len, now)?,
            };
            let link = &mut self.links[index];
            link.keep(&self.buffer[used..filled.len]);
            if link.is_blocked() {
                mark(&mut self.dirty, link, index);
            }
            if !filled.more {
                return Ok(());
            }
        }
    }

    /// Counts the messages in the buffer; returns how many of its bytes were whole packets.
    fn on_deliveries(&mut self, index: usize, filled: usize, now: u64) -> Result<usize> {
        let Self { buffer, links, flows, hungry, tally, .. } = self;
        let out = &mut links[index].out;
        let mut used = 0;
        while let Some(frame) = Frame::split(&buffer[used..filled])? {
            used += frame.len;
            if frame.head & 0xF0 != codec::PUBLISH {
                if frame.head == codec::PUBREL {
                    codec::acknowledge(out, codec::PUBCOMP, frame.packet_id()?);
                }
                continue;
            }
            let delivery = frame.publish()?;
            match delivery.qos {
                0 => {}
                1 => codec::acknowledge(out, codec::PUBACK, delivery.packet_id),
                _ => codec::acknowledge(out, codec::PUBREC, delivery.packet_id),
            }
            let stamp = Stamp::decode(delivery.payload).context("a message came back without its stamp")?;
            tally.deliveries += 1;
            tally.delivery.record(now.saturating_sub(stamp.due));
            // A message of an earlier run may come out of a persistent session: count it, but for no flow.
            let Some(flow) = flows.get_mut(stamp.flow as usize) else { continue };
            if flow.on_delivery(stamp.sequence) && !flow.hungry {
                flow.hungry = true;
                hungry.push(stamp.flow as usize);
            }
        }
        Ok(used)
    }

    fn on_acknowledgements(&mut self, index: usize, flow: usize, filled: usize, now: u64) -> Result<usize> {
        let Self { buffer, links, flows, hungry, tally, .. } = self;
        let out = &mut links[index].out;
        let publisher = &mut flows[flow];
        let mut used = 0;
        while let Some(frame) = Frame::split(&buffer[used..filled])? {
            used += frame.len;
            let done = publisher.on_frame(&frame, out, now, &mut tally.acknowledgement)?;
            tally.acknowledged += u64::from(done);
        }
        if !publisher.hungry {
            publisher.hungry = true;
            hungry.push(flow);
        }
        Ok(used)
    }

    fn send(&mut self) {
        if !self.scheduled && self.hungry.is_empty() {
            return;
        }
        let now = self.clock.nanos();
        let Self { links, flows, hungry, dirty, tally, .. } = self;
        let mut send_on = |flow: &mut Flow| {
            let link = &mut links[flow.link];
            let sent = flow.fill(&mut link.out, now);
            tally.sent += sent;
            if sent > 0 {
                mark(dirty, link, flow.link);
            }
        };
        if self.scheduled {
            flows.iter_mut().for_each(send_on);
            return;
        }
        for index in hungry.drain(..) {
            let flow = &mut flows[index];
            flow.hungry = false;
            send_on(flow);
        }
    }

    fn on_stall(&mut self, now: u64) -> Result<()> {
        self.stalls += 1;
        if self.stalls > STALLS_MAX {
            let Tally { sent, deliveries, .. } = self.tally;
            bail!("nothing arrived for {:?} ({sent} sent, {deliveries} delivered)", STALL * STALLS_MAX);
        }
        self.progress_at = now;
        for (index, flow) in self.flows.iter_mut().enumerate() {
            self.tally.lost += flow.give_up();
            if !flow.hungry {
                flow.hungry = true;
                self.hungry.push(index);
            }
        }
        Ok(())
    }
}

fn mark(dirty: &mut Vec<usize>, link: &mut Link, index: usize) {
    if !link.dirty {
        link.dirty = true;
        dirty.push(index);
    }
}

//! Connection churn: CONNECT, CONNACK, close, again, several at a time.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token};

use super::{Reading, Timing, client_id};
use crate::codec::{self, Frame};
use crate::dial;
use crate::metric::{Metric, Outcome};
use crate::target::Target;

/// The parameters of connection churn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect {
    /// Connections that are being made at a time.
    pub(crate) parallel: usize,
}

/// Source addresses in use, so that ports that wait after a close do not run out: 200 × 28,232 of them.
const SOURCES: usize = 200;
/// How long the broker may take to answer any of the connections.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Connect {
    /// Runs the warm-up and the measurement.
    pub(crate) fn run(&self, target: &Target, timing: Timing) -> Result<Outcome> {
        let mut churn = Churn::new(target.clone(), self.parallel)?;
        churn.run(timing.warm_up)?;
        let before = churn.accepted;
        let start = Reading::take(target)?;
        churn.run(timing.measure)?;
        let end = Reading::take(target)?;
        let accepted = (churn.accepted - before) as f64;
        let mut outcome = Outcome::default();
        outcome.set(Metric::ConnectsPerSecond, accepted / start.seconds_until(&end));
        if let Some(cpu) = start.broker_cpu_until(&end) {
            outcome.set(Metric::CpuPerConnect, cpu * 1e6 / accepted);
        }
        end.report_rss(&mut outcome);
        Ok(outcome)
    }
}

/// Connections being made, one in each slot.
struct Churn {
    target: Target,
    poll: Poll,
    slots: Vec<mio::net::TcpStream>,
    opened: usize,
    accepted: u64,
    packet: Vec<u8>,
}

impl Churn {
    fn new(target: Target, parallel: usize) -> Result<Self> {
        let poll = Poll::new().context("cannot create an epoll instance")?;
        let mut churn = Self { target, poll, slots: Vec::new(), opened: 0, accepted: 0, packet: Vec::new() };
        for slot in 0..parallel {
            let stream = churn.open(slot)?;
            churn.slots.push(stream);
        }
        Ok(churn)
    }

    /// Connects (on loopback this does not wait), sends CONNECT and watches for the answer.
    fn open(&mut self, slot: usize) -> Result<mio::net::TcpStream> {
        let source = dial::source(self.target.address, self.opened % SOURCES);
        let mut stream = dial::open(self.target.address, source)?;
        self.packet.clear();
        codec::connect(&mut self.packet, &client_id("c", self.opened), true, 0);
        self.opened += 1;
        stream.write_all(&self.packet).context("cannot send CONNECT")?;
        stream.set_nonblocking(true).context("cannot make a socket non-blocking")?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE).context("cannot watch a socket")?;
        Ok(stream)
    }

    fn run(&mut self, limit: Duration) -> Result<()> {
        let mut events = Events::with_capacity(self.slots.len());
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.poll.poll(&mut events, Some(ANSWER_MAX)) {
                Ok(()) if events.is_empty() => bail!("no connection was accepted for {ANSWER_MAX:?}"),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot poll"),
            }
            for event in &events {
                self.on_answer(event.token().0)?;
            }
        }
        Ok(())
    }

    fn on_answer(&mut self, slot: usize) -> Result<()> {
        let mut answer = [0; 4];
        let read = match self.slots[slot].read(&mut answer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot read the broker's answer"),
        };
        let frame =
            Frame::split(&answer[..read])?.context("the broker closed the connection or sent half a CONNACK")?;
        frame.expect_connack()?;
        self.accepted += 1;
        // The new connection takes the old one's place, which closes the old one.
        self.slots[slot] = self.open(slot)?;
        Ok(())
    }
}

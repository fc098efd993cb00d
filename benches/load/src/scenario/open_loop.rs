//! Open loop: messages at a fixed rate, whatever the broker does; latency counts from the moment each was due.

use std::time::Duration;

use anyhow::Result;

use super::throughput::Shape;
use super::{Reading, Timing, client_id, connect, publishers};
use crate::clock::{Clock, nanos};
use crate::codec::Template;
use crate::dial::Client;
use crate::engine::{Engine, Role};
use crate::flow::{Flow, Pace};
use crate::latency::Schedule;
use crate::metric::{Metric, Outcome};
use crate::target::Target;

/// The parameters of an open loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop {
    /// Publishers, each with a subscriber of its own; their messages are due in turns.
    pub(crate) pairs: usize,
    /// Messages per second, of all pairs together.
    pub(crate) rate: u64,
    /// QoS of messages and subscriptions.
    pub(crate) qos: u8,
    /// Bytes of a payload.
    pub(crate) payload_len: usize,
}

/// How long the last messages may take before they count as lost.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// From connecting to the first due message.
const LEAD: Duration = Duration::from_millis(50);

impl OpenLoop {
    /// Runs the warm-up and the measurement, and waits for the last messages.
    pub(crate) fn run(&self, target: &Target, timing: Timing) -> Result<Outcome> {
        let mut engine = self.engine(target)?;
        engine.run(timing.warm_up, |_| false)?;
        engine.reset();
        let start = Reading::take(target)?;
        engine.run(timing.measure, |_| false)?;
        let end = Reading::take(target)?;
        let mut outcome = Outcome::default();
        start.report(&end, engine.tally.deliveries, &mut outcome)?;
        engine.stop_sending();
        // A message of the warm-up that arrived after it may make up for a late one; there are few of either.
        engine.run(DRAIN_MAX, |tally| tally.deliveries >= tally.sent)?;
        outcome.set_deliveries(&engine.tally.delivery);
        outcome.set_acknowledgements(&engine.tally.acknowledgement);
        outcome.set(Metric::Lost, engine.tally.sent.saturating_sub(engine.tally.deliveries) as f64);
        Ok(outcome)
    }

    fn engine(&self, target: &Target) -> Result<Engine> {
        let shape = Shape::Pairs(self.pairs);
        let subscriber = |index| Client::new(client_id("s", index)).subscribing(shape.topic(index), self.qos);
        let subscribers: Vec<Client> = (0..self.pairs).map(subscriber).collect();
        let sockets = connect(target, &subscribers, &publishers(shape.publishers()))?;
        let clock = Clock::start();
        let between = 1_000_000_000 / self.rate.max(1);
        let mut roles = vec![Role::Subscriber; self.pairs];
        let mut flows = Vec::new();
        let mut start = clock.nanos() + nanos(LEAD);
        for (number, index) in (0..self.pairs).zip(0u32..) {
            let pace = Pace::Scheduled(Schedule::new(start, between * self.pairs as u64));
            let template = Template::new(&shape.topic(number), self.qos, false, self.payload_len);
            flows.push(Flow::new(index, self.pairs + number, template, pace));
            roles.push(Role::Publisher(number));
            start += between;
        }
        Engine::new(clock, sockets, roles, flows)
    }
}

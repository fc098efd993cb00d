//! Closed loop: publishers with a window each, as fast as the broker goes.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Reading, Timing, client_id, connect, forget_sessions, publishers};
use crate::clock::Clock;
use crate::codec::Template;
use crate::dial::{Client, dial};
use crate::engine::{Engine, Role};
use crate::flow::{Flow, Pace};
use crate::metric::{Metric, Outcome};
use crate::target::Target;
use crate::window::Window;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each publisher has a topic and a subscriber of its own.
    Pairs(usize),
    /// Many publishers, one topic, one subscriber.
    FanIn(usize),
    /// One publisher, one topic, many subscribers.
    FanOut(usize),
    /// Many publishers, one topic, one shared subscription with several members.
    Shared {
        /// Clients that publish.
        publishers: usize,
        /// Clients that share the subscription.
        members: usize,
    },
}

impl Shape {
    pub(super) fn publishers(self) -> usize {
        match self {
            Self::Pairs(count) | Self::FanIn(count) => count,
            Self::Shared { publishers, .. } => publishers,
            Self::FanOut(_) => 1,
        }
    }

    fn subscribers(self) -> usize {
        match self {
            Self::Pairs(count) | Self::FanOut(count) => count,
            Self::Shared { members, .. } => members,
            Self::FanIn(_) => 1,
        }
    }

    /// How many subscribers receive each message.
    fn copies(self) -> usize {
        if let Self::FanOut(count) = self { count } else { 1 }
    }

    pub(super) fn topic(self, publisher: usize) -> String {
        match self {
            Self::Pairs(_) => format!("load/{publisher}/pair/topic"),
            Self::FanIn(_) | Self::FanOut(_) | Self::Shared { .. } => "load/0/all/topic".to_owned(),
        }
    }

    fn filter(self, subscriber: usize) -> String {
        match self {
            Self::Shared { .. } => format!("$share/load/{}", self.topic(subscriber)),
            Self::Pairs(_) | Self::FanIn(_) | Self::FanOut(_) => self.topic(subscriber),
        }
    }
}

/// Filters of other clients that the broker holds while it matches. None of them matches the topics in use, but
/// they branch off the same levels, so that an index has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filters {
    /// No wildcards.
    Exact(usize),
    /// `+` in the third of four levels.
    Plus(usize),
    /// `#` in the fourth level.
    Hash(usize),
}

/// Filters of one client.
const FILTERS_PER_CLIENT: usize = 1_000;
/// After its start a broker may still be busy with itself, which would count as memory of filters.
const SETTLE: Duration = Duration::from_millis(500);
/// Second levels of the filters; the pairs use the same ones.
const BRANCHES: usize = 10;

impl Filters {
    fn count(self) -> usize {
        match self {
            Self::Exact(count) | Self::Plus(count) | Self::Hash(count) => count,
        }
    }

    fn filter(self, index: usize) -> String {
        let branch = index % BRANCHES;
        match self {
            Self::Exact(_) => format!("load/{branch}/pair/other{index}"),
            Self::Plus(_) => format!("load/{branch}/+/other{index}"),
            Self::Hash(_) => format!("load/{branch}/other{index}/#"),
        }
    }

    fn clients(self) -> Vec<Client> {
        let starts = (0..self.count()).step_by(FILTERS_PER_CLIENT);
        starts
            .map(|start| {
                let end = self.count().min(start + FILTERS_PER_CLIENT);
                let filters = (start..end).map(|index| self.filter(index)).collect();
                Client { filters, ..Client::new(client_id("f", start)) }
            })
            .collect()
    }
}

/// The parameters of a closed loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throughput {
    /// Who sends to whom.
    pub(crate) shape: Shape,
    /// Messages of one publisher that may be on their way.
    pub(crate) window: u32,
    /// QoS of messages and subscriptions.
    pub(crate) qos: u8,
    /// Bytes of a payload.
    pub(crate) payload_len: usize,
    /// Whether the subscribers' sessions outlive their connections.
    pub(crate) persistent: bool,
    /// What else the broker has to match against.
    pub(crate) filters: Option<Filters>,
}

impl Throughput {
    /// Runs the warm-up and the measurement.
    pub(crate) fn run(&self, target: &Target, timing: Timing) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let others = self.load_filters(target, &mut outcome)?;
        let subscribers = self.subscribers();
        let mut engine = self.engine(target, &subscribers)?;
        engine.run(timing.warm_up, |_| false)?;
        engine.reset();
        let start = Reading::take(target)?;
        engine.run(timing.measure, |_| false)?;
        let end = Reading::take(target)?;
        start.report(&end, engine.tally.deliveries, &mut outcome)?;
        outcome.set_deliveries(&engine.tally.delivery);
        outcome.set_acknowledgements(&engine.tally.acknowledgement);
        outcome.set(Metric::Lost, engine.tally.lost as f64);
        drop((engine, others));
        if self.persistent {
            forget_sessions(target, &subscribers)?;
        }
        Ok(outcome)
    }

    fn subscribers(&self) -> Vec<Client> {
        let subscriber = |index| {
            let client = Client::new(client_id("s", index)).persistent(self.persistent);
            client.subscribing(self.shape.filter(index), self.qos)
        };
        (0..self.shape.subscribers()).map(subscriber).collect()
    }

    fn engine(&self, target: &Target, subscribers: &[Client]) -> Result<Engine> {
        let sockets = connect(target, subscribers, &publishers(self.shape.publishers()))?;
        let mut roles = vec![Role::Subscriber; subscribers.len()];
        let mut flows = Vec::new();
        for (number, index) in (0..self.shape.publishers()).zip(0u32..) {
            let template = Template::new(&self.shape.topic(number), self.qos, false, self.payload_len);
            let copies = u32::try_from(self.shape.copies()).context("too many subscribers")?;
            let pace = Pace::Delivered(Window::new(self.window, copies));
            flows.push(Flow::new(index, subscribers.len() + number, template, pace));
            roles.push(Role::Publisher(number));
        }
        Engine::new(Clock::start(), sockets, roles, flows)
    }

    /// Loads the other clients' filters; their connections stay open while the returned value lives.
    fn load_filters(&self, target: &Target, outcome: &mut Outcome) -> Result<Vec<std::net::TcpStream>> {
        let Some(filters) = self.filters else { return Ok(Vec::new()) };
        thread::sleep(SETTLE);
        let before = Reading::take(target)?;
        let sockets = dial(target, &filters.clients()).context("clients with other filters")?;
        let after = Reading::take(target)?;
        if let Some(bytes) = before.growth_until(&after) {
            outcome.set(Metric::BytesPerFilter, bytes / filters.count() as f64);
        }
        Ok(sockets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscriber_of_a_pair_gets_the_topic_of_its_publisher_and_no_other() {
        let shape = Shape::Pairs(10);
        let topics: Vec<String> = (0..10).map(|index| shape.topic(index)).collect();
        let filters: Vec<String> = (0..10).map(|index| shape.filter(index)).collect();
        assert_eq!(topics, filters);
        assert!(topics.iter().enumerate().all(|(at, topic)| !topics[..at].contains(topic)));
    }

    #[test]
    fn filters_are_distinct_and_spread_over_clients() {
        for filters in [Filters::Exact(2_500), Filters::Plus(2_500), Filters::Hash(2_500)] {
            let clients = filters.clients();
            let sizes: Vec<usize> = clients.iter().map(|client| client.filters.len()).collect();
            assert_eq!(sizes, [1_000, 1_000, 500]);
            let mut all: Vec<&String> = clients.iter().flat_map(|client| &client.filters).collect();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 2_500);
        }
    }
}

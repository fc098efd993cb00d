//! Changing a named workload's parameters from the command line.

use anyhow::{Result, bail};
use clap::Args;

use super::Scenario;
use super::throughput::Shape;
use crate::stamp::Stamp;

/// Parameters to replace; those that are not given stay as the workload has them.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Adjust {
    /// QoS of messages and subscriptions, 0 to 2.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: Option<u8>,
    /// Bytes of a payload, 16 to 131072.
    #[arg(long, value_parser = payload_len)]
    pub(crate) payload: Option<usize>,
    /// Messages of one publisher that may be on their way.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub(crate) window: Option<u32>,
    /// Pairs, publishers of a fan-in or shared group, subscribers of a fan-out, idle connections, connections in
    /// parallel, or sessions that are away.
    #[arg(long, value_parser = clients)]
    pub(crate) clients: Option<usize>,
    /// Messages per second of an open loop.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: Option<u64>,
    /// Retained messages, or queued messages of each session.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) messages: Option<u32>,
}

const PAYLOAD_LEN_MAX: usize = 131_072;
const CLIENTS_MAX: usize = 100_000;

fn payload_len(text: &str) -> Result<usize, String> {
    within(text, Stamp::LEN, PAYLOAD_LEN_MAX)
}

fn clients(text: &str) -> Result<usize, String> {
    within(text, 1, CLIENTS_MAX)
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("give a number from {least} to {most}")),
    }
}

impl Adjust {
    /// Replaces what is given. Fails if `scenario` has no such parameter.
    pub(crate) fn apply(mut self, scenario: &mut Scenario) -> Result<()> {
        match scenario {
            Scenario::Throughput(it) => {
                take(&mut self.qos, &mut it.qos);
                take(&mut self.payload, &mut it.payload_len);
                take(&mut self.window, &mut it.window);
                let (Shape::Pairs(count) | Shape::FanIn(count) | Shape::FanOut(count)) = &mut it.shape else {
                    return self.shared_publishers(&mut it.shape);
                };
                take(&mut self.clients, count);
            }
            Scenario::OpenLoop(it) => {
                take(&mut self.qos, &mut it.qos);
                take(&mut self.payload, &mut it.payload_len);
                take(&mut self.clients, &mut it.pairs);
                take(&mut self.rate, &mut it.rate);
            }
            Scenario::Idle(it) => take(&mut self.clients, &mut it.connections),
            Scenario::Connect(it) => take(&mut self.clients, &mut it.parallel),
            Scenario::Subscribe(it) => take(&mut self.messages, &mut it.filters),
            Scenario::Takeover(it) => take(&mut self.clients, &mut it.clients),
            Scenario::ReadRetained(it) => {
                take(&mut self.payload, &mut it.payload_len);
                take(&mut self.messages, &mut it.topics);
            }
            Scenario::Retained(it) => {
                take(&mut self.payload, &mut it.payload_len);
                take(&mut self.messages, &mut it.messages);
            }
            Scenario::Offline(it) => {
                take(&mut self.clients, &mut it.sessions);
                take(&mut self.payload, &mut it.payload_len);
                take(&mut self.messages, &mut it.messages);
            }
        }
        self.refuse_rest()
    }

    fn shared_publishers(mut self, shape: &mut Shape) -> Result<()> {
        if let Shape::Shared { publishers, .. } = shape {
            take(&mut self.clients, publishers);
        }
        self.refuse_rest()
    }

    fn refuse_rest(self) -> Result<()> {
        let rest = [
            ("--qos", self.qos.is_some()),
            ("--payload", self.payload.is_some()),
            ("--window", self.window.is_some()),
            ("--clients", self.clients.is_some()),
            ("--rate", self.rate.is_some()),
            ("--messages", self.messages.is_some()),
        ];
        match rest.iter().find(|(_, given)| *given) {
            Some((option, _)) => bail!("this workload has no {option}: leave it out"),
            None => Ok(()),
        }
    }
}

fn take<T>(given: &mut Option<T>, parameter: &mut T) {
    if let Some(value) = given.take() {
        *parameter = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::idle::Idle;

    #[test]
    fn a_parameter_the_workload_has_is_replaced_and_another_one_refused() {
        let mut scenario = Scenario::Idle(Idle { connections: 10, persistent: false, tls: false });
        Adjust { clients: Some(20), ..Adjust::default() }.apply(&mut scenario).unwrap();
        assert!(matches!(scenario, Scenario::Idle(Idle { connections: 20, .. })));
        let refused = Adjust { qos: Some(1), ..Adjust::default() }.apply(&mut scenario);
        assert!(refused.unwrap_err().to_string().contains("--qos"));
    }

    #[test]
    fn payloads_too_short_for_a_stamp_are_refused() {
        assert!(payload_len("15").is_err());
        assert_eq!(payload_len("16"), Ok(16));
        assert!(payload_len("1 KB").is_err());
    }
}

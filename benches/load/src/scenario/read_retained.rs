//! Retained messages that are read one by one: published at the publishers' node, subscribed to by name at the other.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::client_id;
use crate::codec::{self, Template};
use crate::dial::{Client, dial, with_packet};
use crate::latency::Latencies;
use crate::metric::{Metric, Outcome};
use crate::stamp::Stamp;
use crate::target::Target;

/// The parameters of such reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRetained {
    /// Topics with a message each.
    pub(crate) topics: u32,
    /// Bytes of a payload.
    pub(crate) payload_len: usize,
}

impl ReadRetained {
    /// Measures from SUBSCRIBE to the message, one topic after the other.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        let topic = |number: u32| format!("load/{}/kept-{}/{number}", std::process::id(), self.payload_len);
        let mut publisher =
            dial(&target.of_publishers(), &[Client::new(client_id("p", 0))])?.pop().context("no connection")?;
        for number in 0..self.topics {
            let mut packet = Vec::new();
            let stamp = Stamp { due: 0, flow: 0, sequence: number };
            Template::new(&topic(number), 1, true, self.payload_len).write(&mut packet, 1, stamp);
            publisher.write_all(&packet).context("cannot send PUBLISH")?;
            let head = with_packet(&mut publisher, |frame| Ok(frame.head))?;
            ensure!(head == codec::PUBACK, "the broker answered PUBLISH with packet type {head:#04x}");
        }
        let mut reader = dial(target, &[Client::new(client_id("r", 0))])?.pop().context("no connection")?;
        let mut latencies = Latencies::new()?;
        for number in 0..self.topics {
            let mut packet = Vec::new();
            codec::subscribe(&mut packet, 1, &[topic(number)], 0);
            let start = Instant::now();
            reader.write_all(&packet).context("cannot send SUBSCRIBE")?;
            with_packet(&mut reader, |frame| frame.expect_suback())?;
            let sequence = with_packet(&mut reader, |frame| {
                let delivery = frame.publish()?;
                Stamp::decode(delivery.payload).map(|stamp| stamp.sequence).context("not one of these messages")
            })?;
            latencies.record_duration(start.elapsed());
            ensure!(sequence == number, "another message than the one of the topic came");
        }
        let mut outcome = Outcome::default();
        outcome.set_quantiles([Metric::ReadP50, Metric::ReadP99], &latencies);
        Ok(outcome)
    }
}

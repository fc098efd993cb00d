//! The figures of a node as Prometheus reads them.
//!
//! Names and help texts stand in [`names`]; here each figure of a [`NodeSnapshot`] is given its name.

pub mod names;

use sluice_dataplane_core::stats::{BadInput, Closed, Dropped, Histogram, Stats, Steered, Unsteered};
use sluice_service::metrics::{Observations, Scrape};

use crate::{
    admin::{ClusterStatus, NodeSnapshot},
    control::type_name,
    stats::{DriverStats, GreetingFailed, Shed},
};

use self::names::*;

/// The text that Prometheus reads.
#[must_use]
pub fn text(node: &NodeSnapshot) -> String {
    let mut scrape = Scrape::new();
    connections(&mut scrape, node);
    sessions(&mut scrape, &node.stats);
    messages(&mut scrape, &node.stats);
    refusals(&mut scrape, &node.stats);
    driver(&mut scrape, &node.driver);
    if let Some(of) = &node.cluster {
        cluster(&mut scrape, of);
    }
    process(&mut scrape, node);
    scrape.process();
    scrape.text()
}

fn connections(scrape: &mut Scrape, node: &NodeSnapshot) {
    let stats = &node.stats;
    for (nth, listener) in node.listeners.iter().enumerate() {
        let name = listener.name.as_str();
        let open = stats.connections.get(nth).copied().unwrap_or_default();
        for (protocol, count) in PROTOCOLS.iter().zip(open) {
            scrape.set(&CONNECTIONS, &[name, protocol], count);
        }
        scrape.set(&CONNECTIONS_OPENED, &[name], stats.connections_opened.get(nth).copied().unwrap_or_default());
        if let Some(expires) = listener.certificate_expires {
            scrape.set(&TLS_CERTIFICATE_EXPIRY, &[name], expires);
        }
    }
    for (reason, count) in Closed::ALL.iter().zip(stats.closed) {
        scrape.set(&CONNECTIONS_CLOSED, &[reason.name()], count);
    }
}

fn sessions(scrape: &mut Scrape, stats: &Stats) {
    scrape.set(&SESSIONS, &["connected"], stats.sessions_connected);
    scrape.set(&SESSIONS, &["offline"], stats.sessions_offline);
    scrape.set(&SESSIONS_EXPIRED, &[], stats.sessions_expired);
    scrape.set(&SESSION_TAKEOVERS, &[], stats.takeovers);
    scrape.set(&SUBSCRIPTIONS, &["exact"], stats.subscriptions_exact);
    scrape.set(&SUBSCRIPTIONS, &["wildcard"], stats.subscriptions_wildcard);
    scrape.set(&SUBSCRIPTIONS, &["shared"], stats.subscriptions_shared);
    scrape.set(&RETAINED_MESSAGES, &[], stats.retained_messages);
    scrape.set(&RETAINED_BYTES, &[], stats.retained_bytes);
    scrape.set(&RETAINED_COPIES, &[], stats.retained_copies);
    scrape.set(&RETAINED_COPIES_BYTES, &[], stats.retained_copies_bytes);
    scrape.set(&RETAINED_COPIES_BEHIND, &[], stats.retained_copies_behind);
    scrape.set(&RETAINED_COPIES_SHOWN, &[], stats.retained_copies_shown);
    scrape.set(&RETAINED_COPIES_MISSED, &["large"], stats.retained_copies_passed_over);
    scrape.set(&RETAINED_COPIES_MISSED, &["no_room"], stats.retained_copies_left_out);
    scrape.set(&INBOX_MESSAGES, &[], stats.queued_messages);
    scrape.set(&INBOX_BYTES, &[], stats.queued_bytes);
    scrape.set(&INFLIGHT_MESSAGES, &[], stats.inflight);
    scrape.set(&OUTBOX_BYTES, &[], stats.outbox_bytes);
    scrape.set(&MEMORY_BYTES, &[], stats.memory_bytes);
}

fn messages(scrape: &mut Scrape, stats: &Stats) {
    for (qos, (received, sent)) in stats.messages_received.iter().zip(stats.messages_sent).enumerate() {
        let qos = ["0", "1", "2"][qos];
        scrape.set(&MESSAGES_RECEIVED, &[qos], *received);
        scrape.set(&MESSAGES_SENT, &[qos], sent);
    }
    for (cause, count) in Dropped::ALL.iter().zip(stats.dropped) {
        scrape.set(&MESSAGES_DROPPED, &[cause.name()], count);
    }
    scrape.set(&PACKETS_RECEIVED, &[], stats.packets_received);
    scrape.set(&PACKETS_SENT, &[], stats.packets_sent());
    scrape.set(&RECEIVED_BYTES, &[], stats.bytes_received);
    scrape.set(&SENT_BYTES, &[], stats.bytes_sent);
    scrape.set(&RECEIVED_PAYLOAD_BYTES, &[], stats.payload_bytes_received);
    scrape.set(&SENT_PAYLOAD_BYTES, &[], stats.payload_bytes_sent);
    observe(scrape, &PUBLISH_DURATION, &[], &stats.publish_duration);
    observe(scrape, &DELIVERY_DURATION, &["local"], &stats.delivery_duration);
    observe(scrape, &SUBSCRIPTION_MATCH_DURATION, &[], &stats.match_duration);
}

fn refusals(scrape: &mut Scrape, stats: &Stats) {
    for (action, count) in ["connect", "publish", "subscribe"].iter().zip(stats.denied) {
        scrape.set(&AUTH_DENIED, &[action], count);
    }
    for (cause, count) in Steered::ALL.iter().zip(stats.steered) {
        scrape.set(&CLIENTS_STEERED, &[cause.name()], count);
    }
    for (cause, count) in Unsteered::ALL.iter().zip(stats.unsteered) {
        scrape.set(&CLIENTS_NOT_STEERED, &[cause.name()], count);
    }
    for (cause, count) in BadInput::ALL.iter().zip(stats.bad_input) {
        scrape.set(&BAD_INPUT, &[cause.name()], count);
    }
}

fn driver(scrape: &mut Scrape, stats: &DriverStats) {
    scrape.set(&SOCKETS, &[], stats.sockets);
    for (cause, count) in Shed::ALL.iter().zip(stats.shed) {
        scrape.set(&CONNECTIONS_SHED, &[cause.name()], count);
    }
    for (cause, count) in GreetingFailed::ALL.iter().zip(stats.greeting_failed) {
        scrape.set(&HANDSHAKES_FAILED, &[cause.name()], count);
    }
    scrape.set(&WORKER_TURNS, &[], stats.turns);
    scrape.set(&WORKER_READS, &[], stats.reads);
    scrape.set(&WORKER_WRITES, &[], stats.writes);
}

fn process(scrape: &mut Scrape, node: &NodeSnapshot) {
    for (column, bytes) in &node.store.disk_bytes {
        scrape.set(&STORE_DISK_BYTES, &[column], *bytes);
    }
    scrape.set(&STORE_WRITABLE, &[], node.store.writable);
    scrape.set(&MEMORY_BUDGET_BYTES, &[], node.memory_budget_bytes);
    for what in &node.reload_failing {
        scrape.set(&RELOAD_FAILING, &[what], true);
    }
    scrape.set(&READY, &[], node.readiness().is_ready());
    scrape.set(&BUILD_INFO, &[node.build.version, node.build.revision], 1_u64);
}

fn cluster(scrape: &mut Scrape, of: &ClusterStatus) {
    for peer in &of.peers {
        if let Some(round_trip) = peer.round_trip {
            scrape.set(&PEER_ROUND_TRIP, &[&peer.node], round_trip.as_secs_f64());
        }
        scrape.set(&PEER_QUEUE_BYTES, &[&peer.node], peer.queue_bytes as u64);
        scrape.set(&PEER_SENT_BYTES, &[&peer.node], peer.sent_bytes);
        scrape.set(&PEER_RECEIVED_BYTES, &[&peer.node], peer.received_bytes);
    }
    if let Some(exchanged) = &of.exchanged {
        let within = exchanged.forwarded.saturating_sub(exchanged.relayed);
        scrape.set(&FORWARDED_COPIES, &["region"], within);
        scrape.set(&FORWARDED_COPIES, &["other_region"], exchanged.relayed);
        scrape.set(&RETAINED_COPIES_LOST, &[], exchanged.copies_lost);
        scrape.set(&FORWARDED_ARRIVED, &[], exchanged.arrived);
        scrape.set(&FORWARDED_FAILED, &["dropped"], exchanged.dropped);
        scrape.set(&FORWARDED_FAILED, &["refused"], exchanged.refused);
    }
    scrape.set(&CONFIG_STREAM_CONNECTED, &[], of.without_control_for.is_none());
    scrape.set(&CONFIG_SNAPSHOT_AGE, &[], of.without_control_for.unwrap_or_default().as_secs_f64());
    for (kind, version) in of.held.iter() {
        scrape.set(&CONFIG_TABLE_REVISION, &[type_name(kind)], version.counter);
    }
}

#[allow(clippy::cast_precision_loss)]
fn observe(scrape: &mut Scrape, metric: &sluice_service::metrics::Metric, labels: &[&str], histogram: &Histogram) {
    let bounds = Histogram::BOUNDS_NS.map(|ns| ns as f64 / 1e9);
    let sum = histogram.sum_ns as f64 / 1e9;
    scrape.observe(metric, labels, &Observations { bounds: &bounds, counts: &histogram.buckets, sum });
}

/// In the order of `Stats::connections`.
const PROTOCOLS: [&str; 3] = ["3.1", "3.1.1", "5"];

#[cfg(test)]
mod tests;

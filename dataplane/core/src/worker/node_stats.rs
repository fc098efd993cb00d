//! The `$SYS` topics, as mosquitto publishes them: the same names, the same meaning, and a value only when it changed.

use sluice_mqtt::QoS;

use super::Worker;
use crate::{
    Now, Stats,
    load::{Load, WINDOWS},
    message::MessageRef,
    stats::Dropped,
};

/// What the topics showed last.
#[derive(Default)]
pub(super) struct NodeTopics {
    /// In the order of [`loaded`].
    loads: [Load; LOADED],
    looked_ms: u64,
    clients_max: u64,
    /// The texts, in the order of [`NodeTopics::values`].
    shown: Vec<String>,
}

/// Counters with averages.
const LOADED: usize = 9;

impl Worker {
    /// Publishes the counters of the whole node under `$SYS/broker`, retained but not stored.
    pub(super) fn publish_node_stats(&mut self, now: Now, stats: &Stats) {
        let version = format!("sluice version {}", self.settings.version);
        self.publish_value(now, "version", &version);
        self.publish_value(now, "uptime", &format!("{} seconds", now.mono_ms / 1000));
        for (topic, text) in self.node_topics.changed(now.mono_ms, stats) {
            self.publish_value(now, &topic, &text);
        }
    }

    fn publish_value(&mut self, now: Now, topic: &str, value: &str) {
        let topic = format!("$SYS/broker/{topic}");
        let message = MessageRef {
            topic: &topic,
            forward: &[],
            payload: value.as_bytes(),
            qos: QoS::AtMostOnce,
            retain: true,
            expires_wall_ms: 0,
            id: None,
        };
        self.publish_message(now, &message, None);
    }
}

impl NodeTopics {
    /// The topics below `$SYS/broker/` whose value is not what it was, and their values. All of them the first time.
    fn changed(&mut self, mono_ms: u64, stats: &Stats) -> Vec<(String, String)> {
        let values = self.values(mono_ms, stats);
        self.shown.resize(values.len(), String::new());
        let mut changed = Vec::new();
        for ((topic, text), shown) in values.into_iter().zip(&mut self.shown) {
            if *shown != text {
                shown.clone_from(&text);
                changed.push((topic, text));
            }
        }
        changed
    }

    fn values(&mut self, mono_ms: u64, stats: &Stats) -> Vec<(String, String)> {
        self.clients_max = self.clients_max.max(clients_total(stats));
        let plain = figures(stats, self.clients_max);
        let mut values: Vec<(String, String)> =
            plain.iter().map(|(topic, value)| ((*topic).into(), value.to_string())).collect();
        let counters = loaded(stats);
        let elapsed_ms = mono_ms.saturating_sub(self.looked_ms);
        if elapsed_ms > 0 {
            self.looked_ms = mono_ms;
            self.loads.iter_mut().zip(counters).for_each(|(load, (_, counter))| load.look(counter, elapsed_ms));
        }
        for (load, (what, _)) in self.loads.iter().zip(counters) {
            for (average, (window, _)) in load.per_minute.iter().zip(WINDOWS) {
                values.push((format!("load/{what}/{window}"), format!("{average:.2}")));
            }
        }
        values
    }
}

fn clients_total(stats: &Stats) -> u64 {
    stats.sessions_connected + stats.sessions_offline
}

/// Messages lost because a queue was full, which is what mosquitto counts as dropped.
fn dropped(stats: &Stats) -> u64 {
    stats.dropped[Dropped::QueueFull as usize] + stats.dropped[Dropped::Memory as usize]
}

fn figures(stats: &Stats, clients_max: u64) -> [(&'static str, u64); 23] {
    let stored = stats.queued_messages + stats.retained_messages;
    [
        ("clients/total", clients_total(stats)),
        ("clients/maximum", clients_max),
        ("clients/connected", stats.sessions_connected),
        ("clients/active", stats.sessions_connected),
        ("clients/disconnected", stats.sessions_offline),
        ("clients/inactive", stats.sessions_offline),
        ("clients/expired", stats.sessions_expired),
        ("messages/received", stats.packets_received),
        ("messages/sent", stats.packets_sent()),
        ("messages/stored", stored),
        ("messages/inflight", stats.inflight),
        ("store/messages/count", stored),
        ("store/messages/bytes", stats.queued_bytes + stats.retained_bytes),
        ("publish/messages/received", stats.messages_received.iter().sum()),
        ("publish/messages/sent", stats.messages_sent.iter().sum()),
        ("publish/messages/dropped", dropped(stats)),
        ("publish/bytes/received", stats.payload_bytes_received),
        ("publish/bytes/sent", stats.payload_bytes_sent),
        ("bytes/received", stats.bytes_received),
        ("bytes/sent", stats.bytes_sent),
        ("retained messages/count", stats.retained_messages),
        ("subscriptions/count", stats.subscriptions_exact + stats.subscriptions_wildcard),
        ("shared_subscriptions/count", stats.subscriptions_shared),
    ]
}

/// The counters with averages under `load/`. A socket is a connection that was accepted, a connection a CONNECT.
fn loaded(stats: &Stats) -> [(&'static str, u64); LOADED] {
    [
        ("messages/received", stats.packets_received),
        ("messages/sent", stats.packets_sent()),
        ("publish/dropped", dropped(stats)),
        ("publish/received", stats.messages_received.iter().sum()),
        ("publish/sent", stats.messages_sent.iter().sum()),
        ("bytes/received", stats.bytes_received),
        ("bytes/sent", stats.bytes_sent),
        ("sockets", stats.connections_opened.iter().sum()),
        ("connections", stats.connects_received),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(changed: &'a [(String, String)], topic: &str) -> Option<&'a str> {
        changed.iter().find(|(t, _)| t == topic).map(|(_, text)| text.as_str())
    }

    #[test]
    fn the_first_time_everything_is_shown_and_later_what_changed() {
        let mut topics = NodeTopics::default();
        let stats = Stats { packets_received: 20, sessions_connected: 1, ..Stats::default() };
        let first = topics.changed(60_000, &stats);
        assert_eq!(first.len(), 23 + LOADED * WINDOWS.len());
        assert_eq!(value(&first, "messages/received"), Some("20"));
        assert_eq!(value(&first, "load/messages/received/1min"), Some("12.64"));
        assert_eq!(value(&first, "load/connections/15min"), Some("0.00"));

        let later: Vec<String> = topics.changed(120_000, &stats).into_iter().map(|(topic, _)| topic).collect();
        let averages = ["1min", "5min", "15min"].map(|window| format!("load/messages/received/{window}"));
        assert_eq!(later, averages, "nothing else changed");
    }

    #[test]
    fn the_maximum_of_clients_stays_when_they_go() {
        let mut topics = NodeTopics::default();
        let with =
            |sessions_connected, sessions_offline| Stats { sessions_connected, sessions_offline, ..Stats::default() };
        assert_eq!(value(&topics.changed(1, &with(3, 4)), "clients/maximum"), Some("7"));
        let changed = topics.changed(2, &with(1, 4));
        assert_eq!(value(&changed, "clients/total"), Some("5"));
        assert_eq!(value(&changed, "clients/maximum"), None);
    }

    #[test]
    fn only_what_a_full_queue_cost_is_dropped() {
        let stats = Stats { dropped: [1; Dropped::COUNT], ..Stats::default() };
        let changed = NodeTopics::default().changed(1, &stats);
        assert_eq!(value(&changed, "publish/messages/dropped"), Some("2"));
    }

    #[test]
    fn counters_asked_for_twice_in_a_millisecond_leave_the_averages_as_they_are() {
        let mut topics = NodeTopics::default();
        topics.changed(1_000, &Stats::default());
        let changed = topics.changed(1_000, &Stats { packets_received: 5, ..Stats::default() });
        assert_eq!(changed, [("messages/received".to_owned(), "5".to_owned())]);
    }
}

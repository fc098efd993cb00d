//! What nodes carry, as it is shown: of one, and of many together.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_cluster::Load;

/// The loads of some nodes together. Rates are summed as rates, since nodes do not report at the same time.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Sum {
    /// Nodes that have said what they carry.
    pub(super) nodes: u64,
    /// Those among them that have done so twice, and so have rates.
    measured: u64,
    pub(super) clients: u64,
    pub(super) sessions: u64,
    pub(super) subscriptions: u64,
    pub(super) retained_messages: u64,
    queued_messages: u64,
    memory_bytes: u64,
    rates: [f64; RATES.len()],
}

impl Sum {
    /// Of all nodes that have reported.
    pub(super) fn of<'a>(loads: impl IntoIterator<Item = &'a Load>) -> Self {
        loads.into_iter().fold(Self::default(), |sum, load| sum.plus(load))
    }

    fn plus(mut self, load: &Load) -> Self {
        self.nodes += 1;
        self.clients += load.connections;
        self.sessions += load.holdings.sessions;
        self.subscriptions += load.holdings.subscriptions;
        self.retained_messages += load.holdings.retained_messages;
        self.queued_messages += load.holdings.queued_messages;
        self.memory_bytes += load.holdings.memory_bytes;
        if load.period > Duration::ZERO {
            self.measured += 1;
            let of = &load.traffic;
            let counted =
                [of.messages_received, of.messages_sent, of.messages_dropped, of.bytes_received, of.bytes_sent];
            for (rate, count) in self.rates.iter_mut().zip(counted) {
                *rate += count as f64 / load.period.as_secs_f64();
            }
        }
        self
    }

    /// Rates are null until there are two reports of a node to tell them from.
    pub(super) fn value(&self) -> Value {
        let mut value = json!({
            "clients": self.clients,
            "sessions": self.sessions,
            "subscriptions": self.subscriptions,
            "retained_messages": self.retained_messages,
            "queued_messages": self.queued_messages,
            "memory_bytes": self.memory_bytes,
        });
        for (name, rate) in RATES.iter().zip(self.rates) {
            value[name] = json!((self.measured > 0).then(|| (rate * 10.0).round() / 10.0));
        }
        value
    }
}

const RATES: [&str; 5] =
    ["messages_in_per_s", "messages_out_per_s", "drops_per_s", "bytes_in_per_s", "bytes_out_per_s"];

#[cfg(test)]
mod tests {
    use sluice_cluster::Traffic;

    use super::*;

    #[test]
    fn rates_of_nodes_that_report_at_different_times_add_up() {
        let load = |period_s, messages_received| Load {
            period: Duration::from_secs(period_s),
            connections: 3,
            traffic: Traffic { messages_received, ..Traffic::default() },
            ..Load::default()
        };
        let first = Sum::of([&load(0, 0)]).value();
        assert_eq!((&first["clients"], &first["messages_in_per_s"]), (&json!(3), &Value::Null));
        let all = Sum::of([&load(2, 200), &load(4, 2), &load(0, 0)]);
        assert_eq!((all.nodes, &all.value()["messages_in_per_s"]), (3, &json!(100.5)));
    }
}

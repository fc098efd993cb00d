//! What a workload measures, and what the table says about it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::latency::Latencies;

/// One measured quantity. The order is the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// CPU seconds of the broker per million deliveries.
    BrokerCpuPerMillion,
    /// Deliveries per second.
    DeliveriesPerSecond,
    /// Latency of deliveries, median, µs.
    DeliveryP50,
    /// Latency of deliveries, 99 %, µs.
    DeliveryP99,
    /// Latency of deliveries, 99.9 %, µs.
    DeliveryP999,
    /// Time to PUBACK or PUBCOMP, median, µs.
    AckP50,
    /// Time to PUBACK or PUBCOMP, 99 %, µs.
    AckP99,
    /// Memory of the broker per idle connection, bytes.
    BytesPerConnection,
    /// Connections opened, accepted and closed per second.
    ConnectsPerSecond,
    /// CPU time of the broker per connection, µs.
    CpuPerConnect,
    /// Time to SUBACK, median, µs.
    SubscribedP50,
    /// Time to SUBACK, 99 %, µs.
    SubscribedP99,
    /// Time to CONNACK for a client id that is connected elsewhere, median, µs.
    TakeoverP50,
    /// Time to CONNACK for a client id that is connected elsewhere, 99 %, µs.
    TakeoverP99,
    /// Time from SUBSCRIBE to the retained message, median, µs.
    ReadP50,
    /// Time from SUBSCRIBE to the retained message, 99 %, µs.
    ReadP99,
    /// Memory of the broker per filter, bytes.
    BytesPerFilter,
    /// Messages stored and acknowledged per second.
    StoredPerSecond,
    /// Stored messages read back per second.
    FetchedPerSecond,
    /// Memory of the broker per stored message, bytes.
    BytesPerMessage,
    /// Growth of the broker's memory by what was stored, MiB.
    StoredMib,
    /// Resident memory of the broker at the end, MiB.
    RssMib,
    /// Messages that did not arrive.
    Lost,
    /// CPU seconds of the generator per million deliveries.
    GeneratorCpuPerMillion,
    /// From starting the process to the first CONNACK, ms.
    StartMs,
}

impl Metric {
    /// Every metric, in order.
    pub(crate) const ALL: [Self; 25] = [
        Self::BrokerCpuPerMillion,
        Self::DeliveriesPerSecond,
        Self::DeliveryP50,
        Self::DeliveryP99,
        Self::DeliveryP999,
        Self::AckP50,
        Self::AckP99,
        Self::BytesPerConnection,
        Self::ConnectsPerSecond,
        Self::CpuPerConnect,
        Self::SubscribedP50,
        Self::SubscribedP99,
        Self::TakeoverP50,
        Self::TakeoverP99,
        Self::ReadP50,
        Self::ReadP99,
        Self::BytesPerFilter,
        Self::StoredPerSecond,
        Self::FetchedPerSecond,
        Self::BytesPerMessage,
        Self::StoredMib,
        Self::RssMib,
        Self::Lost,
        Self::GeneratorCpuPerMillion,
        Self::StartMs,
    ];

    /// What it is, with its unit, for a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::BrokerCpuPerMillion => "broker CPU s per million",
            Self::DeliveriesPerSecond => "deliveries/s",
            Self::DeliveryP50 => "p50 µs",
            Self::DeliveryP99 => "p99 µs",
            Self::DeliveryP999 => "p99.9 µs",
            Self::AckP50 => "acknowledged p50 µs",
            Self::AckP99 => "acknowledged p99 µs",
            Self::BytesPerConnection => "bytes per connection",
            Self::ConnectsPerSecond => "connects/s",
            Self::CpuPerConnect => "CPU µs per connect",
            Self::SubscribedP50 => "subscribed p50 µs",
            Self::SubscribedP99 => "subscribed p99 µs",
            Self::TakeoverP50 => "taken over p50 µs",
            Self::TakeoverP99 => "taken over p99 µs",
            Self::ReadP50 => "retained message p50 µs",
            Self::ReadP99 => "retained message p99 µs",
            Self::BytesPerFilter => "bytes per filter",
            Self::StoredPerSecond => "stored/s",
            Self::FetchedPerSecond => "read back/s",
            Self::BytesPerMessage => "bytes per stored message",
            Self::StoredMib => "memory for what is stored, MiB",
            Self::RssMib => "RSS MiB",
            Self::Lost => "lost",
            Self::GeneratorCpuPerMillion => "generator CPU s per million",
            Self::StartMs => "start to first CONNACK, ms",
        }
    }
}

/// What one run of a workload measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Outcome {
    figures: BTreeMap<Metric, f64>,
}

impl Outcome {
    /// Adds a figure; the last one of a metric stays.
    pub(crate) fn set(&mut self, metric: Metric, value: f64) {
        self.figures.insert(metric, value);
    }

    /// Adds the median and the 99 % quantile under these names.
    pub(crate) fn set_quantiles(&mut self, [median, high]: [Metric; 2], latencies: &Latencies) {
        self.set(median, latencies.quantile_us(0.5));
        self.set(high, latencies.quantile_us(0.99));
    }

    /// Adds the quantiles of deliveries, if there were any.
    pub(crate) fn set_deliveries(&mut self, latencies: &Latencies) {
        if !latencies.is_empty() {
            self.set(Metric::DeliveryP50, latencies.quantile_us(0.5));
            self.set(Metric::DeliveryP99, latencies.quantile_us(0.99));
            self.set(Metric::DeliveryP999, latencies.quantile_us(0.999));
        }
    }

    /// Adds the quantiles of acknowledgements, if there were any.
    pub(crate) fn set_acknowledgements(&mut self, latencies: &Latencies) {
        if !latencies.is_empty() {
            self.set(Metric::AckP50, latencies.quantile_us(0.5));
            self.set(Metric::AckP99, latencies.quantile_us(0.99));
        }
    }

    /// The figure of a metric, if it was measured.
    pub(crate) fn figure(&self, metric: Metric) -> Option<f64> {
        self.figures.get(&metric).copied()
    }

    /// The median of each metric over runs that measured it.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let mut median = Self::default();
        for metric in Metric::ALL {
            let mut values: Vec<f64> = runs.iter().filter_map(|run| run.figure(metric)).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            match values.len() {
                0 => {}
                len if len % 2 == 1 => median.set(metric, values[middle]),
                _ => median.set(metric, f64::midpoint(values[middle - 1], values[middle])),
            }
        }
        median
    }
}

/// A bound that the product wants to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// The figure is to be this or less.
    AtMost(Metric, f64),
    /// The figure is to be this or more.
    AtLeast(Metric, f64),
    /// The figure is to be at most this many times the bare forwarder's in the same run.
    TimesForwarder(Metric, f64),
    /// The figure is to be at most this share of mosquitto's in the same run.
    ShareOfMosquitto(Metric, f64),
}

/// What others measured in the same run, for bounds that refer to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct References<'a> {
    /// The bare forwarder.
    pub(crate) forwarder: Option<&'a Outcome>,
    /// mosquitto.
    pub(crate) mosquitto: Option<&'a Outcome>,
}

impl Goal {
    /// The metric it is about.
    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::AtMost(metric, _)
            | Self::AtLeast(metric, _)
            | Self::TimesForwarder(metric, _)
            | Self::ShareOfMosquitto(metric, _) => metric,
        }
    }

    /// The bound as a figure of the same kind; `None` when the reference is missing.
    pub(crate) fn bound(self, references: References<'_>) -> Option<f64> {
        let scaled = |reference: Option<&Outcome>, factor| Some(reference?.figure(self.metric())? * factor);
        match self {
            Self::AtMost(_, bound) | Self::AtLeast(_, bound) => Some(bound),
            Self::TimesForwarder(_, times) => scaled(references.forwarder, times),
            Self::ShareOfMosquitto(_, share) => scaled(references.mosquitto, share),
        }
    }

    /// Whether `ours` keeps it; `None` when it cannot be told because a figure is missing.
    pub(crate) fn is_met(self, ours: &Outcome, references: References<'_>) -> Option<bool> {
        let value = ours.figure(self.metric())?;
        let bound = self.bound(references)?;
        Some(if matches!(self, Self::AtLeast(..)) { value >= bound } else { value <= bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(value: f64) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.set(Metric::BrokerCpuPerMillion, value);
        outcome
    }

    #[test]
    fn the_median_leaves_one_bad_run_out() {
        let runs = [outcome(1.0), outcome(50.0), outcome(2.0)];
        assert_eq!(Outcome::median(&runs).figure(Metric::BrokerCpuPerMillion), Some(2.0));
        assert_eq!(Outcome::median(&runs[..2]).figure(Metric::BrokerCpuPerMillion), Some(25.5));
        assert_eq!(Outcome::median(&[]), Outcome::default());
    }

    #[test]
    fn goals_are_kept_or_missed_or_unknown() {
        let metric = Metric::BrokerCpuPerMillion;
        let (forwarder, mosquitto) = (outcome(0.1), outcome(8.0));
        let nothing = References::default();
        let both = References { forwarder: Some(&forwarder), mosquitto: Some(&mosquitto) };
        assert_eq!(Goal::AtMost(metric, 0.5).is_met(&outcome(0.4), nothing), Some(true));
        assert_eq!(Goal::AtLeast(metric, 0.5).is_met(&outcome(0.4), nothing), Some(false));
        assert_eq!(Goal::TimesForwarder(metric, 3.0).is_met(&outcome(0.4), both), Some(false));
        assert_eq!(Goal::TimesForwarder(metric, 3.0).is_met(&outcome(0.4), nothing), None);
        assert_eq!(Goal::ShareOfMosquitto(metric, 0.05).is_met(&outcome(0.4), both), Some(true));
        assert_eq!(Goal::AtMost(Metric::Lost, 0.0).is_met(&outcome(0.4), both), None);
    }

    #[test]
    fn the_list_of_metrics_is_complete_and_in_order() {
        assert!(Metric::ALL.is_sorted());
        assert_eq!(Metric::ALL.last(), Some(&Metric::StartMs));
    }

    #[test]
    fn an_outcome_is_a_flat_json_object() {
        assert_eq!(serde_json::to_string(&outcome(0.5)).unwrap(), r#"{"broker_cpu_per_million":0.5}"#);
    }
}

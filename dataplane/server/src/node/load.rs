//! What the node carries, measured between two reports to control.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use sluice_cluster::{Deliveries, Flow, Holdings, Label, Load, NodeId, PeerStatus, Traffic};
use sluice_dataplane_core::{
    Stats,
    prefixes::{Busy, LEVELS_MAX},
    stats::Dropped,
};
use sluice_topic::{Limits, TopicFilter};

use super::pulse;
use crate::{
    links::LinkStats,
    mailbox::{Letter, Mailbox, Report},
};

/// Asks the workers what they have counted and says what came since the time before. It never waits: a worker that does
/// not answer before the next question leaves one report out.
pub(super) struct LoadMeter {
    workers: Arc<[Mailbox]>,
    /// Where the node is, and so are its subscribers.
    region: Option<Label>,
    asked: Option<Asked>,
    before: Option<(Instant, Traffic)>,
}

struct Asked {
    answers: mpsc::Receiver<Report>,
    reports: Vec<Report>,
}

impl LoadMeter {
    pub(super) fn new(workers: Arc<[Mailbox]>, region: Option<Label>) -> Self {
        Self { workers, region, asked: None, before: None }
    }

    /// Asks every worker; what an earlier question has not brought is not waited for.
    pub(super) fn ask(&mut self) {
        let (answer, answers) = mpsc::channel();
        self.workers.iter().for_each(|mailbox| mailbox.post(Letter::Report(answer.clone())));
        self.asked = Some(Asked { answers, reports: Vec::with_capacity(self.workers.len()) });
    }

    /// Whether there are answers to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// The load, once all workers have answered.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Load> {
        let asked = self.asked.as_mut()?;
        asked.reports.extend(asked.answers.try_iter());
        if asked.reports.len() < self.workers.len() {
            return None;
        }
        let mut reports = self.asked.take()?.reports;
        let busy = reports.iter_mut().flat_map(|report| std::mem::take(&mut report.busy));
        let deliveries = deliveries(busy, self.region.as_ref());
        let (stats, _) = pulse::sum(reports);
        Some(Load { deliveries, ..self.measure(&stats, now) })
    }

    fn measure(&mut self, stats: &Stats, now: Instant) -> Load {
        let counted = counted(stats);
        let before = self.before.replace((now, counted));
        let (period, traffic) = before.map_or_else(Default::default, |(at, before)| {
            (now.saturating_duration_since(at), since(&counted, &before))
        });
        let connections = stats.connections.iter().flatten().sum::<i64>();
        Load {
            period,
            connections: u64::try_from(connections).unwrap_or_default(),
            traffic,
            holdings: Holdings {
                sessions: stats.sessions_connected + stats.sessions_offline,
                subscriptions: stats.subscriptions_exact + stats.subscriptions_wildcard + stats.subscriptions_shared,
                retained_messages: stats.retained_messages,
                queued_messages: stats.queued_messages,
                memory_bytes: stats.memory_bytes,
            },
            ..Load::default()
        }
    }
}

/// The busiest parts of the topic space of all workers together: of each number of levels as many.
fn deliveries(busy: impl Iterator<Item = Busy>, region: Option<&Label>) -> Vec<Deliveries> {
    let mut by_levels: [BTreeMap<Box<str>, u64>; LEVELS_MAX] = Default::default();
    for Busy { prefix, deliveries } in busy {
        let further = prefix.bytes().filter(|byte| *byte == b'/').count();
        if let Some(of_level) = by_levels.get_mut(further) {
            *of_level.entry(prefix).or_default() += deliveries;
        }
    }
    let rows = by_levels.into_iter().flat_map(|of_level| {
        let mut rows: Vec<(Box<str>, u64)> = of_level.into_iter().collect();
        rows.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        rows.truncate(BUSY_MAX);
        rows
    });
    let row = |(prefix, count): (Box<str>, u64)| {
        let prefix = TopicFilter::parse(&format!("{prefix}/#"), &Limits::default()).ok()?;
        Some(Deliveries { prefix, region: region.cloned(), count })
    };
    rows.filter_map(row).collect()
}

/// Since the start of the process. What nobody had subscribed to is no loss.
fn counted(stats: &Stats) -> Traffic {
    let dropped = Dropped::ALL.iter().zip(stats.dropped).filter(|(cause, _)| **cause != Dropped::NoSubscriber);
    Traffic {
        messages_received: stats.messages_received.iter().sum(),
        messages_sent: stats.messages_sent.iter().sum(),
        messages_dropped: dropped.map(|(_, count)| count).sum(),
        bytes_received: stats.bytes_received,
        bytes_sent: stats.bytes_sent,
    }
}

fn since(now: &Traffic, before: &Traffic) -> Traffic {
    Traffic {
        messages_received: now.messages_received.saturating_sub(before.messages_received),
        messages_sent: now.messages_sent.saturating_sub(before.messages_sent),
        messages_dropped: now.messages_dropped.saturating_sub(before.messages_dropped),
        bytes_received: now.bytes_received.saturating_sub(before.bytes_received),
        bytes_sent: now.bytes_sent.saturating_sub(before.bytes_sent),
    }
}

/// Parts of the topic space that are told, of each number of levels: with 30 bytes each, some 6 KB a report.
const BUSY_MAX: usize = 64;

/// Says of each link what went over it since the time before.
#[derive(Default)]
pub(super) struct LinkMeter {
    before: Option<(Instant, BTreeMap<NodeId, Counted>)>,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    bytes: u64,
    packets: u64,
    lost: u64,
}

impl LinkMeter {
    pub(super) fn measure(&mut self, links: &[LinkStats], now: Instant) -> Vec<PeerStatus> {
        let counted =
            |link: &LinkStats| Counted { bytes: link.bytes.0, packets: link.packets, lost: link.packets_lost };
        let all = links.iter().map(|link| (link.peer, counted(link))).collect();
        let before = self.before.replace((now, all));
        let status = |link: &LinkStats| {
            let before = before.as_ref().and_then(|(at, before)| Some((*at, before.get(&link.peer)?)));
            let flow = before.map(|(at, before)| rates(counted(link), *before, now.saturating_duration_since(at)));
            PeerStatus {
                node: link.peer,
                silent: link.connected_for.map(|_| Duration::ZERO),
                round_trip: link.connected_for.map(|_| link.round_trip),
                flow: Flow { queue_bytes: link.queued_bytes as u64, ..flow.unwrap_or_default() },
            }
        };
        links.iter().map(status).collect()
    }
}

fn rates(now: Counted, before: Counted, period: Duration) -> Flow {
    let per = |count: u64, of: u128, scale: u64| {
        let share = u128::from(count) * u128::from(scale) / of.max(1);
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let packets = now.packets.saturating_sub(before.packets);
    // A packet may be found lost after the period in which it was sent.
    let lost = now.lost.saturating_sub(before.lost).min(packets);
    Flow {
        queue_bytes: 0,
        sent_bytes_per_s: per(now.bytes.saturating_sub(before.bytes), period.as_millis(), 1000),
        lost_per_million: u32::try_from(per(lost, packets.into(), 1_000_000)).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(received: u64, no_subscriber: u64, full: u64) -> Stats {
        let connections = vec![[1, 2, 3], [0, 0, 4]];
        let mut stats = Stats { connections_opened: vec![0, 0], connections, ..Stats::default() };
        (stats.messages_received, stats.bytes_received) = ([received, 1, 1], 100 * received);
        (stats.sessions_connected, stats.sessions_offline, stats.subscriptions_shared) = (10, 5, 7);
        for (cause, count) in Dropped::ALL.iter().zip(&mut stats.dropped) {
            if *cause == Dropped::NoSubscriber {
                *count = no_subscriber;
            } else if *cause == Dropped::QueueFull {
                *count = full;
            }
        }
        stats
    }

    #[test]
    fn a_load_is_what_came_since_the_one_before_and_the_first_counts_nothing() {
        let mut meter = LoadMeter::new(Arc::new([]), None);
        let start = Instant::now();
        let first = meter.measure(&stats(1_000, 5, 5), start);
        assert_eq!((first.period, first.traffic), (Duration::ZERO, Traffic::default()));
        assert_eq!((first.connections, first.holdings.sessions, first.holdings.subscriptions), (10, 15, 7));
        let next = meter.measure(&stats(1_300, 900, 9), start + Duration::from_secs(2));
        assert_eq!(next.period, Duration::from_secs(2));
        let Traffic { messages_received, messages_dropped, bytes_received, .. } = next.traffic;
        assert_eq!((messages_received, messages_dropped, bytes_received), (300, 4, 30_000));
    }

    #[test]
    fn nothing_is_said_before_every_worker_has_answered() {
        let mailbox = || Mailbox::of_task(Arc::default());
        let mut meter = LoadMeter::new(Arc::new([mailbox(), mailbox()]), Label::parse("eu").ok());
        assert!(!meter.is_waiting());
        meter.ask();
        let mut answers = Vec::new();
        for mailbox in meter.workers.iter() {
            let mut letters = Vec::new();
            mailbox.take(&mut letters);
            answers.extend(letters.into_iter().filter_map(|letter| match letter {
                Letter::Report(answer) => Some(answer),
                Letter::Input(_) | Letter::Arrival(_) | Letter::ForGate(_) | Letter::StopAccepting | Letter::Stop => {
                    None
                }
            }));
        }
        let busy =
            || vec![Busy { prefix: "a/b".into(), deliveries: 640 }, Busy { prefix: "a".into(), deliveries: 900 }];
        let driver = crate::stats::DriverStats::default;
        let report = || Report { stats: stats(1, 0, 0), driver: driver(), busy: busy() };
        answers[0].send(report()).unwrap();
        assert_eq!((meter.poll(Instant::now()), meter.is_waiting()), (None, true));
        answers[1].send(report()).unwrap();
        let load = meter.poll(Instant::now()).unwrap();
        assert_eq!(load.connections, 20);
        let told: Vec<_> = load.deliveries.iter().map(|row| (row.prefix.as_str(), row.count)).collect();
        assert_eq!(told, [("a/#", 1_800), ("a/b/#", 1_280)]);
        assert!(load.deliveries.iter().all(|row| row.region.as_ref().map(Label::as_str) == Some("eu")));
        assert!(!meter.is_waiting());
    }

    #[test]
    fn the_busiest_of_each_number_of_levels_are_told_and_none_that_is_no_filter() {
        let busy = |nth: u64| Busy { prefix: format!("a/{nth}").into(), deliveries: nth };
        let others = ["", "a/b/c/d", "a\u{0}b"].map(|prefix| Busy { prefix: prefix.into(), deliveries: 5 });
        let rows = deliveries((1..=100).map(busy).chain(others), None);
        assert_eq!(rows.len(), BUSY_MAX + 1);
        assert_eq!((rows[0].prefix.as_str(), rows[1].prefix.as_str()), ("/#", "a/100/#"));
        assert!(rows.iter().all(|row| row.prefix.as_str() != "a/36/#"));
    }

    #[test]
    fn a_link_has_rates_and_one_that_is_cut_has_no_round_trip() {
        let link = |peer, bytes, packets, packets_lost, is_there: bool| LinkStats {
            peer: NodeId(peer),
            connected_for: is_there.then_some(Duration::from_secs(9)),
            connections: 1,
            round_trip: Duration::from_micros(250),
            bytes: (bytes, 0),
            packets,
            packets_lost,
            mtu: 1452,
            queued_bytes: 17,
            last_error: None,
        };
        let mut meter = LinkMeter::default();
        let start = Instant::now();
        let first = meter.measure(&[link(1, 5_000, 100, 9, true)], start);
        assert_eq!(first[0].flow, Flow { queue_bytes: 17, ..Flow::default() });
        let links = [link(1, 9_000, 300, 11, true), link(2, 70, 7, 0, false)];
        let next = meter.measure(&links, start + Duration::from_secs(2));
        assert_eq!(next[0].flow, Flow { queue_bytes: 17, sent_bytes_per_s: 2_000, lost_per_million: 10_000 });
        assert_eq!((next[0].round_trip, next[0].silent), (Some(Duration::from_micros(250)), Some(Duration::ZERO)));
        assert_eq!((next[1].round_trip, next[1].silent, next[1].flow.sent_bytes_per_s), (None, None, 0));
    }
}

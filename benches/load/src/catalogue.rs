//! The workloads by name, with what the product is to reach in each.
//!
//! The bounds come from measurements of peers on a two-core machine, broker and generator on one core each. Such
//! machines drift, so bounds on CPU have twins: a multiple of the bare forwarder's figure and a share of mosquitto's,
//! both of the same run.

use crate::metric::{Goal, Metric};
use crate::scenario::Scenario;
use crate::scenario::connect::Connect;
use crate::scenario::idle::Idle;
use crate::scenario::offline::Offline;
use crate::scenario::open_loop::OpenLoop;
use crate::scenario::read_retained::ReadRetained;
use crate::scenario::retained::Retained;
use crate::scenario::subscribe::Subscribe;
use crate::scenario::takeover::Takeover;
use crate::scenario::throughput::{Filters, Shape, Throughput};

/// One named workload.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// The name on the command line and in tables.
    pub(crate) name: String,
    /// What it does, in a few words.
    pub(crate) about: String,
    /// What it runs.
    pub(crate) scenario: Scenario,
    /// What is to be reached.
    pub(crate) goals: Vec<Goal>,
}

const SMALL: usize = 64;
const LARGE: usize = 1_024;

/// Every workload, in the order of the table.
pub(crate) fn workloads() -> Vec<Workload> {
    [point_to_point(), many(), sessions(), open_loop(), connections(), stores(), matching()].concat()
}

/// The workload of this name.
pub(crate) fn find(name: &str) -> Option<Workload> {
    workloads().into_iter().find(|workload| workload.name == name)
}

fn workload(name: &str, about: &str, scenario: Scenario, goals: &[Goal]) -> Workload {
    Workload { name: name.to_owned(), about: about.to_owned(), scenario, goals: goals.to_vec() }
}

fn closed(shape: Shape, window: u32, qos: u8, payload_len: usize) -> Scenario {
    Scenario::Throughput(Throughput { shape, window, qos, payload_len, persistent: false, filters: None })
}

/// At most `cpu` seconds per million, at most `times` the forwarder, and the share of mosquitto's figure that `cpu`
/// was of the `mosquitto` seconds on the machine where the bounds were set.
fn cpu_goals(cpu: f64, times: f64, mosquitto: f64) -> [Goal; 3] {
    let metric = Metric::BrokerCpuPerMillion;
    [Goal::AtMost(metric, cpu), Goal::TimesForwarder(metric, times), Goal::ShareOfMosquitto(metric, cpu / mosquitto)]
}

fn point_to_point() -> Vec<Workload> {
    let pairs = |qos, payload| closed(Shape::Pairs(10), 100, qos, payload);
    // Every run starts a broker with an empty store, so any workload can say how long that takes.
    let first = [&cpu_goals(0.35, 3.2, 8.37)[..], &[Goal::AtMost(Metric::StartMs, 300.0)]].concat();
    vec![
        workload("p2p-qos0", "10 pairs, window 100, QoS 0, 64 B", pairs(0, SMALL), &first),
        workload("p2p-qos0-1k", "10 pairs, window 100, QoS 0, 1 KB", pairs(0, LARGE), &cpu_goals(0.7, 2.1, 13.9)),
        workload("p2p-qos1", "10 pairs, window 100, QoS 1, 64 B", pairs(1, SMALL), &cpu_goals(0.55, 3.2, 22.9)),
        workload("p2p-qos2", "10 pairs, window 100, QoS 2, 64 B", pairs(2, SMALL), &cpu_goals(0.9, 2.7, 46.5)),
    ]
}

fn many() -> Vec<Workload> {
    let shared = Shape::Shared { publishers: 10, members: 4 };
    let metric = Metric::BrokerCpuPerMillion;
    let shared_goal = [Goal::AtMost(metric, 0.6), Goal::ShareOfMosquitto(metric, 0.6 / 18.8)];
    vec![
        workload(
            "fan-in",
            "100 → 1, window 20, QoS 0",
            closed(Shape::FanIn(100), 20, 0, SMALL),
            &cpu_goals(0.5, 1.6, 8.96),
        ),
        workload(
            "fan-out-100",
            "1 → 100, window 50, QoS 0",
            closed(Shape::FanOut(100), 50, 0, SMALL),
            &cpu_goals(0.28, 1.6, 4.69),
        ),
        workload(
            "fan-out-1000",
            "1 → 1,000, window 20, QoS 0",
            closed(Shape::FanOut(1_000), 20, 0, SMALL),
            &cpu_goals(0.7, 1.5, 12.7),
        ),
        workload("shared", "10 → group of 4, window 100, QoS 1", closed(shared, 100, 1, SMALL), &shared_goal),
    ]
}

fn sessions() -> Vec<Workload> {
    let scenario = |persistent| {
        let shape = Shape::Pairs(50);
        Scenario::Throughput(Throughput { shape, window: 100, qos: 1, payload_len: SMALL, persistent, filters: None })
    };
    vec![
        workload("transient-qos1", "50 pairs, window 100, QoS 1", scenario(false), &[]),
        workload("persistent-qos1", "the same to persistent sessions that are online", scenario(true), &[]),
    ]
}

fn open_loop() -> Vec<Workload> {
    let goals = [Goal::AtMost(Metric::DeliveryP50, 60.0), Goal::AtMost(Metric::DeliveryP99, 300.0)];
    let scenario = |qos| Scenario::OpenLoop(OpenLoop { pairs: 10, rate: 5_000, qos, payload_len: SMALL });
    vec![
        workload("open-qos0", "open loop, 5,000 messages/s, QoS 0", scenario(0), &goals),
        workload("open-qos1", "open loop, 5,000 messages/s, QoS 1", scenario(1), &goals),
    ]
}

fn connections() -> Vec<Workload> {
    let idle = |persistent, tls| Scenario::Idle(Idle { connections: 18_000, persistent, tls });
    let takeover = |persistent| Scenario::Takeover(Takeover { clients: 500, persistent });
    let read = |payload_len| Scenario::ReadRetained(ReadRetained { topics: 1_000, payload_len });
    let bytes = |most| [Goal::AtMost(Metric::BytesPerConnection, most)];
    let churn = [Goal::AtLeast(Metric::ConnectsPerSecond, 25_000.0), Goal::AtMost(Metric::CpuPerConnect, 30.0)];
    vec![
        workload(
            "subscribe",
            "2,000 subscriptions, one after the other",
            Scenario::Subscribe(Subscribe { filters: 2_000 }),
            &[],
        ),
        workload(
            "takeover",
            "500 client ids that are connected come again, one after the other",
            takeover(false),
            &[Goal::AtMost(Metric::TakeoverP99, 10_000.0)],
        ),
        workload(
            "takeover-persistent",
            "the same with persistent sessions",
            takeover(true),
            &[Goal::AtMost(Metric::TakeoverP99, 10_000.0)],
        ),
        workload("read-retained", "1,000 retained messages of 64 B, one by one", read(SMALL), &[]),
        workload("read-retained-16k", "the same with 16 KiB", read(16 << 10), &[]),
        workload("idle", "18,000 idle connections", idle(false, false), &bytes(1_536.0)),
        workload(
            "idle-persistent",
            "18,000 idle persistent sessions, 1 filter each",
            idle(true, false),
            &bytes(3_072.0),
        ),
        workload("idle-tls", "18,000 idle connections over TLS", idle(false, true), &bytes(12_288.0)),
        workload("connect", "connect, CONNACK, close", Scenario::Connect(Connect { parallel: 32 }), &churn),
    ]
}

fn stores() -> Vec<Workload> {
    let retained = |messages| Scenario::Retained(Retained { messages, payload_len: SMALL });
    let offline = |sessions| Scenario::Offline(Offline { sessions, messages: 10_000, payload_len: SMALL });
    let rates = [Goal::AtLeast(Metric::StoredPerSecond, 200_000.0), Goal::AtLeast(Metric::FetchedPerSecond, 500_000.0)];
    let drain = [
        Goal::AtLeast(Metric::StoredPerSecond, 200_000.0),
        Goal::AtLeast(Metric::FetchedPerSecond, 600_000.0),
        Goal::AtMost(Metric::BytesPerMessage, 100.0),
        Goal::AtMost(Metric::Lost, 0.0),
    ];
    // 300 MB.
    let million = [Goal::AtMost(Metric::StoredMib, 286.0), Goal::AtLeast(Metric::FetchedPerSecond, 500_000.0)];
    vec![
        workload("retained-100k", "store 100,000 retained at QoS 1, fetch by wildcard", retained(100_000), &rates),
        workload("retained-1m", "store 1,000,000 retained at QoS 1, fetch by wildcard", retained(1_000_000), &million),
        workload("offline", "10 persistent sessions away, 10,000 messages each, QoS 1", offline(10), &drain),
        // Enough messages for what one costs to show beside the write buffers of a store.
        workload("offline-1m", "100 persistent sessions away, 10,000 messages each, QoS 1", offline(100), &drain),
    ]
}

fn matching() -> Vec<Workload> {
    let mut workloads = Vec::new();
    for (size, count) in [("1k", 1_000), ("100k", 100_000), ("1m", 1_000_000)] {
        let kinds = [("exact", Filters::Exact(count)), ("plus", Filters::Plus(count)), ("hash", Filters::Hash(count))];
        for (kind, filters) in kinds {
            let shape = Shape::Pairs(10);
            let filters = Some(filters);
            let scenario = Throughput { shape, window: 100, qos: 0, payload_len: SMALL, persistent: false, filters };
            let goals = match (kind, count) {
                ("plus", 100_000) => vec![Goal::AtMost(Metric::BrokerCpuPerMillion, 0.6)],
                (_, 1_000_000) => vec![Goal::AtMost(Metric::BytesPerFilter, 100.0)],
                _ => Vec::new(),
            };
            let about = format!("p2p-qos0 beside {count} {kind} filters of others");
            workloads.push(workload(&format!("match-{kind}-{size}"), &about, Scenario::Throughput(scenario), &goals));
        }
    }
    workloads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_a_name_of_its_own_and_is_found_by_it() {
        let all = workloads();
        for (at, workload) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|earlier| earlier.name != workload.name), "{} twice", workload.name);
            assert!(find(&workload.name).is_some());
        }
        assert!(find("p2p").is_none());
    }
}

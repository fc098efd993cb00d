//! A node under load that is killed again and again, and an account of every acknowledged message.
//!
//! Publishers (QoS 1 and 2, versions 3.1.1 and 5) and subscribers with various habits keep sessions over all kills. The
//! clients are correct, so every violation that an [`account::Account`] finds is the node's. A run ends with everything
//! drained: each message published was acknowledged in the end, so each must have come to each subscriber.
//!
//! The seed decides when to kill, when clients go away and what they send. The machine's timing decides the rest: a seed
//! makes a failure likely to come again, not certain.

pub mod account;
mod ledger;
pub mod message;
mod publisher;
mod retained;
mod subscriber;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sluice_mqtt::{QoS, Version};

use self::{
    account::{Account, Group, Violation},
    ledger::Ledger,
    publisher::Publisher,
    retained::{REGISTERS, Register, Writer},
    subscriber::{Habit, Role, Subscriber},
};
use crate::{
    client::{Connection, Hello},
    node::Node,
};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything random.
    pub seed: u64,
    /// How often to kill the node.
    pub kills: usize,
    /// How many workers the node may have; one of these at each start.
    pub workers: Vec<u16>,
    /// Publishers, at least one.
    pub publishers: u8,
    /// Messages a second of each.
    pub rate_per_publisher: u64,
    /// Whether two subscribers share a subscription.
    pub shared_group: bool,
}

/// What was done, without any violation.
#[derive(Clone, Debug)]
pub struct Report {
    /// Kills.
    pub kills: usize,
    /// Messages published and acknowledged.
    pub acknowledged: u64,
    /// Deliveries for the first time.
    pub delivered: u64,
    /// Deliveries that came again, as they may.
    pub redelivered: u64,
    /// The longest time from a start to the first CONNACK.
    pub slowest_start: Duration,
    /// How long it took.
    pub took: Duration,
}

/// What all threads of a run see.
struct Stage {
    plan: Plan,
    address: SocketAddr,
    ledger: Ledger,
    registers: [Register; REGISTERS],
    /// Subscribers whose SUBACK came.
    subscribed: AtomicU64,
    /// No new messages, no more kills.
    draining: AtomicBool,
    /// Everything published is acknowledged.
    settled: AtomicBool,
}

/// Runs a plan.
///
/// # Errors
/// The first violation, in words, with the seed.
pub fn run(plan: &Plan) -> Result<Report, String> {
    let started = Instant::now();
    let mut node = Node::new();
    let stage = Stage {
        plan: plan.clone(),
        address: node.address(),
        ledger: Ledger::new(plan.publishers),
        registers: Default::default(),
        subscribed: AtomicU64::new(0),
        draining: AtomicBool::new(false),
        settled: AtomicBool::new(false),
    };
    let roles = roles(plan);
    let subscribers = roles.len() as u64;
    let slowest_start = thread::scope(|scope| {
        for role in roles {
            let subscriber = Subscriber::new(&stage, role);
            scope.spawn(|| subscriber.run());
        }
        let slowest = stage.kill_again_and_again(&mut node, subscribers, |stage| {
            let publishers = (0..stage.plan.publishers).map(|number| {
                let publisher = Publisher::new(stage, number);
                scope.spawn(|| publisher.run())
            });
            let writer = Writer::new(stage);
            publishers.chain([scope.spawn(|| writer.run())]).collect()
        });
        stage.settled.store(true, Ordering::Release);
        slowest
    });
    if !stage.ledger.failed() && retained::check(&stage).is_err() {
        stage.ledger.fail("register-reader", &Violation::Stuck("no connection at the end".to_owned()), "");
    }
    match stage.ledger.failure() {
        Some(failure) => Err(format!("{plan:?}\n{failure}\n  the node's log:\n{}", node.log_tail(15))),
        None => Ok(Report {
            kills: stage.ledger.kills(),
            acknowledged: stage.ledger.acknowledged(),
            delivered: stage.ledger.delivered.load(Ordering::Relaxed),
            redelivered: stage.ledger.redelivered.load(Ordering::Relaxed),
            slowest_start,
            took: started.elapsed(),
        }),
    }
}

/// Fan-out to several sessions: every habit, both versions, filters that overlap, QoS that is lowered.
fn roles(plan: &Plan) -> Vec<Role> {
    let role = |name, version, habit, filters, qos| Role {
        name,
        version,
        habit,
        filters,
        qos,
        wants: |_| true,
        account: Account::default(),
    };
    let (one, two) = (QoS::AtLeastOnce, QoS::ExactlyOnce);
    let mut roles = vec![
        role("prompt", Version::V5, Habit::Prompt, &["crash/#"], two),
        role("prompt-311", Version::V311, Habit::Prompt, &["crash/#"], two),
        role("late-twice", Version::V5, Habit::Late, &["crash/#", "crash/0/+/q2"], two),
        role("lowered-to-1", Version::V311, Habit::Late, &["crash/#"], one),
        role("absent-often", Version::V5, Habit::Absent, &["crash/#"], two),
    ];
    let mut mute = role("never-acknowledges", Version::V5, Habit::Mute, &["crash/0/0/+"], two);
    mute.wants = |stream| stream.publisher == 0 && stream.topic == 0;
    roles.push(mute);
    if plan.shared_group {
        let group = Group::default();
        for (name, version) in [("member-one", Version::V5), ("member-number-two", Version::V5)] {
            let mut member = role(name, version, Habit::Late, &["$share/group/crash/#"], two);
            member.account = Account::of_group(Arc::clone(&group));
            roles.push(member);
        }
    }
    roles
}

impl Stage {
    /// Starts and kills the node as planned, lets everything be drained by a last life of it, and returns when all that
    /// publishes has ended. `publish` starts that, once everybody has subscribed.
    fn kill_again_and_again<'scope>(
        &'scope self,
        node: &mut Node,
        subscribers: u64,
        publish: impl FnOnce(&'scope Self) -> Vec<thread::ScopedJoinHandle<'scope, ()>>,
    ) -> Duration {
        let mut rng = fastrand::Rng::with_seed(self.plan.seed);
        let mut slowest = self.start(node, &mut rng);
        self.wait_for("all subscribers", || self.subscribed.load(Ordering::Acquire) == subscribers);
        let publishers = publish(self);
        while self.ledger.kills() < self.plan.kills && !self.ledger.failed() {
            // Some die while they recover.
            let early = rng.u8(..6) == 0;
            self.sleep(Duration::from_millis(if early { rng.u64(..60) } else { rng.u64(150..900) }));
            if !early {
                let _ = retained::check(self);
                self.sleep(Duration::from_millis(rng.u64(..40)));
            }
            if let Err(status) = node.kill() {
                self.ledger.fail("node", &Violation::Stopped(status.to_string()), "");
            }
            self.ledger.on_kill();
            self.sleep(Duration::from_millis(rng.u64(..50)));
            slowest = slowest.max(self.start(node, &mut rng));
        }
        self.draining.store(true, Ordering::Release);
        for publisher in publishers {
            self.wait_for("everything published to be acknowledged", || publisher.is_finished());
        }
        slowest
    }

    /// Starts the node; usually waits until it serves.
    fn start(&self, node: &mut Node, rng: &mut fastrand::Rng) -> Duration {
        let workers = self.plan.workers[rng.usize(..self.plan.workers.len())];
        node.start(workers);
        let started = Instant::now();
        if rng.u8(..8) == 0 && self.ledger.kills() < self.plan.kills {
            return Duration::ZERO;
        }
        let _ = self.connect(&Hello::transient("starter"));
        started.elapsed()
    }

    fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() && !self.ledger.failed() {
            if Instant::now() > deadline {
                self.ledger.fail("run", &Violation::Stuck(format!("waiting for {what}")), "");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects as soon as the node serves. `None`: the run has failed.
    fn connect(&self, hello: &Hello<'_>) -> Option<Connection> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.ledger.failed() {
            match Connection::open(self.address, hello) {
                Ok(connection) => return Some(connection),
                Err(error) if Instant::now() > deadline => {
                    let what = format!("{} cannot connect: {error}", hello.client_id);
                    self.ledger.fail(hello.client_id, &Violation::Stuck(what), "");
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        None
    }

    /// When a client that is connected now breaks its connection by itself, if no kill does.
    fn next_leave(&self, rng: &mut fastrand::Rng) -> Instant {
        Instant::now() + Duration::from_millis(rng.u64(200..2_500))
    }

    fn pause_between_connections(&self, rng: &mut fastrand::Rng) {
        self.sleep(Duration::from_millis(rng.u64(..30)));
    }

    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.ledger.failed() {
            thread::sleep(Duration::from_millis(5).min(until.saturating_duration_since(Instant::now())));
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills in {:.0?}: {} messages acknowledged, {} first deliveries, {} redeliveries, none lost or doubled; \
             slowest start to CONNACK {:.0?}",
            self.kills, self.took, self.acknowledged, self.delivered, self.redelivered, self.slowest_start
        )
    }
}

//! The load of a demo: sensors in every region that publish at QoS 1 to nodes of their region, and one subscriber in each
//! region that wants all of it and keeps its session. What became of each message stands in the [`Account`].

mod account;
mod client;
mod sensor;
mod subscriber;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

pub(super) use account::Tally;
use account::{Account, SUBSCRIBERS_MAX};

/// The load while it runs; dropped, it stops at once.
#[derive(Debug)]
pub(super) struct Load {
    account: Arc<Mutex<Account>>,
    stop: watch::Sender<bool>,
    sensors: JoinSet<()>,
    _subscribers: JoinSet<()>,
}

/// Where the clients of a region connect.
#[derive(Clone, Debug)]
pub(super) struct Market {
    /// The region.
    pub(super) name: String,
    /// Its nodes; at least one.
    pub(super) nodes: Arc<[SocketAddr]>,
}

/// A sensor: where it stands, and how often it has something to say.
#[derive(Clone, Debug)]
struct Sensor {
    /// Its row in the account.
    row: usize,
    topic: String,
    nodes: Arc<[SocketAddr]>,
    /// Messages in a second.
    rate: f64,
}

impl Load {
    /// Connects the subscribers, and when they are served the sensors; they publish `rate` messages a second together.
    pub(super) async fn start(rate: u32, markets: &[Market]) -> Self {
        let markets = &markets[..markets.len().min(SUBSCRIBERS_MAX)];
        let planned = sensors(rate, markets);
        let account = Arc::new(Mutex::new(Account::new(planned.len(), markets.len())));
        let rows: Arc<BTreeMap<String, usize>> =
            Arc::new(planned.iter().map(|sensor| (sensor.topic.clone(), sensor.row)).collect());
        let (ready, mut subscribed) = mpsc::channel(markets.len());
        let mut subscribers = JoinSet::new();
        for (row, market) in markets.iter().enumerate() {
            let account = Arc::clone(&account);
            let client_id = format!("demo-{}", market.name);
            // Its first node is not the one that the first sensor uses.
            let own = market.nodes.iter().rev();
            let others = markets.iter().filter(|other| other.name != market.name).flat_map(|other| other.nodes.iter());
            let nodes = own.chain(others).copied().collect();
            let role = subscriber::Role { row, client_id, nodes, rows: Arc::clone(&rows) };
            subscribers.spawn(subscriber::run(role, account, ready.clone()));
        }
        // What is published before would be missing for good reason.
        let all = async {
            for _ in markets {
                subscribed.recv().await;
            }
        };
        let _ = timeout(SUBSCRIBE_DEADLINE, all).await;
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        for sensor in planned {
            running.spawn(sensor::run(sensor, Arc::clone(&account), stopped.clone()));
        }
        Self { account, stop, sensors: running, _subscribers: subscribers }
    }

    /// What became of the messages so far.
    pub(super) fn tally(&self) -> Tally {
        locked(&self.account).tally(PATIENCE, Instant::now())
    }

    /// Stops the sensors, gives what is under way its time, and sums up. What is missing then is lost.
    pub(super) async fn finish(mut self) -> Tally {
        // The sensors may be gone.
        let _ = self.stop.send(true);
        let deadline = Instant::now() + PATIENCE;
        let all = async { while self.sensors.join_next().await.is_some() {} };
        let _ = timeout(PATIENCE, all).await;
        while Instant::now() < deadline && !locked(&self.account).is_settled() {
            sleep(LOOK_INTERVAL).await;
        }
        locked(&self.account).tally(Duration::ZERO, Instant::now())
    }
}

/// How many sensors stand where.
fn sensors(rate: u32, markets: &[Market]) -> Vec<Sensor> {
    let each = (rate as usize / markets.len().max(1)).clamp(1, SENSORS_MAX);
    let share = f64::from(rate) / (each * markets.len()) as f64;
    let places = markets.iter().flat_map(|market| (1..=each).map(move |nth| (market, nth)));
    let sensor = |(row, (market, nth)): (usize, (&Market, usize))| Sensor {
        row,
        topic: format!("sensors/{}/{nth}/temp", market.name),
        nodes: Arc::clone(&market.nodes),
        rate: share,
    };
    places.enumerate().map(sensor).collect()
}

fn locked(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acknowledged, refused, received, lost, under_way, doubled } = self;
        write!(f, "sent {sent}  acknowledged {acknowledged}  received {received}  lost {lost}  doubled {doubled}")?;
        if *under_way > 0 {
            write!(f, "  under way {under_way}")?;
        }
        if *refused > 0 {
            write!(f, "  refused {refused}")?;
        }
        Ok(())
    }
}

/// Everybody who may want a sensor's messages.
const FILTER: &str = "sensors/#";
/// In each region.
const SENSORS_MAX: usize = 10;
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(15);
/// What is acknowledged and still missing after this long is called lost. Longer than a node takes to be declared dead.
const PATIENCE: Duration = Duration::from_secs(12);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn markets() -> Vec<Market> {
        let nodes: Arc<[SocketAddr]> = Arc::new([([127, 0, 0, 1], 1883).into()]);
        ["eu", "us"].map(|name| Market { name: name.into(), nodes: Arc::clone(&nodes) }).to_vec()
    }

    #[test]
    fn the_rate_is_shared_by_at_most_ten_sensors_a_region_and_one_at_least() {
        for (rate, count) in [(1, 2), (2, 2), (7, 6), (2000, 20)] {
            let sensors = sensors(rate, &markets());
            assert_eq!(sensors.len(), count, "at {rate}/s");
            let sum: f64 = sensors.iter().map(|sensor| sensor.rate).sum();
            assert!((sum - f64::from(rate)).abs() < 1e-6, "{sum} for {rate}/s");
        }
        assert_eq!(sensors(4, &markets())[3].topic, "sensors/us/2/temp");
    }
}

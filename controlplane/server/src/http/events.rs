//! Events: says to browsers which kinds of things have changed, so that they read them again. No event carries a state,
//! so that none that is lost or late makes a page wrong.
//!
//! Once a second, while somebody listens, the driver is asked for a mark of each topic. What has another mark than before
//! has changed, and gets the next number of this replica's life. A listener knows the number it has seen last, and is told
//! what has a greater one: however slow it is, it has one number to catch up with.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher as _},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use crate::control::{Desk, Handle};

/// What may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topic {
    /// What nodes carry and hear.
    Stats,
    /// Who they are and what they hold.
    Nodes,
    /// Policies and where shards are.
    Placement,
    /// Alarms, and who leads.
    Alarms,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Stats, Self::Nodes, Self::Placement, Self::Alarms];

    fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Nodes => "nodes",
            Self::Placement => "placement",
            Self::Alarms => "alarms",
        }
    }
}

type Marks = [u64; Topic::ALL.len()];

/// When each topic has changed last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Changes {
    /// Of this life of the replica.
    life: u64,
    /// The number of the last change.
    last: u64,
    /// By topic.
    at: Marks,
}

impl Changes {
    fn since(&self, seen: u64) -> Vec<&'static str> {
        let topics = Topic::ALL.iter().zip(self.at);
        topics.filter(|(_, at)| *at > seen).map(|(topic, _)| topic.name()).collect()
    }

    /// The number of an id that this life has given; 0, before everything, for any other.
    fn seen(&self, id: &str) -> u64 {
        let number = id.split_once('-').filter(|(life, _)| *life == format!("{:x}", self.life));
        number.and_then(|(_, number)| number.parse().ok()).filter(|number| *number <= self.last).unwrap_or(0)
    }

    fn event(&self, name: &str, topics: &[&str]) -> Bytes {
        let data = json!({"topics": topics});
        format!("id: {:x}-{}\nevent: {name}\ndata: {data}\n\n", self.life, self.last).into()
    }
}

/// The changes of a replica, for all who listen.
#[derive(Clone)]
pub(crate) struct Events {
    changes: Arc<watch::Sender<Changes>>,
    places: Arc<Semaphore>,
}

impl Default for Events {
    fn default() -> Self {
        // Unlike that of every other life.
        let life = RandomState::new().build_hasher().finish();
        let changes = Changes { life, last: 0, at: Marks::default() };
        Self { changes: Arc::new(watch::Sender::new(changes)), places: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }
}

impl Events {
    /// Looks for changes until `stop` is ready.
    ///
    /// # Errors
    /// None.
    pub(crate) async fn run(self, handle: Handle, stop: impl Future<Output = ()>) -> io::Result<()> {
        let watching = async {
            let mut ticks = interval(LOOK_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut before = Marks::default();
            loop {
                ticks.tick().await;
                if self.changes.receiver_count() == 0 {
                    continue;
                }
                let Ok(marks) = handle.ask(marks).await else { return };
                self.compare(before, marks);
                before = marks;
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop => {}
        }
        Ok(())
    }

    fn compare(&self, before: Marks, marks: Marks) {
        if before == marks {
            return;
        }
        self.changes.send_modify(|changes| {
            changes.last += 1;
            let last = changes.last;
            let different = changes.at.iter_mut().zip(before.iter().zip(marks)).filter(|(_, (a, b))| *a != b);
            different.for_each(|(at, _)| *at = last);
        });
    }

    /// A stream of events for one listener: what it has missed since the event of an id, and what comes. It ends when
    /// `may_listen` says so, which is asked with every heartbeat. `None`: too many listen.
    pub(super) fn listen(
        &self,
        last_id: Option<&str>,
        may_listen: impl Fn() -> bool + Send + 'static,
    ) -> Option<mpsc::Receiver<Bytes>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
        let changes = self.changes.subscribe();
        let known = *changes.borrow();
        // Who begins here reads everything anyway.
        let seen = last_id.map_or(known.last, |id| known.seen(id));
        let is_other_life = last_id.is_some() && seen == 0;
        let first = if is_other_life { Topic::ALL.map(Topic::name).to_vec() } else { known.since(seen) };
        tokio::spawn(tell(changes, (known, first), sender, may_listen, place));
        Some(receiver)
    }
}

/// Tells one listener.
async fn tell(
    mut changes: watch::Receiver<Changes>,
    (known, first): (Changes, Vec<&'static str>),
    to: mpsc::Sender<Bytes>,
    may_listen: impl Fn() -> bool,
    _place: OwnedSemaphorePermit,
) {
    // What cannot be written for so long has nobody at its other end.
    let send = async |event: Bytes| matches!(timeout(WRITE_MAX, to.send(event)).await, Ok(Ok(())));
    let mut seen = known.last;
    let hello = if first.is_empty() { known.event("hello", &[]) } else { known.event("changed", &first) };
    if !send(hello).await {
        return;
    }
    let mut heartbeat = Instant::now() + HEARTBEAT;
    loop {
        let event = tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *changes.borrow_and_update();
                let topics = now.since(seen);
                seen = now.last;
                if topics.is_empty() {
                    continue;
                }
                now.event("changed", &topics)
            }
            () = sleep_until(heartbeat) => {
                heartbeat = Instant::now() + HEARTBEAT;
                if !may_listen() {
                    return;
                }
                Bytes::from_static(b"event: heartbeat\ndata: {}\n\n")
            }
            () = to.closed() => return,
        };
        if !send(event).await {
            return;
        }
    }
}

/// A number for each topic that is another when the topic has changed.
fn marks(desk: &Desk) -> Marks {
    let (reports, streams) = desk.heard();
    let reconciler = desk.reconciler();
    let view = reconciler.view();
    let alarms: Vec<String> = reconciler.alarms().iter().map(ToString::to_string).chain(desk.push_failures()).collect();
    let alarms = fingerprint(&format!("{:?} {alarms:?}", reconciler.office()));
    let intent = view.map(|view| (view.intent().number, view.intent().is_paused, view.placement_version()));
    let revision = view.map_or(0, |view| view.revision().0);
    [reports, fingerprint(&format!("{streams} {revision} {alarms}")), fingerprint(&format!("{intent:?}")), alarms]
}

fn fingerprint(text: &str) -> u64 {
    sluice_cluster::stable_hash(text.as_bytes())
}

/// Browsers that listen. They hold connections of the interface, and leave most of them to others.
const LISTENERS_MAX: usize = 64;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A listener that hears nothing for longer than some of these takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that wait for a connection to take them.
const EVENTS_AHEAD: usize = 2;
const WRITE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn next(feed: &mut mpsc::Receiver<Bytes>) -> String {
        String::from_utf8(feed.recv().await.unwrap_or_default().to_vec()).unwrap()
    }

    fn id(event: &str) -> String {
        event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_is_told_what_has_changed_and_hears_a_heart_beat() {
        let events = Events::default();
        let mut feed = events.listen(None, || true).unwrap();
        assert!(next(&mut feed).await.contains("event: hello"));
        events.compare([0; 4], [0, 7, 0, 1]);
        assert!(next(&mut feed).await.contains(
            r#"event: changed
data: {"topics":["nodes","alarms"]}"#
        ));
        let before = Instant::now();
        assert!(next(&mut feed).await.contains("event: heartbeat"));
        assert_eq!(before.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_is_told_what_it_has_missed_once_and_all_after_a_restart() {
        let events = Events::default();
        let mut feed = events.listen(None, || true).unwrap();
        next(&mut feed).await;
        events.compare([0; 4], [0, 0, 1, 0]);
        let seen = id(&next(&mut feed).await);
        drop(feed);
        events.compare([0; 4], [1, 0, 0, 0]);
        events.compare([1, 0, 0, 0], [2, 0, 0, 0]);
        let missed = next(&mut events.listen(Some(&seen), || true).unwrap()).await;
        assert!(missed.contains(r#"{"topics":["stats"]}"#), "{missed}");
        assert!(next(&mut events.listen(Some(&id(&missed)), || true).unwrap()).await.contains("event: hello"));
        let restarted = Events::default();
        let all = next(&mut restarted.listen(Some(&seen), || true).unwrap()).await;
        assert!(all.contains(r#"["stats","nodes","placement","alarms"]"#), "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_listener_has_one_event_to_catch_up_with() {
        let events = Events::default();
        let mut feed = events.listen(None, || true).unwrap();
        tokio::task::yield_now().await;
        for count in 0..1000 {
            events.compare([count, 0, 0, 0], [count + 1, 0, 0, 0]);
            tokio::task::yield_now().await;
        }
        let mut told = 0;
        while !next(&mut feed).await.contains("-1000\n") {
            told += 1;
        }
        assert!(told <= EVENTS_AHEAD + 1, "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_session_has_and_leaves_its_place_to_others() {
        let events = Events::default();
        let may = Arc::new(AtomicBool::new(true));
        let mut feeds: Vec<_> = (0..LISTENERS_MAX)
            .map(|_| {
                let may = Arc::clone(&may);
                events.listen(None, move || may.load(Ordering::Relaxed)).unwrap()
            })
            .collect();
        assert!(events.listen(None, || true).is_none());
        may.store(false, Ordering::Relaxed);
        for feed in &mut feeds {
            assert!(next(feed).await.contains("hello"));
            assert_eq!(next(feed).await, "", "it is over");
        }
        assert!(events.listen(None, || true).is_some());
    }
}

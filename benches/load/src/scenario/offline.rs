//! Offline queues: persistent sessions go away, messages are stored for them, they come back and drain.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Reading, client_id, forget_sessions, publishers};
use crate::clock::Clock;
use crate::codec::Template;
use crate::dial::{Client, dial, leave};
use crate::engine::{Engine, Role};
use crate::flow::{Flow, Pace};
use crate::metric::{Metric, Outcome};
use crate::target::Target;
use crate::window::Window;

/// The parameters of offline queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offline {
    /// Sessions, each with a topic and a publisher of its own.
    pub(crate) sessions: usize,
    /// Messages queued for each.
    pub(crate) messages: u32,
    /// Bytes of a payload.
    pub(crate) payload_len: usize,
}

/// Messages of one publisher that wait for their PUBACK.
const WINDOW: u32 = 1_000;
/// After its start a broker may still be busy with itself, which would count as memory of messages.
const SETTLE: Duration = Duration::from_millis(500);
/// Nothing here should take as long.
const PATIENCE: Duration = Duration::from_secs(120);

impl Offline {
    /// Stores with QoS 1, then drains with QoS 1.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let sessions: Vec<Client> = (0..self.sessions).map(session).collect();
        part(target, &sessions)?;
        thread::sleep(SETTLE);
        self.store(target, &mut outcome)?;
        self.drain(target, &sessions, &mut outcome)?;
        forget_sessions(target, &sessions)?;
        Ok(outcome)
    }

    fn total(&self) -> u64 {
        self.sessions as u64 * u64::from(self.messages)
    }

    fn store(&self, target: &Target, outcome: &mut Outcome) -> Result<()> {
        let sockets = dial(target, &publishers(self.sessions)).context("publishers")?;
        let roles = (0..sockets.len()).map(Role::Publisher).collect();
        let flow = |(index, link): (u32, usize)| {
            let template = Template::new(&topic(link), 1, false, self.payload_len);
            let pace = Pace::Acknowledged(Window::new(WINDOW, 1));
            Flow::new(index, link, template, pace).limited(0, u64::from(self.messages))
        };
        let mut engine =
            Engine::new(Clock::start(), sockets, roles, (0u32..).zip(0..self.sessions).map(flow).collect())?;
        let start = Reading::take(target)?;
        let stored = engine.run(PATIENCE, |tally| tally.acknowledged >= self.total())?;
        let end = Reading::take(target)?;
        ensure!(stored, "{} of {} were acknowledged in {PATIENCE:?}", engine.tally.acknowledged, self.total());
        outcome.set(Metric::StoredPerSecond, self.total() as f64 / start.seconds_until(&end));
        outcome.set_acknowledgements(&engine.tally.acknowledgement);
        if let Some(bytes) = start.growth_until(&end) {
            outcome.set(Metric::BytesPerMessage, bytes / self.total() as f64);
        }
        Ok(())
    }

    fn drain(&self, target: &Target, sessions: &[Client], outcome: &mut Outcome) -> Result<()> {
        let back: Vec<Client> =
            sessions.iter().map(|session| Client::new(session.id.clone()).persistent(true)).collect();
        let start = Reading::take(target)?;
        let sockets = dial(target, &back).context("sessions that come back")?;
        let roles = vec![Role::Subscriber; sockets.len()];
        let mut engine = Engine::new(Clock::start(), sockets, roles, Vec::new())?;
        let drained = engine.run(PATIENCE, |tally| tally.deliveries >= self.total());
        let end = Reading::take(target)?;
        let deliveries = engine.tally.deliveries;
        ensure!(deliveries > 0, "no queued message came back");
        outcome.set(Metric::Lost, self.total().saturating_sub(deliveries) as f64);
        // Messages that never come make the loop wait; a rate that includes the wait would mean nothing.
        if drained.unwrap_or(false) {
            outcome.set(Metric::FetchedPerSecond, deliveries as f64 / start.seconds_until(&end));
        }
        end.report_rss(outcome);
        Ok(())
    }
}

/// Makes the sessions and disconnects them.
fn part(target: &Target, sessions: &[Client]) -> Result<()> {
    dial(target, sessions).context("sessions")?.into_iter().try_for_each(leave)
}

fn topic(index: usize) -> String {
    format!("load/offline/{index}")
}

fn session(index: usize) -> Client {
    Client::new(client_id("o", index)).persistent(true).subscribing(topic(index), 1)
}

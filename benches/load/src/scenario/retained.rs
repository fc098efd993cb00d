//! Retained messages: store many, one topic each, then fetch them all with a wildcard.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Reading, client_id, publishers};
use crate::clock::Clock;
use crate::codec::{self, Frame, Template};
use crate::dial::{Client, dial};
use crate::engine::{Engine, Role};
use crate::flow::{Flow, Pace};
use crate::metric::{Metric, Outcome};
use crate::target::Target;
use crate::window::Window;

/// The parameters of retained messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retained {
    /// Messages to store, each under a topic of its own.
    pub(crate) messages: u32,
    /// Bytes of a payload.
    pub(crate) payload_len: usize,
}

/// Clients that publish.
const PUBLISHERS: u32 = 10;
/// Messages of one publisher that wait for their PUBACK.
const WINDOW: u32 = 1_000;
/// Times the whole set is fetched.
const FETCHES: u32 = 3;
/// After its start a broker may still be busy with itself, which would count as memory of messages.
const SETTLE: Duration = Duration::from_millis(500);
/// Nothing here should take as long.
const PATIENCE: Duration = Duration::from_secs(120);

impl Retained {
    /// Stores with QoS 1, then fetches with QoS 0, each time with a new client.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        thread::sleep(SETTLE);
        let before = Reading::take(target)?;
        let mut engine = self.engine(target)?;
        let start = Reading::take(target)?;
        let count = u64::from(self.messages);
        let stored = engine.run(PATIENCE, |tally| tally.acknowledged >= count)?;
        ensure!(stored, "only {} of {count} were acknowledged in {PATIENCE:?}", engine.tally.acknowledged);
        let end = Reading::take(target)?;
        outcome.set(Metric::StoredPerSecond, f64::from(self.messages) / start.seconds_until(&end));
        outcome.set_acknowledgements(&engine.tally.acknowledgement);
        drop(engine);
        if let Some(bytes) = before.growth_until(&end) {
            outcome.set(Metric::StoredMib, bytes / (1_024.0 * 1_024.0));
            outcome.set(Metric::BytesPerMessage, bytes / f64::from(self.messages));
        }
        let start = Reading::take(target)?;
        let mut spent = Duration::ZERO;
        for round in 0..FETCHES {
            spent += self.fetch(target, round)?;
        }
        let end = Reading::take(target)?;
        let fetched = f64::from(self.messages) * f64::from(FETCHES);
        outcome.set(Metric::FetchedPerSecond, fetched / spent.as_secs_f64());
        if let Some(cpu) = start.broker_cpu_until(&end) {
            outcome.set(Metric::BrokerCpuPerMillion, cpu * 1e6 / fetched);
        }
        end.report_rss(&mut outcome);
        Ok(outcome)
    }

    fn engine(&self, target: &Target) -> Result<Engine> {
        let sockets = dial(target, &publishers(PUBLISHERS as usize)).context("publishers")?;
        let roles = (0..sockets.len()).map(Role::Publisher).collect();
        let share = self.messages.div_ceil(PUBLISHERS);
        let flow = |index: u32| {
            let first = index * share;
            let messages = self.messages.saturating_sub(first).min(share);
            let template = Template::numbered("load/retained/", 1, true, self.payload_len);
            let pace = Pace::Acknowledged(Window::new(WINDOW, 1));
            Flow::new(index, index as usize, template, pace).limited(first, u64::from(messages))
        };
        Engine::new(Clock::start(), sockets, roles, (0..PUBLISHERS).map(flow).collect())
    }

    /// How long it takes from SUBSCRIBE to the last message.
    fn fetch(&self, target: &Target, round: u32) -> Result<Duration> {
        let client = Client::new(client_id("r", round as usize));
        let mut socket = dial(target, &[client])?.pop().context("no connection")?;
        let mut packet = Vec::new();
        codec::subscribe(&mut packet, 1, &["load/retained/#".to_owned()], 0);
        let start = Instant::now();
        std::io::Write::write_all(&mut socket, &packet).context("cannot send SUBSCRIBE")?;
        receive(&mut socket, self.messages)?;
        Ok(start.elapsed())
    }
}

/// Reads until `count` messages have come.
fn receive(socket: &mut TcpStream, count: u32) -> Result<()> {
    let mut buffer = vec![0; 256 * 1_024];
    let mut filled = 0;
    let mut received = 0;
    while received < count {
        let read = socket.read(&mut buffer[filled..]);
        let read = read.with_context(|| format!("{received} of {count} retained messages came, then none"))?;
        if read == 0 {
            bail!("the broker closed the connection after {received} of {count} retained messages");
        }
        filled += read;
        let mut used = 0;
        while let Some(frame) = Frame::split(&buffer[used..filled])? {
            used += frame.len;
            received += u32::from(frame.head & 0xF0 == codec::PUBLISH);
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
    Ok(())
}

//! A client that publishes at an even rate, and sends again what was not acknowledged when a connection ended.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Sensor,
    account::Account,
    client::{Client, Heard, Hello, PING_INTERVAL},
    locked,
};

/// Publishes until it is stopped and everything is answered.
pub(super) async fn run(sensor: Sensor, account: Arc<Mutex<Account>>, stop: watch::Receiver<bool>) {
    let mut publisher = Publisher { sensor, account, stop, open: VecDeque::new(), pace: Pace::new(), packet_id: 0 };
    let mut attempt = publisher.sensor.row;
    loop {
        let node = publisher.sensor.nodes[attempt % publisher.sensor.nodes.len()];
        let client_id = format!("demo-sensor-{}", publisher.sensor.row + 1);
        let hello = Hello { client_id: &client_id, clean_start: true, expiry_s: 0 };
        if let Ok(mut client) = Client::connect(node, hello).await
            && publisher.serve(&mut client).await.is_ok()
        {
            return client.disconnect().await;
        }
        if publisher.is_done() {
            return;
        }
        attempt += 1;
        sleep(RETRY_INTERVAL).await;
    }
}

struct Publisher {
    sensor: Sensor,
    account: Arc<Mutex<Account>>,
    stop: watch::Receiver<bool>,
    /// What is not answered: packet id and number, in the order of publishing.
    open: VecDeque<(u16, u64)>,
    pace: Pace,
    packet_id: u16,
}

impl Publisher {
    fn is_done(&self) -> bool {
        *self.stop.borrow() && self.open.is_empty()
    }

    /// Publishes over one connection; `Ok` when all is done.
    async fn serve(&mut self, client: &mut Client) -> io::Result<()> {
        self.send_again(client);
        client.flush().await?;
        let mut ticks = interval(Duration::from_secs_f64(1.0 / self.sensor.rate).clamp(TICK_MIN, TICK_MAX));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pings = interval(PING_INTERVAL);
        while !self.is_done() {
            tokio::select! {
                _ = ticks.tick() => self.publish_due(client),
                heard = client.hear() => self.take_in(client, heard?)?,
                _ = pings.tick() => client.ping(),
            }
            client.flush().await?;
        }
        Ok(())
    }

    fn send_again(&mut self, client: &mut Client) {
        for at in 0..self.open.len() {
            self.packet_id = following(self.packet_id);
            self.open[at].0 = self.packet_id;
            client.publish(&self.sensor.topic, payload(self.open[at].1).as_bytes(), self.packet_id, true);
        }
    }

    fn publish_due(&mut self, client: &mut Client) {
        if *self.stop.borrow() {
            return;
        }
        let room = WINDOW.saturating_sub(self.open.len());
        for _ in 0..self.pace.due(self.sensor.rate, room, Instant::now()) {
            let number = locked(&self.account).send(self.sensor.row);
            self.packet_id = following(self.packet_id);
            self.open.push_back((self.packet_id, number));
            client.publish(&self.sensor.topic, payload(number).as_bytes(), self.packet_id, false);
        }
    }

    /// Takes in what was heard, and all that came with it.
    fn take_in(&mut self, client: &mut Client, heard: Heard) -> io::Result<()> {
        let mut next = Some(heard);
        while let Some(heard) = next {
            if let Heard::PubAck { packet_id, accepted } = heard
                && let Some(at) = self.open.iter().position(|(id, _)| *id == packet_id)
                && let Some((_, number)) = self.open.remove(at)
            {
                locked(&self.account).answered(self.sensor.row, number, accepted, Instant::now());
            }
            next = client.heard()?;
        }
        Ok(())
    }
}

/// Says how many messages are due, so that the rate is kept over time. What could not be sent for more than a second is
/// not made up for.
struct Pace {
    since: Option<Instant>,
    sent: f64,
}

impl Pace {
    const fn new() -> Self {
        Self { since: None, sent: 0.0 }
    }

    /// How many messages to send now, at most `room`.
    fn due(&mut self, rate: f64, room: usize, now: Instant) -> usize {
        let since = *self.since.get_or_insert(now);
        let wanted = now.saturating_duration_since(since).as_secs_f64() * rate;
        let behind = (wanted - rate.max(1.0)).max(self.sent);
        self.sent = behind;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is small and not negative.
        let due = ((wanted - self.sent).max(0.0) as usize).min(room);
        self.sent += due as f64;
        due
    }
}

/// What a sensor says: its message's number, and a temperature for whoever looks.
fn payload(number: u64) -> String {
    let celsius = 20.0 + 5.0 * (number as f64 / 60.0).sin();
    format!(r#"{{"number":{number},"celsius":{celsius:.1}}}"#)
}

/// The next packet id: 1 to 65,535, round and round.
fn following(packet_id: u16) -> u16 {
    packet_id.checked_add(1).unwrap_or(1)
}

/// What a node takes without an answer (`mqtt.receive_maximum`).
const WINDOW: usize = 64;
const TICK_MIN: Duration = Duration::from_millis(5);
/// So that being stopped is noticed.
const TICK_MAX: Duration = Duration::from_millis(250);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_keeps_the_rate_and_makes_up_for_a_second_at_most() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new();
        assert_eq!(pace.due(100.0, 64, after(0)), 0);
        assert_eq!(pace.due(100.0, 64, after(50)), 5);
        assert_eq!(pace.due(100.0, 64, after(55)), 0);
        assert_eq!(pace.due(100.0, 64, after(60)), 1);
        assert_eq!(pace.due(100.0, 10, after(500)), 10, "no more than there is room for");
        assert_eq!(pace.due(100.0, 1000, after(10_500)), 100, "ten seconds of silence are not made up for");
        assert_eq!(pace.due(100.0, 1000, after(10_600)), 10);
        let mut slow = Pace::new();
        slow.due(0.5, 64, after(0));
        let sent: usize = (1..=20).map(|second| slow.due(0.5, 64, after(second * 1000))).sum();
        assert_eq!(sent, 10, "less than one a second");
    }

    #[test]
    fn packet_ids_are_never_zero() {
        assert_eq!(following(0), 1);
        assert_eq!(following(u16::MAX), 1);
    }
}

//! A client that wants everything and keeps its session, whichever node it is connected to: one of its region, or any other
//! while none is there.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::mpsc::Sender,
    time::{interval, sleep},
};

use super::{
    FILTER,
    account::Account,
    client::{Client, Heard, Hello, PING_INTERVAL},
    locked,
};

/// Who subscribes.
#[derive(Clone, Debug)]
pub(super) struct Role {
    /// Its place in the account.
    pub(super) row: usize,
    pub(super) client_id: String,
    /// Nodes of its region, at least one, and then all others.
    pub(super) nodes: Vec<SocketAddr>,
    /// The row of the sensor of each topic.
    pub(super) rows: Arc<BTreeMap<String, usize>>,
}

/// Receives until it is dropped. Says `ready` once, when the subscription is granted.
pub(super) async fn run(role: Role, account: Arc<Mutex<Account>>, ready: Sender<()>) {
    let mut ready = Some(ready);
    let mut failed = 0;
    loop {
        let node = role.nodes[failed % role.nodes.len()];
        // A demo that keeps its data may have one of an earlier run.
        let clean_start = ready.is_some();
        let hello = Hello { client_id: &role.client_id, clean_start, expiry_s: EXPIRY_S };
        failed += 1;
        if let Ok(mut client) = Client::connect(node, hello).await {
            failed = 0;
            // It ended, and is tried again.
            let _ = receive(&mut client, &role, &account, &mut ready).await;
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Receives over one connection.
async fn receive(
    client: &mut Client,
    role: &Role,
    account: &Mutex<Account>,
    ready: &mut Option<Sender<()>>,
) -> io::Result<()> {
    if !client.has_session() {
        client.subscribe(FILTER);
        client.flush().await?;
    }
    let mut pings = interval(PING_INTERVAL);
    loop {
        let mut next = tokio::select! {
            heard = client.hear() => Some(heard?),
            _ = pings.tick() => {
                client.ping();
                None
            }
        };
        while let Some(heard) = next {
            take_in(client, role, account, ready, heard)?;
            next = client.heard()?;
        }
        client.flush().await?;
    }
}

fn take_in(
    client: &mut Client,
    role: &Role,
    account: &Mutex<Account>,
    ready: &mut Option<Sender<()>>,
    heard: Heard,
) -> io::Result<()> {
    match heard {
        Heard::Publish { topic, payload, packet_id } => {
            // Whatever others publish there is none of ours.
            if let (Some(&sensor), Some(number)) = (role.rows.get(&topic), number(&payload)) {
                locked(account).received(role.row, sensor, number);
            }
            client.acknowledge(packet_id);
        }
        Heard::SubAck { granted: true } => {
            if let Some(ready) = ready.take() {
                // Nobody waits for long.
                let _ = ready.try_send(());
            }
        }
        Heard::SubAck { granted: false } => return Err(io::Error::other("the subscription was refused")),
        Heard::PubAck { .. } | Heard::Nothing => {}
    }
    Ok(())
}

/// The number of a sensor's message.
fn number(payload: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(payload).ok()?.get("number")?.as_u64()
}

/// Longer than a demo is looked at without its subscribers.
const EXPIRY_S: u32 = 3600;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_number_is_read_and_what_others_publish_has_none() {
        assert_eq!(number(br#"{"number":17,"celsius":20.1}"#), Some(17));
        for other in [&b"hot"[..], br#"{"celsius":20.1}"#, br#"{"number":-1}"#, b""] {
            assert_eq!(number(other), None);
        }
    }
}

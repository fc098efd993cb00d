//! What an operator reads: events of the core and of the driver as lines of the log.
//!
//! Lines that a client can cause at will are bounded: some each second and worker, then a count of those left out.

use std::{fmt, net::SocketAddr};

use sluice_dataplane_core::Event;
use tracing::{debug, info, warn};

use crate::{
    proxy_protocol,
    stats::{GreetingFailed, Shed},
};

/// Writes one thread's lines.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    denied: Sampler,
    refused: Sampler,
    shed: Sampler,
    greeting: Sampler,
    now_ms: u64,
}

/// Lets some lines of a kind through each second.
#[derive(Debug, Default)]
struct Sampler {
    second: u64,
    lines: u32,
    left_out: u64,
}

impl Sampler {
    /// Whether one more line may be written; `Some` holds how many were left out since the last one.
    fn admit(&mut self, now_ms: u64) -> Option<u64> {
        let second = now_ms / 1000;
        if self.second != second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines >= LINES_PER_SECOND_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// An address as the log shows it.
struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

impl EventLog {
    /// Notes the time of the turn.
    pub(crate) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// One event of the core.
    pub(crate) fn write(&mut self, event: &Event) {
        match event {
            Event::Connected { client_id, peer } => debug!(%client_id, peer = %Peer(*peer), "client connected"),
            Event::Disconnected { client_id, peer, reason } => {
                debug!(%client_id, peer = %Peer(*peer), reason, "client disconnected");
            }
            Event::Refused { client_id, peer, reason } => {
                if let Some(left_out) = self.refused.admit(self.now_ms) {
                    info!(%client_id, peer = %Peer(*peer), reason, left_out, "client refused");
                }
            }
            Event::Flapping { client_id, old, new } => {
                warn!(
                    %client_id, old = %Peer(*old), new = %Peer(*new),
                    "two clients take this client id from each other: give each its own"
                );
            }
            Event::Denied { client_id, action, topic } => {
                if let Some(left_out) = self.denied.admit(self.now_ms) {
                    warn!(%client_id, action, topic = %topic, left_out, "denied by the access rules");
                }
            }
            Event::TooLarge { client_id, peer, topic, bytes, limit, key } => {
                if let Some(left_out) = self.refused.admit(self.now_ms) {
                    info!(
                        %client_id, peer = %Peer(*peer), topic = topic.as_deref().unwrap_or_default(), bytes, limit, left_out,
                        "packet larger than allowed: raise {key} if it is meant to be"
                    );
                }
            }
            Event::InboxOverflow { client_id, messages } => {
                warn!(%client_id, messages, "session ended because its inbox was full: raise mqtt.inbox or connect it");
            }
            Event::Shedding { what, bytes } => {
                warn!(what, bytes, "the memory budget is used up: raise limits.memory_budget or add nodes");
            }
        }
    }

    /// A connection was closed right after it was accepted.
    pub(crate) fn shed(&mut self, cause: Shed, peer: Option<SocketAddr>) {
        let Some(left_out) = self.shed.admit(self.now_ms) else { return };
        let advice = match cause {
            Shed::ConnectRate => "its address connects too often: see limits.accept_rate_per_address",
            Shed::ConnectionsMax => "the node has as many connections as it may: see limits.connections_max",
            Shed::Greetings => "too many handshakes are under way: see limits.handshakes_max",
            Shed::Descriptors => "the process has no file descriptors left: raise LimitNOFILE or ulimit -n",
        };
        warn!(peer = %Peer(peer), left_out, "connection refused, {advice}");
    }

    /// A connection whose first bytes are not MQTT.
    pub(crate) fn not_mqtt(&mut self, peer: Option<SocketAddr>, bytes: &[u8]) {
        let got = proxy_protocol::describe(bytes);
        if got == "an MQTT CONNECT" {
            // One that was refused; the core says why.
            return;
        }
        let Some(left_out) = self.greeting.admit(self.now_ms) else { return };
        match got {
            got @ "a PROXY header" => info!(
                peer = %Peer(peer), left_out,
                "this listener expects MQTT but got {got}: set its proxy_protocol to optional or required"
            ),
            got => info!(peer = %Peer(peer), left_out, "this listener expects MQTT but got {got}"),
        }
    }

    /// A connection that ended before MQTT began.
    pub(crate) fn greeting_failed(
        &mut self,
        listener: &str,
        peer: Option<SocketAddr>,
        cause: GreetingFailed,
        why: &dyn fmt::Display,
    ) {
        let Some(left_out) = self.greeting.admit(self.now_ms) else { return };
        match cause {
            // Health checks and clients that change their mind.
            GreetingFailed::Empty | GreetingFailed::Gone => {
                debug!(listener, peer = %Peer(peer), left_out, cause = cause.name(), "connection ended early: {why}");
            }
            GreetingFailed::Deadline | GreetingFailed::Proxy | GreetingFailed::Tls | GreetingFailed::WebSocket => {
                info!(listener, peer = %Peer(peer), left_out, cause = cause.name(), "connection closed: {why}");
            }
        }
    }
}

/// Enough to see what happens, too few to fill a disk.
const LINES_PER_SECOND_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_each_second_and_those_left_out_are_counted() {
        let mut sampler = Sampler::default();
        assert_eq!((0..1000).filter(|_| sampler.admit(5).is_some()).count(), 10);
        assert_eq!(sampler.admit(1000), Some(990));
        assert_eq!(sampler.admit(1001), Some(0));
    }

    #[test]
    fn a_client_of_a_unix_socket_has_a_name_too() {
        assert_eq!(Peer(None).to_string(), "unix");
        assert_eq!(Peer(Some("1.2.3.4:5".parse().unwrap())).to_string(), "1.2.3.4:5");
    }
}

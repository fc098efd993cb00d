//! Bounds against overload and abuse.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sluice_service::config::{Bytes, Duration};

use super::MemoryBudget;

/// Bounds against overload and abuse.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections open at one time, over all listeners; `0` = as many as the process may have descriptors.
    pub connections_max: u32,
    /// Connections accepted a second, over all listeners; others wait in the kernel's queue. `0` = no bound.
    pub accept_rate: u32,
    /// Connections accepted a second from one address; more are closed at once. An IPv6 address counts with its whole
    /// /64. `0` = no bound. Mind clients that share an address behind a router.
    pub accept_rate_per_address: u32,
    /// TLS handshakes under way at one time; a connection beyond it is closed.
    pub handshakes_max: u32,
    /// From accept to a complete CONNECT that was authenticated, TLS and WebSocket handshakes included.
    pub connect_deadline: Duration,
    /// The largest CONNECT packet.
    pub connect_packet_max: Bytes,
    /// From the first byte of a packet to its last.
    pub packet_deadline: Duration,
    /// PUBLISH packets a second of one client; reading pauses above it. `0` = no bound.
    pub publish_rate: u32,
    /// Bytes a second from one client; reading pauses above it. `0` = no bound.
    pub byte_rate: Bytes,
    /// Packets a second of one client that are neither PUBLISH nor acknowledgements; a client above it is disconnected.
    /// `0` = no bound.
    pub control_rate: u32,
    /// Takeovers of one client id a minute; above it new connections are refused for a while. `0` = no bound.
    pub takeovers_per_minute: u32,
    /// Wills of one client id that are published in a minute; above it new connections are refused for a while. `0` = no
    /// bound.
    pub wills_per_minute: u32,
    /// Persistent sessions of one user (or of one client id, without a user name).
    pub sessions_per_principal: u32,
    /// Memory for sessions, queues and what waits to be written: `auto` = half of what the process may use, `off` = no
    /// bound. At the bound new clients are refused, then QoS 0 messages dropped, then the heaviest sessions closed.
    pub memory_budget: MemoryBudget,
    /// What may wait to be written to one connection; QoS 0 messages above it are dropped and counted.
    pub outbox_max: Bytes,
    /// Stored messages that a worker keeps in memory for sessions that are reading them.
    pub block_cache: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 0,
            accept_rate: 0,
            accept_rate_per_address: 0,
            handshakes_max: 4096,
            connect_deadline: Duration::secs(10),
            connect_packet_max: Bytes::kib(64),
            packet_deadline: Duration::secs(30),
            publish_rate: 0,
            byte_rate: Bytes(0),
            control_rate: 1_000,
            takeovers_per_minute: 10,
            wills_per_minute: 60,
            sessions_per_principal: 100,
            memory_budget: MemoryBudget::Auto,
            outbox_max: Bytes::kib(64),
            block_cache: Bytes::mib(16),
        }
    }
}

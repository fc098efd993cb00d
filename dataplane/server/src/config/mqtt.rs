//! What the broker offers in MQTT, and how much of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sluice_service::config::{Bytes, Duration};

/// What the broker offers in MQTT, and how much of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// The largest packet taken from a client, at most 268435455 bytes; version 5 clients are told.
    pub max_packet_size: Bytes,
    /// The longest keep alive; version 5 clients that ask for more or for none are told this one. `0` = no bound.
    pub max_keepalive: Duration,
    /// QoS 1 and 2 messages a client may send before the first is acknowledged.
    pub receive_maximum: u16,
    /// The same for version 3 clients, who cannot be told: at QoS 1 reading pauses there, at QoS 2 the connection ends.
    pub receive_maximum_v3: u16,
    /// QoS 1 and 2 messages on the way to a client at one time, at most; a client may ask for fewer.
    pub outbound_window: u16,
    /// Topic aliases a client may set; `0` = none.
    pub topic_alias_in: u16,
    /// Topic aliases the broker sets towards a client that allows them; `0` = none.
    pub topic_alias_out: u16,
    /// The highest QoS: 0, 1 or 2.
    pub max_qos: u8,
    /// Whether messages may be retained.
    pub retain_available: bool,
    /// Whether clients may subscribe with `+` and `#`.
    pub wildcard_available: bool,
    /// Whether clients may share subscriptions.
    pub shared_available: bool,
    /// The longest time a session is kept for an absent client; also that of version 3 clients with clean session 0.
    pub session_expiry_max: Duration,
    /// Subscriptions of one session.
    pub subscriptions_max: u32,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_per_packet_max: u32,
    /// The length of a client id in bytes.
    pub client_id_length_max: u16,
    /// Whether client ids with `+`, `#`, `/` or control characters are refused.
    pub client_id_plain_only: bool,
    /// The length of a topic name or filter in bytes.
    pub topic_length_max: u16,
    /// The levels of a topic name or filter.
    pub topic_levels_max: u16,
    /// User properties of one packet.
    pub user_properties_max: u32,
    /// The size of the user properties of one packet.
    pub user_properties_size_max: Bytes,
    /// The size of a will's payload.
    pub will_size_max: Bytes,
    /// Whether payloads that say they are UTF-8 are checked.
    pub validate_payload_format: bool,
    /// Messages that wait for an absent or slow persistent session.
    pub inbox: Inbox,
    /// Retained messages.
    pub retained: Retained,
    /// Shared subscriptions.
    pub shared: Shared,
}

/// Messages that wait for a persistent session.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Inbox {
    /// How many may wait for one session.
    pub messages_max: u32,
    /// How many bytes may wait for one session.
    pub bytes_max: Bytes,
    /// What happens at either bound. To end the session is the only one of these that loses nothing unseen.
    pub overflow: Overflow,
    /// Whether QoS 0 messages wait as well.
    pub queue_qos0: bool,
}

/// What happens to a full inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The session ends, visibly: Session Present is 0 at the next CONNECT.
    #[default]
    EndSession,
    /// The oldest message goes, and is counted.
    DropOldest,
    /// The new message goes, and is counted.
    DropNewest,
}

/// Retained messages.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retained {
    /// How many the node keeps.
    pub messages_max: u64,
    /// How many bytes of them the node keeps.
    pub bytes_max: Bytes,
    /// Memory for copies of small messages that other nodes of a cluster keep; no more than a quarter of
    /// `limits.memory_budget` is taken for them. What finds no room is read from its node only.
    pub copies_max: Bytes,
}

/// Shared subscriptions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shared {
    /// Which member of a group gets a message.
    pub strategy: SharedStrategy,
    /// A member with a full window that acknowledges nothing for this long is passed over.
    pub stall_timeout: Duration,
    /// Members of one group; more are refused.
    pub members_max: u32,
}

/// Which member of a group gets a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SharedStrategy {
    /// One that is served where the publisher is.
    LocalFirst,
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The same one for the same topic.
    HashTopic,
    /// The same one for the same publisher.
    HashClient,
    /// The one that got the last message, until it goes.
    Sticky,
    /// The one with the fewest unacknowledged messages.
    LeastInflight,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            max_packet_size: Bytes::mib(2),
            max_keepalive: Duration::secs(3600),
            receive_maximum: 64,
            receive_maximum_v3: 1024,
            outbound_window: 128,
            topic_alias_in: 64,
            topic_alias_out: 16,
            max_qos: 2,
            retain_available: true,
            wildcard_available: true,
            shared_available: true,
            session_expiry_max: Duration::secs(7 * 24 * 3600),
            subscriptions_max: 10_000,
            filters_per_packet_max: 1_000,
            client_id_length_max: 256,
            client_id_plain_only: false,
            topic_length_max: 4096,
            topic_levels_max: 128,
            user_properties_max: 64,
            user_properties_size_max: Bytes::kib(8),
            will_size_max: Bytes::kib(16),
            validate_payload_format: false,
            inbox: Inbox::default(),
            retained: Retained::default(),
            shared: Shared::default(),
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self { messages_max: 10_000, bytes_max: Bytes::mib(16), overflow: Overflow::EndSession, queue_qos0: false }
    }
}

impl Default for Retained {
    fn default() -> Self {
        Self { messages_max: 1_000_000, bytes_max: Bytes::mib(4096), copies_max: Bytes::mib(1024) }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self { strategy: SharedStrategy::RoundRobin, stall_timeout: Duration::secs(30), members_max: 100_000 }
    }
}

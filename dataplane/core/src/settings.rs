//! Every limit and choice of a node's broker, with its default.
//!
//! Plain values, validated where the configuration file is read. Units stand last in a name.

use sluice_cluster::SHARDS_DEFAULT;

/// How a worker behaves. Immutable; every worker of a node holds the same.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One entry per listener; [`crate::Opened::listener`] is the index.
    pub listeners: Vec<ListenerSettings>,
    /// Whether there is anything to check credentials against. Without it, listeners that allow anonymous clients do not
    /// look at credentials at all; with it they check those that are shown.
    pub has_authentication: bool,
    /// Whether there is a gate to other nodes: it counts as one more worker.
    pub has_gate: bool,
    /// Shards of the keyspace; fixed for the life of a store.
    pub shards: u16,
    /// Announced to clients and enforced at the fixed header, in bytes; at most 268,435,455.
    pub packet_bytes_max: u32,
    /// A larger CONNECT is refused at its header, in bytes.
    pub connect_bytes_max: u32,
    /// From accept to a complete CONNECT and its authentication.
    pub connect_deadline_ms: u64,
    /// From the first byte of a packet to its last.
    pub packet_deadline_ms: u64,
    /// Client ids longer than this are refused, in bytes.
    pub client_id_bytes_max: usize,
    /// Refuse client ids with `+`, `#`, `/` or control characters.
    pub client_id_plain_only: bool,
    /// Topic names and filters longer than this are refused, in bytes.
    pub topic_bytes_max: usize,
    /// Topic names and filters with more levels than this are refused.
    pub topic_levels_max: usize,
    /// User properties of one packet.
    pub user_properties_max: usize,
    /// Bytes of one packet's user properties.
    pub user_properties_bytes_max: usize,
    /// Highest keep alive in seconds; version 5 clients are told, others are held to it. 0 = no bound.
    pub keep_alive_max_s: u16,
    /// Unacknowledged QoS 1 and 2 messages a client may have towards the broker.
    pub receive_maximum: u16,
    /// The same for version 3 clients, who cannot be told: at QoS 1 reading pauses there, at QoS 2 the connection ends.
    pub receive_maximum_v3: u16,
    /// Unacknowledged messages the broker has towards a client, at most (and at most what the client says).
    pub outbound_window_max: u16,
    /// Topic aliases a client may set.
    pub topic_alias_in_max: u16,
    /// Topic aliases the broker sets towards a client that allows them.
    pub topic_alias_out_max: u16,
    /// Highest QoS granted and accepted: 0, 1 or 2.
    pub qos_max: u8,
    /// Whether clients may publish retained messages.
    pub retain_available: bool,
    /// Whether clients may subscribe with wildcards.
    pub wildcard_available: bool,
    /// Whether clients may use shared subscriptions.
    pub shared_available: bool,
    /// Longest session expiry in seconds; also that of version 3 clients with clean session 0.
    pub session_expiry_max_s: u32,
    /// Persistent sessions of one principal (user name, or client id without one).
    pub sessions_per_principal_max: usize,
    /// Messages waiting for one session.
    pub inbox_messages_max: usize,
    /// Bytes waiting for one session.
    pub inbox_bytes_max: usize,
    /// What happens at either bound.
    pub inbox_overflow: Overflow,
    /// Whether QoS 0 messages wait for an offline persistent session.
    pub inbox_qos0: bool,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_per_packet_max: usize,
    /// A will's payload, in bytes.
    pub will_bytes_max: usize,
    /// Retained messages of the node.
    pub retained_messages_max: usize,
    /// Bytes of retained messages of the node.
    pub retained_bytes_max: usize,
    /// Memory for copies of other nodes' retained messages, in bytes of the node. With a bound on memory, no more than a
    /// quarter of that is taken for them.
    pub retained_copies_bytes_max: usize,
    /// Retained payloads up to this size are kept in memory, in bytes; the seed's threshold.
    pub hybrid_retained_size_threshold: usize,
    /// Bytes waiting to be written to one connection; above it QoS 0 is dropped and counted.
    pub outbox_bytes_max: usize,
    /// Whether PUBLISH payloads that say they are UTF-8 are checked.
    pub validate_payload_format: bool,
    /// Members of one shared group.
    pub group_members_max: usize,
    /// How a member of a shared group is chosen.
    pub shared_strategy: SharedStrategy,
    /// A shared-group member with a full window that acknowledges nothing this long is passed over.
    pub shared_stall_ms: u64,
    /// PUBLISH packets a second of one client; 0 = no bound. Above it reading pauses.
    pub publish_rate_max: u32,
    /// Bytes a second from one client; 0 = no bound. Above it reading pauses.
    pub bytes_rate_max: u64,
    /// Packets other than PUBLISH and acknowledgements (PINGREQ, SUBSCRIBE, …) a second of one client; above it 0x96.
    pub control_rate_max: u32,
    /// Takeovers of one client id a minute; above it 0x9F and a hold.
    pub takeovers_per_minute_max: u32,
    /// Wills of one client id a minute; above it 0x9F and a hold. 0 = no bound.
    pub wills_per_minute_max: u32,
    /// Bytes this worker's sessions, queues and outboxes may hold before it sheds; 0 = no bound.
    pub memory_bytes_max: usize,
    /// Bytes of message blocks a worker keeps in memory for readers.
    pub block_cache_bytes_max: usize,
    /// Whether changes wait for stable storage before they are acknowledged.
    pub durability: Durability,
    /// Clients of all workers sent to other nodes a second while operators drain this one; 0 = all at once.
    pub drain_per_second: u32,
    /// Interval of the `$SYS` topics in seconds; 0 = none.
    pub sys_interval_s: u32,
    /// Version text for `$SYS/broker/version`.
    pub version: &'static str,
}

/// What differs between listeners.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// For logs and metrics, such as `tcp-1883`.
    pub name: String,
    /// Whether clients connect without authentication. Otherwise every CONNECT is asked about.
    pub allow_anonymous: bool,
    /// Overrides [`Settings::packet_bytes_max`].
    pub packet_bytes_max: Option<u32>,
    /// The identity of the certificate is the user name, whatever CONNECT says.
    pub identity_as_username: bool,
    /// Response Information base topic for clients that ask for it; empty = none.
    pub response_information: String,
}

/// At a full inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// The session ends visibly: Session Present is 0 at the next CONNECT.
    EndSession,
    /// The oldest message goes.
    DropOldest,
    /// The new message goes.
    DropNewest,
}

/// Whether acknowledgements wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// PUBACK and PUBREC follow fdatasync.
    Fsync,
    /// They follow the write; the last moments may be lost with the machine.
    Async,
}

/// Who of a shared group gets a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedStrategy {
    /// A member on the publisher's worker or node, if one is ready.
    LocalFirst,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// The same member for the same topic.
    HashTopic,
    /// The same member for the same publisher.
    HashClient,
    /// The member that got the last one, until it goes.
    Sticky,
    /// The member with the fewest unacknowledged messages.
    LeastInflight,
}

/// The highest [`Settings::outbound_window_max`]: half of the packet ids, so that a free one is always found.
pub const OUTBOUND_WINDOW_MAX: u16 = 32_767;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerSettings::default()],
            has_authentication: false,
            has_gate: false,
            shards: SHARDS_DEFAULT,
            packet_bytes_max: 2 * MIB as u32,
            connect_bytes_max: 64 * KIB as u32,
            connect_deadline_ms: 10_000,
            packet_deadline_ms: 30_000,
            client_id_bytes_max: 256,
            client_id_plain_only: false,
            topic_bytes_max: 4096,
            topic_levels_max: 128,
            user_properties_max: 64,
            user_properties_bytes_max: 8 * KIB,
            keep_alive_max_s: 3600,
            receive_maximum: 64,
            receive_maximum_v3: 1024,
            outbound_window_max: 128,
            topic_alias_in_max: 64,
            topic_alias_out_max: 16,
            qos_max: 2,
            retain_available: true,
            wildcard_available: true,
            shared_available: true,
            session_expiry_max_s: 7 * 24 * 3600,
            sessions_per_principal_max: 100,
            inbox_messages_max: 10_000,
            inbox_bytes_max: 16 * MIB,
            inbox_overflow: Overflow::EndSession,
            inbox_qos0: false,
            subscriptions_max: 10_000,
            filters_per_packet_max: 1_000,
            will_bytes_max: 16 * KIB,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 4096 * MIB,
            retained_copies_bytes_max: 1024 * MIB,
            hybrid_retained_size_threshold: 1024,
            outbox_bytes_max: 64 * KIB,
            validate_payload_format: false,
            group_members_max: 100_000,
            shared_strategy: SharedStrategy::RoundRobin,
            shared_stall_ms: 30_000,
            publish_rate_max: 0,
            bytes_rate_max: 0,
            control_rate_max: 1_000,
            takeovers_per_minute_max: 10,
            wills_per_minute_max: 60,
            memory_bytes_max: 0,
            block_cache_bytes_max: 16 * MIB,
            durability: Durability::Fsync,
            drain_per_second: 200,
            sys_interval_s: 10,
            version: "0.1.0",
        }
    }
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            name: "tcp-1883".into(),
            allow_anonymous: true,
            packet_bytes_max: None,
            identity_as_username: false,
            response_information: String::new(),
        }
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

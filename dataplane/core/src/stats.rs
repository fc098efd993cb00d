//! Plain counters of a worker, summed over the workers when somebody asks.

mod histogram;

pub use histogram::Histogram;

/// What a worker counted since it started, and how much it holds. All plain integers: [`Stats::add`] sums workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted, by listener.
    pub connections_opened: Vec<u64>,
    /// Clients connected, by listener and protocol (3.1, 3.1.1, 5).
    pub connections: Vec<[i64; 3]>,
    /// Connections closed, by cause.
    pub closed: [u64; Closed::COUNT],
    /// Connected sessions.
    pub sessions_connected: u64,
    /// Persistent sessions without a connection.
    pub sessions_offline: u64,
    /// Persistent sessions ended by their expiry.
    pub sessions_expired: u64,
    /// Takeovers of a connected session.
    pub takeovers: u64,
    /// Subscriptions without wildcards.
    pub subscriptions_exact: u64,
    /// Subscriptions with wildcards.
    pub subscriptions_wildcard: u64,
    /// Shared subscriptions.
    pub subscriptions_shared: u64,
    /// Retained messages whose home is this worker.
    pub retained_messages: u64,
    /// Bytes of those.
    pub retained_bytes: u64,
    /// Copies of retained messages whose home is another node.
    pub retained_copies: u64,
    /// Bytes of memory that those take.
    pub retained_copies_bytes: u64,
    /// Workers of other nodes whose registers are not copied as they are, counted at each worker here.
    pub retained_copies_behind: u64,
    /// Copies that were shown because their home was out of reach.
    pub retained_copies_shown: u64,
    /// Large retained messages that were not shown because their home was out of reach.
    pub retained_copies_passed_over: u64,
    /// Copies that found no room.
    pub retained_copies_left_out: u64,
    /// PUBLISH packets accepted, by QoS.
    pub messages_received: [u64; 3],
    /// PUBLISH packets queued for writing, by QoS.
    pub messages_sent: [u64; 3],
    /// Messages not delivered, by cause.
    pub dropped: [u64; Dropped::COUNT],
    /// Payload bytes of received PUBLISH packets.
    pub payload_bytes_received: u64,
    /// Payload bytes of sent PUBLISH packets.
    pub payload_bytes_sent: u64,
    /// MQTT bytes received.
    pub bytes_received: u64,
    /// MQTT bytes queued for writing.
    pub bytes_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// CONNECT packets among them.
    pub connects_received: u64,
    /// Packets queued for writing that are no PUBLISH; see [`Stats::packets_sent`].
    pub replies_sent: u64,
    /// Denied operations: connect, publish, subscribe.
    pub denied: [u64; 3],
    /// Clients that were told to connect to another node, by cause.
    pub steered: [u64; Steered::COUNT],
    /// Clients that were not told, though by policy they should be elsewhere, by cause.
    pub unsteered: [u64; Unsteered::COUNT],
    /// Packets refused by their form, by cause.
    pub bad_input: [u64; BadInput::COUNT],
    /// Messages waiting in inboxes.
    pub queued_messages: u64,
    /// Bytes waiting in inboxes.
    pub queued_bytes: u64,
    /// Messages sent and not acknowledged.
    pub inflight: u64,
    /// Bytes waiting in outboxes.
    pub outbox_bytes: u64,
    /// Bytes accounted to the memory budget.
    pub memory_bytes: u64,
    /// Time from reading a PUBLISH to queuing its PUBACK or PUBREC; sampled.
    pub publish_duration: Histogram,
    /// Time from reading a PUBLISH to queuing it for its subscribers on this node; sampled.
    pub delivery_duration: Histogram,
    /// Time to find everybody who wants one topic; sampled.
    pub match_duration: Histogram,
}

/// Why connections close, for `mqtt_connections_closed_total{reason}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// DISCONNECT 0x00.
    Normal,
    /// DISCONNECT 0x04.
    WithWill,
    /// The client's side closed without DISCONNECT.
    ClientGone,
    /// The transport failed.
    TransportError,
    /// Nothing heard for 1.5 times the keep alive.
    KeepAliveTimeout,
    /// No complete CONNECT in time.
    ConnectTimeout,
    /// The session went to another connection.
    TakenOver,
    /// A packet that is not MQTT.
    MalformedPacket,
    /// A packet that breaks the protocol.
    ProtocolError,
    /// A packet over the maximum.
    PacketTooLarge,
    /// Authentication failed.
    NotAuthenticated,
    /// Not authorised.
    NotAuthorized,
    /// Receive Maximum exceeded.
    ReceiveMaximumExceeded,
    /// A quota was used up.
    QuotaExceeded,
    /// Too fast.
    RateTooHigh,
    /// The node is going down.
    ShuttingDown,
    /// The client was told to use another node.
    Steered,
    /// Refused for any other reason.
    Refused,
}

impl Closed {
    /// How many there are.
    pub const COUNT: usize = 18;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Normal,
        Self::WithWill,
        Self::ClientGone,
        Self::TransportError,
        Self::KeepAliveTimeout,
        Self::ConnectTimeout,
        Self::TakenOver,
        Self::MalformedPacket,
        Self::ProtocolError,
        Self::PacketTooLarge,
        Self::NotAuthenticated,
        Self::NotAuthorized,
        Self::ReceiveMaximumExceeded,
        Self::QuotaExceeded,
        Self::RateTooHigh,
        Self::ShuttingDown,
        Self::Steered,
        Self::Refused,
    ];

    /// The label of the metric and the word in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::WithWill => "disconnect_with_will",
            Self::ClientGone => "client_gone",
            Self::TransportError => "transport_error",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::TakenOver => "session_taken_over",
            Self::MalformedPacket => "malformed_packet",
            Self::ProtocolError => "protocol_error",
            Self::PacketTooLarge => "packet_too_large",
            Self::NotAuthenticated => "bad_user_name_or_password",
            Self::NotAuthorized => "not_authorized",
            Self::ReceiveMaximumExceeded => "receive_maximum_exceeded",
            Self::QuotaExceeded => "quota_exceeded",
            Self::RateTooHigh => "message_rate_too_high",
            Self::ShuttingDown => "server_shutting_down",
            Self::Steered => "use_another_server",
            Self::Refused => "refused",
        }
    }
}

/// Why a message was not delivered, for `mqtt_messages_dropped_total{cause}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// The receiver's outbox or inbox was full.
    QueueFull,
    /// Its expiry passed.
    Expired,
    /// Larger than the receiver's Maximum Packet Size.
    TooLarge,
    /// The subscription says No Local.
    NoLocal,
    /// The publisher or receiver may not.
    Denied,
    /// Nobody subscribed.
    NoSubscriber,
    /// QoS 0 for a session without a connection.
    Offline,
    /// Shed under memory pressure.
    Memory,
    /// The topic is not one a client may publish to.
    BadTopic,
}

impl Dropped {
    /// How many there are.
    pub const COUNT: usize = 9;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::QueueFull,
        Self::Expired,
        Self::TooLarge,
        Self::NoLocal,
        Self::Denied,
        Self::NoSubscriber,
        Self::Offline,
        Self::Memory,
        Self::BadTopic,
    ];

    /// The label of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
            Self::NoLocal => "no_local",
            Self::Denied => "denied",
            Self::NoSubscriber => "no_subscriber",
            Self::Offline => "offline",
            Self::Memory => "memory",
            Self::BadTopic => "bad_topic",
        }
    }
}

/// Why a client was told to connect to another node, for `mqtt_clients_steered_total{cause}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steered {
    /// Its session has its home there.
    Home,
    /// Its session has its home there, and it came to a node outside of the policy's home.
    Area,
    /// It came to a node that is drained.
    DrainConnect,
    /// It was connected to a node that is drained.
    DrainConnected,
}

impl Steered {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [Self::Home, Self::Area, Self::DrainConnect, Self::DrainConnected];

    /// The label of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Area => "area",
            Self::DrainConnect => "drain_connect",
            Self::DrainConnected => "drain_connected",
        }
    }
}

/// Why a client is served where by policy it should not be, for `mqtt_clients_not_steered_total{cause}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsteered {
    /// Its protocol cannot say it.
    OldProtocol,
    /// Its session is transient, and the policy leaves those alone.
    Transient,
    /// The node it should use is down, out of reach, cordoned or drained, or not where the policy wants clients.
    Unavailable,
    /// That node has no address for clients that come as this one did.
    NoAddress,
    /// It was told a short time ago and came back: it cannot follow.
    CameBack,
    /// As many clients were told in a short time as can be remembered.
    TooMany,
}

impl Unsteered {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] =
        [Self::OldProtocol, Self::Transient, Self::Unavailable, Self::NoAddress, Self::CameBack, Self::TooMany];

    /// The label of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OldProtocol => "old_protocol",
            Self::Transient => "transient",
            Self::Unavailable => "unavailable",
            Self::NoAddress => "no_address",
            Self::CameBack => "came_back",
            Self::TooMany => "too_many",
        }
    }
}

/// Input refused by its form, for `mqtt_bad_input_total{cause}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadInput {
    /// Not MQTT at all, or not decodable.
    Malformed,
    /// Decodable, but against the protocol.
    Protocol,
    /// Larger than allowed.
    TooLarge,
    /// A topic or filter that is none.
    Topic,
    /// An acknowledgement for nothing.
    UnknownPacketId,
    /// Too slow to finish a packet.
    Deadline,
    /// More often than allowed.
    Rate,
    /// Beyond a quota.
    Quota,
}

impl BadInput {
    /// How many there are.
    pub const COUNT: usize = 8;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Malformed,
        Self::Protocol,
        Self::TooLarge,
        Self::Topic,
        Self::UnknownPacketId,
        Self::Deadline,
        Self::Rate,
        Self::Quota,
    ];

    /// The label of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Topic => "topic",
            Self::UnknownPacketId => "unknown_packet_id",
            Self::Deadline => "deadline",
            Self::Rate => "rate",
            Self::Quota => "quota",
        }
    }
}

impl Stats {
    /// Packets of all kinds queued for writing.
    #[must_use]
    pub fn packets_sent(&self) -> u64 {
        self.messages_sent.iter().sum::<u64>() + self.replies_sent
    }

    /// Adds another worker's figures to these.
    pub fn add(&mut self, other: &Self) {
        let listeners = self.connections_opened.len().max(other.connections_opened.len());
        self.connections_opened.resize(listeners, 0);
        self.connections.resize(listeners, [0; 3]);
        add_all(&mut self.connections_opened, &other.connections_opened);
        for (mine, theirs) in self.connections.iter_mut().zip(&other.connections) {
            mine.iter_mut().zip(theirs).for_each(|(m, t)| *m += t);
        }
        add_all(&mut self.closed, &other.closed);
        add_all(&mut self.messages_received, &other.messages_received);
        add_all(&mut self.messages_sent, &other.messages_sent);
        add_all(&mut self.dropped, &other.dropped);
        add_all(&mut self.denied, &other.denied);
        add_all(&mut self.steered, &other.steered);
        add_all(&mut self.unsteered, &other.unsteered);
        add_all(&mut self.bad_input, &other.bad_input);
        self.sessions_connected += other.sessions_connected;
        self.sessions_offline += other.sessions_offline;
        self.sessions_expired += other.sessions_expired;
        self.takeovers += other.takeovers;
        self.subscriptions_exact += other.subscriptions_exact;
        self.subscriptions_wildcard += other.subscriptions_wildcard;
        self.subscriptions_shared += other.subscriptions_shared;
        self.retained_messages += other.retained_messages;
        self.retained_bytes += other.retained_bytes;
        self.retained_copies += other.retained_copies;
        self.retained_copies_bytes += other.retained_copies_bytes;
        self.retained_copies_behind += other.retained_copies_behind;
        self.retained_copies_shown += other.retained_copies_shown;
        self.retained_copies_passed_over += other.retained_copies_passed_over;
        self.retained_copies_left_out += other.retained_copies_left_out;
        self.payload_bytes_received += other.payload_bytes_received;
        self.payload_bytes_sent += other.payload_bytes_sent;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.packets_received += other.packets_received;
        self.connects_received += other.connects_received;
        self.replies_sent += other.replies_sent;
        self.queued_messages += other.queued_messages;
        self.queued_bytes += other.queued_bytes;
        self.inflight += other.inflight;
        self.outbox_bytes += other.outbox_bytes;
        self.memory_bytes += other.memory_bytes;
        self.publish_duration.add(&other.publish_duration);
        self.delivery_duration.add(&other.delivery_duration);
        self.match_duration.add(&other.match_duration);
    }
}

fn add_all(mine: &mut [u64], theirs: &[u64]) {
    for (m, t) in mine.iter_mut().zip(theirs) {
        *m += t;
    }
}
